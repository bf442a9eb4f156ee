//! What is hashed, byte for byte: journals, pages and heads.
//!
//! Every piece is a sequence of fields, each preceded by its length (4 bytes, big-endian), the first of which names what it
//! is: no two different contents have the same bytes. Integers are 8 bytes, big-endian. A journal is **every** column of
//! its row that is not NULL, in the order of the names, as name, type and value; the value as PostgreSQL's binary protocol
//! sends it. A column that is added later and is NULL in old rows leaves their leaves as they were; columns of the journal
//! are never renamed and never change their type.

use std::error::Error;

use postgres_types::{FromSql, Type};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use uuid::Uuid;

use super::keys::Keys;
use super::merkle::{self, Hash};
use super::series::Series;

/// The signed state of the chain after a page: whoever keeps it can prove later that nothing before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// How many pages there are.
    pub pages: i64,
    /// How many journals are in them.
    pub journals: i64,
    /// Merkle root over the hashes of all pages.
    #[serde(with = "digits")]
    pub root: Hash,
    /// Microseconds since 1970.
    pub sealed_at_us: i64,
    /// The key that signed.
    pub key_id: String,
    /// Tells keys of the same id apart.
    #[serde(with = "digits")]
    pub key_check: [u8; 8],
    /// HMAC-SHA-256 over the above, but for `key_check`.
    #[serde(with = "digits")]
    pub mac: Hash,
}

/// What the key file says about a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Signed by the key that it names.
    Right,
    /// No key of that id is at hand.
    UnknownKey,
    /// The key of that id at hand is another one than the one that signed.
    OtherKey,
    /// The right key, and it did not sign this.
    Forged,
}

/// Where a journal is in the order of the seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub xid: i64,
    pub book: i64,
    pub journal: Uuid,
}

/// What the hash of a page covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub number: i64,
    pub journals: i32,
    pub total: i64,
    pub last: Position,
    pub root: Hash,
    pub roll_digest: Hash,
    pub previous: Hash,
    pub sealed_at_us: i64,
}

/// A journal of a page: who it is and its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at: Position,
    pub leaf: Hash,
}

/// Which columns of a row are hashed in which order, found once per statement.
pub(super) struct Layout {
    series: &'static Series,
    order: Vec<usize>,
}

impl Head {
    /// Signs with the newest key.
    pub(super) fn sign(keys: &Keys, pages: i64, journals: i64, root: Hash, sealed_at_us: i64) -> Head {
        let key = keys.signing();
        let mut head = Head {
            pages,
            journals,
            root,
            sealed_at_us,
            key_id: key.id.clone(),
            key_check: key.check(),
            mac: [0; 32],
        };
        head.mac = key.mac(&head.statement());
        head
    }

    /// Checks the MAC.
    pub fn signature(&self, keys: &Keys) -> Signature {
        match keys.by_id(&self.key_id) {
            None => Signature::UnknownKey,
            Some(key) if key.is_mac(&self.statement(), &self.mac) => Signature::Right,
            Some(key) if key.check() != self.key_check => Signature::OtherKey,
            Some(_) => Signature::Forged,
        }
    }

    fn statement(&self) -> Vec<u8> {
        let mut out = Fields::new("counterfoil/head/v1");
        out.integer(self.pages);
        out.integer(self.journals);
        out.bytes(&self.root);
        out.integer(self.sealed_at_us);
        out.bytes(self.key_id.as_bytes());
        out.0
    }
}

impl Page {
    /// The leaf of this page in the tree of all pages.
    pub fn hash(&self) -> Hash {
        let mut out = Fields::new("counterfoil/page/v1");
        out.integer(self.number);
        out.integer(self.journals.into());
        out.integer(self.total);
        out.integer(self.last.xid);
        out.integer(self.last.book);
        out.bytes(self.last.journal.as_bytes());
        out.bytes(&self.root);
        out.bytes(&self.roll_digest);
        out.bytes(&self.previous);
        out.integer(self.sealed_at_us);
        merkle::leaf(&out.0)
    }
}

impl Position {
    /// Before every journal.
    pub const START: Position = Position {
        xid: 0,
        book: i64::MIN,
        journal: Uuid::nil(),
    };
}

/// The roll of a page: book, journal and the first 8 bytes of the leaf, for each.
pub(super) fn roll(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ROLL_ENTRY);
    for e in entries {
        out.extend(e.at.book.to_be_bytes());
        out.extend(e.at.journal.as_bytes());
        out.extend(&e.leaf[..8]);
    }
    out
}

/// Book, journal and start of the leaf, as the roll has them.
pub(super) fn read_roll(roll: &[u8]) -> impl Iterator<Item = (i64, Uuid, [u8; 8])> {
    roll.chunks_exact(ROLL_ENTRY).map(|e| {
        let mut book = [0; 8];
        let mut journal = [0; 16];
        let mut leaf = [0; 8];
        book.copy_from_slice(&e[..8]);
        journal.copy_from_slice(&e[8..24]);
        leaf.copy_from_slice(&e[24..]);
        (i64::from_be_bytes(book), Uuid::from_bytes(journal), leaf)
    })
}

impl Layout {
    /// Of a row of `SELECT j.*` from the series' table.
    pub fn of(series: &'static Series, columns: &[tokio_postgres::Column]) -> Layout {
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by(|a, b| columns[*a].name().as_bytes().cmp(columns[*b].name().as_bytes()));
        Layout { series, order }
    }

    /// The journal's place and leaf. `data` is scratch space.
    pub fn entry(&self, row: &Row, data: &mut Vec<u8>) -> Result<Entry, tokio_postgres::Error> {
        let mut out = Fields::within(std::mem::take(data), self.series.leaf);
        for (name, ty, value) in self.values(row) {
            if let Some(value) = value? {
                out.bytes(name.as_bytes());
                out.bytes(ty.name().as_bytes());
                out.bytes(value);
            }
        }
        *data = out.0;
        Ok(Entry {
            at: Position {
                xid: row.try_get("recorded_xid")?,
                book: row.try_get("book_id")?,
                journal: row.try_get(self.series.id)?,
            },
            leaf: merkle::leaf(data),
        })
    }

    /// Name, type and bytes of each column, in the order in which they are hashed; NULL is `None`.
    pub fn values<'a>(
        &self,
        row: &'a Row,
    ) -> impl Iterator<Item = (&'a str, &'a Type, Result<Option<&'a [u8]>, tokio_postgres::Error>)> {
        self.order.iter().map(|i| {
            let column = &row.columns()[*i];
            let value = row.try_get::<_, Option<Raw<'a>>>(*i).map(|v| v.map(|v| v.0));
            (column.name(), column.type_(), value)
        })
    }
}

/// The bytes of a value as the server sent them, whatever its type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

struct Fields(Vec<u8>);

impl Fields {
    fn new(what: &str) -> Fields {
        Fields::within(Vec::with_capacity(256), what)
    }

    fn within(mut space: Vec<u8>, what: &str) -> Fields {
        space.clear();
        let mut fields = Fields(space);
        fields.bytes(what.as_bytes());
        fields
    }

    fn bytes(&mut self, field: &[u8]) {
        let length = u32::try_from(field.len()).expect("PostgreSQL's values are below 1 GB");
        self.0.extend(length.to_be_bytes());
        self.0.extend(field);
    }

    fn integer(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }
}

/// Bytes as hexadecimal digits in JSON.
mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(&text, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}

const ROLL_ENTRY: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_fields_have_different_bytes(a: Vec<Vec<u8>>, b: Vec<Vec<u8>>) {
            let bytes = |fields: &[Vec<u8>]| {
                let mut out = Fields::new("x");
                fields.iter().for_each(|f| out.bytes(f));
                out.0
            };
            prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
        }
    }

    #[test]
    fn a_head_survives_json() {
        let head = Head {
            pages: 3,
            journals: 9,
            root: [7; 32],
            sealed_at_us: 1_700_000_000_000_000,
            key_id: "k1".to_owned(),
            key_check: [1; 8],
            mac: [9; 32],
        };
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
        assert!(serde_json::from_str::<Head>(&text.replacen("07", "7", 1)).is_err());
    }
}
