//! `/v1/case_reports`: how complaints went in a period, for a regulator and for management. Ours.

use super::error::ApiError;
use super::input::{In, PlatformDisputesRead, Reply};
use super::params::Params;
use crate::call::Answer;
use crate::case::report;
use crate::wire;
use jiff::{SignedDuration, Timestamp};

/// A quarter, when nobody says otherwise.
const USUAL: SignedDuration = SignedDuration::from_hours(24 * 92);

pub(super) async fn retrieve(mut input: In<PlatformDisputesRead>) -> Reply {
    let mut params = input.take();
    let to = moment(&mut params, "to")?.unwrap_or(input.call.at);
    let from = moment(&mut params, "from")?.unwrap_or(to.checked_sub(USUAL).unwrap_or(to));
    let account = params.text("account")?;
    params.finish()?;
    if from >= to {
        return Err(ApiError::invalid(
            "parameter_invalid_integer",
            "from",
            "The period ends before it begins.",
        ));
    }
    let app = &input.call.app;
    let book_id = match &account {
        None => None,
        Some(id) => {
            let merchant = app.merchant_by_id(id).await?;
            let merchant = merchant.ok_or_else(|| ApiError::not_found("account", id, "account"))?;
            Some(merchant.book_id)
        }
    };
    let client = app.reads.get().await?;
    let mut object = report::report(&**client, book_id, from, to).await?;
    object["object"] = "case_report".into();
    object["account"] = account.into();
    object["from"] = wire::seconds(from);
    object["to"] = wire::seconds(to);
    Ok(Answer::ok(&object))
}

fn moment(params: &mut Params, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(seconds) = params.integer(name)? else {
        return Ok(None);
    };
    Timestamp::from_second(seconds).map(Some).map_err(|_| {
        ApiError::invalid(
            "parameter_invalid_integer",
            name,
            "Not a moment in time (unix seconds).",
        )
    })
}
