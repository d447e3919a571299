// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which answers are believed.

use super::{is_answer, with_random_id};

/// A query for `example.com`, of type A.
const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

fn answer(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut answer = QUERY.to_vec();
    answer[2] |= 0x80;
    change(&mut answer);
    answer
}

#[test]
fn only_an_answer_to_this_very_question_is_believed() {
    for (what, expected, answer) in [
        ("the answer", true, answer(|_| {})),
        ("in other case", true, answer(|it| it[13] = b'E')),
        ("another id", false, answer(|it| it[0] = 0)),
        ("a query", false, answer(|it| it[2] &= 0x7f)),
        ("another name", false, answer(|it| it[13] = b'x')),
        ("another type", false, answer(|it| it[26] = 28)),
        ("cut off", false, answer(|it| it.truncate(20))),
        ("a header alone", false, answer(|it| it.truncate(12))),
        (
            "a refusal without the question",
            true,
            answer(|it| {
                it.truncate(12);
                it[3] = 5;
                it[5] = 0;
            }),
        ),
        ("nothing", false, Vec::new()),
    ] {
        assert_eq!(is_answer(QUERY, &answer), expected, "{what}");
    }
}

#[test]
fn ids_are_drawn_anew_for_each_query() {
    let ids: std::collections::BTreeSet<_> = (0..64)
        .map(|_| with_random_id(QUERY).expect("chance")[..2].to_vec())
        .collect();
    assert!(ids.len() > 32, "{ids:?}");
}
