//! `/v1/disputes`.

use super::error::ApiError;
use super::input::{DisputesRead, DisputesWrite, In, Reply};
use super::list;
use super::params::Params;
use crate::dispute::flow;
use crate::dispute::respond::{self, Change, MAX_EVIDENCE};
use crate::dispute::rows::{Dispute, EVIDENCE};
use crate::id;
use axum::extract::Path;
use std::collections::BTreeMap;

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<DisputesRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "dispute", &id, "dispute").await
}

pub(super) async fn index(mut input: In<DisputesRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(charge) = params.text("charge")? {
        filters.push(list::equals("charge_id = ?", charge));
    }
    if let Some(payment) = params.text("payment_intent")? {
        filters.push(list::equals("payment_id = ?", payment));
    }
    params.finish()?;
    let call = &input.call;
    let (disputes, has_more) = list::rows::<Dispute>(call, &page, &filters).await?;
    let data = flow::rendered(call, &disputes).await?;
    list::of(call, "/v1/disputes", data, has_more).await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    let mut params = input.take();
    let change = Change {
        evidence: match params.group("evidence")? {
            Some(group) => evidence(group)?,
            None => BTreeMap::new(),
        },
        metadata: params.metadata("metadata")?,
        submit: params.boolean("submit")?,
        by: input.key_id.to_string(),
    };
    params.finish()?;
    input.run(|call| respond::update(call, &id, change)).await
}

pub(super) async fn close(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    input.take().finish()?;
    input.run(|call| respond::close(call, &id)).await
}

pub(super) async fn pack(Path(id): Path<String>, mut input: In<DisputesRead>) -> Reply {
    input.take().finish()?;
    crate::dispute::pack::as_json(&input.call, &id).await
}

pub(super) async fn pack_file(Path(id): Path<String>, mut input: In<DisputesWrite>) -> Reply {
    input.take().finish()?;
    input.run(|call| crate::dispute::pack::as_file(call, &id)).await
}

fn evidence(mut group: Params) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let mut evidence = BTreeMap::new();
    for (name, is_file) in EVIDENCE {
        if !group.has(name) {
            continue;
        }
        let param = group.param(name);
        // a character has at most four bytes
        let value = group.long_text(name, 4 * MAX_EVIDENCE)?;
        if is_file && value.as_deref().is_some_and(|file| !id::is_valid("file", file)) {
            return Err(ApiError::invalid(
                "parameter_invalid_value",
                param,
                "This is the id of an uploaded file (file_..).",
            ));
        }
        evidence.insert(name.to_owned(), value);
    }
    group.finish()?;
    Ok(evidence)
}
