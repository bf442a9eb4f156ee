//! `/v1/account` and `/v1/accounts/{id}`: who the key acts for.

use super::error::ApiError;
use super::input::{AdminRead, In, Reply};
use crate::call::Answer;
use crate::{id, wire};
use axum::extract::Path;

pub(super) async fn own(mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    Ok(Answer::ok(&wire::account(&input.call.merchant)))
}

/// Its own account; a platform's key may name any.
pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    if call.merchant.id == id {
        return Ok(Answer::ok(&wire::account(&call.merchant)));
    }
    let found = if input.platform && id::is_valid(id::prefix::ACCOUNT, &id) {
        call.app.merchant_by_id(&id).await?
    } else {
        None
    };
    match found {
        Some(merchant) => Ok(Answer::ok(&wire::account(&merchant))),
        // whether the account exists is nobody else's business
        None => Err(ApiError::forbidden(
            "account_invalid",
            format!(
                "The provided key does not have access to account '{}' (or that account does not exist).",
                super::error::shown(&id)
            ),
        )),
    }
}
