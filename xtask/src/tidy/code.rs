// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rust text without what only people read: comments, strings and characters become blanks.

/// Blanks all of it; line breaks stay, so positions do.
pub(super) fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut blanked = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let after_word = at > 0 && is_word(characters[at - 1]);
        let length = to_blank(rest, after_word);
        let kept = usize::from(length == 0);
        blanked.extend(&rest[..kept]);
        let gone = rest[kept..kept + length.max(kept) - kept].iter();
        blanked.extend(gone.map(|character| if *character == '\n' { '\n' } else { ' ' }));
        at += length.max(1);
    }
    blanked
}

/// The places of a whole word in a line of blanked code.
pub(super) fn words<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    line.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = line[..*at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// Whether a character belongs to an identifier.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// How many characters from here on are to be blanked.
fn to_blank(rest: &[char], after_word: bool) -> usize {
    match rest {
        ['/', '/', ..] => rest
            .iter()
            .take_while(|character| **character != '\n')
            .count(),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => string(rest),
        ['r', '"' | '#', ..] if !after_word => raw_string(rest),
        ['\'', '\\', ..] => 2 + 1 + until(&rest[3..], '\'') + 1,
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(rest.len())
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"` and `r#"…"#`; an identifier like `r#type` is none.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..]
        .iter()
        .take_while(|character| **character == '#')
        .count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let body = 2 + hashes;
    let mut at = body;
    while at < rest.len() {
        let end = rest[at] == '"' && rest[at + 1..].iter().take(hashes).all(|c| *c == '#');
        if end && rest.len() > at + hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

fn until(rest: &[char], end: char) -> usize {
    rest.iter()
        .take_while(|character| **character != end)
        .count()
}

#[cfg(test)]
mod tests {
    use super::{blank, words};

    #[test]
    fn only_code_is_left() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ \n */ d", "a              \n    d"),
            (r#"f("x \" // y", z)"#, "f(           , z)"),
            ("r#\"a \" b\"# + r\"c\"", "           +     "),
            ("let r#type = 'x';", "let r#type =    ;"),
            (r"['\'', '\n', b'\\']", "[    ,     , b    ]"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("for\"x\"", "for   "),
        ] {
            assert_eq!(blank(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(
            words("aya aya_log aya::x", "aya").collect::<Vec<_>>(),
            [0, 12]
        );
    }
}
