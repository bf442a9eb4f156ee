//! The few fields of the acquirer's objects that decide anything, and their meaning in our words.
//!
//! Unknown fields are skipped without being built. Nothing here is echoed to a log unless it passed [`word`].

use super::super::integrity::{self, Asked, Told};
use super::super::{
    AcquirerDispute, Action, Allowance, Approval, CANCELED, Capture, Decline, DisputeMove, DisputePhase, Failure,
    Mismatch, NextAction, ThreeDSecure,
};
use super::UNITS;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;

#[derive(Deserialize)]
pub(super) struct Intent {
    pub id: String,
    pub status: String,
    pub amount: i64,
    pub currency: Option<String>,
    pub amount_received: Option<i64>,
    latest_charge: Option<LatestCharge>,
    next_action: Option<WireAction>,
    pub last_payment_error: Option<Error>,
    #[serde(default)]
    pub metadata: Metadata,
}

/// An id, or the charge itself where it was expanded.
#[derive(Deserialize)]
#[serde(untagged)]
enum LatestCharge {
    Id(String),
    Charge {
        id: String,
        payment_method_details: Option<Box<MethodDetails>>,
    },
}

#[derive(Deserialize)]
struct MethodDetails {
    card: Option<CardDetails>,
}

#[derive(Default, Deserialize)]
struct CardDetails {
    three_d_secure: Option<ThreeDSecure>,
    network_transaction_id: Option<String>,
    capture_before: Option<i64>,
    multicapture: Option<Availability>,
    overcapture: Option<Availability>,
    incremental_authorization: Option<Availability>,
}

#[derive(Deserialize)]
struct Availability {
    status: Option<String>,
    maximum_amount_capturable: Option<i64>,
}

#[derive(Deserialize)]
struct WireAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Deserialize)]
struct Redirect {
    url: String,
}

#[derive(Deserialize)]
pub(super) struct Refund {
    pub id: String,
    pub amount: Option<i64>,
    pub currency: Option<String>,
    pub status: Option<String>,
    pub failure_reason: Option<String>,
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Deserialize)]
pub(super) struct Dispute {
    id: String,
    #[serde(default)]
    payment_intent: Reference,
    #[serde(default)]
    charge: Reference,
    status: String,
    amount: i64,
    currency: String,
    reason: String,
    network_reason_code: Option<String>,
    #[serde(default)]
    evidence_details: Option<EvidenceDetails>,
    #[serde(default)]
    balance_transactions: Vec<BalanceTransaction>,
    #[serde(default)]
    is_charge_refundable: bool,
    /// not Stripe's own: acquirers on its wire that tell the network's procedure do it here
    network_stage: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct EvidenceDetails {
    due_by: Option<i64>,
}

#[derive(Deserialize)]
struct BalanceTransaction {
    id: String,
    amount: i64,
    #[serde(default)]
    fee: i64,
    currency: Option<String>,
}

/// Our own key of the metadata map; nobody else's is read. A deleted or empty map is null on some paths.
#[derive(Default)]
pub(super) struct Metadata {
    pub counterfoil_reference: Option<String>,
}

/// A file that was handed over.
#[derive(Deserialize)]
pub(super) struct Uploaded {
    pub id: String,
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Deserialize)]
pub(super) struct ErrorEnvelope {
    pub error: Error,
}

#[derive(Deserialize)]
pub(super) struct Error {
    pub r#type: Option<String>,
    pub code: Option<String>,
    pub decline_code: Option<String>,
    pub message: Option<String>,
    pub param: Option<String>,
    #[serde(default)]
    pub charge: Reference,
    #[serde(default)]
    pub payment_intent: Reference,
}

/// An id, or the object itself where it was expanded.
#[derive(Default)]
pub(super) struct Reference(pub Option<String>);

impl Intent {
    pub(super) fn approval(self, captured: bool) -> Approval {
        let acquirer_reference = self.charge_id();
        let card = match self.latest_charge {
            Some(LatestCharge::Charge {
                payment_method_details: Some(details),
                ..
            }) => details.card.unwrap_or_default(),
            _ => CardDetails::default(),
        };
        let allowance = card.allowance(self.currency.as_deref().unwrap_or_default());
        Approval {
            acquirer_reference,
            allowance,
            three_d_secure: card.three_d_secure,
            network_transaction_id: card.network_transaction_id,
            acquirer_id: self.id,
            captured,
        }
    }

    /// What the payer has to do, when it is something that can be handed on.
    pub(super) fn action(&self) -> Option<Action> {
        let redirect = self.next_action.as_ref()?.redirect_to_url.as_ref()?;
        Some(Action {
            acquirer_id: self.id.clone(),
            next: NextAction::Redirect {
                url: redirect.url.clone(),
            },
        })
    }

    fn charge_id(&self) -> Option<String> {
        self.latest_charge.as_ref().map(|charge| match charge {
            LatestCharge::Id(id) | LatestCharge::Charge { id, .. } => id.clone(),
        })
    }

    pub(super) fn decline(self, code: &str, decline_code: Option<&str>, message: &str) -> Decline {
        Decline {
            code: code.to_owned(),
            decline_code: decline_code.map(str::to_owned),
            message: message.to_owned(),
            acquirer_reference: self.charge_id(),
            acquirer_id: Some(self.id),
        }
    }

    /// The decline of the last attempt, for an intent that waits for another card.
    pub(super) fn last_decline(mut self) -> Decline {
        match self.last_payment_error.take() {
            Some(error) => {
                let decline = error.decline();
                Decline {
                    acquirer_reference: decline.acquirer_reference.clone().or_else(|| self.charge_id()),
                    acquirer_id: Some(self.id),
                    ..decline
                }
            }
            None => self.decline("card_declined", Some("generic_decline"), DECLINED),
        }
    }
}

impl Intent {
    /// Whether this is the payment that we asked for: our reference where it has one, amount and currency.
    pub(super) fn proves(&self, asked: Asked<'_>) -> Result<(), Failure> {
        let told = Told {
            reference: self.metadata.counterfoil_reference.as_deref(),
            amount: Some(UNITS.inward(self.amount, asked.currency)?),
            currency: self.currency.as_deref(),
        };
        integrity::compare(asked, told).map_err(|failure| match failure {
            Failure::Mismatch(mismatch) => Failure::Mismatch(Mismatch {
                // One with another reference is somebody else's payment: never to be touched.
                acquirer_id: (mismatch.field != "reference").then(|| self.id.clone()),
                captured: self.status == "succeeded",
                ..mismatch
            }),
            other => other,
        })
    }
}

impl Intent {
    /// Whether this capture took what was asked, on top of what was taken before.
    pub(super) fn took(&self, asked: Capture<'_>) -> Result<(), Failure> {
        let taken = self.amount_received.map(|taken| UNITS.inward(taken, asked.currency));
        let told = Told {
            amount: taken.transpose()?,
            currency: self.currency.as_deref(),
            reference: None,
        };
        let asked = Asked {
            reference: asked.reference,
            amount: asked.taken.saturating_add(asked.amount),
            currency: asked.currency,
        };
        integrity::compare(asked, told)
    }
}

impl CardDetails {
    /// What it lets be done with the authorization. A maximum that cannot be read is none.
    fn allowance(&self, currency: &str) -> Allowance {
        let available =
            |what: &Option<Availability>| what.as_ref().and_then(|it| it.status.as_deref()) == Some("available");
        let maximum = self.overcapture.as_ref().filter(|_| available(&self.overcapture));
        Allowance {
            multicapture: available(&self.multicapture),
            incremental: available(&self.incremental_authorization),
            amount_maximum: maximum
                .and_then(|it| it.maximum_amount_capturable)
                .and_then(|maximum| UNITS.inward(maximum, currency).ok()),
            capture_before: self
                .capture_before
                .and_then(|second| jiff::Timestamp::from_second(second).ok()),
        }
    }
}

impl Refund {
    /// Whether this is the refund that we asked for.
    pub(super) fn proves(&self, asked: Asked<'_>) -> Result<(), Failure> {
        let amount = self.amount.map(|amount| UNITS.inward(amount, asked.currency));
        let told = Told {
            reference: self.metadata.counterfoil_reference.as_deref(),
            amount: amount.transpose()?,
            currency: self.currency.as_deref(),
        };
        integrity::compare(asked, told)
    }

    /// Why it did not succeed.
    pub(super) fn reason(&self) -> Option<String> {
        match self.status.as_deref() {
            Some("canceled") => Some(CANCELED.to_owned()),
            _ => self.failure_reason.clone(),
        }
    }

    /// None while it is on its way.
    pub(super) fn succeeded(&self) -> Option<bool> {
        match self.status.as_deref() {
            Some("succeeded") => Some(true),
            Some("failed" | "canceled") => Some(false),
            _ => None,
        }
    }
}

impl Error {
    /// The decline that this error is. Words that are not codes, and messages with a card number, are replaced.
    pub(super) fn decline(self) -> Decline {
        let message = self
            .message
            .filter(|m| m.len() <= 500)
            .unwrap_or_else(|| DECLINED.to_owned());
        Decline {
            code: self
                .code
                .map_or_else(|| "card_declined".to_owned(), |code| word(&code).to_owned()),
            decline_code: self.decline_code.map(|code| word(&code).to_owned()),
            message: crate::vault::mask(&message).into_owned(),
            acquirer_id: self.payment_intent.0,
            acquirer_reference: self.charge.0,
        }
    }
}

impl Dispute {
    /// In our words and minor units.
    pub(super) fn read(self) -> Result<AcquirerDispute, Failure> {
        let amount = UNITS.inward(self.amount, &self.currency)?;
        let moves = self
            .balance_transactions
            .into_iter()
            .map(|t| {
                let currency = t.currency.unwrap_or_else(|| self.currency.clone());
                Ok(DisputeMove {
                    amount: UNITS.inward(t.amount, &currency)?,
                    fee: UNITS.inward(t.fee, &currency)?,
                    id: t.id,
                    currency,
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(AcquirerDispute {
            acquirer_id: self.id,
            payment_acquirer_id: self.payment_intent.0,
            charge_acquirer_reference: self.charge.0,
            reference: self.metadata.counterfoil_reference,
            status: self.status,
            amount,
            currency: self.currency,
            reason: self.reason,
            network_reason_code: self.network_reason_code,
            due_by: self.evidence_details.and_then(|details| details.due_by),
            phase: match self.network_stage.as_deref() {
                Some("provisional") => DisputePhase::Provisional,
                Some("pre_arbitration") => DisputePhase::PreArbitration,
                Some("arbitration") => DisputePhase::Arbitration,
                _ => DisputePhase::First,
            },
            moves,
            is_charge_refundable: self.is_charge_refundable,
        })
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Ours {
            counterfoil_reference: Option<String>,
        }
        let ours = Option::<Ours>::deserialize(deserializer)?;
        Ok(Self {
            counterfoil_reference: ours.and_then(|ours| ours.counterfoil_reference),
        })
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdOrObject;
        impl<'de> Visitor<'de> for IdOrObject {
            type Value = Reference;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or an object")
            }

            fn visit_str<E>(self, id: &str) -> Result<Reference, E> {
                Ok(Reference(Some(id.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Reference, E> {
                Ok(Reference(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reference, A::Error> {
                let mut id = None;
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key == "id" {
                        id = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Reference(id))
            }
        }
        deserializer.deserialize_any(IdOrObject)
    }
}

/// A word of the acquirer's that may be logged and told: its codes are short and plain, anything else is not repeated.
pub(super) fn word(text: &str) -> &str {
    let plain = text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'[' | b']'));
    if plain && !crate::vault::contains_card_number(text) {
        text
    } else {
        "unprintable"
    }
}

const DECLINED: &str = "Your card was declined.";
