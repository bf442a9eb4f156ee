//! The API's description is whole and true: every route is in it with what its handler reads and gives, it is served as JSON
//! and as a page, and an independent program finds no fault with it. That every answer fits it is checked where answers come
//! in, in `tests::description`, by all other tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use gateway::api::ROUTES;
use gateway::auth::Access;
use serde_json::Value;
use tests::description::{DOCUMENT, faults, operation};
use tests::{TestApp, workspace};

#[test]
fn every_route_is_described_with_its_right_and_its_refusals() {
    let mut ids = BTreeSet::new();
    for route in ROUTES {
        let what = format!("{} {}", route.method, route.path);
        let (template, described) = operation(route.method, route.path).expect(&what);
        assert_eq!(template, route.path);
        assert!(
            ids.insert(described["operationId"].as_str().expect("an id")),
            "{what}: its id is taken"
        );
        let access = if route.access == Access::Read { "read" } else { "write" };
        let right = format!("{}:{access}", route.scope.as_str());
        assert_eq!(described["security"][0]["key"][0], right.as_str(), "{what}");
        assert!(
            described["description"].as_str().expect("a text").contains(&right),
            "{what}"
        );
        let summary = described["summary"].as_str().expect("a summary");
        assert!(
            (5..60).contains(&summary.len()) && !summary.ends_with('.'),
            "{what}: {summary}"
        );
        for status in ["200", "400", "401", "403", "429", "500", "503"] {
            assert!(described["responses"][status].is_object(), "{what}: {status}");
        }
        let parameters = described["parameters"].as_array().expect("a list");
        let named = |place: &str| parameters.iter().filter(|p| p["in"] == place).count();
        assert_eq!(named("path"), route.path.matches('{').count(), "{what}");
        let media = described["requestBody"]["content"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        let expected = match (route.method, route.path) {
            ("POST", "/v1/files") => (1, false), // a file has one encoding
            ("POST", _) => (2, false),
            _ => (0, true),
        };
        assert_eq!((media, named("query") > 0), expected, "{what}");
    }
    let described = DOCUMENT["paths"]
        .as_object()
        .expect("paths")
        .values()
        .map(|methods| methods.as_object().expect("methods").len());
    assert_eq!(described.sum::<usize>(), ROUTES.len());
}

#[test]
fn references_lead_somewhere_and_examples_fit_their_schemas() {
    fn walk(value: &Value, wrong: &mut Vec<String>) {
        if let Some(reference) = value["$ref"].as_str()
            && DOCUMENT.pointer(reference.trim_start_matches('#')).is_none()
        {
            wrong.push(reference.to_owned());
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| walk(value, wrong)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, wrong)),
            _ => {}
        }
    }
    let mut wrong = Vec::new();
    walk(&DOCUMENT, &mut wrong);
    assert!(wrong.is_empty(), "lead nowhere: {wrong:?}");
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().expect("schemas") {
        let found = faults(schema, &schema["examples"][0]);
        assert!(
            found.is_empty(),
            "{name}:\n{}\n{:#}",
            found.join("\n"),
            schema["examples"][0]
        );
    }
    let mut with_examples = 0;
    for route in ROUTES {
        let (_, operation) = operation(route.method, route.path).expect("described");
        let answer = &operation["responses"]["200"]["content"]["application/json"];
        let body = &operation["requestBody"]["content"]["application/json"];
        for media in [answer, body] {
            if !media["example"].is_null() {
                let found = faults(&media["schema"], &media["example"]);
                assert!(found.is_empty(), "{}:\n{}", route.name, found.join("\n"));
                with_examples += 1;
            }
        }
    }
    assert!(
        with_examples > ROUTES.len(),
        "every answer has an example, and some requests"
    );
}

/// What a handler reads is a literal beside the reader's name; each must be in the description of its resource.
#[test]
fn every_parameter_that_a_handler_reads_is_described() {
    let folder = workspace().join("gateway/src/api");
    let mut described: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for route in ROUTES {
        let (resource, _) = route.name.split_once('.').expect("resource.handler");
        let (_, operation) = operation(route.method, route.path).expect("described");
        let names = described.entry(resource).or_default();
        for parameter in operation["parameters"].as_array().expect("a list") {
            names.extend(
                parameter["name"]
                    .as_str()
                    .map(|name| name.trim_end_matches("[]").to_owned()),
            );
        }
        collect(&operation["requestBody"], names);
    }
    let mut found = 0;
    for (resource, names) in &described {
        let source = fs::read_to_string(folder.join(format!("{resource}.rs"))).expect("a file for each resource");
        let source = source.split("#[cfg(test)]").next().expect("a part");
        for reader in [
            "text",
            "long_text",
            "text_change",
            "required_text",
            "choice",
            "integer",
            "amount",
            "boolean",
            "group",
            "texts",
            "metadata",
            "value",
        ] {
            for call in source.split(&format!(".{reader}(")).skip(1) {
                let Some(name) = call
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|rest| rest.split('"').next())
                else {
                    continue; // a variable: the list it runs over is elsewhere
                };
                found += 1;
                assert!(
                    names.contains(name),
                    "{resource}.rs reads {name:?}: describe it in reference/{resource}.rs"
                );
            }
        }
    }
    assert!(found > 60, "these are not all parameters: {found}");
}

fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        names.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| collect(value, names)),
        Value::Array(items) => items.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_served_to_anyone_as_json_and_as_a_page() {
    let app = TestApp::shared().await;
    let json = app.get("/openapi.json").no_key().send().await;
    assert_eq!((json.status, json.header("content-type")), (200, "application/json"));
    assert_eq!(json.json, *DOCUMENT);
    let page = app.get("/reference").no_key().send().await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.header("content-security-policy").starts_with("default-src 'none'"),
        "{:?}",
        page.headers
    );
    let html = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for route in ROUTES {
        assert!(
            html.contains(&format!("id=\"{}\"", route.name)),
            "{} is not on the page",
            route.name
        );
    }
    for from_elsewhere in ["<script", "src=", "http://", "@import", "url("] {
        assert!(!html.contains(from_elsewhere), "the page uses {from_elsewhere}");
    }
    assert_eq!(
        app.ops("GET", "/openapi.json").send().await.status,
        404,
        "on the operations listener"
    );
}
