//! A JSON reader that refuses what `serde_json::Value` would swallow: duplicate keys and, where they are read, floats.

use super::{MAX_DEPTH, Node};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;

#[derive(Clone, Copy)]
pub struct Seed {
    pub depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("nested too deeply"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Node;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string, an integer, a boolean, null, an array or an object")
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Node, E> {
        Ok(Node::Bool(v))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Node, E> {
        Ok(Node::Integer(v))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Node, E> {
        Ok(i64::try_from(v).map_or(Node::OtherNumber, Node::Integer))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::OtherNumber)
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Node, E> {
        // as in a form, empty means "unset"
        Ok(if v.is_empty() {
            Node::Null
        } else {
            Node::Text(v.to_owned())
        })
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Seed { depth: self.depth + 1 })? {
            items.push(item);
        }
        Ok(Node::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let node = map.next_value_seed(Seed { depth: self.depth + 1 })?;
            if fields.insert(name, node).is_some() {
                return Err(A::Error::custom("a key appears twice"));
            }
        }
        Ok(Node::Map(fields))
    }
}
