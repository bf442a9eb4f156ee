//! Disputes: files handed over, evidence submitted, chargebacks accepted.

use super::form::Form;
use super::{Stripe, wire};
use crate::connector::{AcquirerDispute, EvidenceFile, Failure};
use sha2::{Digest as _, Sha256};

impl Stripe {
    pub(super) async fn do_upload_evidence(&self, reference: &str, file: &EvidenceFile) -> Result<String, Failure> {
        // The content's own digest: it cannot be in the content, and a repeat is the same request.
        let boundary = hex::encode(
            &Sha256::new()
                .chain_update(reference)
                .chain_update(&file.content)
                .finalize()[..16],
        );
        let name: String = file.filename.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\ndispute_evidence\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {}\r\n\r\n",
            file.media
        )
        .into_bytes();
        body.extend_from_slice(&file.content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let answer = self
            .post_parts(
                self.files.clone(),
                reference,
                &boundary,
                body.into(),
                self.timeouts.dispute,
            )
            .await?;
        Ok(answer.object::<wire::Uploaded>()?.id)
    }

    pub(super) async fn do_submit_evidence(
        &self,
        reference: &str,
        dispute_acquirer_id: &str,
        fields: &serde_json::Map<String, serde_json::Value>,
        submit: bool,
    ) -> Result<AcquirerDispute, Failure> {
        let uri = self.uri(&["disputes", dispute_acquirer_id], "")?;
        let mut body = Form::new();
        for (name, value) in fields {
            match value {
                serde_json::Value::String(text) => body = body.member("evidence", name, text),
                serde_json::Value::Null => {}
                other => body = body.member("evidence", name, &other.to_string()),
            }
        }
        body = body.text("submit", if submit { "true" } else { "false" });
        // Evidence may be sent several times before it is final: the same content is the same operation.
        let digest = hex::encode(&Sha256::digest(body.as_str().as_bytes())[..8]);
        let answer = self
            .post(
                uri,
                reference,
                &format!(":evidence:{digest}"),
                body,
                self.timeouts.dispute,
            )
            .await?;
        answer.object::<wire::Dispute>()?.read()
    }

    pub(super) async fn do_close_dispute(
        &self,
        reference: &str,
        dispute_acquirer_id: &str,
    ) -> Result<AcquirerDispute, Failure> {
        let uri = self.uri(&["disputes", dispute_acquirer_id, "close"], "")?;
        self.post(uri, reference, ":close", Form::new(), self.timeouts.dispute)
            .await?
            .object::<wire::Dispute>()?
            .read()
    }
}
