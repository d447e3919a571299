// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events of folders, read when we ask.
//!
//! The kernel queues an event before the system call that caused it returns. So whoever reads a
//! file and *then* empties the queue knows of everything that happened before the reading, which a
//! library that reads the queue on a thread of its own cannot promise.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Room for some hundred events; the rest stays in the queue.
const BUFFER: usize = 16 * 1024;

/// The queue, and which folder each watch is of.
pub(super) struct Inotify {
    queue: AsyncFd<OwnedFd>,
    /// One folder may have been given under two names.
    folders: BTreeMap<i32, Vec<PathBuf>>,
}

/// Something happened to this path: a file, or the folder itself.
pub(super) struct Event {
    pub(super) path: PathBuf,
    pub(super) flags: ReadFlags,
}

impl Inotify {
    pub(super) fn new() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` names the same open descriptor until it is dropped.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) };
        Ok(Self {
            queue: queue?,
            folders: BTreeMap::new(),
        })
    }

    /// Watches a folder; where another one had its name, that one no more.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        self.folders.retain(|watch, paths| {
            paths.retain(|path| path != folder);
            if paths.is_empty() {
                // The kernel may have ended it together with its folder.
                let _ = inotify::remove_watch(&self.queue, *watch);
            }
            !paths.is_empty()
        });
        let flags = WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let watch = inotify::add_watch(&self.queue, folder, flags)?;
        self.folders
            .entry(watch)
            .or_default()
            .push(folder.to_owned());
        Ok(())
    }

    /// Waits until there are events, and takes them.
    pub(super) async fn wait(&self) -> io::Result<Vec<Event>> {
        let mut ready = self.queue.readable().await?;
        let events = self.drain();
        ready.clear_ready();
        events
    }

    /// Takes all events that are there.
    pub(super) fn drain(&self) -> io::Result<Vec<Event>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event
                        .file_name()
                        .map(|name| OsStr::from_bytes(name.to_bytes()));
                    let folders = self.folders.get(&event.wd()).into_iter().flatten();
                    events.extend(folders.map(|folder| Event {
                        path: name.map_or_else(|| folder.clone(), |name| folder.join(name)),
                        flags: event.events(),
                    }));
                    if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                        events.push(Event {
                            path: PathBuf::new(),
                            flags: event.events(),
                        });
                    }
                }
                Err(Errno::WOULDBLOCK) => return Ok(events),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
