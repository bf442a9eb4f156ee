//! The OpenAPI document, put together from the route table and the descriptions.

use super::super::{ROUTES, Route};
use super::operation::{Operation, error};
use super::schema::{self, Fields, Schema};
use super::{OBJECTS, sample};
use crate::auth::Access;
use serde_json::{Map, Value, json};

/// The whole API as OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path.to_owned()).or_insert_with(|| json!({}));
        path[route.method.to_ascii_lowercase()] = operation(route);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Counterfoil",
            "version": crate::wire::API_VERSION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": ABOUT,
        },
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "servers": [{ "url": "/" }],
        "tags": tags(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": { "type": "http", "scheme": "bearer", "description": "A secret or restricted key." },
                "basic": { "type": "http", "scheme": "basic", "description": "The key as the user name, without a password." },
            },
            "parameters": headers(),
            "responses": refusals(),
            "schemas": schemas(),
        },
    });
    sample::fill(&mut document);
    document
}

/// The tag of a route: the resource, first word of its path after the version.
pub(super) fn tag(path: &str) -> &str {
    path.split('/').nth(2).unwrap_or_default()
}

fn operation(route: &Route) -> Value {
    let described = (route.describe)();
    let right = right(route);
    let about = [
        described.about,
        &format!(
            "Needs a secret key{}, or a restricted one with `{right}`.",
            if route.platform { " of the platform" } else { "" }
        ),
    ]
    .join("\n\n")
    .trim()
    .to_owned();
    let mut parameters: Vec<Value> = vec![json!({ "$ref": "#/components/parameters/Stripe-Account" })];
    for name in names_in(route.path) {
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema::text_up_to(255).0 }));
    }
    let mut operation = json!({
        "operationId": route.name,
        "tags": [tag(route.path)],
        "summary": described.summary,
        "description": about,
        "security": [{ "key": [right] }, { "basic": [right] }],
    });
    let Operation {
        takes,
        gives,
        example,
        declines,
        files,
        multipart,
        ..
    } = described;
    if route.method == "POST" {
        parameters.push(json!({ "$ref": "#/components/parameters/Idempotency-Key" }));
        operation["requestBody"] = if multipart { parts(takes) } else { body(takes, example) };
    } else {
        parameters.extend(
            takes
                .each()
                .map(|(name, schema, required)| query(&name, schema, required)),
        );
        parameters.push(query("expand[]", expand().0, false));
    }
    operation["parameters"] = parameters.into();
    let mut success =
        json!({ "description": "Done.", "headers": told(), "content": { "application/json": { "schema": gives } } });
    for media in files {
        success["content"][media] = json!({ "schema": { "type": "string" } });
    }
    let mut responses = Map::from_iter([("200".to_owned(), success)]);
    for (status, ..) in REFUSALS {
        let fits = match *status {
            "402" => declines,
            "404" => route.path.contains('{') || route.method == "POST" || route.path != "/v1/account",
            "408" | "409" | "413" | "415" => route.method == "POST",
            _ => true,
        };
        if fits {
            responses.insert(
                (*status).to_owned(),
                json!({ "$ref": format!("#/components/responses/{status}") }),
            );
        }
    }
    operation["responses"] = responses.into();
    operation
}

/// `refunds:write`, the scope that a restricted key must have.
pub(super) fn right(route: &Route) -> String {
    let access = if route.access == Access::Read { "read" } else { "write" };
    format!("{}:{access}", route.scope.as_str())
}

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn query(name: &str, mut schema: Value, required: bool) -> Value {
    let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({ "name": name, "in": "query", "required": required, "schema": schema });
    if let Some(about) = about {
        parameter["description"] = about;
    }
    parameter
}

/// The body of a POST: one schema, two encodings. In a form a group is `group[name]=`, a list `list[0]=`.
fn body(takes: Fields, example: Option<Value>) -> Value {
    let needed = takes.clone().each().any(|(.., required)| required);
    let schema = takes
        .field(
            "expand",
            expand(),
            "Ids in the answer to be replaced by the objects they name.",
        )
        .parameters();
    let groups = |schema: &Value| {
        let text = schema.to_string();
        text.contains(r#""object""#) || text.contains(r#""array""#)
    };
    let encoding: Map<String, Value> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, schema)| groups(schema))
        .map(|(name, _)| (name.clone(), json!({ "style": "deepObject", "explode": true })))
        .collect();
    let mut form = json!({ "schema": schema });
    if !encoding.is_empty() {
        form["encoding"] = encoding.into();
    }
    let mut json = json!({ "schema": schema });
    if let Some(example) = example {
        form["example"] = example.clone();
        json["example"] = example;
    }
    json!({ "required": needed, "content": { "application/x-www-form-urlencoded": form, "application/json": json } })
}

/// The body of an upload.
fn parts(takes: Fields) -> Value {
    let mut schema = takes.parameters();
    schema["properties"]["file"] = json!({ "type": "string", "contentMediaType": "application/octet-stream" });
    json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } })
}

fn expand() -> Schema {
    schema::list(schema::expandable_path())
}

fn schemas() -> Value {
    let mut schemas: Map<String, Value> = OBJECTS
        .iter()
        .map(|object| object())
        .map(|o| (o.name.to_owned(), o.schema))
        .collect();
    schemas.insert("error".into(), error());
    schemas.into()
}

fn tags() -> Value {
    let mut names: Vec<&str> = ROUTES.iter().map(|route| tag(route.path)).collect();
    names.dedup();
    let mut tags: Vec<Value> = Vec::new();
    for name in names {
        if !tags.iter().any(|tag| tag["name"] == name) {
            tags.push(json!({ "name": name }));
        }
    }
    tags.into()
}

fn headers() -> Value {
    json!({
        "Stripe-Account": {
            "name": "Stripe-Account", "in": "header", "required": false, "schema": schema::text_up_to(255).0,
            "description": "The merchant that a platform's key acts for.",
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!#-~]+$" },
            "description": "Retries with the same key and parameters have one effect and get the first answer, byte for byte.",
        },
    })
}

/// Headers of every answer of a route.
fn told() -> Value {
    let text = |about: &str| json!({ "description": about, "schema": { "type": "string" } });
    json!({
        "Request-Id": text("Names this request in logs and in support."),
        "Stripe-Version": text("The version of this description."),
        "RateLimit": text("What the key may still ask for, and when it is full again (seconds)."),
        "RateLimit-Policy": text("What the key may ask for."),
        "Counterfoil-Latency": text("Our own time, without the acquirer's."),
    })
}

/// Status and meaning of what is not a success.
const REFUSALS: &[(&str, &str)] = &[
    (
        "400",
        "The request is wrong and will stay wrong: `param` names the parameter, `message` says what to do.",
    ),
    (
        "401",
        "No API key, a wrong or ended one, or a signature or certificate that does not fit it.",
    ),
    ("402", "The card was declined."),
    (
        "403",
        "The key is good and lacks the right, or the account is not one it may act for.",
    ),
    ("404", "There is no such object for this merchant."),
    ("408", "The body did not arrive in time; nothing was done."),
    (
        "409",
        "A request with the same idempotency key or on the same object is at work. Try again.",
    ),
    ("413", "The body is too large."),
    ("414", "Path and query are too long."),
    ("415", "A compressed body. Send it as it is."),
    ("429", "Too many requests: wait as long as `Retry-After` says."),
    ("431", "The header fields are too large or too many."),
    (
        "500",
        "Our fault. A POST may be repeated with the same idempotency key.",
    ),
    ("503", "Nothing was accepted. Try again after `Retry-After`."),
    (
        "504",
        "There is no answer in time, and the outcome is not known. Repeat the request with the same idempotency key.",
    ),
];

fn refusals() -> Value {
    let error = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/error" } } });
    let waiting = json!({ "Retry-After": { "description": "Seconds.", "schema": { "type": "integer" } } });
    let all = REFUSALS.iter().map(|(status, about)| {
        let mut response = json!({ "description": about, "content": error });
        if matches!(*status, "429" | "503") {
            response["headers"] = waiting.clone();
        }
        ((*status).to_owned(), response)
    });
    Value::Object(all.collect())
}

const ABOUT: &str = "A payment gateway with its books, in the shape of Stripe's API v1: the official SDKs work with only \
the base URL changed.\n\n\
Parameters are sent as a form (`application/x-www-form-urlencoded`, groups as `card[number]=`, lists as `expand[0]=` or \
`expand[]=`) or as JSON. Nothing is coerced or guessed: an unknown parameter, a duplicate, a decimal where a whole number \
belongs and a card number outside of `card[number]` are refused by name. A parameter that is sent empty or null is unset.\n\n\
Amounts are whole numbers of minor units; times are Unix seconds. Every field of an object is always there, null when empty. \
`expand[]` replaces ids in an answer by the objects they name, up to four levels deep.\n\n\
Every POST may carry an `Idempotency-Key`. A request that was not answered is repeated with the same key.";
