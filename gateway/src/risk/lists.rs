//! Lists that people keep: what may be on one, how it is compared, and how it is kept.
//!
//! A value is normalised (an e-mail address in lower case), compared as the hash that the scorer sees, and kept sealed for
//! whoever asks for it. It must never be found twice on one list.

use super::rows::{ItemType, ValueList, ValueListDetails, ValueListItem};
use crate::api::error::ApiError;
use crate::call::Call;
use crate::id;
use crate::payment::store;
use crate::webhook::endpoint::Sealed;
use anomaly::{BUILT_IN, Subject, key};
use jiff::Timestamp;
use std::net::IpAddr;
use tokio_postgres::types::Type;

/// Lists of one merchant, besides the built-in ones.
pub const LISTS_MAX: i64 = 100;
/// Items of one merchant on all lists: every process keeps them in memory.
pub const ITEMS_MAX: i64 = 100_000;
const PURPOSE: &str = "value_list_item";
/// The longest value: an e-mail address.
const VALUE_MAX: usize = 254;

/// What the scorer compares, and the value as it is kept.
pub fn subject(item_type: ItemType, value: &str) -> Result<(Subject, String), &'static str> {
    let value = value.trim();
    if value.is_empty() || value.len() > VALUE_MAX || value.chars().any(char::is_control) {
        return Err("a value has 1 to 254 characters and no control characters");
    }
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    match item_type {
        ItemType::CardFingerprint if plain(value) => Ok((Subject::Card(key(value)), value.to_owned())),
        ItemType::CardFingerprint => {
            Err("a card fingerprint has letters and digits only: card.fingerprint of a payment method")
        }
        ItemType::CardBin => match value.parse() {
            Ok(bin) if value.len() == 6 && plain(value) => Ok((Subject::Bin(bin), value.to_owned())),
            _ => Err("a BIN is the first 6 digits of a card"),
        },
        ItemType::CustomerId if id::is_valid(id::prefix::CUSTOMER, value) => {
            Ok((Subject::Customer(key(value)), value.to_owned()))
        }
        ItemType::CustomerId => Err("a customer's id begins with cus_"),
        ItemType::Email => {
            let value = value.to_lowercase();
            match value.split_once('@') {
                Some((name, host)) if !name.is_empty() && host.contains('.') && !value.contains(' ') => {
                    Ok((Subject::Email(key(&value)), value))
                }
                _ => Err("this is not an e-mail address"),
            }
        }
        ItemType::IpAddress => match value.parse::<IpAddr>() {
            Ok(ip) => Ok((Subject::Ip(ip.to_canonical()), ip.to_canonical().to_string())),
            Err(_) => Err("this is not an IP address"),
        },
        ItemType::Device => Ok((Subject::Device(key(value)), value.to_owned())),
    }
}

/// A new row for this value.
pub fn item(
    call: &Call,
    list: &ValueList,
    subject: Subject,
    value: &str,
    expires_at: Option<Timestamp>,
) -> Result<ValueListItem, ApiError> {
    let id = id::new(id::prefix::VALUE_LIST_ITEM);
    let sealed = call
        .app
        .vault
        .seal(PURPOSE, &id, value.as_bytes())
        .map_err(ApiError::internal)?;
    Ok(ValueListItem {
        book_id: call.book_id(),
        id,
        version: 1,
        list_id: list.id.clone(),
        subject: stored(subject),
        value: Sealed(sealed),
        deleted: false,
        expires_at,
        created_at: call.at,
    })
}

/// The value that was given.
pub fn value(call: &Call, item: &ValueListItem) -> Result<String, ApiError> {
    let plain = call
        .app
        .vault
        .unseal(PURPOSE, &item.id, &item.value.0)
        .map_err(ApiError::internal)?;
    String::from_utf8(plain.to_vec()).map_err(ApiError::internal)
}

/// As the column `subject` has it.
pub fn stored(subject: Subject) -> String {
    serde_json::to_string(&subject).unwrap_or_default() // a subject is a word and a number or an address
}

/// The list with this id, or with this alias if it is a built-in one, which then may not be stored yet: the flag says so.
pub async fn find(call: &Call, reference: &str) -> Result<Option<(ValueList, bool)>, ApiError> {
    let client = call.app.reads.get().await?;
    if id::is_valid(id::prefix::VALUE_LIST, reference) {
        let list: Option<ValueList> = store::get(&**client, call.book_id(), reference).await?;
        return Ok(list.filter(|list| !list.deleted).map(|list| (list, true)));
    }
    let Some((alias, kind)) = BUILT_IN.iter().find(|(alias, _)| *alias == reference) else {
        return Ok(None);
    };
    let known: Vec<ValueList> = store::by(&**client, call.book_id(), "alias", alias, 10).await?;
    if let Some(list) = known.into_iter().find(|list| !list.deleted) {
        return Ok(Some((list, true)));
    }
    let item_type = ItemType::ALL
        .into_iter()
        .find(|(_, item_type)| item_type.kind() == *kind);
    Ok(item_type.map(|(_, item_type)| (new_list(call, alias, alias, item_type), false)))
}

/// A new row.
pub fn new_list(call: &Call, alias: &str, name: &str, item_type: ItemType) -> ValueList {
    ValueList {
        book_id: call.book_id(),
        id: id::new(id::prefix::VALUE_LIST),
        version: 1,
        alias: alias.to_owned(),
        name: name.to_owned(),
        item_type,
        deleted: false,
        created_at: call.at,
        details: ValueListDetails::default(),
    }
}

/// The item of this list that stands for this subject.
pub async fn on_list(call: &Call, list_id: &str, subject: Subject) -> Result<Option<ValueListItem>, ApiError> {
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM risk.value_list_item t
             WHERE book_id = $1 AND list_id = $2 AND subject = $3 AND NOT deleted",
            &[
                (&call.book_id(), Type::INT8),
                (&list_id, Type::TEXT),
                (&stored(subject), Type::TEXT),
            ],
        )
        .await?;
    rows.first().map(store::row).transpose().map_err(ApiError::from)
}

/// The newest ten items of each of these lists.
pub async fn first_items(call: &Call, list_ids: &[&str]) -> Result<Vec<ValueListItem>, ApiError> {
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM unnest($2::text[]) AS l(id) CROSS JOIN LATERAL (
                 SELECT * FROM risk.value_list_item i WHERE i.book_id = $1 AND i.list_id = l.id AND NOT i.deleted
                 ORDER BY i.id DESC LIMIT 11) t",
            &[(&call.book_id(), Type::INT8), (&list_ids, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(|row| store::row(row).map_err(ApiError::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised_and_wrong_ones_refused() {
        let kept = |item_type, value| subject(item_type, value).map(|(_, kept)| kept);
        assert_eq!(kept(ItemType::Email, " A@Example.ORG ").as_deref(), Ok("a@example.org"));
        assert_eq!(
            subject(ItemType::Email, "A@example.org"),
            subject(ItemType::Email, "a@EXAMPLE.org")
        );
        assert_eq!(kept(ItemType::IpAddress, "::ffff:10.0.0.1").as_deref(), Ok("10.0.0.1"));
        assert_eq!(
            subject(ItemType::CardBin, "424242").map(|(subject, _)| subject),
            Ok(Subject::Bin(424_242))
        );
        for (item_type, wrong) in [
            (ItemType::Email, "example.org"),
            (ItemType::Email, "@example.org"),
            (ItemType::CardBin, "42424"),
            (ItemType::CardBin, "4242424242424242"),
            (ItemType::CardBin, "+42424"),
            (ItemType::IpAddress, "10.0.0.0/8"),
            (ItemType::CustomerId, "acct_1"),
            (ItemType::CardFingerprint, "a b"),
            (ItemType::Device, ""),
            (ItemType::Device, "a\u{0}"),
        ] {
            assert!(subject(item_type, wrong).is_err(), "{wrong}");
        }
    }
}
