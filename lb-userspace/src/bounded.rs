// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading files whose length and kind nobody has promised: no more than was said, and nothing
//! that would keep us waiting.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

/// A file's bytes; an error if there are more than `limit`. A pipe is waited for.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > limit) {
        let reason = format!("it is longer than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// A file's text, likewise.
pub fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The text of a regular file; an error if it is anything else.
pub fn read_regular_text(path: &Path, limit: u64) -> io::Result<String> {
    // Opening a pipe would wait for its writer, so what it is comes first.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    read_text(path, limit)
}

#[cfg(test)]
mod tests {
    use super::{read, read_regular_text};
    use std::{fs, path::Path};

    #[test]
    fn what_has_no_end_is_refused() {
        let endless = Path::new("/dev/zero");
        assert!(read(endless, 16).is_err());
        assert!(read_regular_text(endless, 16).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "1234").expect("a file");
        assert_eq!(read_regular_text(&path, 4).expect("short enough"), "1234");
        let error = read_regular_text(&path, 3).expect_err("too long");
        assert_eq!(error.to_string(), "it is longer than 3 bytes");
    }
}
