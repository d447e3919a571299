// SPDX-License-Identifier: MIT OR Apache-2.0
//! Local ports that lead to a Pod, straight or through the API server: for people who want to look
//! at it.
//!
//! Each connection looks anew at what there is, so it follows a Service, or a set of labels, when
//! the Pod that has served goes away.

mod choose;
mod nobody;
mod way;

pub use choose::{Chosen, Meant};
pub use nobody::Nobody;
pub use way::{Through, WayError, pod};

use crate::causes::with_causes;
use futures_util::future::join_all;
use std::{
    cell::RefCell,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    str::FromStr,
};
use tokio::net::{TcpListener, TcpStream};
use way::Way;

/// What is to be forwarded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How Pods are found and reached.
    pub through: Through,
    /// What is meant.
    pub meant: Meant,
    /// Which ports.
    pub ports: Vec<Ports>,
    /// Where to listen.
    pub addresses: Vec<IpAddr>,
}

/// `LOCAL:REMOTE`, `PORT` for both, or `:REMOTE` for any local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Ours; 0: any.
    pub local: u16,
    /// The Pod's, or the Service's.
    pub remote: u16,
}

/// What was written makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// Not such ports.
    #[error(
        "{0:?}: write LOCAL:REMOTE, such as 8080:80, or one port for both, or :80 for any local \
         port"
    )]
    Ports(String),
    /// None at all.
    #[error("which port? write LOCAL:REMOTE, such as 8080:80, behind who is meant")]
    NoPorts,
    /// Neither a Pod nor a Service.
    #[error("{0:?} is neither a Pod nor a Service; write POD or svc/NAME")]
    Kind(String),
    /// Not such labels.
    #[error("--selector {0:?}: write key=value, with commas between")]
    Selector(String),
}

impl FromStr for Ports {
    type Err = BadRequest;

    fn from_str(text: &str) -> Result<Self, BadRequest> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str| text.parse().ok();
        let local = if local.is_empty() {
            Some(0)
        } else {
            port(local)
        };
        let ports = local.zip(port(remote).filter(|remote| *remote > 0));
        let bad = || BadRequest::Ports(text.to_owned());
        ports
            .map(|(local, remote)| Self { local, remote })
            .ok_or_else(bad)
    }
}

/// It cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is no way to Pods.
    #[error(transparent)]
    Way(#[from] WayError),
    /// Nothing would be reached.
    #[error(transparent)]
    Nobody(#[from] Nobody),
    /// The port is taken, or the address is not ours.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

/// What each connection needs.
struct Shared {
    settings: Settings,
    way: Way,
    /// Who has served last, for as long as it can.
    last: RefCell<Option<Chosen>>,
    say: Box<dyn Fn(&str)>,
}

/// Forwards until it is ended; `say` gets a line for each thing that people want to know.
pub async fn run(
    settings: Settings,
    say: impl Fn(&str) + 'static,
) -> Result<Infallible, ForwardError> {
    let shared = Shared {
        way: Way::open(settings.through.clone()).await?,
        settings,
        last: RefCell::default(),
        say: Box::new(say),
    };
    let shared = Rc::new(shared);
    for ports in &shared.settings.ports {
        shared.candidates(ports.remote).await?;
    }
    let mut listeners = Vec::new();
    for ports in &shared.settings.ports {
        for address in &shared.settings.addresses {
            let address = SocketAddr::new(*address, ports.local);
            let failed = |cause| ForwardError::Listen { address, cause };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let here = listener.local_addr().map_err(failed)?;
            (shared.say)(&format!("Forwarding from {here} -> {}", ports.remote));
            listeners.push((listener, ports.remote));
        }
    }
    let each = listeners.into_iter();
    let each = each.map(|(listener, remote)| serve(shared.clone(), listener, remote));
    join_all(each).await;
    std::future::pending().await
}

async fn serve(shared: Rc<Shared>, listener: TcpListener, remote: u16) -> Infallible {
    let mut connections = tokio::task::JoinSet::new();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                // An error here is a connection that has ended already.
                if let Ok((stream, _peer)) = listener.accept().await {
                    let shared = shared.clone();
                    connections.spawn_local(async move {
                        if let Err(error) = connection(&shared, stream, remote).await {
                            (shared.say)(&with_causes(&error));
                        }
                    });
                }
                while connections.try_join_next().is_some() {}
            }
        })
        .await
}

async fn connection(shared: &Shared, client: TcpStream, remote: u16) -> Result<(), ForwardError> {
    for chosen in shared.candidates(remote).await? {
        match shared.way.dial(&chosen).await {
            Ok(pod) => {
                shared.serves(&chosen);
                // Whether somebody listens shows at the end where the API server is between.
                if let Some(said) = pod.join(client).await {
                    shared.fails(&chosen, &said);
                }
                return Ok(());
            }
            Err(error) => shared.fails(&chosen, &with_causes(&error)),
        }
    }
    let meant = &shared.settings.meant;
    (shared.say)(&format!("{meant}: nobody answers at port {remote} now"));
    Ok(())
}

impl Shared {
    /// Who may serve a port now; whoever has served last comes first.
    async fn candidates(&self, remote: u16) -> Result<Vec<Chosen>, ForwardError> {
        let meant = &self.settings.meant;
        let snapshot = self.way.look(meant).await?;
        let mut found = choose::candidates(meant, remote, &snapshot);
        if found.is_empty() {
            return Err(nobody::why(meant, remote, &snapshot).into());
        }
        let is_last = |chosen: &Chosen| {
            let last = self.last.borrow();
            last.as_ref().is_some_and(|last| last.pod == chosen.pod)
        };
        found.sort_by_key(|chosen| !is_last(chosen));
        Ok(found)
    }

    /// Says so if another one serves than before.
    fn serves(&self, chosen: &Chosen) {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|last| last.pod != chosen.pod) {
            (self.say)(&format!("{chosen} serves"));
            *last = Some(chosen.clone());
        }
    }

    /// Says so, and when it serves again that is news.
    fn fails(&self, chosen: &Chosen, why: &str) {
        (self.say)(&format!("{chosen} does not answer: {why}"));
        let is_it = |last: &mut Chosen| last.pod == chosen.pod;
        self.last.borrow_mut().take_if(is_it);
    }
}

#[cfg(test)]
mod tests {
    use super::{BadRequest, Ports};

    #[test]
    fn ports_are_written_as_for_kubectl() {
        for (text, expected) in [
            ("48858:8080", Some((48_858, 8_080))),
            ("8080", Some((8_080, 8_080))),
            (":80", Some((0, 80))),
            ("80:", None),
            ("80:0", None),
            ("web:80", None),
        ] {
            let parsed = text.parse::<Ports>().map(|it| (it.local, it.remote));
            let expected = expected.ok_or_else(|| BadRequest::Ports(text.to_owned()));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
