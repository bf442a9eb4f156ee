//! The API's description, and every answer held against it: status, and body by its schema.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Answer;

/// The OpenAPI document of the program that these tests were built with.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(gateway::api::reference::document);

/// Compiled schemas by where they are in the document; parsing them for each answer would take longer than the answer.
static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// Panics unless the answer of a described route is as its description says.
#[track_caller]
pub(crate) fn hold(method: &str, url: &str, answer: &Answer) {
    let Some((template, operation)) = operation(method, path_of(url)) else {
        return;
    };
    let help = "say it in gateway/src/api/reference";
    let responses = &operation["responses"];
    let response = &responses[answer.status.to_string()];
    assert!(
        response.is_object(),
        "{method} {template} may answer {}: {help}\n{answer}",
        answer.status
    );
    let response = match response["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).expect("a response"),
        None => response,
    };
    let media = answer.header("content-type").split(';').next().unwrap_or_default();
    if media != "application/json" {
        assert!(
            response["content"][media].is_object(),
            "{method} {template} may answer {media}: {help}\n{answer}"
        );
        return;
    }
    let faults = faults(&response["content"]["application/json"]["schema"], &answer.json);
    assert!(
        faults.is_empty(),
        "{method} {template}, {}: {help}\n{}\n{answer}",
        answer.status,
        faults.join("\n")
    );
}

/// Where a value does not fit a schema of the document.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let validator = compiled(schema);
    validator
        .iter_errors(value)
        .map(|fault| format!("    {}: {fault}", fault.instance_path()))
        .collect()
}

/// The route that a path belongs to, fixed words before parameters.
pub fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template
                .iter()
                .zip(&parts)
                .all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    let operation = |methods: &'static Value| methods.get(method.to_ascii_lowercase());
    found
        .into_iter()
        .find_map(|(template, methods)| Some((template.as_str(), operation(methods)?)))
}

fn compiled(schema: &Value) -> Arc<Validator> {
    let name = schema.to_string();
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let compile = || {
        let whole = json!({ "allOf": [schema], "components": DOCUMENT["components"] });
        Arc::new(jsonschema::draft202012::new(&whole).expect("a JSON Schema"))
    };
    compiled.entry(name).or_insert_with(compile).clone()
}

fn path_of(url: &str) -> &str {
    let path = url
        .splitn(4, '/')
        .nth(3)
        .map_or("", |_| &url[url.match_indices('/').nth(2).map_or(0, |(at, _)| at)..]);
    path.split(['?', '#']).next().unwrap_or_default()
}
