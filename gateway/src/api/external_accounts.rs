//! `/v1/accounts/{id}/external_accounts`: where a merchant is paid.
//!
//! A number comes in and never goes out again: answers show its last four.

use super::accounts::concerns;
use super::error::{ApiError, shown};
use super::input::{AdminRead, AdminWrite, In, Reply};
use super::list;
use super::params::Params;
use crate::account::flow::load;
use crate::call::Answer;
use crate::funds::bank::{self, Change, NewBankAccount};
use crate::funds::rows::BankAccountDetails;
use crate::payment::flow::merge_metadata;
use crate::wire;
use axum::extract::Path;
use zeroize::Zeroizing;

pub(super) async fn create(Path(id): Path<String>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    concerns(&input, &id).await?;
    let mut group = params
        .group("external_account")?
        .ok_or_else(|| ApiError::missing("external_account"))?;
    let default_for_currency = params.boolean("default_for_currency")?.unwrap_or(false);
    let mut details = BankAccountDetails::default();
    if let Some(change) = params.metadata("metadata")? {
        merge_metadata(&mut details.metadata, change);
    }
    let new = read(&mut group, details, default_for_currency)?;
    group.finish()?;
    params.finish()?;
    input
        .run(|call| async move { bank::create(call, &load(call, &id).await?, new).await })
        .await
}

pub(super) async fn index(Path(id): Path<String>, mut input: In<AdminRead>) -> Reply {
    let mut params = input.take();
    concerns(&input, &id).await?;
    params.choice("object", &["bank_account"])?;
    let page = list::page(&mut params)?;
    params.finish()?;
    let account = load(&input.call, &id).await?;
    // A merchant has at most twenty: a page of them is cut from all.
    let all = bank::in_use(&input.call, &account).await?;
    let after = |bank: &&crate::funds::rows::BankAccount| {
        page.starting_after.as_ref().is_none_or(|id| bank.id < *id)
            && page.ending_before.as_ref().is_none_or(|id| bank.id > *id)
    };
    let found: Vec<_> = all.iter().filter(after).collect();
    let limit = usize::try_from(page.limit).unwrap_or(100);
    let data = found.iter().take(limit).map(|bank| {
        let default = bank::default_of(&all, &bank.currency).is_some_and(|d| d.id == bank.id);
        wire::bank_account(bank, &account.id, default)
    });
    let url = format!("/v1/accounts/{}/external_accounts", account.id);
    list::of(&input.call, &url, data.collect(), found.len() > limit).await
}

pub(super) async fn retrieve(Path((id, bank_id)): Path<(String, String)>, mut input: In<AdminRead>) -> Reply {
    input.take().finish()?;
    concerns(&input, &id).await?;
    let account = load(&input.call, &id).await?;
    let all = bank::in_use(&input.call, &account).await?;
    let found = all
        .iter()
        .find(|bank| bank.id == bank_id)
        .ok_or_else(|| ApiError::not_found("external account", &bank_id, "id"))?;
    let default = bank::default_of(&all, &found.currency).is_some_and(|d| d.id == found.id);
    Ok(Answer::ok(&wire::bank_account(found, &account.id, default)))
}

pub(super) async fn update(Path((id, bank_id)): Path<(String, String)>, mut input: In<AdminWrite>) -> Reply {
    let mut params = input.take();
    concerns(&input, &id).await?;
    let change = Change {
        default_for_currency: params.boolean("default_for_currency")?.unwrap_or(false),
        account_holder_name: params.text_change("account_holder_name")?,
        metadata: params.metadata("metadata")?,
        delete: false,
    };
    params.finish()?;
    input
        .run(|call| async move { bank::modify(call, &load(call, &id).await?, &bank_id, &change).await })
        .await
}

pub(super) async fn delete(Path((id, bank_id)): Path<(String, String)>, mut input: In<AdminWrite>) -> Reply {
    input.take().finish()?;
    concerns(&input, &id).await?;
    let change = Change {
        delete: true,
        ..Change::default()
    };
    input
        .run(|call| async move { bank::modify(call, &load(call, &id).await?, &bank_id, &change).await })
        .await
}

fn read(
    group: &mut Params,
    mut details: BankAccountDetails,
    default_for_currency: bool,
) -> Result<NewBankAccount, ApiError> {
    group.choice("object", &["bank_account"])?;
    let country = group.required_text("country")?;
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(ApiError::invalid(
            "country_unsupported",
            group.param("country"),
            format!(
                "Not a country: {}. Use two capital letters (ISO 3166) such as DE.",
                shown(&country)
            ),
        ));
    }
    let currency = group.required_text("currency")?;
    let currency = crate::app::currency(&currency).map_err(|mut error| {
        error.param = Some(group.param("currency"));
        error
    })?;
    details.account_holder_name = group.text("account_holder_name")?;
    details.account_holder_type = group.choice("account_holder_type", &["company", "individual"])?;
    Ok(NewBankAccount {
        country,
        currency: currency.as_str().to_owned(),
        number: Zeroizing::new(group.required_text("account_number")?),
        routing_number: group.text("routing_number")?,
        default_for_currency,
        details,
    })
}
