// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche-api-server`: a folder of manifests as a cluster, to try cluster mode with.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use lb_userspace::{
    model::Name,
    watch::cluster::{self, Settings, reach::Reach},
};
use tests::netns::Process;
use tokio::sync::mpsc;

use crate::{
    bed::has,
    seen::{Seen, Stream},
};

#[tokio::test]
async fn a_folder_of_manifests_is_a_cluster() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (manifests, kubeconfig) = (folder.path().join("m"), folder.path().join("kubeconfig"));
    fs::create_dir(&manifests)?;
    for example in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/alpaca"))? {
        let example = example?;
        fs::copy(example.path(), manifests.join(example.file_name()))?;
    }
    let pods = [("one", "10.244.0.1"), ("two", "10.244.0.2")];
    for (name, address) in pods {
        fs::write(manifests.join(format!("{name}.yaml")), pod(name, address))?;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_weiche-api-server"));
    command.args(["--listen", "127.0.0.1:0", "--kubeconfig"]);
    command.arg(&kubeconfig).arg(&manifests);
    let mut server = Process::spawn(command.stdout(Stdio::piped()))?;
    let said = server.child().stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(said).read_line(&mut line)?;
    let path = kubeconfig.display().to_string();
    assert!(line.contains("http://127.0.0.1:"), "{line}");
    assert!(line.contains(&format!("--kubeconfig {path}")), "{line}");

    let reach = Reach::open(vec![kubeconfig.clone()]).await?;
    let settings = Settings {
        kubeconfig: Some(kubeconfig),
        ..Settings::default()
    };
    let (sender, changes) = mpsc::channel(16);
    let mut stream = Stream::new(changes, cluster::spawn(settings, sender).await?);
    let addresses = pods.map(|(_, address)| address.to_owned());
    let ready = |seen: &Seen| seen.ready("alpaca-prod") == addresses && has(seen, "bandicoot-prod");
    stream.until("the pods' addresses", ready).await?;
    let given = stream.seen.cluster_ips("alpaca-prod");
    assert!(given[0].starts_with("10."), "{given:?}");
    // Endpoints say which Pods they are, as `weiche port-forward` wants to know.
    let found = reach.service(&Name::new("default", "alpaca-prod")).await?;
    let mut names: Vec<_> = found.pods.iter().map(|pod| &*pod.name.name).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "two"]);

    fs::remove_file(manifests.join("two.yaml"))?;
    let one = |seen: &Seen| seen.ready("alpaca-prod") == addresses[..1];
    stream.until("one pod less", one).await
}

fn pod(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{app: alpaca-prod}}\n\
         spec:\n  containers: [{{name: server, image: none, ports: [{{name: http, \
         containerPort: 8080}}]}}]\nstatus:\n  podIPs: [{{ip: {address}}}]\n  \
         conditions: [{{type: Ready, status: 'True'}}]\n"
    )
}
