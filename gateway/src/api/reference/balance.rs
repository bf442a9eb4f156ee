//! `/v1/balance` and `/v1/balance_transactions` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve the balance", "balance").about("The merchant's money as the ledger has it, by currency.")
}

pub(in crate::api) fn index_transactions() -> Operation {
    Operation::list("List balance transactions", "balance_transaction").takes(
        Fields::new()
            .field(
                "type",
                text(),
                "`charge`, `refund`, `adjustment`, `payout`, `reserve_transaction`, ..",
            )
            .field("source", text_up_to(255), "Caused by this charge, refund or dispute.")
            .field("currency", currency_asked(), "In this currency.")
            .field("payout", text_up_to(255), "Paid out by this automatic payout."),
    )
}

pub(in crate::api) fn retrieve_transaction() -> Operation {
    Operation::new("Retrieve a balance transaction", "balance_transaction")
}

pub(in crate::api) fn balance() -> Object {
    let source = Fields::new().field("card", integer(), "");
    let money = Fields::new()
        .field("amount", integer(), "Minor units; negative when the merchant owes.")
        .field("currency", currency(), "")
        .field("source_types", part(source), "");
    let money = || list(part(money.clone()));
    Object::new(
        "balance",
        "What a merchant has.",
        Fields::new()
            .field("available", money(), "May be paid out.")
            .field("connect_reserved", money(), "")
            .field("instant_available", money(), "")
            .field("issuing", nothing(), "")
            .field("livemode", boolean(), "")
            .field("pending", money(), "Sold, not yet available.")
            .field("refund_and_dispute_prefunding", nothing(), ""),
    )
}

pub(in crate::api) fn balance_transaction() -> Object {
    let fee = Fields::new()
        .field("amount", integer(), "")
        .field("application", nothing(), "")
        .field("currency", currency(), "")
        .field("description", text(), "")
        .field("type", text(), "");
    Object::new(
        "balance_transaction",
        "A change of the balance, with what caused it.",
        Fields::new()
            .field("id", id("txn"), "")
            .field(
                "amount",
                integer(),
                "Before the fee; negative when it took from the balance.",
            )
            .field("available_on", moment(), "")
            .field("balance_type", text(), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("description", text().or_null(), "")
            .field("exchange_rate", nothing(), "")
            .field("fee", integer(), "")
            .field("fee_details", list(part(fee)), "")
            .field("net", integer(), "What the balance changed by.")
            .field("reporting_category", text(), "")
            .field("source", source(), "What caused it.")
            .field("status", choice(&["available", "pending"]), "")
            .field("type", text(), ""),
    )
}

fn source() -> Schema {
    let objects = ["charge", "refund", "dispute", "payout", "fee_refund"].map(object);
    either(
        [text_like("^[a-z]+_[0-9A-Za-z_]+$", "ch_01h455vb4pex5vsknk084sn02q")]
            .into_iter()
            .chain(objects),
    )
    .or_null()
}
