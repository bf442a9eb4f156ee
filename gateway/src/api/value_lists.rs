//! `/v1/radar/value_lists` and their items: who is blocked, trusted, watched. Rules ask about them: `card in lists.alias`.
//!
//! A list that an active rule asks about cannot be deleted: the rule would be left out.

use super::error::ApiError;
use super::input::{In, Reply, RiskRead, RiskWrite};
use super::list;
use crate::call::{Answer, Call};
use crate::commit::{Refused, Unit};
use crate::payment::flow::{claim, merge_metadata};
use crate::payment::store::Filter;
use crate::risk::lists;
use crate::risk::rows::{ItemType, ValueList, ValueListItem};
use crate::{id, wire};
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
    let item_type = ItemType::named(&item_type).ok_or_else(|| ApiError::missing("item_type"))?;
    input
        .run(|call| async move { lists::create(call, &alias, &name, item_type, metadata.unwrap_or_default()).await })
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
            let shown = own.iter().take(10).map(|item| lists::rendered(call, item));
            Ok(wire::value_list(
                list,
                shown.collect::<Result<_, ApiError>>()?,
                own.len() > 10,
            ))
        })
        .collect()
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
    input.run(|call| lists::put(call, &reference, &value, expires_at)).await
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
        .map(|item| lists::rendered(call, item))
        .collect::<Result<_, _>>()?;
    list::of(call, "/v1/radar/value_list_items", data, more).await
}

pub(super) async fn retrieve_item(Path(id): Path<String>, mut input: In<RiskRead>) -> Reply {
    input.take().finish()?;
    let item = lists::load_item(&input.call, &id).await?;
    Ok(Answer::ok(&lists::rendered(&input.call, &item)?))
}

pub(super) async fn delete_item(Path(id): Path<String>, mut input: In<RiskWrite>) -> Reply {
    input.take().finish()?;
    lists::remove(&input.call, &id).await
}

fn not_deleted() -> Filter {
    Filter {
        condition: "deleted = ",
        value: Box::new(false),
        r#type: Type::BOOL,
    }
}
