//! Examples: each object of the document gets one that fits its schema, made from the schema, so that none can go stale.

use serde_json::{Map, Value, json};

/// Gives every object an example, and each answer that has none the one of its object.
pub(super) fn fill(document: &mut Value) {
    let schemas = document["components"]["schemas"].take();
    let mut with_examples = schemas.clone();
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        with_examples[name]["examples"] = json!([of(schema, &schemas)]);
    }
    for operation in document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut())
    {
        for operation in operation
            .as_object_mut()
            .into_iter()
            .flat_map(|methods| methods.values_mut())
        {
            let media = operation["responses"]["200"]["content"].get_mut("application/json");
            if let Some(content) = media {
                content["example"] = of(&content["schema"], &schemas);
            }
        }
    }
    document["components"]["schemas"] = with_examples;
}

/// A value that fits the schema: the first of its examples or words, and null where nothing better is known.
fn of(schema: &Value, schemas: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
        return of(&schemas[name], schemas);
    }
    let known = [&schema["const"], &schema["examples"][0], &schema["enum"][0]];
    if let Some(known) = known.into_iter().find(|known| !known.is_null()) {
        return known.clone();
    }
    if schema["anyOf"].is_array() {
        return of(&schema["anyOf"][0], schemas);
    }
    let kind = &schema["type"];
    match kind.as_str().or_else(|| kind[0].as_str()) {
        _ if kind[1] == "null" => Value::Null,
        Some("object") => {
            let required = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            let fields: Map<String, Value> = required
                .map(|name| (name.to_owned(), of(&schema["properties"][name], schemas)))
                .collect();
            fields.into()
        }
        Some("array") if schema["items"].is_object() => json!([of(&schema["items"], schemas)]),
        Some("array") => json!([]),
        Some("boolean") => false.into(),
        Some("integer") => schema["minimum"].as_i64().unwrap_or(0).into(),
        Some("string") => "text".into(),
        _ => Value::Null,
    }
}
