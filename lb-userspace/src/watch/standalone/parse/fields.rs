// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fields that Kubernetes does not know: a typing error that would otherwise do nothing, quietly.
//!
//! As the API server does it for `kubectl` (its "unknown field" warnings): the object counts, and
//! the field is named. Which fields there are is asked of the type itself: it names them to the
//! deserializer, which this module stands in for.

use std::{cell::RefCell, fmt, slice};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

use crate::yaml::{Shape, Tree};

/// A field that its object does not have.
pub(super) struct Unknown {
    /// The line where it begins.
    pub(super) line: u64,
    /// Where it stands: `spec.ports[0].prot`.
    pub(super) path: String,
    /// A field of that object that is nearly called so.
    pub(super) nearest: Option<&'static str>,
}

/// A tree that is read as some type; what the type has no field for goes into `unknown`.
#[derive(Clone, Copy)]
pub(super) struct Fields<'de, 'p> {
    tree: &'de Tree,
    at: Option<&'p Step<'p>>,
    unknown: &'p RefCell<Vec<Unknown>>,
}

struct Step<'p> {
    before: Option<&'p Step<'p>>,
    part: Part<'p>,
}

enum Part<'p> {
    Key(&'p str),
    Index(usize),
}

impl<'de, 'p> Fields<'de, 'p> {
    pub(super) fn of(tree: &'de Tree, unknown: &'p RefCell<Vec<Unknown>>) -> Self {
        Self {
            tree,
            at: None,
            unknown,
        }
    }

    fn note_unknown(&self, fields: &'static [&'static str]) {
        let Shape::Map(map) = &self.tree.shape else {
            return;
        };
        for (key, child) in map {
            if fields.contains(&key.as_str()) {
                continue;
            }
            let step = Step {
                before: self.at,
                part: Part::Key(key),
            };
            self.unknown.borrow_mut().push(Unknown {
                line: child.key_line,
                path: step.to_string(),
                nearest: nearest(key, fields),
            });
        }
    }
}

/// The field that somebody may have meant: a third of the letters may be wrong, capitals do not
/// count.
fn nearest(key: &str, fields: &'static [&'static str]) -> Option<&'static str> {
    let typed = key.to_lowercase();
    let distance = |field: &&str| strsim::damerau_levenshtein(&typed, &field.to_lowercase());
    let nearest = fields.iter().copied().min_by_key(distance)?;
    (distance(&nearest) <= nearest.len().div_ceil(3)).then_some(nearest)
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = self.before {
            before.fmt(f)?;
        }
        match self.part {
            Part::Key(key) if self.before.is_some() => write!(f, ".{key}"),
            Part::Key(key) => f.write_str(key),
            Part::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl<'de> Deserializer<'de> for Fields<'de, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.tree.shape {
            Shape::Leaf(value) => value.deserialize_any(visitor),
            Shape::List(list) => visitor.visit_seq(Items {
                of: self,
                rest: list.iter(),
                index: 0,
            }),
            Shape::Map(map) => visitor.visit_map(Entries {
                of: self,
                rest: map.iter(),
                current: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.tree.shape {
            Shape::Leaf(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.note_unknown(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier
    }
}

struct Items<'de, 'p> {
    of: Fields<'de, 'p>,
    rest: slice::Iter<'de, Tree>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(tree) = self.rest.next() else {
            return Ok(None);
        };
        let step = Step {
            before: self.of.at,
            part: Part::Index(self.index),
        };
        self.index += 1;
        let item = Fields {
            tree,
            at: Some(&step),
            unknown: self.of.unknown,
        };
        seed.deserialize(item).map(Some)
    }
}

struct Entries<'de, 'p> {
    of: Fields<'de, 'p>,
    rest: std::collections::btree_map::Iter<'de, String, Tree>,
    current: Option<(&'de str, &'de Tree)>,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, tree)) = self.rest.next() else {
            return Ok(None);
        };
        self.current = Some((key, tree));
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, tree)) = self.current.take() else {
            return Err(serde::de::Error::custom("a value without a key"));
        };
        let step = Step {
            before: self.of.at,
            part: Part::Key(key),
        };
        seed.deserialize(Fields {
            tree,
            at: Some(&step),
            unknown: self.of.unknown,
        })
    }
}
