//! `/v1/files`: uploads by multipart, and what is in them as attachments.

use super::error::ApiError;
use super::input::{DisputesRead, DisputesWrite, In, Reply};
use super::list;
use crate::file::{self, File, Upload};
use crate::wire;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};

/// What a file may be for.
pub(crate) const PURPOSES: [&str; 1] = ["dispute_evidence"];

pub(super) async fn create(mut input: In<DisputesWrite>) -> Reply {
    let upload = input.upload.take().ok_or_else(|| {
        ApiError::invalid(
            "parameter_missing",
            "file",
            "Send the file as multipart/form-data, in a part named `file`.",
        )
    })?;
    let mut params = input.take();
    // Its digest stands for it in the idempotency key's request.
    params.text("file")?;
    let purpose = params.choice("purpose", &PURPOSES)?.ok_or_else(|| {
        ApiError::invalid(
            "parameter_missing",
            "purpose",
            "Say what the file is for: dispute_evidence.",
        )
    })?;
    let title = params.text("title")?;
    params.finish()?;
    let upload = Upload {
        filename: upload.filename,
        content: upload.content,
    };
    input.run(|call| file::create(call, purpose, title, upload)).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<DisputesRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "file", &id, "file").await
}

pub(super) async fn index(mut input: In<DisputesRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(purpose) = params.choice("purpose", &PURPOSES)? {
        filters.push(list::equals("purpose = ", purpose));
    }
    params.finish()?;
    list::answer::<File>(&input.call, "/v1/files", &page, &filters, wire::file).await
}

pub(super) async fn contents(Path(id): Path<String>, mut input: In<DisputesRead>) -> Result<Response, ApiError> {
    input.take().finish()?;
    let call = &input.call;
    let file = file::load(call, &id).await?;
    let content = call
        .app
        .vault
        .open_file(file.book_id, &file.id)
        .await
        .map_err(ApiError::internal)?;
    Ok(attachment(&file.filename, file.r#type.media(), content.to_vec()))
}

/// Bytes that a browser saves and never shows: whoever made them is not trusted.
pub(super) fn attachment(filename: &str, media: &'static str, content: Vec<u8>) -> Response {
    let encoded: String = form_urlencoded::byte_serialize(filename.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    // RFC 6266: percent-encoded, so that nothing in a name can end the header.
    let disposition = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{encoded}"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        disposition.unwrap_or(HeaderValue::from_static("attachment")),
    );
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
