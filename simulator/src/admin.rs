//! The second listener: faults, time, disputes, and the truth to compare other books with.
//!
//! For tests and operators of the simulator only; the service under test must never be given its address.

use crate::Simulator;
use crate::dispute::{Advance, Opening, REASONS, ScriptStep};
use crate::error::ApiError;
use crate::fault::Rule;
use crate::flow::{Op, status_name};
use crate::object::*;
use crate::store::{Object, REFERENCE_KEY, Record, Store};
use crate::view::{self, Site};
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All routes of the admin port.
pub fn router(simulator: Arc<Simulator>) -> Router {
    Router::new()
        .route("/admin/health", get(health))
        .route("/admin/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/admin/faults/{id}", delete(remove_fault))
        .route("/admin/clock", get(clock).post(advance_clock))
        .route("/admin/truth", get(truth))
        .route("/admin/truth/summary", get(summary))
        .route("/admin/bank/truth", get(bank_truth))
        .route("/admin/settlement", post(settlement))
        .route("/admin/disputes", post(open_dispute))
        .route("/admin/disputes/{id}/advance", post(advance_dispute))
        .route("/admin/requests", get(requests))
        .route("/admin/webhook_endpoints", post(add_endpoint))
        .with_state(simulator)
}

type Shared = State<Arc<Simulator>>;
type Answer = Result<Json<Value>, Refusal>;

async fn health(State(simulator): Shared) -> Json<Value> {
    Json(json!({ "status": "ok", "api_url": &*simulator.api_url, "now": simulator.clock.now_ms() / 1000 }))
}

async fn faults(State(simulator): Shared) -> Json<Vec<Rule>> {
    Json(simulator.faults.list())
}

async fn add_fault(State(simulator): Shared, Json(rule): Json<Rule>) -> Json<Rule> {
    Json(simulator.faults.add(rule))
}

async fn clear_faults(State(simulator): Shared) -> Json<Value> {
    simulator.faults.remove(None);
    Json(json!({ "deleted": true }))
}

async fn remove_fault(State(simulator): Shared, Path(id): Path<u64>) -> Json<Value> {
    simulator.faults.remove(Some(id));
    Json(json!({ "deleted": true }))
}

async fn clock(State(simulator): Shared) -> Json<Value> {
    Json(json!({ "now": simulator.clock.now_ms() / 1000, "offset_seconds": simulator.clock.offset_ms() / 1000 }))
}

#[derive(Deserialize)]
struct AdvanceClock {
    advance_seconds: u32,
}

/// Answers once every timer that became due has fired.
async fn advance_clock(State(simulator): Shared, Json(by): Json<AdvanceClock>) -> Answer {
    let written = {
        let mut store = simulator.store();
        let offset_ms = simulator.clock.offset_ms() + i64::from(by.advance_seconds) * 1000;
        store.put(Record::Clock(offset_ms));
        simulator.clock.set_offset_ms(offset_ms);
        simulator.fire_due(&mut store);
        store.commit()
    };
    simulator.due.notify_one();
    if !written.wait().await {
        return Err(ApiError::new(500, "api_error", None, "The log cannot be written.").into());
    }
    Ok(clock(State(simulator)).await)
}

/// One JSON line per payment intent, oldest first, as of when its page was read.
async fn truth(State(simulator): Shared) -> Response {
    let pages = futures_util::stream::unfold(0, move |from| {
        let simulator = simulator.clone();
        async move {
            let page = {
                let store = simulator.store();
                let rows = store.intents.rows();
                rows.get(from..rows.len().min(from + TRUTH_PAGE))?
                    .iter()
                    .map(|row| line(&store, row))
                    .collect::<Vec<_>>()
            };
            if page.is_empty() {
                return None;
            }
            let next = from + page.len();
            let mut text = Vec::with_capacity(page.len() * 512);
            for line in page {
                if serde_json::to_writer(&mut text, &line).is_ok() {
                    text.push(b'\n');
                }
            }
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), next))
        }
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(pages),
    )
        .into_response()
}

/// Every authorization of the bank's host, oldest first.
async fn bank_truth(State(simulator): Shared) -> Json<Vec<crate::bank::Account>> {
    Json(simulator.bank.truth())
}

/// A settlement file or bank statement of what happened, with the defects that were asked for and the key to them.
async fn settlement(
    State(simulator): Shared,
    Json(order): Json<crate::settlement::Order>,
) -> Json<crate::settlement::File> {
    let records = crate::settlement::records(&simulator.store());
    Json(crate::settlement::write(&order, records))
}

#[derive(Serialize)]
struct Line {
    id: String,
    account: Account,
    created: i64,
    status: &'static str,
    currency: Currency,
    amount: i64,
    /// Approved by the issuer and not released: held or captured.
    amount_authorized: i64,
    amount_captured: i64,
    /// Refunds that did not fail.
    amount_refunded: i64,
    reference: Option<String>,
    charges: Vec<Value>,
    refunds: Vec<Value>,
    disputes: Vec<Value>,
}

fn line(store: &Store, intent: &Intent) -> Line {
    let charges: Vec<_> = intent.charges.iter().filter_map(|id| store.charges.get(*id)).collect();
    let refunds: Vec<_> = charges
        .iter()
        .flat_map(|charge| &charge.refunds)
        .filter_map(|id| store.refunds.get(*id))
        .collect();
    let disputes = charges
        .iter()
        .flat_map(|charge| &charge.disputes)
        .filter_map(|id| store.disputes.get(*id));
    let approved = charges
        .iter()
        .filter(|charge| charge.failure.is_none() && !charge.released);
    let counts = |refund: &&&Arc<Refund>| matches!(refund.status, RefundStatus::Pending | RefundStatus::Succeeded);
    Line {
        id: intent.id.named(Intent::PREFIX).to_string(),
        account: intent.account.clone(),
        created: intent.created,
        status: status_name(intent.status),
        currency: intent.currency,
        amount: intent.amount,
        amount_authorized: approved.map(|charge| charge.amount).sum(),
        amount_captured: charges.iter().map(|charge| charge.amount_captured).sum(),
        amount_refunded: refunds.iter().filter(counts).map(|refund| refund.amount).sum(),
        reference: intent.metadata.get(REFERENCE_KEY).map(str::to_owned),
        charges: charges
            .iter()
            .map(|row| {
                json!({
                    "id": row.id.named(Charge::PREFIX), "amount": row.amount, "captured": row.amount_captured,
                    "failure_code": row.failure.as_ref().map(|failure| &failure.code),
                })
            })
            .collect(),
        refunds: refunds
            .iter()
            .map(|row| {
                json!({
                    "id": row.id.named(Refund::PREFIX), "amount": row.amount, "status": row.status,
                    "reference": row.metadata.get(REFERENCE_KEY),
                })
            })
            .collect(),
        disputes: disputes
            .map(|row| {
                let moved: i64 = row.movements.iter().map(|movement| movement.amount).sum();
                json!({
                    "id": row.id.named(Dispute::PREFIX), "amount": row.amount, "status": row.status,
                    "withdrawn": -moved, "fees": row.movements.iter().map(|movement| movement.fee).sum::<i64>(),
                })
            })
            .collect(),
    }
}

#[derive(Default, Serialize)]
struct Summary {
    payment_intents: u64,
    by_status: BTreeMap<&'static str, u64>,
    by_currency: BTreeMap<String, Totals>,
    /// References carried by more than one intent: each is a payment sent twice.
    duplicate_references: u64,
    /// Payments with more than one approved charge: must be 0.
    double_charges: u64,
}

#[derive(Default, Serialize)]
struct Totals {
    authorized: i64,
    captured: i64,
    refunded: i64,
    disputed_withdrawn: i64,
}

async fn summary(State(simulator): Shared) -> Json<Summary> {
    let mut sum = Summary::default();
    let mut references = std::collections::HashSet::new();
    let mut from = 0;
    loop {
        // The lock is let go between pages, so that a large state does not stop the API.
        let page: Vec<_> = {
            let store = simulator.store();
            let rows = store.intents.rows();
            let page = rows.get(from..rows.len().min(from + TRUTH_PAGE)).unwrap_or_default();
            page.iter().map(|row| line(&store, row)).collect()
        };
        if page.is_empty() {
            return Json(sum);
        }
        from += page.len();
        for line in page {
            sum.payment_intents += 1;
            *sum.by_status.entry(line.status).or_default() += 1;
            let totals = sum.by_currency.entry(line.currency.as_str().to_owned()).or_default();
            totals.authorized += line.amount_authorized;
            totals.captured += line.amount_captured;
            totals.refunded += line.amount_refunded;
            totals.disputed_withdrawn += line
                .disputes
                .iter()
                .filter_map(|row| row["withdrawn"].as_i64())
                .sum::<i64>();
            sum.double_charges +=
                u64::from(line.charges.iter().filter(|row| row["failure_code"].is_null()).count() > 1);
            if let Some(reference) = line.reference {
                sum.duplicate_references += u64::from(!references.insert(reference));
            }
        }
        tokio::task::yield_now().await;
    }
}

#[derive(Deserialize)]
struct OpenDispute {
    charge: String,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    inquiry: bool,
    /// A chargeback that is only announced: `debit` takes the money.
    #[serde(default)]
    announced: bool,
    /// What happens to it afterwards.
    #[serde(default)]
    script: Vec<ScriptStep>,
}

async fn open_dispute(State(simulator): Shared, Json(request): Json<OpenDispute>) -> Answer {
    let reason = request.reason.as_deref().unwrap_or("fraudulent");
    if !REASONS.contains(&reason) {
        return Err(ApiError::invalid("reason", "No such dispute reason.").into());
    }
    act(&simulator, |op| {
        let id = crate::id::Id::parse(Charge::PREFIX, &request.charge);
        let charge = id.and_then(|id| op.store.charges.get(id)).cloned();
        let charge = charge.ok_or_else(|| ApiError::not_found("charge", &request.charge))?;
        op.account = charge.account.clone();
        let contested = charge.disputes.iter().filter_map(|id| op.store.disputes.get(*id));
        let left = charge.amount_captured - contested.map(|dispute| dispute.amount).sum::<i64>();
        let amount = request.amount.unwrap_or(left);
        if amount < 1 || amount > left {
            return Err(ApiError::invalid(
                "amount",
                format!("Between 1 and what is not yet disputed ({left})."),
            ));
        }
        let opening = match (request.inquiry, request.announced) {
            (true, _) => Opening::Inquiry,
            (false, true) => Opening::Announced,
            (false, false) => Opening::Debited,
        };
        let id = op.open_dispute(&charge, amount, reason, opening);
        op.script(id, &request.script);
        Ok(ObjectRef::Dispute(id))
    })
    .await
}

#[derive(Deserialize)]
struct AdvanceDispute {
    action: Advance,
}

async fn advance_dispute(
    State(simulator): Shared,
    Path(name): Path<String>,
    Json(step): Json<AdvanceDispute>,
) -> Answer {
    act(&simulator, |op| {
        let id = crate::id::Id::parse(Dispute::PREFIX, &name);
        let dispute = id.and_then(|id| op.store.disputes.get(id)).cloned();
        let dispute = dispute.ok_or_else(|| ApiError::not_found("dispute", &name))?;
        op.account = dispute.account.clone();
        op.advance(&dispute, step.action)?;
        Ok(ObjectRef::Dispute(dispute.id))
    })
    .await
}

#[derive(Deserialize)]
struct Requests {
    idempotency_key: String,
}

async fn requests(State(simulator): Shared, Query(query): Query<Requests>) -> Json<Value> {
    let counts = simulator.store().keys.counts(&query.idempotency_key);
    Json(json!({
        "idempotency_key": query.idempotency_key, "executions": counts.executions, "replays": counts.replays,
        "conflicts": counts.conflicts, "mismatches": counts.mismatches,
    }))
}

#[derive(Deserialize)]
struct AddEndpoint {
    url: String,
    secret: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    enabled_events: Vec<Box<str>>,
}

async fn add_endpoint(State(simulator): Shared, Json(request): Json<AddEndpoint>) -> Answer {
    act(&simulator, |op| {
        op.account = request.account.map(Into::into);
        let kinds = if request.enabled_events.is_empty() {
            vec!["*".into()]
        } else {
            request.enabled_events
        };
        crate::api::register_endpoint(op, &request.url, &request.secret, kinds, None, Metadata::default())
    })
    .await
}

/// Runs one operation under the lock and answers with the object once it is logged.
async fn act(simulator: &Simulator, run: impl FnOnce(&mut Op<'_>) -> Result<ObjectRef, ApiError>) -> Answer {
    let (object, written): (Option<Object>, _) = {
        let mut store = simulator.store();
        let mut op = simulator.op(&mut store);
        let object = run(&mut op)?;
        (store.object(object), store.commit())
    };
    simulator.due.notify_one();
    let body = object.map(|object| crate::store::Snapshot { object, expanded: None });
    let body = body.and_then(|snapshot| {
        view::snapshot(
            &snapshot,
            Site {
                api_url: &simulator.api_url,
            },
        )
        .ok()
    });
    let body = body.and_then(|body| serde_json::from_slice(&body).ok());
    match (body, written.wait().await) {
        (Some(body), true) => Ok(Json(body)),
        _ => Err(ApiError::new(500, "api_error", None, "The log cannot be written.").into()),
    }
}

struct Refusal(ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/json")], self.0.body()).into_response()
    }
}

const TRUTH_PAGE: usize = 500;
