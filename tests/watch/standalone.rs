// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folders of manifests that change under the eyes of the watcher.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use lb_userspace::watch::{
    standalone::{self, Settings, StartError},
    status::Noted,
};
use tokio::sync::mpsc;

use crate::seen::{Seen, Stream};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: alpaca-prod}\nspec:\n  \
                       selector: {app: alpaca-prod}\n  ports: [{port: 80, targetPort: 8080}]\n";

/// Longer than any settling, shorter than a rescan.
const WHILE: Duration = Duration::from_millis(400);

struct Bed {
    root: tempfile::TempDir,
}

impl Bed {
    /// Two folders, `manifests` and `status`, with one Service.
    fn new() -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        fs::create_dir(root.path().join("manifests"))?;
        fs::create_dir(root.path().join("status"))?;
        let bed = Self { root };
        bed.write("manifests/service.yaml", SERVICE)?;
        Ok(bed)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// In place, as a shell's `>` does it.
    fn write(&self, path: &str, text: &str) -> std::io::Result<()> {
        fs::write(self.path(path), text)
    }

    /// As editors and careful programs do it.
    fn replace(&self, path: &str, text: &str) -> std::io::Result<()> {
        let draft = self.path(&format!("{path}.new"));
        fs::write(&draft, text)?;
        fs::rename(draft, self.path(path))
    }

    fn settings(&self) -> Settings {
        Settings {
            folders: vec![self.path("manifests"), self.path("status")],
            cidrs: vec!["10.96.0.0/16".parse().expect("a CIDR")],
            state_dir: self.path("state"),
            own_server: None,
        }
    }

    fn start(&self) -> anyhow::Result<Stream> {
        let (sender, changes) = mpsc::channel(16);
        let handle = standalone::spawn(self.settings(), sender)?;
        Ok(Stream::new(changes, handle))
    }

    async fn started(&self) -> anyhow::Result<Stream> {
        let mut stream = self.start()?;
        stream.until("the first list", Seen::all_listed).await?;
        stream
            .status_until("the first status", |status| status.listed.len() == 3)
            .await?;
        Ok(stream)
    }
}

fn pod(name: &str, app: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nstatus: \
         {{podIP: {address}, conditions: [{{type: Ready, status: 'True'}}]}}\n"
    )
}

#[tokio::test]
async fn pods_come_go_and_change_labels() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    bed.write(
        "manifests/1.yaml",
        &pod("alpaca-1", "alpaca-prod", "10.0.0.1"),
    )?;
    let mut stream = bed.started().await?;
    assert_eq!(stream.seen.ready("alpaca-prod"), ["10.0.0.1"]);
    assert_eq!(stream.problems(), [""; 0]);

    bed.write(
        "manifests/2.yaml",
        &pod("alpaca-2", "alpaca-prod", "10.0.0.2"),
    )?;
    let both = ["10.0.0.1", "10.0.0.2"];
    stream
        .until("a second Pod", |seen| seen.ready("alpaca-prod") == both)
        .await?;
    bed.replace(
        "manifests/1.yaml",
        &pod("alpaca-1", "alpaca-test", "10.0.0.1"),
    )?;
    stream
        .until("a label", |seen| seen.ready("alpaca-prod") == ["10.0.0.2"])
        .await?;
    fs::remove_file(bed.path("manifests/2.yaml"))?;
    stream
        .until("nobody", |seen| seen.ready("alpaca-prod").is_empty())
        .await?;
    let selects = |it: &Noted| it.problem.reason.contains("matches no Pod");
    stream
        .status_until("a word", |status| status.problems.iter().any(selects))
        .await?;
    fs::rename(bed.path("manifests/1.yaml"), bed.path("away"))?;
    fs::write(bed.path("away"), pod("alpaca-1", "alpaca-prod", "10.0.0.7"))?;
    fs::rename(bed.path("away"), bed.path("manifests/3.yml"))?;
    stream
        .until("it is back", |seen| {
            seen.ready("alpaca-prod") == ["10.0.0.7"]
        })
        .await
}

#[tokio::test]
async fn the_second_folder_tells_the_status_of_pods() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let text = pod("alpaca-1", "alpaca-prod", "10.0.0.1");
    let (spec, status) = text.split_once("status:").expect("a Pod's status");
    bed.write("manifests/1.yaml", spec)?;
    let mut stream = bed.started().await?;
    assert_eq!(stream.seen.slices.len(), 0);
    let pending = stream.status().pending;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].reason, "it has no status.podIPs");

    let identity = "apiVersion: v1\nkind: Pod\nmetadata: {name: alpaca-1}\n";
    bed.replace("status/1.yaml", &format!("{identity}status:{status}"))?;
    stream
        .until("a status", |seen| seen.ready("alpaca-prod") == ["10.0.0.1"])
        .await?;
    stream
        .status_until("nobody waits", |status| status.pending.is_empty())
        .await?;
    bed.replace(
        "status/1.yaml",
        &format!("{identity}status: {{podIP: 10.0.0.1}}\n"),
    )?;
    stream
        .until("not ready", |seen| seen.ready("alpaca-prod").is_empty())
        .await?;
    assert_eq!(stream.seen.slices.len(), 1);
    stream
        .status_until("it waits", |status| status.pending.len() == 1)
        .await
}

#[tokio::test]
async fn a_broken_document_is_named_by_its_line_and_changes_nothing() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let first = pod("alpaca-1", "alpaca-prod", "10.0.0.1");
    let second = pod("alpaca-2", "alpaca-prod", "10.0.0.2");
    bed.write("manifests/pods.yaml", &format!("{first}---\n{second}"))?;
    let mut stream = bed.started().await?;

    let broken = second.replace("podIP: 10.0.0.2", "podIP: [10.0.0.2]");
    let moved = first.replace("10.0.0.1", "10.0.0.9");
    bed.write(
        "manifests/pods.yaml",
        &format!("# new\n{moved}---\n{broken}"),
    )?;
    let both = ["10.0.0.2", "10.0.0.9"];
    stream
        .until("the good half", |seen| seen.ready("alpaca-prod") == both)
        .await?;
    stream
        .status_until("a problem", |status| status.problems.len() == 1)
        .await?;
    let problem = &stream.problems()[0];
    let place = format!(
        "{}:10: Pod default/alpaca-2: ",
        bed.path("manifests/pods.yaml").display()
    );
    assert!(problem.starts_with(&place), "{problem}");
    assert!(problem.contains("status.podIP: invalid type"), "{problem}");

    bed.write("manifests/pods.yaml", &first)?;
    stream
        .until("it is mended", |seen| {
            seen.ready("alpaca-prod") == ["10.0.0.1"]
        })
        .await?;
    stream
        .status_until("no problem", |status| status.problems.is_empty())
        .await
}

#[tokio::test]
async fn a_file_that_is_being_written_is_left_alone() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let path = bed.path("manifests/pods.yaml");
    let both = format!(
        "{}---\n{}",
        pod("alpaca-1", "alpaca-prod", "10.0.0.1"),
        pod("alpaca-2", "alpaca-prod", "10.0.0.2")
    );
    fs::write(&path, &both)?;
    let mut stream = bed.started().await?;

    // Cut after the first document: what is there would be valid.
    let (half, rest) = both.split_at(both.find("---").expect("two documents"));
    let mut file = File::create(&path)?;
    file.write_all(half.as_bytes())?;
    file.sync_all()?;
    assert_eq!(stream.within(WHILE).await, []);
    file.write_all(rest.replace("10.0.0.2", "10.0.0.3").as_bytes())?;
    drop(file);
    let moved = ["10.0.0.1", "10.0.0.3"];
    stream
        .until("all of it", |seen| seen.ready("alpaca-prod") == moved)
        .await?;

    // Written again and again, the same: never a moment without a Pod.
    let again = both.replace("10.0.0.2", "10.0.0.3");
    let writing =
        tokio::task::spawn_blocking(move || (0..3_000).try_for_each(|_| fs::write(&path, &again)));
    let changes = stream.within(WHILE).await;
    writing.await??;
    assert_eq!(changes, []);
    assert_eq!(stream.within(WHILE).await, []);
    assert_eq!(stream.problems(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn addresses_outlive_a_restart() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let claimed = |text: &str| SERVICE.replace("alpaca-prod}\nspec:", text);
    bed.write(
        "manifests/2.yaml",
        &claimed("b}\nspec:\n  clusterIP: 10.96.0.10"),
    )?;
    bed.write("manifests/3.yaml", &claimed("c}\nspec:"))?;
    let first = bed.started().await?;
    let (a, c) = (
        first.seen.cluster_ips("alpaca-prod"),
        first.seen.cluster_ips("c"),
    );
    assert_eq!((a.len(), c.len()), (1, 1));
    assert_ne!(a, c);
    assert_eq!(first.seen.cluster_ips("b"), ["10.96.0.10"]);
    drop(first);

    // Somebody claims `c`'s address while we are away: `c` gets another one, `a` keeps its own.
    bed.write(
        "manifests/4.yaml",
        &claimed(&format!("d}}\nspec:\n  clusterIP: {}", c[0])),
    )?;
    let second = bed.started().await?;
    assert_eq!(second.seen.cluster_ips("alpaca-prod"), a);
    assert_eq!(second.seen.cluster_ips("d"), c);
    assert_ne!(second.seen.cluster_ips("c"), c);
    drop(second);

    bed.write("state/cluster-ips.json", "{")?;
    let third = bed.started().await?;
    assert_eq!(third.seen.cluster_ips("alpaca-prod"), a);
    let problems = third.problems();
    assert!(
        problems
            .iter()
            .any(|it| it.contains("cluster-ips.json.broken")),
        "{problems:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_mounted_config_map_swaps_all_its_files_at_once() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let folder = bed.path("manifests");
    for (version, address) in [("..1", "10.0.0.1"), ("..2", "10.0.0.2")] {
        fs::create_dir(folder.join(version))?;
        let text = pod("alpaca-1", "alpaca-prod", address);
        fs::write(folder.join(version).join("pod.yaml"), text)?;
    }
    symlink("..1", folder.join("..data"))?;
    symlink("..data/pod.yaml", folder.join("pod.yaml"))?;
    let mut stream = bed.started().await?;
    assert_eq!(stream.seen.ready("alpaca-prod"), ["10.0.0.1"]);
    symlink("..2", folder.join("..data_tmp"))?;
    fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
    stream
        .until("the new version", |seen| {
            seen.ready("alpaca-prod") == ["10.0.0.2"]
        })
        .await
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() -> anyhow::Result<()> {
    let bed = Bed::new()?;
    let (sender, _changes) = mpsc::channel(1);
    let none = Settings {
        folders: Vec::new(),
        ..bed.settings()
    };
    let error = standalone::spawn(none, sender.clone())
        .map(drop)
        .expect_err("no folder");
    assert!(matches!(error, StartError::NoFolders), "{error}");
    for path in ["nowhere", "manifests/service.yaml"] {
        let settings = Settings {
            folders: vec![bed.path("manifests"), bed.path(path)],
            ..bed.settings()
        };
        let error = standalone::spawn(settings, sender.clone())
            .map(drop)
            .expect_err(path);
        let named = |it: &Path| it.ends_with(path);
        assert!(
            matches!(&error, StartError::Folder { path, .. } if named(path)),
            "{error}"
        );
    }
    Ok(())
}
