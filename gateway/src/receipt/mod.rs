//! Receipts: what a payer was charged, by whom, with which right of return; one per capture, equal to the ledger.
//!
//! The row is written in the capture's own commit ([`of`]); [`mail`] sends it, again and again until a mail server has taken it,
//! and [`page`] shows it under an address that cannot be guessed. It must never compute an amount: it copies the capture's.

pub mod mail;
pub mod page;
pub mod words;

use crate::account::rows::ReturnPolicy;
use crate::call::Call;
use crate::commit::{Row, Table, Versioned};
use crate::id;
use crate::payment::rows::{BalanceTransaction, Charge, Payment};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `gateway.receipt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Receipt {
    pub book_id: i64,
    pub id: String,
    pub version: i32,
    pub payment_id: String,
    pub charge_id: String,
    pub balance_transaction_id: String,
    /// for people
    pub number: String,
    pub email: String,
    pub locale: Locale,
    pub amount: i64,
    pub currency: String,
    pub status: ReceiptStatus,
    pub attempts: i16,
    pub last_error: Option<String>,
    pub sent_at: Option<Timestamp>,
    pub check_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub details: Content,
}

/// The language of a receipt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Locale {
    /// English
    #[default]
    #[serde(rename = "en")]
    English,
    /// Simplified Chinese
    #[serde(rename = "zh-CN")]
    Chinese,
}

/// Whether it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ReceiptStatus {
    Queued,
    Sent,
    Failed,
}

/// What a receipt says beside the amount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Content {
    /// legal name of who was paid
    pub payee: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// brand and last four
    pub card: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_policy: Option<ReturnPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// The receipt of this capture, if the payer wants one: to be written with it.
pub fn of(call: &Call, payment: &Payment, charge: &Charge, capture: &BalanceTransaction) -> Option<Receipt> {
    let email = payment.details.receipt_email.clone()?;
    let suffix = capture
        .id
        .rsplit_once('_')
        .map_or(capture.id.as_str(), |(_, suffix)| suffix);
    Some(Receipt {
        book_id: capture.book_id,
        id: format!("{}_{suffix}", id::prefix::RECEIPT),
        version: 1,
        payment_id: payment.id.clone(),
        charge_id: charge.id.clone(),
        balance_transaction_id: capture.id.clone(),
        number: number(&capture.id),
        email,
        locale: payment.details.receipt_locale,
        amount: capture.amount,
        currency: capture.currency.clone(),
        status: ReceiptStatus::Queued,
        attempts: 0,
        last_error: None,
        sent_at: None,
        check_at: call.app.settings.mails_receipts.then_some(capture.created_at),
        created_at: capture.created_at,
        details: content(call, payment, charge),
    })
}

fn content(call: &Call, payment: &Payment, charge: &Charge) -> Content {
    let told = payment.details.disclosure.as_ref();
    Content {
        payee: told.map_or_else(|| call.merchant.name.clone(), |told| told.payee.clone()),
        description: payment.details.description.clone(),
        card: format!("{} {}", charge.card.brand, charge.card.last4),
        return_policy: told.and_then(|told| told.return_policy.clone()),
        url: charge.receipt_url.clone(),
    }
}

/// Eight characters of the capture's id, in two groups: for people to name it by.
pub fn number(capture_id: &str) -> String {
    let tail: Vec<char> = capture_id.chars().rev().take(8).collect();
    let text: String = tail.into_iter().rev().collect::<String>().to_ascii_uppercase();
    let (head, rest) = text.split_at(text.len().min(4));
    format!("{head}-{rest}")
}

impl Row for Receipt {
    const TABLE: Table = Table::Receipt;
    fn book_id(&self) -> i64 {
        self.book_id
    }
    fn id(&self) -> &str {
        &self.id
    }
}

impl Versioned for Receipt {
    fn version_mut(&mut self) -> &mut i32 {
        &mut self.version
    }
}
