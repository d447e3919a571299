// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs on a hook that are not Weiche's: they count packets, and pass or drop them.
//!
//! Written as instructions, so that nothing of them comes from what is tested.

use std::{
    ffi::{CStr, CString},
    fs, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::Context as _;
use aya::{
    maps::{Array, Map, MapData},
    programs::{
        LinkOrder, SchedClassifier, TcAttach, TcAttachType,
        tc::{self, NlOptions, SchedClassifierLinkId, TcHandle},
    },
};

use crate::netns::Namespace;

/// What a program does with a packet after it has counted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Hands it on to the next program: `TCX_NEXT`, which is `TC_ACT_UNSPEC` as well.
    Pass,
    /// Drops it: `TCX_DROP`, which is `TC_ACT_SHOT` as well.
    Drop,
}

/// Where a program stands among those on its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Before all that are there, by tcx.
    TcxFirst,
    /// Behind all that are there, by tcx.
    TcxLast,
    /// A filter with this priority of the clsact qdisc, which is made if need be.
    Clsact(u16),
}

/// A program on a hook; a filter stays there when the value goes, and goes with the link.
#[derive(Debug)]
pub struct Foreign {
    counter: Counter,
    program: SchedClassifier,
    link: SchedClassifierLinkId,
}

struct Counter(Array<MapData, u64>);

impl std::fmt::Debug for Counter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Counter").finish()
    }
}

impl Foreign {
    /// Puts a program on a link's hook. `bpffs` is for a pin that is gone when this returns.
    pub fn attach(
        namespace: &Namespace,
        bpffs: &Path,
        link: &str,
        hook: TcAttachType,
        stand: Stand,
        then: Then,
    ) -> anyhow::Result<Self> {
        let pin = bpffs.join("foreign");
        Array::<MapData, u64>::create(1, 0)?.pin(&pin)?;
        let counter = MapData::from_pin(&pin);
        fs::remove_file(&pin)?;
        let counter = counter?;
        let program = load(&instructions(counter.fd().as_fd().as_raw_fd(), then))?;
        pin_at(&program, &pin)?;
        let program = SchedClassifier::from_pin(&pin);
        fs::remove_file(&pin)?;
        let mut program = program?;
        let link = CString::new(link)?;
        let link = namespace.run(|| attach(&mut program, &link, hook, stand))??;
        Ok(Self {
            counter: Counter(Map::from_map_data(counter)?.try_into()?),
            program,
            link,
        })
    }

    /// Takes it off the hook; an error if it is not there.
    pub fn take_off(mut self, namespace: &Namespace) -> anyhow::Result<()> {
        namespace.run(move || Ok(self.program.detach(self.link)?))?
    }

    /// Packets that it has seen.
    pub fn count(&self) -> anyhow::Result<u64> {
        Ok(self.counter.0.get(&0, 0)?)
    }
}

fn attach(
    program: &mut SchedClassifier,
    link: &CStr,
    hook: TcAttachType,
    stand: Stand,
) -> anyhow::Result<SchedClassifierLinkId> {
    let tcx = |order| TcAttach::Tcx {
        attach_type: hook,
        order,
    };
    let attach = match stand {
        Stand::TcxFirst => tcx(LinkOrder::first()),
        Stand::TcxLast => tcx(LinkOrder::last()),
        Stand::Clsact(priority) => {
            // It may be there already.
            let _there = tc::qdisc_add_clsact(link);
            TcAttach::Netlink {
                parent: hook.into(),
                options: NlOptions {
                    priority,
                    handle: TcHandle::AUTO_ASSIGN,
                    classid: None,
                },
            }
        }
    };
    Ok(program.attach(link, attach)?)
}

/// Loads a traffic classifier.
fn load(instructions: &[[u8; 8]]) -> anyhow::Result<OwnedFd> {
    const BPF_PROG_LOAD: i32 = 5;
    const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
    // The first fields of `union bpf_attr` for this command; the kernel takes the rest as zero.
    let attributes = [
        &BPF_PROG_TYPE_SCHED_CLS.to_ne_bytes()[..],
        &u32::try_from(instructions.len())?.to_ne_bytes(),
        &address(instructions.as_ptr())?,
        &address(c"GPL".as_ptr())?,
    ];
    let program = bpf(BPF_PROG_LOAD, &attributes.concat()).context("loading a foreign program")?;
    // SAFETY: the kernel has just given it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}

fn pin_at(program: &OwnedFd, path: &Path) -> anyhow::Result<()> {
    const BPF_OBJ_PIN: i32 = 6;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = [
        &address(path.as_ptr())?[..],
        &program.as_raw_fd().to_ne_bytes(),
        &[0; 4],
    ];
    bpf(BPF_OBJ_PIN, &attributes.concat()).context("pinning a foreign program")?;
    Ok(())
}

fn address<T>(pointer: *const T) -> anyhow::Result<[u8; 8]> {
    Ok(u64::try_from(pointer.expose_provenance())?.to_ne_bytes())
}

/// The system call; `attributes` is the beginning of a `union bpf_attr`.
fn bpf(command: i32, attributes: &[u8]) -> io::Result<i32> {
    let (pointer, length) = (attributes.as_ptr(), attributes.len());
    // SAFETY: the kernel reads as many bytes as we say there are, and what they point to is alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, length) };
    match i32::try_from(result) {
        Ok(descriptor) if descriptor >= 0 => Ok(descriptor),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Adds one to the counter and ends with the verdict.
fn instructions(counter: i32, then: Then) -> [[u8; 8]; 11] {
    let verdict = match then {
        Then::Pass => -1,
        Then::Drop => 2,
    };
    [
        instruction(0x62, 0x0a, -4, 0),      // *(u32 *)(r10 - 4) = 0
        instruction(0xbf, 0xa2, 0, 0),       // r2 = r10
        instruction(0x07, 0x02, 0, -4),      // r2 += -4
        instruction(0x18, 0x11, 0, counter), // r1 = the map with this descriptor
        instruction(0x00, 0x00, 0, 0),       // (second half)
        instruction(0x85, 0x00, 0, 1),       // r0 = bpf_map_lookup_elem(r1, r2)
        instruction(0x15, 0x00, 2, 0),       // if r0 == 0, skip two
        instruction(0xb7, 0x01, 0, 1),       // r1 = 1
        instruction(0xdb, 0x10, 0, 0),       // lock *(u64 *)(r0 + 0) += r1
        instruction(0xb7, 0x00, 0, verdict), // r0 = verdict
        instruction(0x95, 0x00, 0, 0),       // exit
    ]
}

/// `struct bpf_insn` of `include/uapi/linux/bpf.h` on a little-endian machine; `registers` has the
/// destination in the low half and the source in the high one.
fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> [u8; 8] {
    let mut bytes = [code, registers, 0, 0, 0, 0, 0, 0];
    bytes[2..4].copy_from_slice(&offset.to_le_bytes());
    bytes[4..].copy_from_slice(&immediate.to_le_bytes());
    bytes
}
