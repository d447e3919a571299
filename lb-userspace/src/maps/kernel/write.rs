// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes into hashes that packets write as well: only where nothing is, or only where something
//! is.

use aya::{
    Pod,
    maps::{HashMap, MapData, MapError},
};
use rustix::io::Errno;

/// Which entries are written.
#[derive(Clone, Copy)]
pub(crate) enum Write {
    /// None that are there.
    New,
    /// Only those.
    Again,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Done,
    /// Another entry is there, or none where one should be.
    There,
    /// There is no room.
    Full,
}

impl Write {
    /// `BPF_NOEXIST` and `BPF_EXIST` of `include/uapi/linux/bpf.h`.
    fn flags(self) -> u64 {
        match self {
            Self::New => 1,
            Self::Again => 2,
        }
    }

    /// Writes an entry.
    pub(crate) fn put<K: Pod, V: Pod>(
        self,
        table: &mut HashMap<MapData, K, V>,
        key: &K,
        value: &V,
    ) -> Result<Put, MapError> {
        let Err(error) = table.insert(key, value, self.flags()) else {
            return Ok(Put::Done);
        };
        let errno = match &error {
            MapError::SyscallError(error) => Errno::from_io_error(&error.io_error),
            _ => None,
        };
        match errno {
            Some(Errno::EXIST | Errno::NOENT) => Ok(Put::There),
            Some(Errno::TOOBIG) => Ok(Put::Full),
            _ => Err(error),
        }
    }
}
