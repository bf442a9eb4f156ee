//! Files: evidence that merchants upload. A row says what one is; what is in it lies sealed in the vault.
//!
//! A file is what its first bytes say, never what its name or its sender says, and is only ever served as an attachment. It must never
//! be shown to a browser as a page, nor reach a log.

use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Row, Table, Unit};
use crate::payment::flow::claim;
use crate::payment::store;
use crate::{id, wire};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;

/// The largest file: what acquirers take as evidence.
pub const MAX_BYTES: usize = 5 * 1024 * 1024;
/// Uploads of one merchant in a day: far above what people do, and a bound to what a stolen key can fill.
pub const MAX_A_DAY: i64 = 1_000;

/// `gateway.file`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct File {
    pub book_id: i64,
    pub id: String,
    pub purpose: String,
    pub filename: String,
    pub r#type: Kind,
    /// bytes
    pub size: i64,
    /// hexadecimal
    pub sha256: String,
    pub title: Option<String>,
    pub created_at: Timestamp,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Kind {
    Pdf,
    Png,
    Jpg,
}

impl Kind {
    /// By the first bytes.
    pub fn sniff(content: &[u8]) -> Option<Kind> {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
        const JPEG: &[u8] = b"\xff\xd8\xff";
        match content {
            content if content.starts_with(b"%PDF-") => Some(Kind::Pdf),
            content if content.starts_with(PNG) => Some(Kind::Png),
            content if content.starts_with(JPEG) => Some(Kind::Jpg),
            _ => None,
        }
    }

    /// Its media type.
    pub fn media(self) -> &'static str {
        match self {
            Kind::Pdf => "application/pdf",
            Kind::Png => "image/png",
            Kind::Jpg => "image/jpeg",
        }
    }

    /// As it is stored and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Pdf => "pdf",
            Kind::Png => "png",
            Kind::Jpg => "jpg",
        }
    }
}

/// What a caller uploads.
#[derive(Clone, Debug)]
pub struct Upload {
    /// as the sender's machine calls it
    pub filename: String,
    /// what is in it
    pub content: Bytes,
}

/// Keeps a file.
pub async fn create(call: &Call, purpose: String, title: Option<String>, upload: Upload) -> Result<Answer, ApiError> {
    let kind = Kind::sniff(&upload.content).ok_or_else(|| {
        ApiError::invalid(
            "file_type_not_supported",
            "file",
            "Evidence is a PDF, PNG or JPEG file. What this file is was told by its first bytes, not by its name.",
        )
    })?;
    if upload.content.len() > MAX_BYTES {
        return Err(ApiError::invalid(
            "file_too_large",
            "file",
            format!(
                "A file has at most {MAX_BYTES} bytes; this one has {}.",
                upload.content.len()
            ),
        ));
    }
    within_the_day(call).await?;
    let file = File {
        book_id: call.book_id(),
        id: id::new(id::prefix::FILE),
        purpose,
        filename: plain(&upload.filename, kind),
        r#type: kind,
        size: upload.content.len() as i64,
        sha256: hex::encode(Sha256::digest(&upload.content)),
        title,
        created_at: call.at,
    };
    // What is in it first: a row never names a file that is not there.
    call.app
        .vault
        .store_file(file.book_id, &file.id, &upload.content)
        .await
        .map_err(ApiError::internal)?;
    let object = wire::file(&file);
    let answer = Answer::ok(&object);
    let unit = Unit::new(call.book_id()).insert(&file);
    call.app.commit(claim(call, unit, &file.id, Some(&answer))).await?;
    Ok(answer)
}

/// This merchant's file.
pub async fn load(call: &Call, file_id: &str) -> Result<File, ApiError> {
    let found = if id::is_valid(id::prefix::FILE, file_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), file_id).await?
    } else {
        None
    };
    found.ok_or_else(|| ApiError::not_found("file", file_id, "file"))
}

async fn within_the_day(call: &Call) -> Result<(), ApiError> {
    let since = call.at - SignedDuration::from_hours(24);
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT count(*) FROM gateway.file WHERE book_id = $1 AND created_at > $2",
            &[(&call.book_id(), Type::INT8), (&since, Type::TIMESTAMPTZ)],
        )
        .await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    if count < MAX_A_DAY {
        return Ok(());
    }
    Err(ApiError::invalid(
        "file_limit_reached",
        "file",
        format!("A merchant may upload {MAX_A_DAY} files in 24 hours. Please go on tomorrow."),
    ))
}

/// A name that is safe in a header and in a folder: no path, no control character, no card number, and an ending that is true.
fn plain(name: &str, kind: Kind) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let kept: String = stem
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'))
        .take(200)
        .collect();
    let kept = crate::vault::mask(kept.trim()).into_owned();
    let stem = if kept.is_empty() { "file" } else { &kept };
    format!("{stem}.{}", kind.as_str())
}

impl Row for File {
    const TABLE: Table = Table::File;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        for (content, kind) in [
            (&b"%PDF-1.7\n"[..], Some(Kind::Pdf)),
            (b"\x89PNG\r\n\x1a\n....", Some(Kind::Png)),
            (b"\xff\xd8\xff\xe0", Some(Kind::Jpg)),
            (b"MZ\x90\x00", None),
            (b"<html>%PDF-1.7", None),
            (b"\x89PNG", None),
            (b"", None),
        ] {
            assert_eq!(Kind::sniff(content), kind);
        }
    }

    #[test]
    fn names_are_plain_and_tell_the_truth() {
        for (name, kept) in [
            ("receipt.jpg", "receipt.pdf"),
            ("../../etc/passwd", "passwd.pdf"),
            ("C:\\photos\\parcel 1.png", "parcel 1.pdf"),
            ("a\r\nx-evil: 1.pdf", "ax-evil 1.pdf"),
            ("\u{202e}gpj.exe", "gpj.pdf"),
            ("收据.pdf", "收据.pdf"),
            (".pdf", "file.pdf"),
            ("", "file.pdf"),
        ] {
            assert_eq!(plain(name, Kind::Pdf), kept);
        }
    }
}
