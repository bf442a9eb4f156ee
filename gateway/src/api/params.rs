//! Parameters of a request: form or JSON bodies and queries become one tree, and a reader takes typed values out of it.
//!
//! Every refusal names the parameter in bracket form. Nothing is coerced: `100.0`, `1e3`, `" 100"`, a duplicate key, a
//! lone surrogate and an unknown parameter are refused, not guessed at. It must never keep more than the limits below.

mod json;
#[cfg(test)]
mod tests;

use super::error::{ApiError, shown};
use serde_json::Value;
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 8;
const MAX_FIELDS: usize = 1000;
const MAX_TEXT: usize = 5000;
/// Stripe's limit on amounts.
pub const MAX_AMOUNT: i64 = 99_999_999;

/// A parameter: text as sent, a number or boolean from JSON, or a group of parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// form value or JSON string
    Text(String),
    /// JSON integer
    Integer(i64),
    /// JSON number that is no 64-bit integer: whoever reads it refuses it, by its name
    OtherNumber,
    /// JSON boolean
    Bool(bool),
    /// JSON null, or an empty form value: "unset"
    Null,
    /// `a[b]=..`
    Map(BTreeMap<String, Node>),
    /// `a[0]=..`, `a[]=..`
    List(Vec<Node>),
}

/// The parameters of one request, taken out one by one; [`Params::finish`] refuses what nobody took.
#[derive(Clone, Debug, Default)]
pub struct Params {
    fields: BTreeMap<String, Node>,
    prefix: String,
    /// from JSON, which has numbers and booleans of its own: their texts are not taken for them
    typed: bool,
}

impl Params {
    /// Reads `application/x-www-form-urlencoded`, also a query string.
    pub fn from_form(body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|_| malformed("The body is not valid UTF-8."))?;
        let mut root = BTreeMap::new();
        let mut count = 0;
        for pair in text.split('&').filter(|p| !p.is_empty()) {
            count += 1;
            if count > MAX_FIELDS {
                return Err(malformed("Too many parameters."));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let value = decode(value)?;
            let path = path_of(&name)?;
            let leaf = if value.is_empty() {
                Node::Null
            } else {
                Node::Text(value)
            };
            insert(&mut root, &path, leaf, &name)?;
        }
        Ok(Self {
            fields: lists(root),
            ..Self::default()
        })
    }

    /// Reads a JSON object. Duplicate keys, floats and other non-integers are refused.
    pub fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let node = serde::de::DeserializeSeed::deserialize(json::Seed { depth: 0 }, &mut deserializer)
            .and_then(|node| deserializer.end().map(|()| node))
            .map_err(|e| malformed(&format!("The JSON body cannot be read: {e}.")))?;
        match node {
            Node::Map(fields) => Ok(Self {
                fields,
                prefix: String::new(),
                typed: true,
            }),
            _ => Err(malformed("The JSON body must be an object.")),
        }
    }

    /// Texts that were told apart already, as the parts of a multipart body are.
    pub fn from_texts(texts: BTreeMap<String, String>) -> Self {
        let leaf = |text: String| if text.is_empty() { Node::Null } else { Node::Text(text) };
        Self {
            fields: texts.into_iter().map(|(name, text)| (name, leaf(text))).collect(),
            ..Self::default()
        }
    }

    /// Adds these, for a query beside a body.
    pub fn merge(&mut self, other: Params) -> Result<(), ApiError> {
        self.typed |= other.typed;
        for (name, node) in other.fields {
            if self.fields.insert(name.clone(), node).is_some() {
                return Err(ApiError::invalid(
                    "parameter_duplicate",
                    &name,
                    format!("The parameter {} was sent twice.", shown(&name)),
                ));
            }
        }
        Ok(())
    }

    /// A digest of all parameters, the same for form and JSON: what an idempotency key is bound to.
    pub fn digest_into(&self, hash: &mut impl sha2::Digest) {
        fn walk(node: &Node, hash: &mut impl sha2::Digest) {
            match node {
                Node::Null => hash.update(b"n"),
                Node::OtherNumber => hash.update(b"o"), // refused in any case
                Node::Text(text) => {
                    hash.update(b"s");
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text.as_bytes());
                }
                Node::Integer(number) => {
                    let text = number.to_string();
                    hash.update(b"s");
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text.as_bytes());
                }
                Node::Bool(value) => {
                    let text = if *value { "true" } else { "false" };
                    hash.update(b"s");
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text.as_bytes());
                }
                Node::Map(fields) => walk_map(fields, hash),
                Node::List(items) => {
                    hash.update(b"l");
                    hash.update((items.len() as u64).to_be_bytes());
                    for node in items {
                        walk(node, hash);
                    }
                }
            }
        }
        fn walk_map(fields: &BTreeMap<String, Node>, hash: &mut impl sha2::Digest) {
            hash.update(b"m");
            hash.update((fields.len() as u64).to_be_bytes());
            for (name, node) in fields {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name.as_bytes());
                walk(node, hash);
            }
        }
        walk_map(&self.fields, hash);
    }

    /// Whether the parameter was sent at all (also as null).
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The names that are left, for a group whose names are free.
    pub fn names(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    /// Optional text: absent, null and empty are `None`.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Text(text)) => checked_text(&text, || self.param(name)).map(|()| Some(text)),
            Some(Node::Integer(_) | Node::OtherNumber | Node::Bool(_)) => {
                Err(self.wrong(name, "parameter_invalid_string", "must be a string"))
            }
            Some(_) => Err(self.wrong(
                name,
                "parameter_invalid_string",
                "must be a string, not a group of values",
            )),
        }
    }

    /// Like [`Params::text`], for the few texts that may be longer: up to `max` bytes.
    pub fn long_text(&mut self, name: &str, max: usize) -> Result<Option<String>, ApiError> {
        match self.fields.remove(name) {
            Some(Node::Text(text)) => bounded_text(&text, || self.param(name), max).map(|()| Some(text)),
            Some(other) => {
                self.fields.insert(name.to_owned(), other);
                self.text(name)
            }
            None => Ok(None),
        }
    }

    /// A field to be changed: `None` if not sent, `Some(None)` if sent empty (unset), else the text.
    pub fn text_change(&mut self, name: &str) -> Result<Option<Option<String>>, ApiError> {
        if !self.has(name) {
            return Ok(None);
        }
        self.text(name).map(Some)
    }

    /// Obligatory text.
    pub fn required_text(&mut self, name: &str) -> Result<String, ApiError> {
        self.text(name)?.ok_or_else(|| ApiError::missing(&self.param(name)))
    }

    /// One of a closed set of words.
    pub fn choice(&mut self, name: &str, words: &[&str]) -> Result<Option<String>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if words.contains(&text.as_str()) {
            return Ok(Some(text));
        }
        let expected = words.join(", ");
        Err(ApiError::invalid(
            "parameter_invalid_value",
            self.param(name),
            format!("Invalid {}: must be one of {expected}.", self.param(name)),
        ))
    }

    /// An optional whole number. Decimals, exponents, signs before digits other than one minus, and spaces are refused.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Integer(number)) => Ok(Some(number)),
            Some(Node::Text(text)) if !self.typed => {
                let digits = text.strip_prefix('-').unwrap_or(&text);
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && text != "-0";
                match text.parse::<i64>() {
                    Ok(number) if plain => Ok(Some(number)),
                    _ => Err(ApiError::invalid(
                        "parameter_invalid_integer",
                        self.param(name),
                        format!("Invalid integer: {}", shown(&text)),
                    )),
                }
            }
            Some(_) => Err(self.wrong(name, "parameter_invalid_integer", "must be an integer")),
        }
    }

    /// An optional amount in minor units, from 1 to Stripe's limit.
    pub fn amount(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(amount) = self.integer(name)? else {
            return Ok(None);
        };
        if amount < 1 {
            return Err(ApiError::invalid(
                "parameter_invalid_integer",
                self.param(name),
                "This value must be greater than or equal to 1.",
            ));
        }
        if amount > MAX_AMOUNT {
            return Err(ApiError::invalid(
                "amount_too_large",
                self.param(name),
                format!("Amount must be no more than {MAX_AMOUNT} (minor units)."),
            ));
        }
        Ok(Some(amount))
    }

    /// An optional boolean: `true` or `false`.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Bool(value)) => Ok(Some(value)),
            Some(Node::Text(text)) if text == "true" && !self.typed => Ok(Some(true)),
            Some(Node::Text(text)) if text == "false" && !self.typed => Ok(Some(false)),
            Some(_) => Err(self.wrong(name, "parameter_invalid_boolean", "must be true or false")),
        }
    }

    /// A group of parameters; `None` if not sent or sent empty.
    pub fn group(&mut self, name: &str) -> Result<Option<Params>, ApiError> {
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Map(fields)) => Ok(Some(Params {
                fields,
                prefix: self.param(name),
                typed: self.typed,
            })),
            Some(_) => Err(self.wrong(name, "parameter_invalid_object", "must be an object")),
        }
    }

    /// A list of groups.
    pub fn groups(&mut self, name: &str) -> Result<Option<Vec<Params>>, ApiError> {
        let wrong = self.wrong(name, "parameter_invalid_array", "must be an array of objects");
        let items = match self.fields.remove(name) {
            None | Some(Node::Null) => return Ok(None),
            Some(Node::List(items)) => items,
            Some(_) => return Err(wrong),
        };
        let group = |(index, node)| match node {
            Node::Map(fields) => Ok(Params {
                fields,
                prefix: format!("{}[{index}]", self.param(name)),
                typed: self.typed,
            }),
            _ => Err(wrong.clone()),
        };
        items
            .into_iter()
            .enumerate()
            .map(group)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::List(items)) => {
                let param = self.param(name);
                let mut texts = Vec::with_capacity(items.len());
                for item in items {
                    let Node::Text(text) = item else {
                        return Err(ApiError::invalid(
                            "parameter_invalid_string",
                            param,
                            "Every element must be a string.",
                        ));
                    };
                    checked_text(&text, || param.clone())?;
                    texts.push(text);
                }
                Ok(Some(texts))
            }
            Some(_) => Err(self.wrong(name, "parameter_invalid_array", "must be an array")),
        }
    }

    /// Metadata as sent: a value of `None` removes the key.
    pub fn metadata(&mut self, name: &str) -> Result<Option<BTreeMap<String, Option<String>>>, ApiError> {
        let param = self.param(name);
        match self.fields.remove(name) {
            None => Ok(None),
            // `metadata=` clears all of it
            Some(Node::Null) => Ok(Some(BTreeMap::from([(String::new(), None)]))),
            Some(node @ (Node::Map(_) | Node::List(_))) => {
                let fields = keyed(node);
                if fields.len() > 50 {
                    return Err(ApiError::invalid(
                        "parameter_invalid_object",
                        param,
                        "Metadata can have at most 50 keys.",
                    ));
                }
                let mut metadata = BTreeMap::new();
                for (key, value) in fields {
                    let at = format!("{param}[{}]", shown(&key));
                    if key.is_empty() || key.chars().count() > 40 {
                        return Err(ApiError::invalid(
                            "parameter_invalid_string",
                            at,
                            "A metadata key has 1 to 40 characters.",
                        ));
                    }
                    checked_text(&key, || at.clone())?;
                    let value = match value {
                        Node::Null => None,
                        Node::Text(text) => Some(text),
                        Node::Integer(number) => Some(number.to_string()),
                        Node::Bool(value) => Some(value.to_string()),
                        _ => {
                            return Err(ApiError::invalid(
                                "parameter_invalid_string",
                                at,
                                "A metadata value must be a string.",
                            ));
                        }
                    };
                    if let Some(text) = &value {
                        if text.chars().count() > 500 {
                            return Err(ApiError::invalid(
                                "parameter_invalid_string",
                                at,
                                "A metadata value has at most 500 characters.",
                            ));
                        }
                        checked_text(text, || at.clone())?;
                    }
                    metadata.insert(key, value);
                }
                Ok(Some(metadata))
            }
            Some(_) => Err(ApiError::invalid(
                "parameter_invalid_object",
                param,
                "Metadata must be an object of strings.",
            )),
        }
    }

    /// Free-form nested values (shipping, billing details), strings only, checked like every text.
    pub fn value(&mut self, name: &str) -> Result<Option<Value>, ApiError> {
        let param = self.param(name);
        match self.fields.remove(name) {
            None | Some(Node::Null) => Ok(None),
            Some(node @ Node::Map(_)) => to_value(node, &param).map(Some),
            Some(_) => Err(ApiError::invalid(
                "parameter_invalid_object",
                param,
                "Must be an object.",
            )),
        }
    }

    /// `expand[]`: dotted paths.
    pub fn expand(&mut self) -> Result<Vec<String>, ApiError> {
        let paths = self.texts("expand")?.unwrap_or_default();
        for path in &paths {
            if path.split('.').count() > 4 {
                return Err(ApiError::invalid(
                    "parameter_invalid_value",
                    "expand",
                    "You cannot expand more than 4 levels of a property.",
                ));
            }
            // Also where an answer has nothing to expand, what can be no property is refused.
            let is_property =
                |part: &str| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            if !path.split('.').all(is_property) {
                return Err(ApiError::invalid(
                    "parameter_invalid_value",
                    "expand",
                    format!("This property cannot be expanded ({}).", shown(path)),
                ));
            }
        }
        Ok(paths)
    }

    /// Drops a parameter that is accepted and has no effect here.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.fields.remove(*name);
        }
    }

    /// Refuses whatever is left.
    pub fn finish(self) -> Result<(), ApiError> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(name) => {
                let param = self.param(&shown(name));
                Err(ApiError::invalid(
                    "parameter_unknown",
                    param.clone(),
                    format!("Received unknown parameter: {param}"),
                ))
            }
        }
    }

    /// The full bracket name of a parameter of this group.
    pub fn param(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}[{name}]", self.prefix)
        }
    }

    fn wrong(&self, name: &str, code: &str, what: &str) -> ApiError {
        ApiError::invalid(
            code,
            self.param(name),
            format!("Invalid {}: it {what}.", self.param(name)),
        )
    }
}

/// Text that may be stored and shown: no control characters, no direction overrides, bounded, and no card number in it.
fn checked_text(text: &str, param: impl Fn() -> String) -> Result<(), ApiError> {
    bounded_text(text, param, MAX_TEXT)
}

fn bounded_text(text: &str, param: impl Fn() -> String, max: usize) -> Result<(), ApiError> {
    if text.len() > max {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            param(),
            format!("At most {max} bytes are accepted."),
        ));
    }
    let unwelcome = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().any(unwelcome) {
        return Err(ApiError::invalid(
            "parameter_invalid_string",
            param(),
            "Control and text-direction characters are not accepted.",
        ));
    }
    // Only the card group itself may carry a card number.
    if crate::vault::contains_card_number(text) {
        let param = param();
        if param != "card[number]" && !param.ends_with("[card][number]") {
            return Err(ApiError::invalid(
                "parameter_invalid_string",
                param,
                "This looks like a card number. Card numbers are accepted in card[number] alone.",
            ));
        }
    }
    Ok(())
}

/// Numbers and booleans become their text, so that a form and the same JSON store the same.
fn to_value(node: Node, param: &str) -> Result<Value, ApiError> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Text(text) => {
            checked_text(&text, || param.to_owned())?;
            Value::String(text)
        }
        Node::Integer(number) => Value::String(number.to_string()),
        Node::OtherNumber => {
            return Err(ApiError::invalid(
                "parameter_invalid_string",
                param,
                "Must be a string.",
            ));
        }
        Node::Bool(value) => Value::String(value.to_string()),
        Node::List(items) => Value::Array(
            items
                .into_iter()
                .map(|n| to_value(n, param))
                .collect::<Result<_, _>>()?,
        ),
        Node::Map(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, node)| {
                    let at = format!("{param}[{}]", shown(&name));
                    checked_text(&name, || at.clone())?;
                    Ok::<_, ApiError>((name, to_value(node, &at)?))
                })
                .collect::<Result<_, _>>()?,
        ),
    })
}

/// A group whose keys happen to be 0, 1, 2 .. is read as a list; where names are free it is a group after all.
fn keyed(node: Node) -> BTreeMap<String, Node> {
    match node {
        Node::Map(fields) => fields,
        Node::List(items) => items.into_iter().enumerate().map(|(i, n)| (i.to_string(), n)).collect(),
        _ => BTreeMap::new(),
    }
}

fn malformed(message: &str) -> ApiError {
    ApiError::invalid("invalid_request_body", "", message)
}

fn decode(text: &str) -> Result<String, ApiError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let hex = text
                    .get(at + 1..at + 3)
                    .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
                out.push(byte.ok_or_else(|| malformed("A percent-encoding in the body is broken."))?);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| malformed("The body is not valid UTF-8."))
}

/// `a[b][0]` -> `["a", "b", "0"]`.
fn path_of(name: &str) -> Result<Vec<&str>, ApiError> {
    let broken = || {
        ApiError::invalid(
            "parameter_unknown",
            shown(name),
            format!("Received unknown parameter: {}", shown(name)),
        )
    };
    let Some(open) = name.find('[') else {
        return if name.is_empty() || name.contains(']') {
            Err(broken())
        } else {
            Ok(vec![name])
        };
    };
    if open == 0 {
        return Err(broken());
    }
    let mut path = vec![&name[..open]];
    let mut rest = &name[open..];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(broken)?;
        let close = inner.find(']').ok_or_else(broken)?;
        path.push(&inner[..close]);
        rest = &inner[close + 1..];
        if path.len() > MAX_DEPTH {
            return Err(ApiError::invalid(
                "parameter_invalid_object",
                shown(path[0]),
                "Parameters are nested too deeply.",
            ));
        }
    }
    Ok(path)
}

fn insert(fields: &mut BTreeMap<String, Node>, path: &[&str], leaf: Node, name: &str) -> Result<(), ApiError> {
    let duplicate = || {
        ApiError::invalid(
            "parameter_duplicate",
            shown(name),
            format!("The parameter {} was sent twice.", shown(name)),
        )
    };
    let (head, rest) = path.split_first().expect("a path has at least one part");
    // `a[]` appends: give the element the next index
    let key = if head.is_empty() {
        fields.len().to_string()
    } else {
        (*head).to_owned()
    };
    if rest.is_empty() {
        return if fields.insert(key, leaf).is_some() {
            Err(duplicate())
        } else {
            Ok(())
        };
    }
    match fields.entry(key).or_insert_with(|| Node::Map(BTreeMap::new())) {
        Node::Map(inner) => insert(inner, rest, leaf, name),
        _ => Err(duplicate()),
    }
}

/// Turns groups whose keys are 0, 1, 2 .. into lists.
fn lists(fields: BTreeMap<String, Node>) -> BTreeMap<String, Node> {
    fields.into_iter().map(|(name, node)| (name, list(node))).collect()
}

fn list(node: Node) -> Node {
    let Node::Map(fields) = node else { return node };
    let mut fields = lists(fields);
    let count = fields.len();
    if count > 0 && (0..count).all(|i| fields.contains_key(&i.to_string())) {
        return Node::List((0..count).filter_map(|i| fields.remove(&i.to_string())).collect());
    }
    Node::Map(fields)
}
