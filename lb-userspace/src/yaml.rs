// SPDX-License-Identifier: MIT OR Apache-2.0
//! YAML documents in which every value knows its line, and limits on what they may cost. Knows no
//! manifest and no setting.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter as _, Spanned};

/// Aliases may multiply a document by this many values at most ("billion laughs").
const MAX_ALIASED: usize = 100_000;
/// Values in one document; 10,000 Services in one `List` are some 500,000.
const MAX_NODES: usize = 20_000_000;

/// Not such a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadYaml {
    /// From 1.
    pub line: u64,
    /// What is wrong there.
    pub reason: String,
}

/// Reads one document.
pub fn parse(text: &str) -> Result<Tree, BadYaml> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
        // YAML 1.2: `n`, `on` and `yes` are names, as a Service's port or label may be.
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| BadYaml {
        line: error.location().map_or(1, |location| location.line()),
        reason: match error.without_snippet() {
            // The parser's words for it are for programmers.
            serde_saphyr::Error::MultipleDocuments { .. } => {
                "a second document begins, and one was expected".to_owned()
            }
            error => DefaultMessageFormatter.format_message(error).into_owned(),
        },
    })
}

/// A value and the line where it begins.
#[derive(Debug)]
pub struct Tree {
    /// From 1, in the text that was parsed.
    pub line: u64,
    /// The line of the key that leads here; that of the value where there is none.
    pub key_line: u64,
    /// The value.
    pub shape: Shape,
}

/// A value's shape.
#[derive(Debug)]
pub enum Shape {
    /// Text, a number, true, false or nothing.
    Leaf(Value),
    /// A list.
    List(Vec<Tree>),
    /// Keys and values.
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// The child called `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        match &self.shape {
            Shape::Map(map) => map.get(key),
            Shape::Leaf(_) | Shape::List(_) => None,
        }
    }

    /// The children of a map, by name.
    pub fn children(&self) -> impl Iterator<Item = (&String, &Tree)> {
        let map = match &self.shape {
            Shape::Map(map) => Some(map),
            Shape::Leaf(_) | Shape::List(_) => None,
        };
        map.into_iter().flatten()
    }

    /// Whether nothing is said.
    pub fn is_null(&self) -> bool {
        matches!(self.shape, Shape::Leaf(Value::Null))
    }

    /// The text of a leaf.
    pub fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Leaf(value) => value.as_str(),
            Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// The same without lines.
    pub fn value(&self) -> Value {
        match &self.shape {
            Shape::Leaf(value) => value.clone(),
            Shape::List(list) => list.iter().map(Tree::value).collect(),
            Shape::Map(map) => {
                let pairs = map.iter().map(|(key, tree)| (key.clone(), tree.value()));
                Value::Object(pairs.collect())
            }
        }
    }

    /// The line of what `path` leads to, or of the last part of it that is there.
    pub fn line_of(&self, path: &Path) -> u64 {
        let mut at = self;
        for segment in path {
            let next = match (segment, &at.shape) {
                (Segment::Seq { index }, Shape::List(list)) => list.get(*index),
                (Segment::Map { key }, Shape::Map(map)) => map.get(key),
                _ => None,
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at.line
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Self {
            line: spanned.referenced.line(),
            key_line: spanned.referenced.line(),
            shape: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON also has")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Shape, E> {
        Ok(Shape::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Shape, E> {
        Ok(Shape::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Shape, E> {
        Ok(Shape::Leaf(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Shape, E> {
        let number = Number::from_f64(value);
        let number = number.ok_or_else(|| E::custom("numbers must be finite"))?;
        Ok(Shape::Leaf(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Shape, E> {
        Ok(Shape::Leaf(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Shape, E> {
        Ok(Shape::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Leaf(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut list = Vec::new();
        while let Some(tree) = access.next_element()? {
            list.push(tree);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, tree)) = access.next_entry::<Spanned<String>, Tree>()? {
            let key_line = key.referenced.line();
            map.insert(key.value, Tree { key_line, ..tree });
        }
        Ok(Shape::Map(map))
    }
}
