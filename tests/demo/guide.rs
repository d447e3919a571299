// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the demo says once it is up: what there is, and what to try.

use tests::{
    netns::Lab,
    weiche::{Frontend, Weiche},
};

use crate::{kubelet::Kubelet, resolver};

/// The text. Each of its commands works when it is pasted into another terminal.
pub(crate) fn text(
    lab: &Lab,
    weiche: &Weiche,
    kubelet: &Kubelet<'_>,
    frontends: &[Frontend],
) -> String {
    let mut lines = vec![format!("\nWeiche runs on the demo node {}.\n", lab.name())];
    lines.push("Pods:".into());
    for (name, pod, _) in kubelet.pods() {
        lines.push(format!(
            "  {:28} {:14} {}",
            name.to_string(),
            pod.v4.to_string(),
            pod.v6
        ));
    }
    lines.push("Services:".into());
    for frontend in frontends {
        let service = &frontend.service;
        let (target, protocol) = (frontend.target().to_string(), &frontend.protocol);
        lines.push(format!("  {service:28} {target:28} {protocol}"));
    }
    lines.push("\nTry, in another terminal:".into());
    for (what, command) in suggestions(lab, weiche, kubelet, frontends) {
        lines.push(format!("\n  # {what}\n  {command}"));
    }
    lines.push("\nCtrl-C ends it and leaves nothing behind.".into());
    lines.join("\n")
}

fn suggestions(
    lab: &Lab,
    weiche: &Weiche,
    kubelet: &Kubelet<'_>,
    frontends: &[Frontend],
) -> Vec<(&'static str, String)> {
    let mut suggestions = Vec::new();
    let client = kubelet.pods().find(|(name, ..)| name.name == "client");
    let tcp = frontends
        .iter()
        .find(|it| it.protocol == "TCP" && it.object() != resolver::dns_service().to_string());
    if let (Some((_, pod, _)), Some(frontend)) = (client, tcp) {
        let enter = format!("nsenter --net={}", pod.namespace.path().display());
        let url = format!("http://{}/hostname", frontend.target());
        suggestions.push((
            "One of the Service's pods answers:",
            format!("{enter} curl -s {url}"),
        ));
        suggestions.push((
            "Many requests spread over all of them:",
            format!("for i in $(seq 60); do {enter} curl -s {url}; done | sort | uniq -c"),
        ));
    }
    let resolv_conf = resolver::path(lab, "default");
    if let (Some((_, pod, _)), Some(frontend), true) = (client, tcp, resolv_conf.exists()) {
        let service = frontend.object();
        suggestions.push((
            "A Service's name, as the client's resolver finds it:",
            format!(
                "nsenter --net={} {} dns query {} --resolv-conf {}",
                pod.namespace.path().display(),
                weiche.program.display(),
                service.rsplit('/').next().unwrap_or(service),
                resolv_conf.display()
            ),
        ));
    }
    let moved = kubelet.manifests().folder().join("alpaca-prod-2.yaml");
    if moved.exists() {
        suggestions.push((
            "A pod leaves, and new traffic goes elsewhere at once (move it back, and it returns):",
            format!("mv {} /tmp/", moved.display()),
        ));
    }
    let program = weiche.program.display();
    let (pins, state) = (weiche.pins.display(), weiche.state.display());
    suggestions.push((
        "What the kernel has, also while the agent is dead:",
        format!("{program} service list --pin-dir {pins}"),
    ));
    suggestions.push((
        "Which connections it tracks, and where they go:",
        format!("{program} flow list --pin-dir {pins}"),
    ));
    suggestions.push((
        "What the agent says of itself, and how packets ended:",
        format!("{program} status --pin-dir {pins} --state-dir {state}"),
    ));
    suggestions
}
