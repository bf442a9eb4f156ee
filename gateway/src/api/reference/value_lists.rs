//! `/v1/radar/value_lists` and their items described.

use super::operation::Operation;
use super::schema::*;
use serde_json::json;

const ITEM_TYPES: &[&str] = &[
    "card_fingerprint",
    "card_bin",
    "customer_id",
    "email",
    "ip_address",
    "device",
];

pub(in crate::api) fn create() -> Operation {
    Operation::new("Create a value list", "radar.value_list")
        .takes(
            Fields::new()
                .required("alias", text(), "What rules call it: `card in lists.alias`.")
                .required("item_type", choice(ITEM_TYPES), "What it holds.")
                .required("name", text(), "For people.")
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(json!({ "alias": "regulars", "item_type": "email", "name": "Regular customers" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List value lists", "radar.value_list").takes(Fields::new().field(
        "alias",
        text(),
        "With this alias.",
    ))
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a value list", "radar.value_list")
}

pub(in crate::api) fn update() -> Operation {
    Operation::new("Update a value list", "radar.value_list").takes(
        Fields::new()
            .field("name", text(), "For people.")
            .field("metadata", metadata(), "Own keys and values."),
    )
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("Delete a value list", "deleted_radar.value_list").about("Not while a rule of yours asks about it.")
}

pub(in crate::api) fn create_item() -> Operation {
    Operation::new("Add a value to a list", "radar.value_list_item")
        .about("In force everywhere within 5 seconds. A value that is on the list until some time gets the new end.")
        .takes(
            Fields::new()
                .required(
                    "value_list",
                    text().example("ip_address_blocklist"),
                    "A list's id, or the alias of a built-in one.",
                )
                .required("value", text(), "Of the list's item_type.")
                .field(
                    "expires_at",
                    moment_asked(),
                    "When it stops counting; never when not given. Ours.",
                ),
        )
        .example(json!({ "value_list": "ip_address_blocklist", "value": "192.0.2.17" }))
}

pub(in crate::api) fn index_items() -> Operation {
    Operation::list("List values of a list", "radar.value_list_item").takes(
        Fields::new()
            .required("value_list", text(), "A list's id, or the alias of a built-in one.")
            .field("value", text(), "This value alone."),
    )
}

pub(in crate::api) fn retrieve_item() -> Operation {
    Operation::new("Retrieve a value of a list", "radar.value_list_item")
}

pub(in crate::api) fn delete_item() -> Operation {
    Operation::new("Take a value off a list", "deleted_radar.value_list_item")
}

pub(in crate::api) fn value_list() -> Object {
    let items = Fields::new()
        .field("object", always("list"), "")
        .field("data", list(object("radar.value_list_item")), "The newest ten.")
        .field("has_more", boolean(), "")
        .field("url", text(), "");
    Object::new(
        "radar.value_list",
        "Who is blocked, trusted or watched.",
        Fields::new()
            .field("id", id("rsl"), "")
            .field("alias", text(), "")
            .field("created", moment(), "")
            .field("created_by", text().or_null(), "")
            .field("item_type", choice(ITEM_TYPES), "")
            .field("list_items", part(items), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("name", text(), ""),
    )
}

pub(in crate::api) fn value_list_item() -> Object {
    Object::new(
        "radar.value_list_item",
        "A value on a list.",
        Fields::new()
            .field("id", id("rsli"), "")
            .field("created", moment(), "")
            .field("created_by", text().or_null(), "")
            .field("expires_at", moment().or_null(), "When it stops counting. Ours.")
            .field("livemode", boolean(), "")
            .field("value", text(), "")
            .field("value_list", id("rsl"), ""),
    )
}

pub(in crate::api) fn deleted_value_list() -> Object {
    let fields = Fields::new()
        .field("id", id("rsl"), "")
        .field("deleted", always(true), "");
    Object::under(
        "deleted_radar.value_list",
        "radar.value_list",
        "A list that was deleted.",
        fields,
    )
}

pub(in crate::api) fn deleted_value_list_item() -> Object {
    let fields = Fields::new()
        .field("id", id("rsli"), "")
        .field("deleted", always(true), "");
    Object::under(
        "deleted_radar.value_list_item",
        "radar.value_list_item",
        "A value that was taken off its list.",
        fields,
    )
}
