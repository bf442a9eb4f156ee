//! Lists that are short for nearly every key: the first entries lie in the entity itself, so that what is known of it is read in one
//! place. Must never count what it has reserved: a replay must forget what the first run forgot.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::{Array, SmallVec};

/// What more than fits in place takes on the heap, from content alone.
pub(crate) fn heap_bytes<A: Array>(entries: usize) -> usize {
    if entries <= A::size() {
        0
    } else {
        entries.next_power_of_two() * size_of::<A::Item>()
    }
}

pub(crate) fn serialize<A: Array, S: Serializer>(few: &SmallVec<A>, to: S) -> Result<S::Ok, S::Error>
where
    A::Item: Serialize,
{
    to.collect_seq(few)
}

pub(crate) fn deserialize<'de, A: Array, D: Deserializer<'de>>(from: D) -> Result<SmallVec<A>, D::Error>
where
    A::Item: Deserialize<'de>,
{
    Ok(Vec::deserialize(from)?.into_iter().collect())
}
