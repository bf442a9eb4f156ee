//! The export for an authority: reports of a period in files, a manifest with their hashes, and a signature that anyone can check.
//!
//! The manifest names the period and the position of the books; the same position gives the same files, and Ed25519 the same
//! signature. It must never hold a person, an account or an id of one: aggregates alone.

use crate::report::{self, Ask, Format, ReportError, Which};
use anyhow::Context;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_postgres::GenericClient;

/// What is in it, in order.
const REPORTS: [&str; 3] = ["activity", "safeguarding", "fees_and_tax"];

/// A file of the export.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The signing key.
#[derive(Debug)]
pub struct Key(Ed25519KeyPair);

impl Key {
    /// From PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).context("the key is no PKCS #8 in PEM")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
        pair.map(Key)
            .map_err(|error| anyhow::anyhow!("the key is no Ed25519 key: {error}"))
    }

    /// What the authority checks with, as PEM.
    pub fn public_pem(&self) -> String {
        // SubjectPublicKeyInfo of Ed25519 is these twelve bytes and the key (RFC 8410).
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend(self.0.public_key().as_ref());
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }
}

/// Makes the export of what happened between these moments.
pub async fn export(
    client: &impl GenericClient,
    key: &Key,
    from: Timestamp,
    to: Timestamp,
    position: Which,
) -> Result<Vec<File>, ReportError> {
    let mut files = Vec::new();
    let mut which = position;
    let mut words = None;
    for name in REPORTS {
        let ask = Ask {
            from: Some(from),
            to: Some(to),
            consolidated: true,
            position: which,
            ..Ask::default()
        };
        let made = report::make(client, report::find(name)?, ask).await?;
        // All from one position, also when more is booked meanwhile.
        which = made.position.which();
        words.get_or_insert_with(|| (made.position.to_string(), made.position.words()));
        for format in [Format::Csv, Format::Json] {
            files.push(File {
                name: format!("{name}.{}", format.as_str()),
                bytes: made.render(format),
            });
        }
    }
    let (id, words) = words.unwrap_or_default();
    let listed = files.iter().map(|file| {
        json!({ "name": file.name, "bytes": file.bytes.len(), "sha256": hex::encode(Sha256::digest(&file.bytes)) })
    });
    let manifest = json!({
        "object": "regulator_export",
        "version": 1,
        "from": from.to_string(),
        "to": to.to_string(),
        "position": { "id": id, "words": words },
        "files": listed.collect::<Vec<_>>(),
    });
    let manifest = format!("{manifest:#}\n").into_bytes();
    let signature = key.0.sign(&manifest).as_ref().to_vec();
    for (name, bytes) in [
        ("manifest.json", manifest),
        ("manifest.sig", signature),
        ("public.pem", key.public_pem().into_bytes()),
    ] {
        files.push(File {
            name: name.to_owned(),
            bytes,
        });
    }
    Ok(files)
}
