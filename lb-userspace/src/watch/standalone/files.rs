// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the folders hold, compared with what was read before.
//!
//! Reads whole files, and only those whose identity, size or times changed or that somebody says
//! were touched. Knows no YAML.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::store::FileId;
use crate::{bounded, watch::status::Problem};

/// A manifest file may be this long.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Files read so far.
#[derive(Debug, Default)]
pub(super) struct Files {
    folders: Vec<PathBuf>,
    /// None: what it is could not be told, so it is looked at again.
    seen: BTreeMap<FileId, Option<Stamp>>,
    /// Found empty at the last look.
    emptied: BTreeMap<FileId, Stamp>,
}

/// What tells one version of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// One file that is not as it was.
#[derive(Debug)]
pub(super) struct News {
    pub(super) file: FileId,
    pub(super) path: PathBuf,
    pub(super) content: Content,
    stamp: Option<Stamp>,
}

/// What has become of it.
#[derive(Debug)]
pub(super) enum Content {
    /// It holds this now.
    Text(String),
    /// It holds nothing any more, which is to be believed only when it is so at the next look:
    /// between emptying a file and queueing the event, a kernel that has to wait for a disk can
    /// take its time, and who rewrites a file empties it first.
    Emptied,
    /// It is there and cannot be read.
    Unreadable(Problem),
    /// It is not there any more.
    Gone,
}

impl Files {
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        Self {
            folders,
            seen: BTreeMap::new(),
            emptied: BTreeMap::new(),
        }
    }

    /// Everything that changed since [`accept`](Self::accept), and what is wrong with folders. A
    /// folder that cannot be listed counts as unchanged.
    pub(super) fn scan(&self, touched: &BTreeSet<PathBuf>) -> (Vec<News>, Vec<Problem>) {
        let mut news = Vec::new();
        let mut problems = Vec::new();
        for (folder, path) in self.folders.iter().enumerate() {
            match list(path) {
                Ok(paths) => news.extend(self.compare(folder, paths, touched)),
                Err(error) => problems.push(Problem {
                    place: path.display().to_string(),
                    line: None,
                    object: None,
                    reason: format!(
                        "cannot be listed ({error}): what its files stated stays in force"
                    ),
                }),
            }
        }
        (news, problems)
    }

    /// Remembers that this has been worked in.
    pub(super) fn accept(&mut self, news: &News) {
        self.emptied.remove(&news.file);
        match (&news.content, news.stamp) {
            (Content::Emptied, Some(stamp)) => {
                self.emptied.insert(news.file.clone(), stamp);
            }
            (Content::Gone, _) => {
                self.seen.remove(&news.file);
            }
            (_, stamp) => {
                self.seen.insert(news.file.clone(), stamp);
            }
        }
    }

    fn compare(
        &self,
        folder: usize,
        paths: Vec<PathBuf>,
        touched: &BTreeSet<PathBuf>,
    ) -> Vec<News> {
        let mut there = BTreeSet::new();
        let mut news = Vec::new();
        for path in paths {
            let file = FileId {
                folder,
                path: path.display().to_string().into(),
            };
            there.insert(file.clone());
            let before = self.seen.get(&file).copied().flatten();
            let stamp = stamp(&path).ok();
            if stamp.is_some() && stamp == before && !touched.contains(&path) {
                continue;
            }
            let content = match read(&path) {
                Ok(text) if text.is_empty() && self.doubts(&file, stamp) => Content::Emptied,
                Ok(text) => Content::Text(text),
                // It vanished after it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    there.remove(&file);
                    continue;
                }
                Err(error) => unreadable(&file, &error),
            };
            news.push(News {
                file,
                path,
                content,
                stamp,
            });
        }
        let of_folder = self.seen.keys().filter(|file| file.folder == folder);
        let gone = of_folder.filter(|file| !there.contains(*file));
        news.extend(gone.map(|file| News {
            file: file.clone(),
            path: PathBuf::from(&*file.path),
            content: Content::Gone,
            stamp: None,
        }));
        news
    }

    /// Whether an empty file was something else before, and at the last look.
    fn doubts(&self, file: &FileId, stamp: Option<Stamp>) -> bool {
        let before = self.seen.get(file).copied().flatten();
        let was_more = before.is_some_and(|before| before.size > 0);
        was_more && self.emptied.get(file).copied() != stamp
    }
}

/// Whether a path is a manifest by its name; hidden files are somebody's drafts.
pub(super) fn is_manifest(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !hidden && matches!(extension, Some("yaml" | "yml" | "json"))
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_manifest(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        inode: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn read(path: &Path) -> io::Result<String> {
    bounded::read_regular_text(path, MAX_BYTES)
}

fn unreadable(file: &FileId, error: &io::Error) -> Content {
    Content::Unreadable(Problem {
        place: file.path.to_string(),
        line: None,
        object: None,
        reason: format!("cannot be read ({error}): what it stated before stays in force"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(news: &[News]) -> Vec<String> {
        let name = |file: &FileId| file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let said = news.iter().map(|news| match &news.content {
            Content::Text(text) => format!("{}={text}", name(&news.file)),
            Content::Unreadable(_) => format!("{} unreadable", name(&news.file)),
            Content::Emptied => format!("{} emptied", name(&news.file)),
            Content::Gone => format!("{} gone", name(&news.file)),
        });
        let mut said: Vec<String> = said.collect();
        said.sort();
        said
    }

    fn step(files: &mut Files, touched: &[PathBuf]) -> Vec<String> {
        let (news, problems) = files.scan(&touched.iter().cloned().collect());
        assert_eq!(problems, []);
        for news in &news {
            files.accept(news);
        }
        say(&news)
    }

    #[test]
    fn only_what_changed_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &[u8]| fs::write(path(name), text).expect("a file");
        for name in [
            "a.yaml",
            "b.yml",
            "c.json",
            ".d.yaml",
            "e.txt",
            "f.yaml~",
            ".g.yaml.swp",
        ] {
            write(name, b"1");
        }
        let mut files = Files::new(vec![folder.path().to_owned()]);
        assert_eq!(step(&mut files, &[]), ["a.yaml=1", "b.yml=1", "c.json=1"]);
        assert_eq!(step(&mut files, &[]), [""; 0]);
        assert_eq!(step(&mut files, &[path("a.yaml")]), ["a.yaml=1"]);
        write("a.yaml", b"22");
        fs::rename(path("b.yml"), path("h.yml")).expect("a file");
        write("c.json", b"\xff");
        assert_eq!(
            step(&mut files, &[]),
            ["a.yaml=22", "b.yml gone", "c.json unreadable", "h.yml=1"]
        );
        fs::create_dir(path("i.yaml")).expect("a folder");
        std::os::unix::fs::symlink(path("nowhere"), path("j.yaml")).expect("a link");
        fs::remove_file(path("c.json")).expect("a file");
        assert_eq!(step(&mut files, &[]), ["c.json gone", "i.yaml unreadable"]);
        std::os::unix::fs::symlink(path("e.txt"), path("k.yaml")).expect("a link");
        assert_eq!(step(&mut files, &[]), ["k.yaml=1"]);
        // One whose kind cannot be told is looked at again, until it goes.
        std::os::unix::fs::symlink(path("l.yaml"), path("l.yaml")).expect("a link");
        assert_eq!(step(&mut files, &[]), ["l.yaml unreadable"]);
        assert_eq!(step(&mut files, &[]), ["l.yaml unreadable"]);
        fs::remove_file(path("l.yaml")).expect("a link");
        assert_eq!(step(&mut files, &[]), ["l.yaml gone"]);
    }

    #[test]
    fn an_emptied_file_is_believed_at_the_second_look() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.yaml");
        fs::write(&path, "").expect("a file");
        let mut files = Files::new(vec![folder.path().to_owned()]);
        assert_eq!(step(&mut files, &[]), ["a.yaml="]);
        fs::write(&path, "1").expect("a file");
        assert_eq!(step(&mut files, &[]), ["a.yaml=1"]);
        fs::write(&path, "").expect("a file");
        assert_eq!(step(&mut files, &[]), ["a.yaml emptied"]);
        // Written again in between: another emptying, another doubt.
        fs::write(&path, "2").expect("a file");
        assert_eq!(step(&mut files, &[]), ["a.yaml=2"]);
        fs::write(&path, "").expect("a file");
        assert_eq!(step(&mut files, &[]), ["a.yaml emptied"]);
        assert_eq!(step(&mut files, &[]), ["a.yaml="]);
        assert_eq!(step(&mut files, &[]), [""; 0]);
    }

    #[test]
    fn a_folder_that_is_gone_takes_nothing_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        fs::write(inner.join("a.yaml"), "1").expect("a file");
        let mut files = Files::new(vec![inner.clone()]);
        assert_eq!(step(&mut files, &[]), ["a.yaml=1"]);
        fs::remove_dir_all(&inner).expect("a folder");
        let (news, problems) = files.scan(&BTreeSet::new());
        assert_eq!((news.len(), problems.len()), (0, 1));
        fs::create_dir(&inner).expect("a folder");
        assert_eq!(step(&mut files, &[]), ["a.yaml gone"]);
    }
}
