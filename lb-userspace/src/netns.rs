// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network namespaces of this node: work inside one, and which one is a Pod's.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::{IpAddr, UdpSocket},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

/// Where `ip netns` keeps names for them.
const NAMED: &str = "/run/netns";

/// A namespace, and who is in it.
#[derive(Debug)]
pub struct Netns {
    file: File,
    /// A process that is in it, if there is one.
    pid: Option<u32>,
}

impl Netns {
    /// The one that a file stands for.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { file, pid: None })
    }

    /// The one that has this address: Pods have their own. Needs the rights to enter others'.
    pub fn of_address(address: IpAddr) -> io::Result<Option<Self>> {
        let mut seen = BTreeSet::new();
        for (path, pid) in of_processes()?.chain(named()) {
            // A process may have ended meanwhile.
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let metadata = file.metadata()?;
            if !seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            let place = Self { file, pid };
            // Only there can the address be a socket's.
            if place
                .run(|| UdpSocket::bind((address, 0)).map(drop))
                .is_ok()
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The `resolv.conf` that programs there have, as far as some process shows it.
    pub fn resolv_conf(&self) -> Option<PathBuf> {
        let root = format!("/proc/{}/root/etc/resolv.conf", self.pid?);
        Some(PathBuf::from(root)).filter(|path| path.exists())
    }

    /// Does something on a thread of its own, as nobody else is to be there. Sockets that are made
    /// there stay there, whoever uses them.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(self.file.as_fd(), kind)?;
                work()
            });
            let done = thread.join();
            done.unwrap_or_else(|_panic| Err(io::Error::other("the thread has ended")))
        })
    }
}

fn of_processes() -> io::Result<impl Iterator<Item = (PathBuf, Option<u32>)>> {
    let entries = fs::read_dir("/proc")?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.map(|pid: u32| (PathBuf::from(format!("/proc/{pid}/ns/net")), Some(pid))))
}

/// Those without a process.
fn named() -> impl Iterator<Item = (PathBuf, Option<u32>)> {
    let entries = fs::read_dir(NAMED).into_iter().flatten();
    entries.filter_map(|entry| Some((entry.ok()?.path(), None)))
}
