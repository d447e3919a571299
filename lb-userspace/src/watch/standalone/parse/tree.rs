// SPDX-License-Identifier: MIT OR Apache-2.0
//! A YAML document in which every value knows its line.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};
use serde_saphyr::Spanned;

/// A value and the line where it begins.
pub(super) struct Tree {
    /// From 1, in the text that was parsed.
    pub(super) line: u64,
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    Leaf(Value),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// The child called `key` of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        match &self.shape {
            Shape::Map(map) => map.get(key),
            Shape::Leaf(_) | Shape::List(_) => None,
        }
    }

    /// The text of a leaf.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Leaf(value) => value.as_str(),
            Shape::List(_) | Shape::Map(_) => None,
        }
    }

    /// The same without lines.
    pub(super) fn value(&self) -> Value {
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
    pub(super) fn line_of(&self, path: &Path) -> u64 {
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
        while let Some((key, tree)) = access.next_entry()? {
            map.insert(key, tree);
        }
        Ok(Shape::Map(map))
    }
}
