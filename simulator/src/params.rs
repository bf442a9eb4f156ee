//! Form parameters with bracketed names, from a body or a query string.
//!
//! Kept flat in the order sent: a request has a few dozen pairs, and a scan beats building a tree. An empty value means "unset",
//! as the SDKs send it.

use crate::error::ApiError;
use sha2::{Digest, Sha256};

/// The decoded pairs of one request.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes `application/x-www-form-urlencoded` text; array indexes are dropped, so that `a[0]` and `a[]` are the same name.
    pub fn parse(form: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(form)
                .map(|(name, value)| (without_index(name.into_owned()), value.into_owned()))
                .collect(),
        )
    }

    /// Refuses any top-level name that the endpoint does not have, as the real acquirer does.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        for (name, _) in &self.0 {
            let root = name.split('[').next().unwrap_or(name);
            if root != "expand" && !known.contains(&root) {
                return Err(
                    ApiError::invalid(root.to_owned(), format!("Received unknown parameter: {root}"))
                        .code("parameter_unknown"),
                );
            }
        }
        Ok(())
    }

    /// The value sent under this exact name, even when empty.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A non-empty value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// A non-empty value, owned.
    pub fn boxed(&self, name: &str) -> Option<Box<str>> {
        self.text(name).map(Into::into)
    }

    /// A value the endpoint cannot do without.
    pub fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::missing(name))
    }

    /// A whole number.
    pub fn integer(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let parse = |value: &str| {
            value.parse().map_err(|_| {
                ApiError::invalid(name, format!("Invalid integer: {value}")).code("parameter_invalid_integer")
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// `true` or `false`; absent is the default.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        match self.text(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(value) => Err(ApiError::invalid(name, format!("Invalid boolean: {value}"))),
        }
    }

    /// One of the listed words.
    pub fn one_of(&self, name: &'static str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.text(name) {
            Some(word) if !words.contains(&word) => Err(ApiError::invalid(
                name,
                format!("Invalid {name}: must be one of {}", words.join(", ")),
            )),
            other => Ok(other),
        }
    }

    /// All values of an array.
    pub fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let indexed = format!("{name}[]");
        let plain = name.to_owned();
        self.0
            .iter()
            .filter(move |(key, _)| *key == indexed || *key == plain)
            .map(|(_, value)| value.as_str())
    }

    /// The pairs below `name`: `metadata[k]=v` gives `(k, v)`.
    pub fn map<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let open = format!("{name}[");
        self.0.iter().filter_map(move |(key, value)| {
            let inner = key.strip_prefix(open.as_str())?.strip_suffix(']')?;
            Some((inner, value.as_str()))
        })
    }

    /// Whether anything was sent at or below this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        })
    }

    /// A digest of the parameters that does not depend on their order: two requests are "the same" when it is equal.
    pub fn digest(&self) -> [u8; 16] {
        let mut pairs: Vec<&(String, String)> = self.0.iter().collect();
        pairs.sort();
        let mut hash = Sha256::new();
        for (name, value) in pairs {
            for part in [name, value] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        short
    }
}

/// `items[0][price]` becomes `items[][price]`.
fn without_index(name: String) -> String {
    let indexed = |part: &str| {
        part.len() > 1 && part.ends_with(']') && part[..part.len() - 1].bytes().all(|b| b.is_ascii_digit())
    };
    if !name.contains('[') || !name.split('[').skip(1).any(indexed) {
        return name;
    }
    let mut parts = name.split('[');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push('[');
        plain.push_str(if indexed(part) { "]" } else { part });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_indexes_and_empty_values() {
        let params = Params::parse(b"a=1&expand[0]=x&expand%5B%5D=y&metadata[k]=v+w&metadata[0]=&card[number]=4&b=");
        assert_eq!(params.list("expand").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(params.text("card[number]"), Some("4"));
        assert_eq!((params.text("b"), params.raw("b")), (None, Some("")));
        assert!(params.has("metadata") && !params.has("meta"));
        assert_eq!(params.map("metadata").next(), Some(("k", "v w")));
        assert!(params.only(&["a", "metadata", "card"]).is_err());
    }

    #[test]
    fn the_digest_ignores_order_but_not_boundaries() {
        let digest = |form: &str| Params::parse(form.as_bytes()).digest();
        assert_eq!(digest("a=1&b=2"), digest("b=2&a=1"));
        assert_ne!(digest("a=1&b=2"), digest("a=1b&=2"));
        assert_ne!(digest("a=1"), digest("a=2"));
    }
}
