//! `/v1/radar/value_lists` and their items: who is blocked, trusted, watched. Rules ask about them: `card in lists.alias`.
//!
//! A list that an active rule asks about cannot be deleted: the rule would be left out.

use super::error::{ApiError, shown};
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::list;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::store::{self, Filter};
use crate::risk::lists::{self, ITEMS_MAX, LISTS_MAX};
use crate::risk::rows::{ItemType, ValueList, ValueListItem};
use crate::{id, wire};
use anomaly::BUILT_IN;
use axum::extract::Path;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::types::Type;

const RETRIES: usize = 20;

pub(super) async fn create(mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let alias = params.required_text("alias")?;
    let name = params.required_text("name")?;
    let words = ItemType::ALL.map(|(word, _)| word);
    let item_type = params
        .choice("item_type", &words)?
        .ok_or_else(|| ApiError::missing("item_type"))?;
    let metadata = params.metadata("metadata")?;
    params.finish()?;
    check_alias(&alias)?;
    let item_type = ItemType::ALL
        .into_iter()
        .find(|(word, _)| *word == item_type)
        .map_or(ItemType::Device, |(_, item_type)| item_type);
    if let Some((_, kind)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == alias)
        && *kind != item_type.kind()
    {
        return Err(ApiError::invalid(
            "parameter_invalid_value",
            "item_type",
            format!("The list {alias} exists already, for other items."),
        ));
    }
    input
        .run(|call| async move {
            within(call, "value_list", LISTS_MAX, "lists").await?;
            let mut list = lists::new_list(call, &alias, &name, item_type);
            merge_metadata(&mut list.details.metadata, metadata.unwrap_or_default());
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
        })
        .await
}

pub(super) async fn index(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = vec![not_deleted()];
    list::created(&mut params, &mut filters)?;
    if let Some(alias) = params.text("alias")? {
        filters.push(list::equals("alias = ", alias));
    }
    params.finish()?;
    let call = &input.call;
    let (rows, more) = list::rows::<ValueList>(call, &page, &filters).await?;
    list::of(call, "/v1/radar/value_lists", rendered(call, &rows).await?, more).await
}

pub(super) async fn retrieve(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let list = load(&input.call, &id).await?;
    answer(&input.call, &list).await
}

pub(super) async fn update(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let name = params.text("name")?;
    let metadata = params.metadata("metadata")?;
    params.finish()?;
    let change = |list: &mut ValueList| {
        if let Some(name) = &name {
            list.name.clone_from(name);
        }
        if let Some(change) = &metadata {
            merge_metadata(&mut list.details.metadata, change.clone());
        }
    };
    input.run(|call| modify(call, &id, change)).await
}

pub(super) async fn delete(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    let list = load(call, &id).await?;
    let asked = format!("lists.{}", list.alias);
    let rules = crate::risk::rules::all(call).await?;
    if let Some((rule, _)) = rules
        .iter()
        .find(|(rule, shipped)| !shipped && rule.condition.contains(&asked))
    {
        return Err(ApiError::invalid(
            "value_list_in_use",
            "value_list",
            format!("The rule {} asks about this list: change the rule first.", rule.name),
        ));
    }
    modify(call, &id, |list| list.deleted = true).await?;
    Ok(Answer::ok(
        &json!({"id": id, "object": "radar.value_list", "deleted": true}),
    ))
}

async fn modify(call: &Call, list_id: &str, change: impl Fn(&mut ValueList)) -> Reply {
    for _ in 0..RETRIES {
        let mut list = load(call, list_id).await?;
        change(&mut list);
        let unit = Unit::new(call.book_id()).update(&mut list);
        let answer = answer(call, &list).await?;
        match call.app.commit(claim(call, unit, list_id, Some(&answer))).await {
            Err(Refused::Conflict { .. }) => continue,
            done => return done.map(|()| answer).map_err(ApiError::from),
        }
    }
    Err(Refused::conflict().into())
}

async fn load(call: &Call, list_id: &str) -> Result<ValueList, ApiError> {
    let found = if id::is_valid(id::prefix::VALUE_LIST, list_id) {
        lists::find(call, list_id).await?
    } else {
        None
    };
    found
        .map(|(list, _)| list)
        .ok_or_else(|| ApiError::not_found("value list", list_id, "value_list"))
}

async fn answer(call: &Call, list: &ValueList) -> Reply {
    let mut rendered = rendered(call, std::slice::from_ref(list)).await?;
    Ok(Answer::ok(&rendered.pop().unwrap_or_default()))
}

async fn rendered(call: &Call, rows: &[ValueList]) -> Result<Vec<Value>, ApiError> {
    let ids: Vec<&str> = rows.iter().map(|list| list.id.as_str()).collect();
    let items = lists::first_items(call, &ids).await?;
    rows.iter()
        .map(|list| {
            let own: Vec<&ValueListItem> = items.iter().filter(|item| item.list_id == list.id).collect();
            let shown = own.iter().take(10).map(|item| rendered_item(call, item));
            Ok(wire::value_list(
                list,
                shown.collect::<Result<_, ApiError>>()?,
                own.len() > 10,
            ))
        })
        .collect()
}

fn rendered_item(call: &Call, item: &ValueListItem) -> Result<Value, ApiError> {
    let value = lists::value(call, item)?;
    Ok(wire::value_list_item(
        &item.id,
        &item.list_id,
        &value,
        item.created_at,
        item.expires_at,
    ))
}

pub(super) async fn create_item(mut input: In<RiskWrite>) -> Reply {
    let mut params = input.take();
    let reference = params.required_text("value_list")?;
    let value = params.required_text("value")?;
    let expires_at = params.integer("expires_at")?;
    params.finish()?;
    let now = input.call.at;
    let expires_at = expires_at
        .map(|seconds| {
            Timestamp::from_second(seconds)
                .ok()
                .filter(|at| *at > now)
                .ok_or_else(|| {
                    ApiError::invalid(
                        "parameter_invalid_integer",
                        "expires_at",
                        "When the item stops counting: a moment in the future, in unix seconds.",
                    )
                })
        })
        .transpose()?;
    input.run(|call| put(call, &reference, &value, expires_at)).await
}

/// Puts a value on a list. One that is on it already with an end gets the new one; one without an end is refused.
async fn put(call: &Call, reference: &str, value: &str, expires_at: Option<Timestamp>) -> Reply {
    for _ in 0..RETRIES {
        let Some((list, stored)) = lists::find(call, reference).await? else {
            return Err(ApiError::not_found("value list", reference, "value_list"));
        };
        let (subject, kept) = lists::subject(list.item_type, value).map_err(|why| {
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
        let item = match lists::on_list(call, &list.id, subject).await? {
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
                let item = lists::item(call, &list, subject, &kept, expires_at)?;
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

pub(super) async fn index_items(mut input: In<RiskRead>) -> Reply {
    let mut params = input.take();
    let page = list::page(&mut params)?;
    let mut filters = vec![not_deleted()];
    list::created(&mut params, &mut filters)?;
    let reference = params.required_text("value_list")?;
    let value = params.text("value")?;
    params.finish()?;
    let call = &input.call;
    let Some((list, _)) = lists::find(call, &reference).await? else {
        return Err(ApiError::not_found("value list", &reference, "value_list"));
    };
    filters.push(list::equals("list_id = ", list.id));
    if let Some(value) = value {
        let subject = lists::subject(list.item_type, &value).map(|(subject, _)| lists::stored(subject));
        filters.push(list::equals("subject = ", subject.unwrap_or_default()));
    }
    let (rows, more) = list::rows::<ValueListItem>(call, &page, &filters).await?;
    let data = rows
        .iter()
        .map(|item| rendered_item(call, item))
        .collect::<Result<_, _>>()?;
    list::of(call, "/v1/radar/value_list_items", data, more).await
}

pub(super) async fn retrieve_item(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let item = load_item(&input.call, &id).await?;
    Ok(Answer::ok(&rendered_item(&input.call, &item)?))
}

pub(super) async fn delete_item(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    let call = &input.call;
    for _ in 0..RETRIES {
        let mut item = load_item(call, &id).await?;
        item.deleted = true;
        let unit = Unit::new(call.book_id()).update(&mut item);
        match call.app.commit(claim(call, unit, &id, None)).await {
            Err(Refused::Conflict { .. }) => continue,
            done => done.map_err(ApiError::from)?,
        }
        let gone = json!({"id": id, "object": "radar.value_list_item", "deleted": true});
        return Ok(Answer::ok(&gone));
    }
    Err(Refused::conflict().into())
}

async fn load_item(call: &Call, item_id: &str) -> Result<ValueListItem, ApiError> {
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

fn not_deleted() -> Filter {
    Filter {
        condition: "deleted = ",
        value: Box::new(false),
        r#type: Type::BOOL,
    }
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
