// SPDX-License-Identifier: MIT OR Apache-2.0
//! An answer's bytes, within its limit: as many records as fit, and "truncated" if that is not all.
//!
//! The encoder would write each record's name anew, to find out that it has been there, and from
//! the 121st name on it does not look any more, since looking may take long (RUSTSEC-2026-0119): a
//! thousand addresses took 43 kB in place of 16. Records of one name have it once here, and a
//! pointer to it after that (RFC 1035, section 4.1.4).

use super::Answer;
use hickory_proto::{
    ProtoError,
    op::{EmitAndCount, emit_message_parts},
    rr::{DNSClass, Name as DomainName, RData, Record},
    serialize::binary::{BinEncodable, BinEncoder},
};
use std::cell::Cell;

/// What EDNS takes, which comes last and must not be missing: a record without a name and without
/// options (RFC 6891, section 6.1.2).
const OPT: u16 = 11;
/// What makes two bytes of a name a pointer, and an offset that it can have.
const POINTER: u16 = 0xc000;

/// Records of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Set {
    pub(super) name: DomainName,
    pub(super) ttl_s: u32,
    pub(super) data: Vec<RData>,
}

/// The bytes; none: it does not fit even without records.
pub(super) fn bytes(answer: &Answer) -> Vec<u8> {
    let message = &answer.message;
    let mut bytes = Vec::with_capacity(usize::from(super::SMALLEST));
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(answer.limit);
    let opt = message.edns.as_ref().map_or(0, |_edns| OPT);
    let is_cut = Cell::new(false);
    let emitted = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut Answers {
            answer,
            room: answer.limit.saturating_sub(opt),
            is_cut: &is_cut,
        },
        &mut message.authorities.iter(),
        &mut Convenience {
            answer,
            is_cut: &is_cut,
        },
        message.edns.as_ref(),
        None,
        &mut encoder,
    );
    emitted.map(|_header| bytes).unwrap_or_default()
}

/// The section of answers.
struct Answers<'a> {
    answer: &'a Answer,
    /// Up to where it may go, and the authorities after it.
    room: u16,
    is_cut: &'a Cell<bool>,
}

impl EmitAndCount for Answers<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        encoder.set_max_size(self.room);
        let pointer = Cell::new(None);
        let whole = self.answer.message.answers.iter().map(Item::Whole);
        let sets = self.answer.set.iter();
        let owned = sets.flat_map(|set| {
            let data = set.data.iter();
            data.map(|data| Item::Owned(set, data, &pointer))
        });
        let items: Vec<_> = whole.chain(owned).collect();
        let emitted = encoder.emit_all(items.iter());
        self.is_cut.set(emitted.is_err());
        emitted
    }
}

/// What is there for convenience: all of it or nothing, which is not worth the word "truncated".
struct Convenience<'a> {
    answer: &'a Answer,
    is_cut: &'a Cell<bool>,
}

impl EmitAndCount for Convenience<'_> {
    fn emit(&mut self, encoder: &mut BinEncoder<'_>) -> Result<usize, ProtoError> {
        let before = encoder.offset();
        let records = self.answer.message.additionals.iter();
        let records = records.take(if self.is_cut.get() { 0 } else { usize::MAX });
        let emitted = match encoder.emit_all(records) {
            Err(ProtoError::NotAllRecordsWritten { .. }) => {
                encoder.set_offset(before);
                encoder.trim();
                Ok(0)
            }
            emitted => emitted,
        };
        encoder.set_max_size(self.answer.limit);
        emitted
    }
}

/// One record of an answer.
enum Item<'a> {
    Whole(&'a Record),
    /// One of a set, and the pointer to their name as soon as it is there.
    Owned(&'a Set, &'a RData, &'a Cell<Option<u16>>),
}

impl BinEncodable for Item<'_> {
    fn emit(&self, encoder: &mut BinEncoder<'_>) -> Result<(), ProtoError> {
        let (set, data, pointer) = match self {
            Item::Whole(record) => return record.emit(encoder),
            Item::Owned(set, data, pointer) => (set, data, pointer),
        };
        if let Some(pointer) = pointer.get() {
            encoder.emit_u16(pointer)?;
        } else {
            let at = encoder.offset();
            set.name.emit(encoder)?;
            pointer.set(pointer_to(at, encoder.slice_of(at, encoder.offset())));
        }
        data.record_type().emit(encoder)?;
        DNSClass::IN.emit(encoder)?;
        encoder.emit_u32(set.ttl_s)?;
        let length = encoder.place::<u16>()?;
        match data {
            // Its own way is byte by byte.
            RData::Unknown { rdata, .. } => encoder.emit_vec(&rdata.anything)?,
            data => data.emit(encoder)?,
        }
        let bytes = u16::try_from(encoder.len_since_place(&length));
        length.replace(encoder, bytes.map_err(|_long| "data of 64 KiB")?)
    }
}

/// A pointer to a name that was written as these bytes: it may be one itself.
fn pointer_to(at: usize, written: &[u8]) -> Option<u16> {
    if let Ok(bytes) = written.try_into() {
        let pointer = u16::from_be_bytes(bytes);
        if pointer & POINTER == POINTER {
            return Some(pointer);
        }
    }
    let at = u16::try_from(at).ok()?;
    (at & POINTER == 0).then_some(POINTER | at)
}
