// SPDX-License-Identifier: MIT OR Apache-2.0
//! While the API server is away: what was never known is not denied, and what was known is
//! answered.

use std::fs;

use tests::{
    netns::{Outside, RpFilter},
    wait,
};

use super::{LISTEN, PATIENCE, dig};
use crate::scene::Scene;

/// What an agent has left that knew one Service.
const KEPT: &str = r#"{"domain": "cluster.local.", "names": [{
    "namespace": "default", "service": "shop", "leads_to": {"addresses": [["10.96.0.20"], []]}
}]}"#;

const SHOP: &str = "shop.default.svc.cluster.local.";
const NOTHING: &str = "nothing.default.svc.cluster.local.";

#[test]
fn nothing_is_denied_before_a_list_and_the_last_one_counts_after_a_restart() -> anyhow::Result<()> {
    let mut scene = Scene::set(0, RpFilter::Off)?;
    let kubeconfig = scene.lab.dir().join("kubeconfig");
    // Nobody listens there.
    let server = format!("http://{}:6443", Outside::V4);
    fs::write(&kubeconfig, kubeconfig_for(&server))?;
    scene.follow_cluster(kubeconfig);
    let flags = ["--dns-listen", LISTEN, "--dns-upstream", "none"];
    for (kept, expected) in [
        (None, ["SERVFAIL", "SERVFAIL", "REFUSED"]),
        (Some(KEPT), ["NOERROR 10.96.0.20", "NXDOMAIN", "REFUSED"]),
    ] {
        if let Some(text) = kept {
            scene.kill_agent()?;
            fs::write(scene.weiche.state.join("names.json"), text)?;
        }
        scene.launch_agent(&flags)?;
        let mut found = Vec::new();
        for name in [SHOP, NOTHING, "www.example.com."] {
            let answer = wait::until("an answer", PATIENCE, || {
                dig(&scene, &["@192.0.2.10", name, "A"]).ok()
            });
            found.push(answer?);
        }
        assert_eq!(found, expected, "{}", scene.last_words());
    }
    Ok(())
}

fn kubeconfig_for(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: x, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: x, user: {{}}}}]\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n"
    )
}
