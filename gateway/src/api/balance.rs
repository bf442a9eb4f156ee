//! `/v1/balance` and `/v1/balance_transactions`: the merchant's money as the ledger has it.
//!
//! Nothing is computed from payments: available is account 2020 less what the merchant owes (1210), pending is 2010, reserved is 2030.

use super::error::ApiError;
use super::input::{FinanceRead, In, Reply};
use super::list;
use crate::call::Answer;
use crate::payment::rows::BalanceTransaction;
use crate::wire;
use axum::extract::Path;
use ledger::{BookId, Chart};
use std::collections::BTreeMap;

pub(super) async fn retrieve(mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    let accounts = {
        let client = call.app.reads.get().await?;
        ledger::balance::of_book(&**client, BookId(call.book_id())).await?
    };
    let mut currencies: BTreeMap<String, wire::Standing> = BTreeMap::new();
    currencies.insert(call.merchant.default_currency.clone(), wire::Standing::default());
    for account in &accounts {
        let chart = account.account.chart();
        if !matches!(
            chart,
            Chart::MerchantAvailable | Chart::MerchantPending | Chart::MerchantReceivable | Chart::MerchantReserve
        ) {
            continue;
        }
        let currency = account.account.currency().as_str().to_owned();
        let standing = currencies.entry(currency).or_default();
        match chart {
            Chart::MerchantPending => standing.pending += account.available(),
            Chart::MerchantReserve => standing.reserved += account.available(),
            Chart::MerchantAvailable => standing.available += account.available(),
            _ => standing.available -= account.posted(),
        }
    }
    let balance = wire::balance(&currencies).ok_or_else(|| ApiError::internal("a balance beyond 64 bits"))?;
    Ok(Answer::ok(&balance))
}

pub(super) async fn retrieve_transaction(Path(id): Path<String>, mut input: In<FinanceRead>) -> Reply {
    input.take().finish()?;
    super::retrieve(&input.call, "balance_transaction", &id, "id").await
}

pub(super) async fn index_transactions(mut input: In<FinanceRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = Vec::new();
    list::created(&mut params, &mut filters)?;
    if let Some(kind) = params.text("type")? {
        filters.push(list::equals("type = ", kind));
    }
    if let Some(source) = params.text("source")? {
        filters.push(list::equals("source_id = ", source));
    }
    if let Some(currency) = super::payment_intents::currency(&mut params)? {
        filters.push(list::equals("currency = ", currency));
    }
    if let Some(payout) = params.text("payout")? {
        // The movements that an automatic payout paid out; one that was made by hand names none.
        for condition in [
            "id > (SELECT p.details->>'after' FROM gateway.payout p WHERE p.book_id = t.book_id AND p.id = ?)",
            "id <= (SELECT p.details->>'through' FROM gateway.payout p WHERE p.book_id = t.book_id AND p.id = ?)",
        ] {
            filters.push(list::equals(condition, payout.clone()));
        }
    }
    params.finish()?;
    let at = input.call.at;
    let render = |row: &BalanceTransaction| wire::balance_transaction(row, at);
    list::answer(&input.call, "/v1/balance_transactions", &page, &filters, render).await
}
