//! The list of tables that a unit may write, and the one SQL function generated from it.
//!
//! A row travels as JSON whose fields are the columns; `json_populate_recordset` types it on the server, so a table needs
//! no statement of its own. Adding a table is one line in [`TABLES`]. The list must name every column that may change:
//! a test compares it with the database.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Write as _;

/// A row of one of the gateway's tables: the struct's fields are the columns.
pub trait Row: Serialize + DeserializeOwned + Send + 'static {
    /// Where it lives.
    const TABLE: Table;
    /// The merchant's book.
    fn book_id(&self) -> i64;
    /// The rest of the primary key, as text.
    fn id(&self) -> &str;
    /// A long text that travels beside the JSON, so that nobody escapes and parses it again; the struct does not serialise it.
    fn body(&self) -> Option<&str> {
        None
    }
}

/// A row that changes, each time from one version to the next.
pub trait Versioned: Row {
    /// The version this row was read at, or is about to be written as.
    fn version_mut(&mut self) -> &mut i32;
}

/// One of [`TABLES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Table {
    Merchant,
    Terms,
    Customer,
    PaymentMethod,
    Payment,
    Charge,
    Refund,
    Dispute,
    DisputeMovement,
    DisputeException,
    File,
    Case,
    CaseEntry,
    Deadline,
    Sanction,
    Review,
    SetupIntent,
    WebhookEndpoint,
    WebhookSecret,
    AuditEvent,
    Funds,
    ReserveLot,
    BankAccount,
    Payout,
    PayoutFile,
    PayoutInstruction,
    Receipt,
    BalanceTransaction,
    ApplicationFee,
    FeeRefund,
    RiskHistory,
    RiskRule,
    RiskRuleVersion,
    ValueList,
    ValueListItem,
    EarlyFraudWarning,
    AlertDismissal,
    BlockAppeal,
    RiskSignal,
    Event,
}

pub(crate) struct Shape {
    pub table: Table,
    /// in schema `gateway`, or with its schema and a dot
    pub name: &'static str,
    /// Columns an update may change; empty for history, which is never updated.
    pub mutable: &'static [&'static str],
}

/// Every table a unit may write besides `request` (idempotency), in the order they are written.
#[rustfmt::skip]
pub(crate) const TABLES: &[Shape] = &[
    Shape { table: Table::Merchant, name: "merchant", mutable: &["version", "name", "status", "status_reason", "default_currency", "submitted_by",
        "decided_by", "offboarding_by", "reverify_at", "payouts_paused", "delay_days", "payout_interval", "payout_weekday",
        "reserve_bps", "reserve_days", "details"] },
    Shape { table: Table::Terms, name: "terms", mutable: &["version", "status", "effective_at", "decided_by", "decided_at"] },
    Shape { table: Table::Customer, name: "customer", mutable: &["version", "deleted", "details"] },
    Shape { table: Table::PaymentMethod, name: "payment_method", mutable: &["version", "customer_id", "exp_month", "exp_year", "details"] },
    Shape { table: Table::Payment, name: "payment", mutable: &["version", "status", "operation", "operation_amount", "amount", "currency",
        "amount_capturable", "amount_received", "amount_refunded", "amount_disputed", "amount_held", "double_credit_risk", "capture_method", "customer_id",
        "payment_method_id", "charge_id", "review_id", "application_fee_amount", "amount_maximum", "canceled_at", "details"] },
    Shape { table: Table::Charge, name: "charge", mutable: &["version", "status", "amount", "amount_captured", "amount_refunded", "captured", "disputed",
        "connector", "routing", "mismatch", "acquirer_id", "acquirer_reference", "hold_id", "multicapture", "incremental",
        "amount_maximum", "capture_before", "fee", "application_fee_id", "balance_transaction_id", "failure_code", "decline_code", "failure_message",
        "authentication", "operations", "request_key", "swept", "check_at", "receipt_url"] },
    Shape { table: Table::Refund, name: "refund", mutable: &["version", "status", "acquirer_id", "failure_balance_transaction_id",
        "failure_reason", "request_key", "swept", "check_at", "details"] },
    Shape { table: Table::Dispute, name: "dispute", mutable: &["version", "status", "amount", "stage", "rank", "contested", "lost", "takings",
        "returns", "charges", "borne_by", "held_pending", "held_available", "held_receivable", "fee", "evidence", "submission_count", "answered",
        "due_by", "balance_transaction_ids", "details", "operation", "request_key", "swept", "check_at", "timer", "timer_at"] },
    Shape { table: Table::DisputeMovement, name: "dispute_movement", mutable: &[] },
    Shape { table: Table::DisputeException, name: "dispute_exception", mutable: &["version", "resolution", "resolved_by", "resolved_at"] },
    Shape { table: Table::File, name: "file", mutable: &[] },
    Shape { table: Table::Case, name: "consumer_case", mutable: &["version", "status", "held_pending", "held_available", "held_receivable", "owner",
        "duplicate_of", "verify_due", "verified_at", "decided_at", "closed_at", "outcome", "appealed", "refund_id", "refund_progress", "refund_due",
        "compensation_due", "recourse_due", "external_ref", "frozen", "seal", "details"] },
    Shape { table: Table::CaseEntry, name: "case_entry", mutable: &[] },
    Shape { table: Table::Deadline, name: "deadline", mutable: &["version", "state", "ended_at", "check_at"] },
    Shape { table: Table::Sanction, name: "sanction", mutable: &["version", "reversed_at"] },
    Shape { table: Table::Review, name: "review", mutable: &["version", "open", "closed_reason"] },
    Shape { table: Table::SetupIntent, name: "setup_intent", mutable: &["version", "status", "customer_id", "payment_method_id", "attempts",
        "connector", "acquirer_id", "request_key", "swept", "check_at", "details"] },
    Shape { table: Table::WebhookEndpoint, name: "webhook_endpoint", mutable: &["version", "url", "enabled_events", "status", "deleted", "details"] },
    Shape { table: Table::WebhookSecret, name: "webhook_secret", mutable: &[] },
    Shape { table: Table::AuditEvent, name: "audit_event", mutable: &[] },
    Shape { table: Table::Funds, name: "funds", mutable: &["version", "settled_through", "paid_through", "payout_at", "check_at"] },
    Shape { table: Table::ReserveLot, name: "reserve_lot", mutable: &["version", "remaining"] },
    Shape { table: Table::BankAccount, name: "bank_account", mutable: &["version", "default_since", "deleted", "details"] },
    Shape { table: Table::Payout, name: "payout", mutable: &["version", "status", "failure_balance_transaction_id", "failure_code",
        "failure_message", "bank_reference", "sent_at", "ended_at", "details"] },
    Shape { table: Table::PayoutFile, name: "payout_file", mutable: &[] },
    Shape { table: Table::PayoutInstruction, name: "payout_instruction", mutable: &[] },
    Shape { table: Table::Receipt, name: "receipt", mutable: &["version", "status", "attempts", "last_error", "sent_at", "check_at"] },
    Shape { table: Table::BalanceTransaction, name: "balance_transaction", mutable: &[] },
    Shape { table: Table::ApplicationFee, name: "application_fee", mutable: &["version", "amount", "amount_refunded"] },
    Shape { table: Table::FeeRefund, name: "fee_refund", mutable: &[] },
    Shape { table: Table::RiskHistory, name: "risk.history", mutable: &[] },
    Shape { table: Table::RiskRule, name: "risk.rule", mutable: &["version", "name", "code", "action", "weight", "condition", "message", "state",
        "beats_allow", "deleted", "backtest"] },
    Shape { table: Table::RiskRuleVersion, name: "risk.rule_version", mutable: &[] },
    Shape { table: Table::ValueList, name: "risk.value_list", mutable: &["version", "name", "deleted", "details"] },
    Shape { table: Table::ValueListItem, name: "risk.value_list_item", mutable: &["version", "deleted", "expires_at"] },
    Shape { table: Table::EarlyFraudWarning, name: "risk.early_fraud_warning", mutable: &[] },
    Shape { table: Table::AlertDismissal, name: "risk.alert_dismissal", mutable: &[] },
    Shape { table: Table::BlockAppeal, name: "risk.block_appeal", mutable: &["version", "status", "reason", "overdue", "decided_at"] },
    Shape { table: Table::RiskSignal, name: "risk.signal", mutable: &["version", "status", "note"] },
    Shape { table: Table::Event, name: "event", mutable: &[] },
];

/// The table's name in SQL.
pub(crate) fn qualified(name: &str) -> String {
    match name.contains('.') {
        true => name.to_owned(),
        false => format!("gateway.{name}"),
    }
}

/// Columns that an insert names where the others have defaults that only the server knows.
fn inserted(table: Table) -> &'static str {
    match table {
        Table::RiskHistory => "book_id, id, fact, source, resolves, at",
        _ => "*",
    }
}

/// The SQLSTATE with which `gateway.commit` refuses: DETAIL lists `table book_id id`, one refused row a line.
pub(crate) const REFUSED: &str = "CF409";

/// The text of `gateway.commit`, made from [`TABLES`]: one call writes a whole batch or, if any guard fails, nothing
/// and says which rows failed.
///
/// A plan is cached while a table is small and must not walk it when it has grown. A bitmap scan is the one way left to
/// the planner that needs a key: plain index scans are shut off because it took them over a whole index, unbounded. What
/// was refused is a set difference, by hashing: an anti-join is quadratic in the batch once hash joins are shut off.
pub(crate) fn commit_function() -> String {
    let mut parameters = vec![
        ("p_claims".to_owned(), "json"),
        ("p_claim_bodies".to_owned(), "text[]"),
        ("p_answers".to_owned(), "json"),
        ("p_answer_bodies".to_owned(), "text[]"),
    ];
    let mut body = String::from(REQUEST_STATEMENTS);
    for Shape { table, name, mutable } in TABLES {
        let (parameter, place, columns) = (name.replace('.', "_"), qualified(name), inserted(*table));
        let into = if columns == "*" {
            String::new()
        } else {
            format!(" ({columns})")
        };
        parameters.push((format!("p_{parameter}_new"), "json"));
        if *name == "event" {
            parameters.push(("p_event_bodies".to_owned(), "text[]"));
            body.push_str(EVENT_STATEMENT);
            continue;
        }
        let source = format!("json_populate_recordset(NULL::{place}, p_{parameter}_new)");
        let _ = write!(
            body,
            "
    IF p_{parameter}_new IS NOT NULL THEN
        WITH r AS MATERIALIZED (SELECT * FROM {source}),
             done AS (INSERT INTO {place}{into} SELECT {columns} FROM r ON CONFLICT DO NOTHING RETURNING book_id, id)
        SELECT refused || array_agg('{name} ' || book_id || ' ' || id) INTO refused
        FROM (SELECT book_id, id FROM r EXCEPT SELECT book_id, id FROM done) AS left_over;
    END IF;"
        );
        if mutable.is_empty() {
            continue;
        }
        parameters.push((format!("p_{parameter}_changed"), "json"));
        let targets = mutable.join(", ");
        let values = mutable.iter().map(|c| format!("r.{c}")).collect::<Vec<_>>().join(", ");
        let _ = write!(
            body,
            "
    IF p_{parameter}_changed IS NOT NULL THEN
        WITH r AS MATERIALIZED (SELECT * FROM json_populate_recordset(NULL::{place}, p_{parameter}_changed)),
             done AS (UPDATE {place} t SET ({targets}) = ROW({values})
                      FROM r WHERE t.book_id = r.book_id AND t.id = r.id AND t.version = r.version - 1
                      RETURNING t.book_id, t.id)
        SELECT refused || array_agg('{name} ' || book_id || ' ' || id) INTO refused
        FROM (SELECT book_id, id FROM r EXCEPT SELECT book_id, id FROM done) AS left_over;
    END IF;"
        );
    }
    let list = |show: fn(&(String, &str)) -> String| parameters.iter().map(show).collect::<Vec<_>>().join(", ");
    let (named, types) = (
        list(|(name, r#type)| format!("{name} {type}")),
        list(|(_, r#type)| (*r#type).to_owned()),
    );
    format!(
        "CREATE OR REPLACE FUNCTION gateway.commit({named}) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_indexscan = off SET enable_indexonlyscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET search_path = pg_catalog AS $function$
DECLARE refused text[] := '{{}}';
BEGIN{body}
    IF cardinality(refused) > 0 THEN
        RAISE EXCEPTION 'units refused by a guard' USING ERRCODE = '{REFUSED}', DETAIL = array_to_string(refused, E'\\n');
    END IF;
END $function$;
REVOKE ALL ON FUNCTION gateway.commit({types}) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.commit({types}) TO gateway_app;"
    )
}

const REQUEST_STATEMENTS: &str = "
    IF p_claims IS NOT NULL THEN
        WITH r AS MATERIALIZED (SELECT * FROM ROWS FROM (json_populate_recordset(NULL::gateway.request, p_claims), unnest(p_claim_bodies)) AS r),
             done AS (INSERT INTO gateway.request (book_id, key, digest, path, object_id, status, body, created_at, expand)
                      SELECT book_id, key, digest, path, object_id, status, r.unnest, created_at, expand FROM r
                      ON CONFLICT DO NOTHING RETURNING book_id, key)
        SELECT refused || array_agg('request ' || book_id || ' ' || encode(key, 'hex')) INTO refused
        FROM (SELECT book_id, key FROM r EXCEPT SELECT book_id, key FROM done) AS left_over;
    END IF;
    IF p_answers IS NOT NULL THEN
        WITH r AS MATERIALIZED (SELECT * FROM ROWS FROM (json_populate_recordset(NULL::gateway.request, p_answers), unnest(p_answer_bodies)) AS r),
             done AS (UPDATE gateway.request t SET status = r.status, body = r.unnest, object_id = r.object_id
                      FROM r WHERE t.book_id = r.book_id AND t.key = r.key AND t.status IS NULL
                      RETURNING t.book_id, t.key)
        SELECT refused || array_agg('request ' || book_id || ' ' || encode(key, 'hex')) INTO refused
        FROM (SELECT book_id, key FROM r EXCEPT SELECT book_id, key FROM done) AS left_over;
    END IF;";

/// Events fan out to the endpoints that want them in the same commit: a delivery cannot be forgotten.
const EVENT_STATEMENT: &str = "
    IF p_event_new IS NOT NULL THEN
        WITH e AS (INSERT INTO gateway.event (book_id, id, type, object_id, object, previous, request_id, idempotency_key, created_at)
                   SELECT book_id, id, type, object_id, r.unnest, previous, request_id, idempotency_key, created_at
                   FROM ROWS FROM (json_populate_recordset(NULL::gateway.event, p_event_new), unnest(p_event_bodies)) AS r
                   RETURNING book_id, id, type, created_at)
        INSERT INTO gateway.delivery (book_id, endpoint_id, event_id, due_at)
        SELECT e.book_id, w.id, e.id, e.created_at
        FROM e JOIN gateway.webhook_endpoint w ON w.book_id = e.book_id
        WHERE w.status = 'enabled' AND NOT w.deleted
          AND (w.enabled_events @> ARRAY['*'] OR w.enabled_events @> ARRAY[e.type]);
    END IF;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_listed_once_and_in_order_of_the_enum() {
        for pair in TABLES.windows(2) {
            assert!(pair[0].table < pair[1].table);
        }
        assert_eq!(TABLES.last().map(|s| s.table), Some(Table::Event));
    }
}
