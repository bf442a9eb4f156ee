//! `/v1/files` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Upload a file", "file")
        .about(
            "As `multipart/form-data`: a part `file` with the bytes of a PDF, PNG or JPEG (at most 5 MB), and `purpose`. What the file is \
             is told by its first bytes. It is kept sealed, and served as an attachment only.",
        )
        .takes(
            Fields::new()
                .required("file", text(), "The file: a part of its own, with a filename.")
                .required("purpose", choice(&super::super::files::PURPOSES), "What it is for.")
                .field("title", text_up_to(500), "For people."),
        )
        .multipart()
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List files", "file").takes(Fields::new().field(
        "purpose",
        choice(&super::super::files::PURPOSES),
        "Only those for this.",
    ))
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a file", "file")
}

pub(in crate::api) fn contents() -> Operation {
    Operation::new("Download what is in a file", "file")
        .about("Its bytes, with its own media type, as an attachment.")
        .files(&["application/pdf", "image/png", "image/jpeg"])
}

pub(in crate::api) fn file() -> Object {
    Object::new(
        "file",
        "A file that was uploaded: evidence for a dispute.",
        Fields::new()
            .field("id", id("file"), "")
            .field("created", moment(), "")
            .field("expires_at", moment().or_null(), "Always null: evidence is kept.")
            .field("filename", text(), "")
            .field(
                "links",
                empty_object().or_null(),
                "Always null: a file is reached with a key alone.",
            )
            .field("purpose", choice(&super::super::files::PURPOSES), "")
            .field("sha256", text(), "Of its bytes.")
            .field("size", integer_from(1, 5_242_880), "Bytes.")
            .field("title", text().or_null(), "")
            .field("type", choice(&["pdf", "png", "jpg"]), "By its first bytes.")
            .field("url", text(), "Where its bytes are."),
    )
}
