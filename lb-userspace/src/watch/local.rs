// SPDX-License-Identifier: MIT OR Apache-2.0
//! The addresses that this node's links have: node ports may be on them, and they come and go
//! without any object.
//!
//! Level-triggered: whatever netlink tells, they are listed anew, so a lost message costs nothing
//! but the time until the next look.

use crate::{addresses, model::Change};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use rtnetlink::{Handle, MulticastGroup};
use std::{collections::BTreeSet, convert::Infallible, future::pending, io, net::IpAddr};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};

/// How often there is a look, whatever is told.
const CHECK: Duration = Duration::from_secs(5);

/// Where kube-proxy's IPVS mode keeps all Services' addresses, which are not the node's.
const OF_SERVICES: &str = "kube-ipvs0";

/// Addresses cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("following the node's addresses through netlink: {action}")]
pub struct LocalError {
    action: &'static str,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// The node's kernel as a source of changes.
pub struct Local {
    netlink: Handle,
    /// An item for each message.
    news: BoxStream<'static, ()>,
    told: Option<BTreeSet<IpAddr>>,
    changes: mpsc::Sender<Change>,
}

impl Local {
    /// Tells of all addresses in this thread's network namespace, once. Needs a running tokio.
    pub async fn open(changes: mpsc::Sender<Change>) -> Result<Self, LocalError> {
        let groups = [MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let opened = rtnetlink::new_multicast_connection(&groups);
        let (connection, netlink, news) =
            opened.map_err(|cause| failed("opening a socket", cause))?;
        tokio::spawn(connection);
        let mut local = Self {
            netlink,
            news: news.map(drop).boxed(),
            told: None,
            changes,
        };
        local.tell().await?;
        Ok(local)
    }

    /// Tells of them whenever they have changed, until netlink fails.
    pub async fn run(mut self) -> Result<Infallible, LocalError> {
        loop {
            if let Ok(None) = timeout(CHECK, self.news.next()).await {
                let cause = io::Error::from(io::ErrorKind::BrokenPipe);
                return Err(failed("the connection ended", cause));
            }
            // Whatever else has come is covered by the same list.
            while let Some(Some(())) = self.news.next().now_or_never() {}
            self.tell().await?;
        }
    }

    async fn tell(&mut self) -> Result<(), LocalError> {
        let listed = addresses::list(&self.netlink).await;
        let listed = listed.map_err(|cause| failed("listing addresses", cause))?;
        let of_services = self.link_of_services().await;
        let own = listed
            .into_iter()
            .filter(|it| Some(it.ifindex) != of_services);
        let own: BTreeSet<IpAddr> = own.map(|it| it.address).collect();
        if self.told.as_ref() != Some(&own) {
            self.told = Some(own.clone());
            if self.changes.send(Change::Addresses(own)).await.is_err() {
                // Whoever does not listen any more has ended, and says why.
                return pending().await;
            }
        }
        Ok(())
    }

    async fn link_of_services(&self) -> Option<u32> {
        let named = self.netlink.link().get().match_name(OF_SERVICES.to_owned());
        // That there is none is an error as well.
        let link = named.execute().try_next().await.ok().flatten();
        link.map(|link| link.header.index)
    }
}

fn failed(
    action: &'static str,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LocalError {
    LocalError {
        action,
        cause: cause.into(),
    }
}
