// SPDX-License-Identifier: MIT OR Apache-2.0
//! How an API server is reached.

use std::{fmt, path::PathBuf};

/// How an API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Without a file, it is that of the cluster that this process runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Its URL, in place of the one that is found.
    pub master: Option<String>,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kubeconfig {
            Some(file) => write!(f, "cluster by {}", file.display())?,
            None => f.write_str("cluster, in a pod")?,
        }
        match &self.master {
            Some(url) => write!(f, ", at {url}"),
            None => Ok(()),
        }
    }
}
