// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cluster-ips.json`: the address ledger on disk, whole or not at all.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use super::addresses::Ledger;
use crate::{bounded, watch::status::Problem};

/// The ledger may be this long: some hundreds of thousands of Services.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

const NAME: &str = "cluster-ips.json";

/// The ledger's place.
#[derive(Debug)]
pub(super) struct LedgerFile {
    folder: PathBuf,
    /// What the file holds.
    saved: Option<Ledger>,
}

impl LedgerFile {
    /// Reads the ledger from a state folder. One that cannot be read is set aside, so that it is
    /// not lost and not in the way: Services then get addresses as at a first start.
    pub(super) fn load(folder: &Path) -> (Self, Ledger, Option<Problem>) {
        let mut file = Self {
            folder: folder.to_owned(),
            saved: None,
        };
        let path = file.path();
        let read = bounded::read_regular_text(&path, MAX_BYTES).and_then(|text| {
            let ledger: Ledger = serde_json::from_str(&text)?;
            Ok(ledger)
        });
        match read {
            Ok(ledger) => {
                file.saved = Some(ledger.clone());
                (file, ledger, None)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (file, Ledger::default(), None),
            Err(error) => {
                let problem = set_aside(&path, &error);
                (file, Ledger::default(), Some(problem))
            }
        }
    }

    /// Writes the ledger where it differs from what the file holds.
    pub(super) fn save(&mut self, ledger: &Ledger) -> Option<Problem> {
        if self.saved.as_ref() == Some(ledger) {
            return None;
        }
        match self.write(ledger) {
            Ok(()) => {
                self.saved = Some(ledger.clone());
                None
            }
            Err(error) => Some(Problem {
                place: self.path().display().to_string(),
                line: None,
                object: None,
                reason: format!(
                    "cannot be written ({error}): given Cluster-IPs hold until the next start only"
                ),
            }),
        }
    }

    /// A reader finds the old content or the new one, also after the power has failed.
    fn write(&self, ledger: &Ledger) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let temporary = self.folder.join(format!("{NAME}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(ledger)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path())?;
        // The rename itself is durable only when the folder is.
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

fn set_aside(path: &Path, error: &io::Error) -> Problem {
    let aside = path.with_extension("json.broken");
    let fate = match fs::rename(path, &aside) {
        Ok(()) => format!("it is now {}", aside.display()),
        Err(error) => format!("and cannot be set aside ({error})"),
    };
    Problem {
        place: path.display().to_string(),
        line: None,
        object: None,
        reason: format!(
            "cannot be read ({error}); {fate}. Services without clusterIP may have got another \
             address"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_survives_and_a_broken_one_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let ledger: Ledger =
            serde_json::from_str(r#"{"services":{"default/a":{"addresses":["10.96.1.1"]}}}"#)
                .expect("a ledger");
        let (mut file, empty, problem) = LedgerFile::load(&state);
        assert_eq!((empty, problem), (Ledger::default(), None));
        assert_eq!(file.save(&ledger), None);
        let (mut file, read, problem) = LedgerFile::load(&state);
        assert_eq!((&read, problem), (&ledger, None));
        // Nothing to write: the folder may even be gone.
        fs::remove_dir_all(&state).expect("the folder");
        assert_eq!(file.save(&ledger), None);
        assert!(!state.exists());

        fs::create_dir(&state).expect("the folder");
        fs::write(state.join(NAME), "{\"serv").expect("a file");
        let (mut file, read, problem) = LedgerFile::load(&state);
        assert_eq!(read, Ledger::default());
        let said = problem.expect("a problem").to_string();
        assert!(said.contains("cluster-ips.json.broken"), "{said}");
        assert_eq!(
            fs::read(state.join("cluster-ips.json.broken")).expect("it"),
            b"{\"serv"
        );
        assert_eq!(file.save(&ledger), None);
        assert_eq!(LedgerFile::load(&state).1, ledger);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_said() {
        let folder = tempfile::NamedTempFile::new().expect("a file");
        let (mut file, _, _) = LedgerFile::load(&folder.path().join("state"));
        let ledger: Ledger =
            serde_json::from_str(r#"{"services":{"default/a":{"addresses":["10.96.1.1"]}}}"#)
                .expect("a ledger");
        let said = file.save(&ledger).expect("a problem").to_string();
        assert!(said.contains("cannot be written"), "{said}");
    }
}
