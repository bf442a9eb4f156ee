//! Reads: single objects that no other file owns, lists newest first, search, and the balance.

use super::Answer;
use crate::error::ApiError;
use crate::flow::{Op, status_name};
use crate::id::Id;
use crate::object::*;
use crate::params::Params;
use crate::store::{Expand, REFERENCE_KEY, Snapshot, Table};
use serde_json::{Value, json};
use std::sync::Arc;

/// `limit`, cursors and `created[...]` of a list request.
struct Page {
    limit: usize,
    after: Option<Id>,
    before: Option<Id>,
    created: [Option<i64>; 2],
    expand: Expand,
}

impl Page {
    fn read(prefix: &str, params: &Params) -> Result<Self, ApiError> {
        let limit = params.integer("limit")?.unwrap_or(10);
        if !(1..=100).contains(&limit) {
            return Err(ApiError::invalid(
                "limit",
                "This value must be between 1 and 100 (inclusive).",
            ));
        }
        let cursor = |name: &'static str| {
            let read = |id: &str| Id::parse(prefix, id).ok_or_else(|| ApiError::not_found("object", id).param(name));
            params.text(name).map(read).transpose()
        };
        let bound = |name: &'static str, shift: i64| Ok(params.integer(name)?.map(|second| second + shift));
        let exact = bound("created", 0)?;
        Ok(Self {
            limit: limit as usize,
            after: cursor("starting_after")?,
            before: cursor("ending_before")?,
            created: [
                exact.or(bound("created[gte]", 0)?).or(bound("created[gt]", 1)?),
                exact.or(bound("created[lte]", 0)?).or(bound("created[lt]", -1)?),
            ],
            expand: Expand::parse(params.list("expand")),
        })
    }

    /// Takes a page of `rows` (oldest first), newest first.
    fn take<'r, T: Row + 'r>(
        &self,
        op: &Op<'_>,
        rows: &'r [Arc<T>],
        keep: impl Fn(&T) -> bool,
        object: impl Fn(Id) -> ObjectRef,
    ) -> Answer {
        let (ids, has_more) = self.ids(rows, &op.account, keep);
        let items = ids
            .into_iter()
            .filter_map(|id| op.store.snapshot(object(id), self.expand))
            .collect();
        Answer::List {
            items,
            has_more,
            kind: "list",
        }
    }

    fn ids<T: Row>(&self, rows: &[Arc<T>], account: &Account, keep: impl Fn(&T) -> bool) -> (Vec<Id>, bool) {
        // `created` never falls along a table, so both bounds are cuts.
        let from = self.created[0].map_or(0, |gte| rows.partition_point(|row| row.created() < gte));
        let to = self.created[1].map_or(rows.len(), |lte| rows.partition_point(|row| row.created() <= lte));
        let to = self
            .after
            .map_or(to, |id| to.min(rows.partition_point(|row| row.id() < id)));
        let from = self
            .before
            .map_or(from, |id| from.max(rows.partition_point(|row| row.id() <= id)));
        let cut = rows.get(from..to).unwrap_or_default();
        let mine = cut
            .iter()
            .filter(|row| row.account() == account && keep(row))
            .map(|row| row.id());
        let mut ids: Vec<Id> = match self.before {
            Some(_) => mine.take(self.limit + 1).collect(),
            None => mine.rev().take(self.limit + 1).collect(),
        };
        let has_more = ids.len() > self.limit;
        ids.truncate(self.limit);
        if self.before.is_some() {
            ids.reverse();
        }
        (ids, has_more)
    }
}

const PAGE: [&str; 4] = ["created", "ending_before", "limit", "starting_after"];

fn only(params: &Params, filters: &[&str]) -> Result<(), ApiError> {
    params.only(&[&PAGE[..], filters].concat())
}

pub(super) fn intents(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["customer", "customer_account"])?;
    let customer = params.text("customer");
    let keep = |row: &Intent| customer.is_none() || row.customer.as_deref() == customer;
    Ok(Page::read("pi_", params)?.take(op, op.store.intents.rows(), keep, ObjectRef::Intent))
}

pub(super) fn charges(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["customer", "payment_intent", "transfer_group"])?;
    let page = Page::read("ch_", params)?;
    let customer = params.text("customer");
    let keep = |row: &Charge| customer.is_none() || row.customer.as_deref() == customer;
    let Some(name) = params.text("payment_intent") else {
        return Ok(page.take(op, op.store.charges.rows(), keep, ObjectRef::Charge));
    };
    let intent = find(&op.store.intents, op, name, "payment_intent")?;
    let rows: Vec<_> = intent
        .charges
        .iter()
        .filter_map(|id| op.store.charges.get(*id).cloned())
        .collect();
    Ok(page.take(op, &rows, keep, ObjectRef::Charge))
}

pub(super) fn refunds(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["charge", "payment_intent"])?;
    let page = Page::read("re_", params)?;
    match charges_named(op, params)? {
        None => Ok(page.take(op, op.store.refunds.rows(), |_| true, ObjectRef::Refund)),
        Some(charges) => {
            let ids = charges.iter().flat_map(|charge| &charge.refunds);
            let rows: Vec<_> = ids.filter_map(|id| op.store.refunds.get(*id).cloned()).collect();
            Ok(page.take(op, &rows, |_| true, ObjectRef::Refund))
        }
    }
}

pub(super) fn disputes(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["charge", "payment_intent"])?;
    let page = Page::read("du_", params)?;
    match charges_named(op, params)? {
        None => Ok(page.take(op, op.store.disputes.rows(), |_| true, ObjectRef::Dispute)),
        Some(charges) => {
            let ids = charges.iter().flat_map(|charge| &charge.disputes);
            let rows: Vec<_> = ids.filter_map(|id| op.store.disputes.get(*id).cloned()).collect();
            Ok(page.take(op, &rows, |_| true, ObjectRef::Dispute))
        }
    }
}

pub(super) fn fraud_warnings(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["charge", "payment_intent"])?;
    let charge = params.text("charge").map(|name| Id::parse(Charge::PREFIX, name));
    let intent = params
        .text("payment_intent")
        .map(|name| Id::parse(Intent::PREFIX, name));
    let keep = |row: &FraudWarning| {
        charge.is_none_or(|id| id == Some(row.charge)) && intent.is_none_or(|id| id == Some(row.intent))
    };
    Ok(Page::read("issfr_", params)?.take(op, op.store.fraud_warnings.rows(), keep, ObjectRef::FraudWarning))
}

pub(super) fn balance_transactions(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["currency", "payout", "source", "type"])?;
    let (source, kind, currency) = (params.text("source"), params.text("type"), params.text("currency"));
    let keep = |row: &BalanceTransaction| {
        source.is_none_or(|source| crate::view::name(row.source).to_string() == source)
            && kind.is_none_or(|kind| row.kind.names().0 == kind)
            && currency.is_none_or(|currency| row.currency.as_str() == currency)
    };
    let rows = op.store.balance_transactions.rows();
    Ok(Page::read("txn_", params)?.take(op, rows, keep, ObjectRef::BalanceTransaction))
}

pub(super) fn endpoints(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &[])?;
    let rows = op.store.endpoints.rows();
    Ok(Page::read("we_", params)?.take(op, rows, |row| !row.deleted, ObjectRef::Endpoint))
}

pub(super) fn events(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    only(params, &["delivery_success", "type", "types"])?;
    let mut kinds: Vec<&str> = params.list("types").collect();
    kinds.extend(params.text("type"));
    let wanted = |kind: &str| {
        kinds.is_empty()
            || kinds
                .iter()
                .any(|k| *k == kind || k.strip_suffix('*').is_some_and(|start| kind.starts_with(start)))
    };
    let rows: Vec<Arc<EventRow>> = op.store.events.iter().map(|event| event.row.clone()).collect();
    let (ids, has_more) = Page::read("evt_", params)?.ids(&rows, &op.account, |row| wanted(&row.kind));
    let data = ids
        .into_iter()
        .map(|id| event_json(op, id))
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(Answer::Json(
        json!({ "object": "list", "url": "/v1/events", "has_more": has_more, "data": data }),
    ))
}

pub(super) fn event(op: &Op<'_>, name: &str) -> Result<Answer, ApiError> {
    let missing = || ApiError::not_found("event", name);
    let id = Id::parse(EventRow::PREFIX, name).ok_or_else(missing)?;
    let mine = op.store.event(id).is_some_and(|event| event.row.account == op.account);
    if !mine {
        return Err(missing());
    }
    Ok(Answer::Json(event_json(op, id)?))
}

fn event_json(op: &Op<'_>, id: Id) -> Result<Value, ApiError> {
    let missing = || ApiError::new(500, "api_error", None, "The event cannot be shown.");
    let event = op.store.event(id).ok_or_else(missing)?;
    let body = crate::view::event(event, crate::view::Site { api_url: &op.api_url }).map_err(|_| missing())?;
    serde_json::from_slice(&body).map_err(|_| missing())
}

/// `query=metadata['k']:'v' AND status:'succeeded'`; equality only, joined by AND.
pub(super) fn search_intents(op: &Op<'_>, params: &Params) -> Result<Answer, ApiError> {
    params.only(&["limit", "page", "query"])?;
    let clauses = clauses(params.required("query")?)?;
    let limit = params.integer("limit")?.unwrap_or(10).clamp(1, 100) as usize;
    let matches = |row: &&Arc<Intent>| {
        row.account == op.account
            && clauses.iter().all(|(field, value)| match field {
                Field::Metadata(key) => row.metadata.get(key) == Some(value),
                Field::Status => status_name(row.status) == *value,
                Field::Currency => row.currency.as_str() == value.to_ascii_lowercase(),
                Field::Customer => row.customer.as_deref() == Some(value),
                Field::Amount => value.parse() == Ok(row.amount),
            })
    };
    let reference = clauses.iter().find_map(|(field, value)| match field {
        Field::Metadata(REFERENCE_KEY) => Some(*value),
        _ => None,
    });
    let found: Vec<Id> = match reference {
        Some(reference) => op
            .store
            .intents_by_reference(reference)
            .filter(matches)
            .map(|row| row.id)
            .collect(),
        None => op
            .store
            .intents
            .rows()
            .iter()
            .filter(matches)
            .map(|row| row.id)
            .collect(),
    };
    let expand = Expand::parse(params.list("expand"));
    let newest = found.iter().rev().take(limit);
    let items: Vec<Snapshot> = newest
        .filter_map(|id| op.store.snapshot(ObjectRef::Intent(*id), expand))
        .collect();
    Ok(Answer::List {
        has_more: found.len() > items.len(),
        items,
        kind: "search_result",
    })
}

enum Field<'a> {
    Metadata(&'a str),
    Status,
    Currency,
    Customer,
    Amount,
}

fn clauses(query: &str) -> Result<Vec<(Field<'_>, &str)>, ApiError> {
    let bad = || {
        ApiError::invalid(
            "query",
            "We were unable to parse your search query. Use field:\"value\" joined by AND.",
        )
    };
    let mut found = Vec::new();
    let mut rest = query.trim();
    loop {
        let field;
        (field, rest) = if let Some(inner) = rest.strip_prefix("metadata[") {
            let (key, rest) = quoted(inner).ok_or_else(bad)?;
            (
                Field::Metadata(key),
                rest.strip_prefix(']')
                    .and_then(|rest| rest.strip_prefix(':'))
                    .ok_or_else(bad)?,
            )
        } else {
            let (name, rest) = rest.split_once(':').ok_or_else(bad)?;
            let field = match name.trim() {
                "status" => Field::Status,
                "currency" => Field::Currency,
                "customer" => Field::Customer,
                "amount" => Field::Amount,
                _ => return Err(bad()),
            };
            (field, rest)
        };
        let value;
        (value, rest) = match quoted(rest) {
            Some(found) => found,
            None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
        };
        found.push((field, value));
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        rest = rest
            .strip_prefix("AND ")
            .or_else(|| rest.strip_prefix("and "))
            .ok_or_else(bad)?
            .trim_start();
    }
}

/// Splits `'text'rest` or `"text"rest`.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

pub(super) fn charge(op: &Op<'_>, id: &str) -> Result<Answer, ApiError> {
    Ok(Answer::Object(ObjectRef::Charge(
        find(&op.store.charges, op, id, "charge")?.id,
    )))
}

pub(super) fn fraud_warning(op: &Op<'_>, id: &str) -> Result<Answer, ApiError> {
    Ok(Answer::Object(ObjectRef::FraudWarning(
        find(&op.store.fraud_warnings, op, id, "early_fraud_warning")?.id,
    )))
}

pub(super) fn balance_transaction(op: &Op<'_>, id: &str) -> Result<Answer, ApiError> {
    let row = find(&op.store.balance_transactions, op, id, "balance_transaction")?;
    Ok(Answer::Object(ObjectRef::BalanceTransaction(row.id)))
}

pub(super) fn balance(op: &Op<'_>) -> Answer {
    let balances = op.store.balances(&op.account);
    let shown = |pending: bool| -> Vec<Value> {
        let part = |(currency, balance): &(Currency, &crate::store::Balance)| {
            let (available, waiting) = balance.at(op.now());
            let amount = if pending { waiting } else { available };
            json!({ "amount": amount, "currency": currency.as_str(), "source_types": { "card": amount } })
        };
        balances.iter().map(part).collect()
    };
    Answer::Json(json!({ "object": "balance", "available": shown(false), "livemode": false, "pending": shown(true) }))
}

/// The charges that `charge=` or `payment_intent=` narrow a list to.
fn charges_named(op: &Op<'_>, params: &Params) -> Result<Option<Vec<Arc<Charge>>>, ApiError> {
    if let Some(name) = params.text("charge") {
        return Ok(Some(vec![find(&op.store.charges, op, name, "charge")?]));
    }
    let Some(name) = params.text("payment_intent") else {
        return Ok(None);
    };
    let intent = find(&op.store.intents, op, name, "payment_intent")?;
    Ok(Some(
        intent
            .charges
            .iter()
            .filter_map(|id| op.store.charges.get(*id).cloned())
            .collect(),
    ))
}

fn find<T: Row>(table: &Table<T>, op: &Op<'_>, name: &str, object: &str) -> Result<Arc<T>, ApiError> {
    table
        .find(name, &op.account)
        .cloned()
        .ok_or_else(|| ApiError::not_found(object, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_query_is_a_conjunction_of_equalities() {
        let found = clauses("metadata['counterfoil_reference']:'att_1' AND status:\"succeeded\" AND amount:5").ok();
        let found = found.expect("parses");
        assert!(matches!(found[0], (Field::Metadata("counterfoil_reference"), "att_1")));
        assert!(matches!(found[1], (Field::Status, "succeeded")));
        assert!(matches!(found[2], (Field::Amount, "5")));
        for bad in [
            "",
            "metadata['a']",
            "metadata['a]:'b'",
            "status:'a' OR status:'b'",
            "color:'red'",
        ] {
            assert!(clauses(bad).is_err(), "{bad}");
        }
    }
}
