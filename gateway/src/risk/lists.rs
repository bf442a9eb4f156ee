//! Lists that people keep: what may be on one, how it is compared, and how it is kept.
//!
//! Lists are made here, and values put on them and taken off, for the API and for commands alike. A value is normalised (an
//! e-mail address in lower case), compared as the hash that the scorer sees, and kept sealed for whoever asks for it. It must
//! never be found twice on one list.

use super::rows::{ItemType, ValueList, ValueListDetails, ValueListItem};
use crate::api::error::{ApiError, shown};
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::store;
use crate::webhook::endpoint::Sealed;
use crate::{id, wire};
use anomaly::{BUILT_IN, Subject, key};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use tokio_postgres::types::Type;

/// Lists of one merchant, besides the built-in ones.
pub const LISTS_MAX: i64 = 100;
/// Items of one merchant on all lists: every process keeps them in memory.
pub const ITEMS_MAX: i64 = 100_000;
const RETRIES: usize = 20;
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

/// Makes a list.
pub async fn create(
    call: &Call,
    alias: &str,
    name: &str,
    item_type: ItemType,
    metadata: BTreeMap<String, Option<String>>,
) -> Result<Answer, ApiError> {
    check_alias(alias)?;
    if let Some((_, kind)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == alias)
        && *kind != item_type.kind()
    {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "item_type",
            format!("The list {alias} exists already, for other items."),
        ));
    }
    within(call, "value_list", LISTS_MAX, "lists").await?;
    let mut list = new_list(call, alias, name, item_type);
    merge_metadata(&mut list.details.metadata, metadata);
    let answer = Answer::ok(&wire::value_list(&list, Vec::new(), false));
    let unit = Unit::new(call.book_id()).insert(&list);
    match call.app.commit(claim(call, unit, &list.id, Some(&answer))).await {
        Err(Refused::Conflict { .. }) => Err(ApiError::invalid(
            "value_list_exists",
            "alias",
            format!("There is a list with the alias {alias} already."),
        )),
        done => done.map(|()| answer).map_err(ApiError::from),
    }
}

/// Puts a value on a list. One that is on it already with an end gets the new one; one without an end is refused.
pub async fn put(call: &Call, reference: &str, value: &str, expires_at: Option<Timestamp>) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let Some((list, stored)) = find(call, reference).await? else {
            return Err(ApiError::not_found("value list", reference, "value_list"));
        };
        let (subject, kept) = subject(list.item_type, value).map_err(|why| {
            ApiError::invalid(
                "parameter_invalid_value",
                "value",
                format!("Not a value for this list: {why}."),
            )
        })?;
        let mut unit = Unit::new(call.book_id());
        if !stored {
            unit = unit.insert(&list);
        }
        let item = match on_list(call, &list.id, subject).await? {
            Some(item) if item.expires_at.is_none() => {
                return Err(ApiError::invalid(
                    "value_list_item_exists",
                    "value",
                    format!("This value is on the list already ({}).", item.id),
                ));
            }
            Some(mut item) => {
                item.expires_at = expires_at;
                unit = unit.update(&mut item);
                item
            }
            None => {
                within(call, "value_list_item", ITEMS_MAX, "items on lists").await?;
                let item = item(call, &list, subject, &kept, expires_at)?;
                unit = unit.insert(&item);
                item
            }
        };
        let answer = Answer::ok(&wire::value_list_item(
            &item.id,
            &list.id,
            &kept,
            item.created_at,
            item.expires_at,
        ));
        match call.app.commit(claim(call, unit, &item.id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

/// Takes an item off its list.
pub async fn remove(call: &Call, item_id: &str) -> Result<Answer, ApiError> {
    for _ in 0..RETRIES {
        let mut item = load_item(call, item_id).await?;
        item.deleted = true;
        let unit = Unit::new(call.book_id()).update(&mut item);
        match call.app.commit(claim(call, unit, item_id, None)).await {
            Err(Refused::Conflict { .. }) => continue,
            done => done.map_err(ApiError::from)?,
        }
        let gone = json!({"id": item_id, "object": "radar.value_list_item", "deleted": true});
        return Ok(Answer::ok(&gone));
    }
    Err(Refused::conflict().into())
}

/// This merchant's item, if it is still on its list.
pub async fn load_item(call: &Call, item_id: &str) -> Result<ValueListItem, ApiError> {
    let found: Option<ValueListItem> = if id::is_valid(id::prefix::VALUE_LIST_ITEM, item_id) {
        let client = call.app.reads.get().await?;
        store::get(&**client, call.book_id(), item_id).await?
    } else {
        None
    };
    found
        .filter(|item| !item.deleted)
        .ok_or_else(|| ApiError::not_found("value list item", item_id, "item"))
}

/// As the API tells it: with the value.
pub fn rendered(call: &Call, item: &ValueListItem) -> Result<Value, ApiError> {
    let value = self::value(call, item)?;
    Ok(wire::value_list_item(
        &item.id,
        &item.list_id,
        &value,
        item.created_at,
        item.expires_at,
    ))
}

/// A list with how many items are on it.
pub struct Counted {
    /// by which rules ask
    pub alias: String,
    /// what it holds
    pub item_type: ItemType,
    /// not deleted, and not over
    pub items: i64,
}

/// All lists of the call's merchant by alias, the built-in ones too.
pub async fn all(call: &Call) -> Result<Vec<Counted>, ApiError> {
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT l.alias, l.item_type, count(i.id) FROM risk.value_list l
             LEFT JOIN risk.value_list_item i ON i.book_id = l.book_id AND i.list_id = l.id AND NOT i.deleted
                 AND (i.expires_at IS NULL OR i.expires_at > $2)
             WHERE l.book_id = $1 AND NOT l.deleted GROUP BY l.alias, l.item_type",
            &[(&call.book_id(), Type::INT8), (&call.at, Type::TIMESTAMPTZ)],
        )
        .await?;
    let mut lists = Vec::with_capacity(rows.len() + BUILT_IN.len());
    for row in &rows {
        lists.push(Counted {
            alias: row.try_get(0)?,
            item_type: ItemType::named(row.try_get(1)?)
                .ok_or_else(|| ApiError::internal("a list of no known items"))?,
            items: row.try_get(2)?,
        });
    }
    for (alias, kind) in BUILT_IN {
        let item_type = ItemType::ALL.into_iter().map(|(_, item_type)| item_type);
        if let Some(item_type) = item_type.into_iter().find(|item_type| item_type.kind() == *kind)
            && !lists.iter().any(|list: &Counted| list.alias == *alias)
        {
            lists.push(Counted {
                alias: (*alias).to_owned(),
                item_type,
                items: 0,
            });
        }
    }
    lists.sort_by(|a, b| a.alias.cmp(&b.alias));
    Ok(lists)
}

/// The items of a list as the API tells them, newest first.
pub async fn items(call: &Call, reference: &str) -> Result<Vec<Value>, ApiError> {
    let Some((list, _)) = find(call, reference).await? else {
        return Err(ApiError::not_found("value list", reference, "value_list"));
    };
    let client = call.app.reads.get().await?;
    let rows = client
        .query_typed(
            "SELECT row_to_json(t)::text FROM risk.value_list_item t
             WHERE book_id = $1 AND list_id = $2 AND NOT deleted ORDER BY id DESC",
            &[(&call.book_id(), Type::INT8), (&list.id, Type::TEXT)],
        )
        .await?;
    rows.iter().map(|row| rendered(call, &store::row(row)?)).collect()
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

/// The list with this id or alias; a built-in one may not be stored yet: the flag says so.
pub async fn find(call: &Call, reference: &str) -> Result<Option<(ValueList, bool)>, ApiError> {
    let client = call.app.reads.get().await?;
    if id::is_valid(id::prefix::VALUE_LIST, reference) {
        let list: Option<ValueList> = store::get(&**client, call.book_id(), reference).await?;
        return Ok(list.filter(|list| !list.deleted).map(|list| (list, true)));
    }
    let known: Vec<ValueList> = store::by(&**client, call.book_id(), "alias", reference, 10).await?;
    if let Some(list) = known.into_iter().find(|list| !list.deleted) {
        return Ok(Some((list, true)));
    }
    let Some((alias, kind)) = BUILT_IN.iter().find(|(alias, _)| *alias == reference) else {
        return Ok(None);
    };
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

async fn within(call: &Call, table: &'static str, most: i64, what: &str) -> Result<(), ApiError> {
    let client = call.app.reads.get().await?;
    let sql = format!("SELECT count(*) FROM risk.{table} WHERE book_id = $1 AND NOT deleted");
    let rows = client.query_typed(&sql, &[(&call.book_id(), Type::INT8)]).await?;
    let count: i64 = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    if count < most {
        return Ok(());
    }
    Err(ApiError::invalid(
        "value_list_limit",
        "",
        format!("An account has at most {most} {what}: delete what is not in use."),
    ))
}

fn check_alias(alias: &str) -> Result<(), ApiError> {
    let fits = alias.len() <= 100
        && alias
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && alias.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if fits {
        return Ok(());
    }
    Err(ApiError::invalid(
        "parameter_invalid_value",
        "alias",
        format!(
            "An alias is lower-case letters, digits and underscores, a letter first, at most 100: {}.",
            shown(alias)
        ),
    ))
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
