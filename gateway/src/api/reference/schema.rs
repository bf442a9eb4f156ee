//! The vocabulary of descriptions: types of parameters and fields, and objects made of them, as JSON Schema 2020-12.
//!
//! The words are those of the parameter reader (`amount`, `choice`, `metadata`, ..), so that a description reads like the
//! handler it describes. It must never promise a bound that the reader does not keep.

use super::super::params::MAX_AMOUNT;
use serde_json::{Map, Value, json};

/// A type on the wire.
#[derive(Clone, Debug)]
pub struct Schema(pub(super) Value);

impl Schema {
    /// Or null: there is nothing to tell, or the parameter is unset.
    #[must_use]
    pub fn or_null(mut self) -> Self {
        if let Some(Value::String(one)) = self.0.get("type") {
            self.0["type"] = json!([one, "null"]);
            if let Some(Value::Array(words)) = self.0.get_mut("enum") {
                words.push(Value::Null);
            }
        } else if let Some(Value::Array(all)) = self.0.get_mut("anyOf") {
            all.push(nothing().0);
        } else if self.0.get("$ref").is_some() {
            self.0 = json!({ "anyOf": [self.0, { "type": "null" }] });
        } // and what may be anything may be null already
        self
    }

    /// A value to show.
    #[must_use]
    pub fn example(mut self, value: impl Into<Value>) -> Self {
        self.0["examples"] = json!([value.into()]);
        self
    }

    fn about(mut self, about: &str) -> Self {
        if !about.is_empty() {
            self.0["description"] = about.into();
        }
        self
    }
}

/// Text of at most 5,000 bytes, without control characters or card numbers.
pub fn text() -> Schema {
    Schema(json!({ "type": "string", "maxLength": 5000 }))
}

/// Text of at most this many characters.
pub fn text_up_to(characters: u32) -> Schema {
    Schema(json!({ "type": "string", "maxLength": characters }))
}

/// Text of this form (a regular expression).
pub fn text_like(pattern: &str, example: &str) -> Schema {
    Schema(json!({ "type": "string", "pattern": pattern })).example(example)
}

/// What may be expanded: a property, or a path of at most four of them.
pub fn expandable_path() -> Schema {
    text_like("^[a-z0-9_]+(\\.[a-z0-9_]+){0,3}$", "customer")
}

/// A whole number.
pub fn integer() -> Schema {
    Schema(json!({ "type": "integer", "format": "int64" }))
}

/// A whole number within bounds, both included.
pub fn integer_from(least: i64, most: i64) -> Schema {
    Schema(json!({ "type": "integer", "format": "int64", "minimum": least, "maximum": most }))
}

/// An amount that is asked for, and may be nothing; in minor units.
pub fn amount_or_nothing() -> Schema {
    integer_from(0, MAX_AMOUNT).example(2000)
}

/// A number that is no amount.
pub fn number() -> Schema {
    Schema(json!({ "type": "number" })).example(0.25)
}

/// An amount that is asked for, in minor units.
pub fn amount() -> Schema {
    integer_from(1, MAX_AMOUNT).example(2000)
}

/// An amount that is told, in minor units; sums may go beyond what one payment may have.
pub fn minor_units() -> Schema {
    integer().example(2000)
}

/// `true` or `false`.
pub fn boolean() -> Schema {
    Schema(json!({ "type": "boolean" }))
}

/// Always this value.
pub fn always(value: impl Into<Value>) -> Schema {
    Schema(json!({ "const": value.into() }))
}

/// Always null: a field of Stripe's objects that has no meaning here, kept because SDKs read it.
pub fn nothing() -> Schema {
    Schema(json!({ "type": "null" }))
}

/// One of these words.
pub fn choice(words: &[&str]) -> Schema {
    Schema(json!({ "type": "string", "enum": words }))
}

/// ISO 4217, lower case.
pub fn currency() -> Schema {
    text_like("^[a-z]{3}$", "usd")
}

/// A currency as a parameter: either case.
pub fn currency_asked() -> Schema {
    text_like("^[A-Za-z]{3}$", "usd")
}

/// Unix seconds.
pub fn moment() -> Schema {
    integer_from(0, 253_402_207_200).example(1_795_000_000)
}

/// Unix seconds as a parameter.
pub fn moment_asked() -> Schema {
    integer_from(0, 253_402_207_200)
}

/// The id of an object: its prefix names the kind.
pub fn id(prefix: &str) -> Schema {
    text_like(
        &format!("^{prefix}_[0-9A-Za-z_]{{1,64}}$"),
        &format!("{prefix}_01h455vb4pex5vsknk084sn02q"),
    )
}

/// An id as a parameter: any text may be asked for, and what is not there is a 404.
pub fn id_asked(prefix: &str) -> Schema {
    text_up_to(255).example(format!("{prefix}_01h455vb4pex5vsknk084sn02q"))
}

/// Own keys and values: at most 50, keys of 40 and values of 500 characters. A value of null or "" removes its key.
pub fn metadata() -> Schema {
    let value = json!({ "type": ["string", "integer", "boolean", "null"], "maxLength": 500 });
    let name = json!({ "minLength": 1, "maxLength": 40 });
    Schema(json!({ "type": "object", "maxProperties": 50, "propertyNames": name, "additionalProperties": value }))
        .example(json!({ "order": "6735" }))
}

/// Metadata as it is told.
pub fn metadata_kept() -> Schema {
    Schema(json!({ "type": "object", "additionalProperties": { "type": "string" } }))
        .example(json!({ "order": "6735" }))
}

/// An object without a fixed form.
pub fn open_object() -> Schema {
    Schema(json!({ "type": "object" })).example(json!({}))
}

/// An object that has always been empty, with room for what may come.
pub fn empty_object() -> Schema {
    Schema(json!({ "type": "object", "maxProperties": 0 }))
}

/// A list of these.
pub fn list(of: Schema) -> Schema {
    Schema(json!({ "type": "array", "items": of.0 }))
}

/// One of these.
pub fn either(schemas: impl IntoIterator<Item = Schema>) -> Schema {
    let all: Vec<Value> = schemas.into_iter().map(|schema| schema.0).collect();
    Schema(json!({ "anyOf": all }))
}

/// An object by the name that it is listed under.
pub fn object(name: &str) -> Schema {
    Schema(json!({ "$ref": format!("#/components/schemas/{name}") }))
}

/// The id of an object, or the object itself where `expand` asked for it.
pub fn expandable(prefix: &str, name: &str) -> Schema {
    Schema(json!({ "anyOf": [id(prefix).0, object(name).0] }))
}

/// A group of parameters, such as `card[number]`.
pub fn group(fields: Fields) -> Schema {
    Schema(fields.parameters())
}

/// A part of an object: all of its fields, always.
pub fn part(fields: Fields) -> Schema {
    Schema(fields.told())
}

/// A postal address as it is told.
pub fn address() -> Schema {
    let fields = ["city", "country", "line1", "line2", "postal_code", "state"];
    part(
        fields
            .iter()
            .fold(Fields::new(), |all, name| all.field(name, text().or_null(), "")),
    )
}

/// Free fields and groups of them, texts alone: an address, billing details, shipping. Stripe's names are told again.
pub fn free_texts(example: Value) -> Schema {
    let leaf = json!({ "type": ["string", "integer", "boolean", "null"] });
    let group = json!({ "type": "object", "additionalProperties": leaf });
    Schema(json!({ "type": "object", "additionalProperties": { "anyOf": [leaf, group] } })).example(example)
}

/// Names with their types and meanings, in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<Field>);

#[derive(Clone, Debug)]
struct Field {
    name: String,
    schema: Schema,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Usual,
    Required,
    Seldom,
}

impl Fields {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A parameter that may be sent, or a field that is always told.
    #[must_use]
    pub fn field(self, name: &str, schema: Schema, about: &str) -> Self {
        self.with(name, schema, about, Presence::Usual)
    }

    /// A parameter that must be sent.
    #[must_use]
    pub fn required(self, name: &str, schema: Schema, about: &str) -> Self {
        self.with(name, schema, about, Presence::Required)
    }

    /// A field that some answers lack.
    #[must_use]
    pub fn seldom(self, name: &str, schema: Schema, about: &str) -> Self {
        self.with(name, schema, about, Presence::Seldom)
    }

    /// Parameters that are accepted because SDKs and older code send them, and have no effect here.
    #[must_use]
    pub fn ignored(self, names: &[&str]) -> Self {
        names.iter().fold(self, |all, name| {
            all.field(name, Schema(json!({})), "Accepted, without effect.")
        })
    }

    /// And these too.
    #[must_use]
    pub fn and(mut self, more: Fields) -> Self {
        self.0.extend(more.0);
        self
    }

    fn with(mut self, name: &str, schema: Schema, about: &str, presence: Presence) -> Self {
        let schema = schema.about(about);
        self.0.push(Field {
            name: name.to_owned(),
            schema,
            presence,
        });
        self
    }

    /// As parameters: nothing else is accepted, and what is optional may be sent as null for "unset".
    pub(super) fn parameters(self) -> Value {
        let required: Vec<Value> = self
            .0
            .iter()
            .filter(|field| field.presence == Presence::Required)
            .map(|field| json!(field.name))
            .collect();
        let sent = |field: Field| {
            let schema = if field.presence == Presence::Required {
                field.schema
            } else {
                field.schema.or_null()
            };
            (field.name, storable(schema.0))
        };
        let properties: Map<String, Value> = self.0.into_iter().map(sent).collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
    }

    /// As a part of an answer: all of them, and no other.
    pub(super) fn told(self) -> Value {
        let required: Vec<&str> = self
            .0
            .iter()
            .filter(|field| field.presence != Presence::Seldom)
            .map(|field| field.name.as_str())
            .collect();
        let required = json!(required);
        let properties: Map<String, Value> = self.0.into_iter().map(|field| (field.name, field.schema.0)).collect();
        json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
    }

    /// Name, schema and whether it must be sent, for parameters of a query.
    pub(super) fn each(self) -> impl Iterator<Item = (String, Value, bool)> {
        let each = |field: Field| {
            (
                field.name,
                storable(field.schema.0),
                field.presence == Presence::Required,
            )
        };
        self.0.into_iter().map(each)
    }
}

/// Text that is sent has no control characters but line ends and tabs, and none that turn its direction.
fn storable(mut schema: Value) -> Value {
    let is_text = schema["type"] == "string" || schema["type"][0] == "string";
    if is_text && schema.get("pattern").is_none() && schema.get("enum").is_none() {
        schema["pattern"] = STORABLE.into();
    }
    if let Some(items) = schema.get_mut("items") {
        *items = storable(items.take());
    }
    schema
}

const STORABLE: &str = r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]*$";

/// An object of the API, listed in [`super::OBJECTS`].
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) name: &'static str,
    pub(super) schema: Value,
}

impl Object {
    /// Called `name` in its `object` field, which is added after `id`.
    pub fn new(name: &'static str, about: &str, fields: Fields) -> Self {
        Self::under(name, name, about, fields)
    }

    /// Listed as `name`, while its `object` field says `kind`: a second form of the same object.
    pub fn under(name: &'static str, kind: &str, about: &str, mut fields: Fields) -> Self {
        let mark = Field {
            name: "object".into(),
            schema: always(kind),
            presence: Presence::Usual,
        };
        let at = usize::from(fields.0.first().is_some_and(|first| first.name == "id"));
        fields.0.insert(at, mark);
        let mut schema = fields.told();
        schema["title"] = name.into();
        schema["description"] = about.into();
        Self { name, schema }
    }
}
