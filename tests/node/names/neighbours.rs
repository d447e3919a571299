// SPDX-License-Identifier: MIT OR Apache-2.0
//! For whom other servers are asked, and what the status says of ours.

use tests::netns::{Outside, RpFilter};

use super::{DNS_SERVICE, LISTEN, MANIFESTS, Upstream, dig};
use crate::scene::Scene;

#[test]
fn others_are_asked_for_neighbours_only() -> anyhow::Result<()> {
    for (clients, expected, asked) in [
        ("10.244.0.0/16", "NOERROR 203.0.113.7", 1),
        ("198.51.100.0/24", "REFUSED", 0),
    ] {
        let mut scene = Scene::set(1, RpFilter::Off)?;
        scene.write("names", &[MANIFESTS, DNS_SERVICE].concat())?;
        let upstream = Outside::V4.to_string();
        let listen = ["--dns-listen", LISTEN, "--dns-upstream", &upstream];
        scene.start_agent(&[&listen[..], &["--dns-clients", clients]].concat())?;
        scene.wait_for_backends(1)?;
        let upstream = Upstream::start(&scene)?;
        let found = dig(&scene, &["@192.0.2.10", "www.example.com.", "A"])?;
        assert_eq!(found, expected, "{clients}");
        assert_eq!(upstream.asked().len(), asked, "{clients}");
        // Names of the cluster are everybody's.
        let shop = ["@192.0.2.10", "shop.default.svc.cluster.local.", "A"];
        assert_eq!(dig(&scene, &shop)?, "NOERROR 10.96.0.20", "{clients}");
        let status = scene.status()?;
        let sockets = status["status"]["dns"]["sockets"].as_array();
        let sockets = sockets.map_or(&[][..], Vec::as_slice);
        assert_eq!(sockets.len(), 4, "{status}");
        assert!(sockets.iter().all(|it| it["problem"] == ""), "{sockets:?}");
    }
    Ok(())
}
