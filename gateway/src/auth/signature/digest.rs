//! RFC 9530: `Content-Digest` against the content that arrived.
//!
//! A signature covers the header, the header covers the body; without this check the body could be swapped under a good
//! signature. Only sha-256 and sha-512 count: the other registered algorithms are broken.

use super::message::dictionary;
use http::{HeaderMap, HeaderName};
use sfv::ListEntry;
use sha2::{Digest, Sha256, Sha512};

/// Whether the header names at least one good digest and every good one that it names is right.
pub fn matches(headers: &HeaderMap, content: &[u8]) -> bool {
    let Some(digests) = dictionary(headers, &CONTENT_DIGEST) else {
        return false;
    };
    let mut checked = false;
    for (algorithm, entry) in &digests {
        let right = match algorithm.as_str() {
            "sha-256" => is(entry, &Sha256::digest(content)),
            "sha-512" => is(entry, &Sha512::digest(content)),
            _ => continue, // RFC 9530: what is not known is passed over
        };
        if !right {
            return false;
        }
        checked = true;
    }
    checked
}

fn is(entry: &ListEntry, digest: &[u8]) -> bool {
    matches!(entry, ListEntry::Item(item) if item.bare_item.as_byte_sequence() == Some(digest))
}

static CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
