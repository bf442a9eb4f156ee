//! Bank accounts: where merchants are paid. Checked by their own arithmetic, sealed, and shown by their last four.
//!
//! It must never let a number out but to who makes the instruction for the bank ([`open`]).

use super::rows::{BankAccount, BankAccountDetails};
use super::store;
use crate::account::Merchant;
use crate::api::error::ApiError;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::event::Event;
use crate::payment::flow::{claim, merge_metadata};
use crate::vault::{Vault, VaultError};
use crate::webhook::endpoint::Sealed;
use crate::{id, wire};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What the number is sealed as.
pub const PURPOSE: &str = "bank_account";
const RETRIES: usize = 20;
/// More than a handful is a mistake.
const MOST: usize = 20;

/// What a caller wants to be paid to.
#[allow(missing_docs)]
pub struct NewBankAccount {
    pub country: String,
    pub currency: String,
    /// IBAN or account number, as typed
    pub number: Zeroizing<String>,
    pub routing_number: Option<String>,
    pub default_for_currency: bool,
    pub details: BankAccountDetails,
}

/// Adds a bank account to a merchant; the first of a currency is its default.
pub async fn create(call: &Call, account: &Merchant, new: NewBankAccount) -> Result<Answer, ApiError> {
    let number = normalized(&new)?;
    let known = in_use(call, account).await?;
    if known.len() >= MOST {
        return Err(ApiError::invalid(
            "external_account_limit",
            "",
            format!("An account has at most {MOST} bank accounts: delete one that is not in use."),
        ));
    }
    let id = id::new(id::prefix::BANK_ACCOUNT);
    let sealed = call
        .app
        .vault
        .seal(PURPOSE, &id, number.as_bytes())
        .map_err(ApiError::internal)?;
    let bank = BankAccount {
        book_id: account.book_id,
        id,
        version: 1,
        country: new.country,
        last4: number.chars().skip(number.chars().count().saturating_sub(4)).collect(),
        routing_number: new.routing_number,
        bank_name: None,
        fingerprint: call.app.vault.fingerprint(&number),
        number: Sealed(sealed),
        default_since: (new.default_for_currency || default_of(&known, &new.currency).is_none()).then_some(call.at),
        currency: new.currency,
        deleted: false,
        created_at: call.at,
        details: new.details,
    };
    let answer = Answer::ok(&wire::bank_account(&bank, &account.id, bank.default_since.is_some()));
    let event = told(call, account, &bank, "account.external_account.created");
    let unit = Unit::new(call.book_id()).insert(&bank).insert(&event);
    call.app.commit(claim(call, unit, &bank.id, Some(&answer))).await?;
    Ok(answer)
}

/// What may be changed of a bank account; another number is another account.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Change {
    pub default_for_currency: bool,
    pub account_holder_name: Option<Option<String>>,
    pub metadata: Option<BTreeMap<String, Option<String>>>,
    pub delete: bool,
}

/// Changes or deletes a bank account.
pub async fn modify(call: &Call, account: &Merchant, bank_id: &str, change: &Change) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let known = in_use(call, account).await?;
        let mut bank = known
            .iter()
            .find(|bank| bank.id == bank_id)
            .cloned()
            .ok_or_else(|| ApiError::not_found("external account", bank_id, "id"))?;
        if change.default_for_currency {
            bank.default_since = Some(call.at);
        }
        if let Some(name) = &change.account_holder_name {
            bank.details.account_holder_name.clone_from(name);
        }
        if let Some(metadata) = &change.metadata {
            merge_metadata(&mut bank.details.metadata, metadata.clone());
        }
        bank.deleted = change.delete;
        let unit = Unit::new(call.book_id()).update(&mut bank);
        let default =
            default_of(&known, &bank.currency).is_some_and(|d| d.id == bank.id) || change.default_for_currency;
        let (object, r#type) = if change.delete {
            let gone = serde_json::json!({"id": bank.id, "object": "bank_account", "currency": bank.currency, "deleted": true});
            (gone, "account.external_account.deleted")
        } else {
            (
                wire::bank_account(&bank, &account.id, default),
                "account.external_account.updated",
            )
        };
        let unit = unit.insert(&told(call, account, &bank, r#type));
        let answer = Answer::ok(&object);
        match call.app.commit(claim(call, unit, bank_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// The bank accounts of a merchant that are in use, newest first.
pub async fn in_use(call: &Call, account: &Merchant) -> Result<Vec<BankAccount>, ApiError> {
    let client = call.app.reads.get().await?;
    Ok(store::bank_accounts(&**client, account.book_id).await?)
}

/// The one that payouts of this currency go to when nobody says otherwise.
pub fn default_of<'a>(accounts: &'a [BankAccount], currency: &str) -> Option<&'a BankAccount> {
    accounts
        .iter()
        .filter(|a| a.currency == currency)
        .max_by_key(|a| (a.default_since, &a.id))
}

/// The number itself, for the instruction to the bank.
pub fn open(vault: &Vault, bank: &BankAccount) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    vault.unseal(PURPOSE, &bank.id, &bank.number.0)
}

fn told(call: &Call, account: &Merchant, bank: &BankAccount, r#type: &str) -> Event {
    Event {
        book_id: bank.book_id,
        ..call.event(
            r#type,
            &wire::bank_account(bank, &account.id, bank.default_since.is_some()),
        )
    }
}

/// The number as banks write it, when its check digits are right.
fn normalized(new: &NewBankAccount) -> Result<Zeroizing<String>, ApiError> {
    let number: Zeroizing<String> = Zeroizing::new(
        new.number
            .chars()
            .filter(|c| !matches!(c, ' ' | '-'))
            .map(|c| c.to_ascii_uppercase())
            .collect(),
    );
    let wrong = |param: &str, text: &str| Err(ApiError::invalid("account_number_invalid", param, text));
    if !(4..=34).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return wrong(
            "external_account[account_number]",
            "An account number has 4 to 34 letters and digits; an IBAN begins with its country.",
        );
    }
    let letters = number.bytes().take(2).all(|b| b.is_ascii_alphabetic());
    if letters && !(iban(&number) && number.starts_with(&new.country)) {
        return wrong(
            "external_account[account_number]",
            "This is not an IBAN of that country: its check digits are wrong.",
        );
    }
    if new.country == "US" && !new.routing_number.as_deref().is_some_and(routing) {
        return wrong(
            "external_account[routing_number]",
            "An account in the US has a routing number of nine digits with the right check digit.",
        );
    }
    Ok(number)
}

/// ISO 13616: the number rotated by four, letters as 10 to 35, is 1 modulo 97.
pub(crate) fn iban(number: &str) -> bool {
    let digits = number.bytes().skip(2).take(2).all(|b| b.is_ascii_digit());
    if number.len() < 15 || !digits {
        return false;
    }
    let (head, tail) = number.split_at(4);
    let rest = tail.chars().chain(head.chars()).try_fold(0u32, |rest, c| {
        let value = c.to_digit(36)?;
        let shifted = if value < 10 { rest * 10 } else { rest * 100 };
        Some((shifted + value) % 97)
    });
    rest == Some(1)
}

/// ABA: weights 3, 7, 1 over nine digits.
fn routing(number: &str) -> bool {
    if number.len() != 9 {
        return false;
    }
    let sum = number
        .chars()
        .zip([3, 7, 1].into_iter().cycle())
        .try_fold(0u32, |sum, (c, weight)| Some(sum + c.to_digit(10)? * weight));
    sum.is_some_and(|sum| sum > 0 && sum % 10 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_checked() {
        for good in [
            "DE89370400440532013000",
            "GB82WEST12345698765432",
            "FR1420041010050500013M02606",
            "NO9386011117947",
        ] {
            assert!(iban(good), "{good}");
            let mut wrong = good.to_owned();
            let last = if wrong.ends_with('0') { '1' } else { '0' };
            wrong.pop();
            wrong.push(last);
            assert!(!iban(&wrong), "{wrong}");
        }
        assert!(!iban("DE8937") && !iban("DEXX370400440532013000"));
        assert!(routing("110000000") && routing("021000021"));
        assert!(!routing("110000001") && !routing("11000000") && !routing("000000000"));
    }
}
