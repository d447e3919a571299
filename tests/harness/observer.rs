// SPDX-License-Identifier: MIT OR Apache-2.0
//! What really crossed a link, as tcpdump saw it: an observer that is not ours.
//!
//! Checksums are judged twice, by tcpdump and by etherparse. Neither shares code with Weiche.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    path::PathBuf,
    process::{ChildStderr, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use rustix::process::Signal;

use crate::{
    netns::{Lab, Namespace, Process},
    wait,
};

/// Answers in a row that say the same, 10 ms apart at least: nothing more is on its way.
const SETTLED: u32 = 30;
/// For tcpdump to start, to write what it has, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running tcpdump.
#[derive(Debug)]
pub struct Observer {
    tcpdump: Process,
    file: PathBuf,
    messages: mpsc::Receiver<String>,
}

/// Finished captures.
#[derive(Debug)]
pub struct Capture {
    file: PathBuf,
    /// Frames from the link layer on, in the order seen.
    pub frames: Vec<Vec<u8>>,
}

/// The addresses and ports of one captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port; 0 for neither TCP nor UDP.
    pub source_port: u16,
    /// Destination port; 0 for neither TCP nor UDP.
    pub destination_port: u16,
}

impl Observer {
    /// Captures what matches `filter` (in tcpdump's language) on `link`, from this call's return.
    pub fn start(lab: &Lab, at: &Namespace, link: &str, filter: &str) -> anyhow::Result<Self> {
        // Several may look at one link.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = lab.dir().join(format!("{number}.pcap"));
        let mut command = at.command("tcpdump");
        command.args(["-i", link, "-n", "-s", "0", "-B", "32768"]);
        command.args(["--immediate-mode", "-U", "-Z", "root", "-w"]);
        command.arg(&file).arg(filter).stderr(Stdio::piped());
        let mut tcpdump = Process::spawn(&mut command)?;
        let stderr = tcpdump.child().stderr.take().context("no pipe")?;
        let messages = read_messages(stderr);
        let mut said = Vec::new();
        while !said
            .last()
            .is_some_and(|line: &String| line.contains("listening on"))
        {
            match messages.recv_timeout(PATIENCE) {
                Ok(message) => said.push(message),
                Err(_end) => bail!("tcpdump (package tcpdump) does not capture: {said:?}"),
            }
        }
        Ok(Self {
            tcpdump,
            file,
            messages,
        })
    }

    /// Ends the capture and reads it. An observer that missed something is an error.
    pub fn stop(mut self) -> anyhow::Result<Capture> {
        // An interrupt ends it at once, with packets still in its buffer: let it write them first.
        let (mut last, mut repeated) = ([0; 2], 0);
        wait::until("tcpdump to catch up", PATIENCE, || {
            self.tcpdump.signal(Signal::USR1).ok()?;
            let line = self.messages.recv_timeout(PATIENCE).ok()?;
            let [captured, received, dropped] = counts(&line)?;
            repeated = if last == [captured, received] {
                repeated + 1
            } else {
                0
            };
            last = [captured, received];
            // What came before the filter was in force counts as received for ever.
            let is_done = captured == received || repeated >= SETTLED;
            (is_done && dropped == 0).then_some(())
        })?;
        self.tcpdump.signal(Signal::INT)?;
        self.tcpdump.wait()?;
        let bytes = fs::read(&self.file).context("reading the capture")?;
        Ok(Capture {
            frames: frames(&bytes)?,
            file: self.file,
        })
    }
}

impl Capture {
    /// What each IP packet says about where it comes from and goes to.
    pub fn packets(&self) -> anyhow::Result<Vec<Seen>> {
        let packets = self
            .frames
            .iter()
            .filter_map(|frame| seen(frame).transpose());
        packets.collect()
    }

    /// Complaints about checksums, by tcpdump and by etherparse, and how many TCP and UDP packets
    /// both of them found right.
    pub fn checksums(&self) -> anyhow::Result<(Vec<String>, usize)> {
        let mut complaints = Vec::new();
        let mut right = 0;
        for frame in &self.frames {
            match transport_checksum(frame)? {
                // Both are zero in one's complement, and Linux sends the first for any protocol
                // (`skb_checksum_help`).
                Some((0xffff, 0)) => right += 1,
                Some((sent, computed)) if sent != computed => complaints.push(format!(
                    "etherparse: {:?} carries {sent:#06x}, computed {computed:#06x}",
                    seen(frame)?
                )),
                Some(_) => right += 1,
                None => {}
            }
        }
        let output = Command::new("tcpdump")
            .args(["-n", "-vv", "-r"])
            .arg(&self.file)
            .output()
            .context("starting tcpdump")?;
        ensure!(output.status.success(), "tcpdump -r: {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let wrong = ["incorrect", "bad cksum", "bad udp cksum"];
        let wrong = |line: &&str| wrong.iter().any(|word| line.contains(word));
        complaints.extend(
            text.lines()
                .filter(wrong)
                .map(|line| format!("tcpdump: {line}")),
        );
        Ok((complaints, right))
    }
}

fn read_messages(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, messages) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    messages
}

/// The numbers in "N packets captured, N packets received by filter, N packets dropped by kernel".
fn counts(line: &str) -> Option<[u64; 3]> {
    let line = line.trim_start_matches("tcpdump: ");
    let number = |part: &str| part.trim().split(' ').next()?.parse().ok();
    let counts: Vec<u64> = line.split(',').filter_map(number).collect();
    counts.try_into().ok()
}

/// The frames of a pcap file in the machine's own byte order, as tcpdump writes it.
fn frames(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
    let number = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(four))
    };
    ensure!(number(0) == Some(MAGIC_MICROSECONDS), "not a pcap file");
    let mut frames = Vec::new();
    let mut at = 24;
    while let Some(captured) = number(at + 8) {
        let length = usize::try_from(captured)?;
        let frame = bytes.get(at + 16..at + 16 + length);
        frames.push(frame.context("the capture is cut off")?.to_vec());
        at += 16 + length;
    }
    Ok(frames)
}

fn seen(frame: &[u8]) -> anyhow::Result<Option<Seen>> {
    let packet = SlicedPacket::from_ethernet(frame)?;
    let (source, destination): (IpAddr, IpAddr) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (
                header.source_addr().into(),
                header.destination_addr().into(),
            )
        }
        _ => return Ok(None),
    };
    let (source_port, destination_port) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    Ok(Some(Seen {
        source,
        destination,
        source_port,
        destination_port,
    }))
}

/// The checksum that a TCP or UDP packet carries and the one that it should carry.
fn transport_checksum(frame: &[u8]) -> anyhow::Result<Option<(u16, u16)>> {
    let packet = SlicedPacket::from_ethernet(frame)?;
    Ok(match (&packet.net, &packet.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let ip = ip.header();
            let (header, data) = (tcp.to_header(), tcp.payload());
            let computed = header.calc_checksum_ipv4_raw(ip.source(), ip.destination(), data)?;
            Some((header.checksum, computed))
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let ip = ip.header();
            let (header, data) = (tcp.to_header(), tcp.payload());
            let computed = header.calc_checksum_ipv6_raw(ip.source(), ip.destination(), data)?;
            Some((header.checksum, computed))
        }
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) => {
            let ip = ip.header();
            let (header, data) = (udp.to_header(), udp.payload());
            let computed = header.calc_checksum_ipv4_raw(ip.source(), ip.destination(), data)?;
            Some((header.checksum, computed))
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) => {
            let ip = ip.header();
            let (header, data) = (udp.to_header(), udp.payload());
            let computed = header.calc_checksum_ipv6_raw(ip.source(), ip.destination(), data)?;
            Some((header.checksum, computed))
        }
        _ => None,
    })
}
