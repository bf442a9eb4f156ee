//! `multipart/form-data`, on the one route that takes files: its texts become parameters like any other, its file is kept apart.
//!
//! The body is in memory already and bounded by the edge. It must never believe a part's own content type.

use super::error::ApiError;
use super::params::Params;
use bytes::Bytes;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The route.
pub(super) const PATH: &str = "/v1/files";
const MAX_PARTS: usize = 10;

/// The file of a body.
#[derive(Clone, Debug)]
pub struct Upload {
    /// as the sender calls it; empty when it does not
    pub filename: String,
    /// what is in it
    pub content: Bytes,
}

/// The boundary that the headers name, if the body is multipart.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(content_type).ok()
}

/// The parameters and the file. The parameter `file` is the digest of its name and bytes, so that an idempotency key is bound to them.
pub(super) async fn read(boundary: String, body: Bytes) -> Result<(Params, Option<Upload>), ApiError> {
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = multer::Multipart::new(stream, boundary);
    let (mut texts, mut upload) = (BTreeMap::new(), None);
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(unreadable)? {
        count += 1;
        let name = part.name().unwrap_or_default().to_owned();
        if count > MAX_PARTS || texts.contains_key(&name) {
            return Err(ApiError::invalid(
                "invalid_request_body",
                "",
                "The body has too many parts, or two of one name.",
            ));
        }
        let filename = part.file_name().map(str::to_owned);
        let content = part.bytes().await.map_err(unreadable)?;
        if name == "file" {
            let filename = filename.unwrap_or_default();
            let mut hash = Sha256::new();
            hash.update(filename.as_bytes());
            hash.update([0]);
            hash.update(&content);
            // In letters: digits of a digest would pass for a card number once in a while.
            let digest: String = hash
                .finalize()
                .iter()
                .flat_map(|b| [b >> 4, b & 15])
                .map(|n| (b'a' + n) as char)
                .collect();
            texts.insert(name, digest);
            upload = Some(Upload { filename, content });
        } else {
            let text = String::from_utf8(content.to_vec())
                .map_err(|_| ApiError::invalid("invalid_request_body", &name, "This part is not text."))?;
            texts.insert(name, text);
        }
    }
    Ok((Params::from_texts(texts), upload))
}

fn unreadable(_: multer::Error) -> ApiError {
    ApiError::invalid(
        "invalid_request_body",
        "",
        "The multipart body cannot be read: its boundary, a part's header or its end is missing.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(body: &str) -> Result<(Params, Option<Upload>), ApiError> {
        read("X".into(), Bytes::from(body.replace('\n', "\r\n"))).await
    }

    #[tokio::test]
    async fn texts_are_parameters_and_the_file_is_apart() {
        let body = "--X\nContent-Disposition: form-data; name=\"purpose\"\n\ndispute_evidence\n--X\nContent-Disposition: form-data; \
                    name=\"file\"; filename=\"a.pdf\"\nContent-Type: text/html\n\n%PDF-1\n--X--\n";
        let (mut params, upload) = told(body).await.unwrap();
        assert_eq!(params.text("purpose").unwrap().as_deref(), Some("dispute_evidence"));
        assert_eq!(params.text("file").unwrap().map(|digest| digest.len()), Some(64));
        let upload = upload.unwrap();
        assert_eq!(
            (upload.filename.as_str(), &upload.content[..]),
            ("a.pdf", &b"%PDF-1"[..])
        );
    }

    #[tokio::test]
    async fn what_breaks_off_is_refused() {
        let part = "--X\nContent-Disposition: form-data; name=\"purpose\"\n\nx\n";
        for body in ["", "--X\n", part, "nothing", &format!("{part}{part}--X--\n")] {
            let refused = told(body).await.map(drop).unwrap_err();
            assert_eq!(refused.status, 400, "{body}");
        }
    }
}
