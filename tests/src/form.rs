//! Form bodies as the official SDKs encode them: `card[number]=..&expand[0]=..`.

use serde_json::Value;

/// A JSON object as a form: nested keys in brackets, lists indexed, null as the empty text that unsets.
pub fn encode(parameters: &Value) -> String {
    let mut pairs = Vec::new();
    if let Value::Object(fields) = parameters {
        for (name, value) in fields {
            flatten(name.clone(), value, &mut pairs);
        }
    }
    let encoded = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    encoded.collect::<Vec<_>>().join("&")
}

fn flatten(name: String, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (inner, value) in fields {
                flatten(format!("{name}[{inner}]"), value, pairs);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{name}[{index}]"), value, pairs);
            }
        }
        Value::Null => pairs.push((name, String::new())),
        Value::String(text) => pairs.push((name, text.clone())),
        other => pairs.push((name, other.to_string())),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'[' | b']' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
