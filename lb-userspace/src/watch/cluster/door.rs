// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way to the API server, which can be made anew: kubeconfig, token and certificates may be
//! replaced while we run, and connections may be dead without a word.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::http::uri::Scheme;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::{StartError, calls::Calls};
use crate::yaml::{self, BadYaml};

const CONNECT: Duration = Duration::from_secs(10);

/// A client, and what it was made of.
#[derive(Clone)]
pub(super) struct Door {
    client: Client,
    server: String,
    origin: Origin,
}

#[derive(Clone)]
enum Origin {
    /// Kubeconfigs, where none is what Kubernetes gives to Pods, the URL in place of theirs, and
    /// where calls are counted.
    Files(Vec<PathBuf>, Option<String>, Calls),
    /// Somebody else.
    Elsewhere,
}

impl Door {
    /// Reads the configuration; connects to nothing yet.
    pub(super) async fn open(
        kubeconfigs: Vec<PathBuf>,
        master: Option<String>,
        calls: Calls,
    ) -> Result<Self, StartError> {
        let mut config = if kubeconfigs.is_empty() {
            Config::incluster().map_err(StartError::NotInCluster)?
        } else {
            from_files(&kubeconfigs).await?
        };
        if let Some(master) = master.clone() {
            config.cluster_url = match master.parse() {
                Ok(url) => url,
                Err(cause) => return Err(StartError::Master { master, cause }),
            };
        }
        config.connect_timeout = Some(CONNECT);
        if config.cluster_url.scheme() == Some(&Scheme::HTTP) {
            // kube reads the system's certificates where it is given none, which takes some of a
            // start's time, and of each new connection's; here nobody has one to show.
            config.root_cert.get_or_insert_default();
        }
        // Each source has a patience of its own, and says what it waits for.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let authority = config.cluster_url.authority();
        let host = authority.map_or_else(String::new, ToString::to_string);
        let client = ClientBuilder::try_from(config).map_err(|cause| StartError::Client {
            server: server.clone(),
            cause,
        })?;
        let client = client.with_layer(&calls.of(host)).build();
        Ok(Self {
            client,
            server,
            origin: Origin::Files(kubeconfigs, master, calls),
        })
    }

    /// Goes through a client that is there.
    pub(super) fn of(client: Client) -> Self {
        Self {
            client,
            server: "of a given client".to_owned(),
            origin: Origin::Elsewhere,
        }
    }

    /// The API server's URL.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The way that was last made.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// A new way. Files that cannot be read at this moment leave the old one: they may be about to
    /// be replaced.
    pub(super) async fn anew(&mut self) -> Client {
        if let Origin::Files(kubeconfigs, master, calls) = &self.origin {
            match Self::open(kubeconfigs.clone(), master.clone(), calls.clone()).await {
                Ok(door) => *self = door,
                Err(error) => tracing::warn!("going on with the connection as it was: {error}"),
            }
        }
        self.client()
    }
}

/// As `kubectl` merges them: what two files name alike is the first one's, and of several files
/// those that are not there say nothing.
async fn from_files(paths: &[PathBuf]) -> Result<Config, StartError> {
    let refused = |path: &Path, cause| StartError::Kubeconfig {
        cause: BadKubeconfig::of(cause, path),
        path: path.to_owned(),
    };
    let mut merged = Kubeconfig::default();
    for path in paths
        .iter()
        .filter(|path| paths.len() == 1 || path.exists())
    {
        let next = Kubeconfig::read_from(path);
        let done = next.and_then(|next| merged.merge(next));
        merged = done.map_err(|cause| refused(path, cause))?;
    }
    let config = Config::from_custom_kubeconfig(merged, &KubeConfigOptions::default()).await;
    let all = match paths {
        [path] => path.clone().into_os_string(),
        _ => std::env::join_paths(paths).unwrap_or_default(),
    };
    config.map_err(|cause| refused(Path::new(&all), cause))
}

/// Why a kubeconfig does not serve.
#[derive(Debug, thiserror::Error)]
pub enum BadKubeconfig {
    /// It is no YAML.
    #[error(transparent)]
    Syntax(BadYaml),
    /// It is, and not a kubeconfig. What stands there may be a token, so it is not shown.
    #[error("line {line}: what stands there is not what a kubeconfig has at that place")]
    Shape {
        /// From 1.
        line: u64,
    },
    /// Anything else.
    #[error(transparent)]
    Other(KubeconfigError),
}

impl BadKubeconfig {
    /// The parser's own messages show the lines around, secrets included.
    fn of(error: KubeconfigError, path: &Path) -> Self {
        let KubeconfigError::Parse(error) = error else {
            return Self::Other(error);
        };
        let text = fs::read_to_string(path).unwrap_or_default();
        match yaml::parse(&text) {
            Err(error) => Self::Syntax(error),
            Ok(_) => Self::Shape {
                line: error.location().map_or(1, |location| location.line()),
            },
        }
    }
}
