//! file.

use super::seconds;
use crate::file::File;
use serde_json::{Value, json};

/// `file`; `url` is a path of this API.
pub fn file(file: &File) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "created": seconds(file.created_at),
        "expires_at": null,
        "filename": file.filename,
        "links": null,
        "purpose": file.purpose,
        "sha256": file.sha256,
        "size": file.size,
        "title": file.title,
        "type": file.r#type.as_str(),
        "url": format!("/v1/files/{}/contents", file.id),
    })
}
