// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop of standalone mode: wait, read, work in, keep the ledger, tell.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tokio::{
    sync::{mpsc, watch},
    task,
};

use super::{
    catalog::{Catalog, Round},
    files::{Content, Files, News},
    ledger_file::LedgerFile,
    quiet::Quiet,
};
use crate::{
    clock,
    model::Change,
    watch::status::{self, ALL_KINDS, Problem, Status},
};

/// All that the loop works with.
pub(super) struct Loop {
    pub(super) folders: Vec<Folder>,
    pub(super) quiet: Quiet,
    /// `None` only while a round works with them, on a thread that may block.
    pub(super) books: Option<Books>,
    /// What is wrong since the start.
    pub(super) at_start: Vec<Problem>,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) status: watch::Sender<Status>,
}

/// A folder, and which one it was when it was last watched.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) watched: Option<(u64, u64)>,
}

/// What is read from and written to disk, and what it means.
pub(super) struct Books {
    pub(super) files: Files,
    pub(super) catalog: Catalog,
    pub(super) ledger_file: LedgerFile,
}

impl Loop {
    /// Runs until nobody takes changes any more.
    pub(super) async fn run(mut self) {
        let mut touched = BTreeSet::new();
        loop {
            if self.round(touched).await.is_none() {
                return;
            }
            touched = tokio::select! {
                touched = self.quiet.wait() => touched,
                () = self.changes.closed() => return,
            };
        }
    }

    async fn round(&mut self, touched: BTreeSet<PathBuf>) -> Option<()> {
        let mut problems = self.at_start.clone();
        // Watched before it is read: what changes from here on is an event.
        for folder in &mut self.folders {
            problems.extend(folder.follow(&mut self.quiet));
        }
        let (mut news, unlisted) = self
            .blocking(move |books| books.files.scan(&touched))
            .await?;
        problems.extend(unlisted);
        let disturbed = self.quiet.disturbed().await;
        news.retain(|news| !disturbed.contains(&news.path));
        for news in &news {
            if matches!(news.content, Content::Emptied) {
                self.quiet.touch(news.path.clone());
            }
        }
        let (round, unsaved) = self.blocking(|books| books.work_in(news)).await?;
        problems.extend(unsaved);
        for change in round.changes {
            self.changes.send(change).await.ok()?;
        }
        problems.extend(round.problems);
        status::publish(&self.status, None, problems, |status| {
            status.listed = ALL_KINDS.map(str::to_owned).into();
            status.pending = round.pending;
        });
        Some(())
    }

    /// Lends the books to a thread that may block.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Books) -> T + Send + 'static,
    ) -> Option<T> {
        let mut books = self.books.take()?;
        let done = task::spawn_blocking(move || {
            let result = work(&mut books);
            (books, result)
        });
        let (books, result) = done.await.ok()?;
        self.books = Some(books);
        Some(result)
    }
}

impl Books {
    fn work_in(&mut self, news: Vec<News>) -> (Round, Option<Problem>) {
        for news in news {
            self.files.accept(&news);
            match news.content {
                Content::Text(text) => self.catalog.put(&news.file, &text),
                Content::Emptied => {}
                Content::Unreadable(problem) => self.catalog.unreadable(&news.file, problem),
                Content::Gone => self.catalog.remove(&news.file),
            }
        }
        let round = self.catalog.round(clock::unix_s());
        // An address is kept before anybody hears of it.
        let unsaved = self.ledger_file.save(self.catalog.ledger());
        (round, unsaved)
    }
}

impl Folder {
    /// Watches it when it is not the folder that was watched.
    fn follow(&mut self, quiet: &mut Quiet) -> Option<Problem> {
        let here = identity(&self.path);
        if here.is_some() && here == self.watched {
            return None;
        }
        self.watched = None;
        // That it is not there is said by who lists it.
        here?;
        match quiet.watch(&self.path) {
            Ok(()) => {
                self.watched = here;
                None
            }
            Err(error) => Some(Problem {
                place: self.path.display().to_string(),
                line: None,
                object: None,
                reason: format!(
                    "cannot be watched ({error}): changes are seen after {} s at the latest",
                    Quiet::RESCAN.as_secs()
                ),
            }),
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
