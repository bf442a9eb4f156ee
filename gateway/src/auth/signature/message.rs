//! RFC 9421 for requests: a signature's parameters, and the text that it signs.
//!
//! The base is built from what arrived and in the order that the signer names, never from what we think the request means.
//! Component parameters (`;sf`, `;key`, `;bs`, ..) are not accepted: no component that we ask for needs one. It must never
//! decide whether a signature is good enough; that is the profile's task.

use http::{HeaderMap, HeaderName, Method, Uri, header};
use sfv::{Dictionary, FieldType, InnerList, ListEntry, Parser};
use std::fmt::Write as _;

/// The parts of a request that can be signed.
pub struct Message<'a> {
    /// as sent
    pub method: &'a Method,
    /// as sent: absolute, or with the authority in `Host`
    pub uri: &'a Uri,
    /// as sent
    pub headers: &'a HeaderMap,
}

/// One signature of a request.
#[derive(Debug)]
pub struct Signature {
    /// covered components, in the signer's order
    pub components: Vec<String>,
    /// `created`, Unix seconds
    pub created: Option<i64>,
    /// `expires`, Unix seconds
    pub expires: Option<i64>,
    /// `nonce`
    pub nonce: Option<String>,
    /// `keyid`
    pub key_id: Option<String>,
    /// `alg`
    pub algorithm: Option<String>,
    /// the signature itself
    pub value: Vec<u8>,
    /// the value of `@signature-params`, serialized as RFC 9651 says
    params: String,
}

/// Why a signature cannot be read or its base cannot be built. The texts are for callers: they say nothing that the caller
/// did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// one of the two headers is absent or not a dictionary
    #[error("Signature-Input and Signature must be dictionaries (RFC 9421)")]
    Headers,
    /// none of the signatures names this key
    #[error("no signature names this key in keyid")]
    NotThisKey,
    /// two signatures by one key: which one counts would be a guess
    #[error("more than one signature names this key in keyid")]
    Ambiguous,
    /// a label of Signature-Input has no bytes in Signature
    #[error("the signature is absent or not a byte sequence")]
    Value,
    /// a parameter has the wrong type
    #[error("created and expires must be integers; nonce, keyid and alg strings")]
    Parameter,
    /// not a string, with parameters, repeated, or not lower-case
    #[error("covered components must be distinct lower-case names without parameters")]
    Component,
    /// covered, but not in the request
    #[error("a covered component is not in the request")]
    Absent,
}

impl Signature {
    /// The one signature whose `keyid` is this.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn by_key(headers: &HeaderMap, key_id: &str) -> Result<Self, Malformed> {
        let inputs = dictionary(headers, &INPUT).ok_or(Malformed::Headers)?;
        let values = dictionary(headers, &SIGNATURE).ok_or(Malformed::Headers)?;
        let mut found = None;
        for (label, entry) in &inputs {
            let ListEntry::InnerList(input) = entry else {
                return Err(Malformed::Headers);
            };
            if text(input, "keyid")?.as_deref() != Some(key_id) {
                continue;
            }
            let value = match values.get(label) {
                Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
                _ => None,
            };
            let signature = Self::read(input, value.ok_or(Malformed::Value)?)?;
            if found.replace(signature).is_some() {
                return Err(Malformed::Ambiguous);
            }
        }
        found.ok_or(Malformed::NotThisKey)
    }

    fn read(input: &InnerList, value: &[u8]) -> Result<Self, Malformed> {
        let mut components: Vec<String> = Vec::with_capacity(input.items.len());
        for item in &input.items {
            let name = item.bare_item.as_string().ok_or(Malformed::Component)?.as_str();
            let known = components.iter().any(|component| component == name);
            if known || !item.params.is_empty() || name.bytes().any(|b| b.is_ascii_uppercase()) {
                return Err(Malformed::Component);
            }
            components.push(name.to_owned());
        }
        let params = vec![ListEntry::InnerList(input.clone())].serialize();
        Ok(Self {
            components,
            created: integer(input, "created")?,
            expires: integer(input, "expires")?,
            nonce: text(input, "nonce")?,
            key_id: text(input, "keyid")?,
            algorithm: text(input, "alg")?,
            value: value.to_owned(),
            params: params.ok_or(Malformed::Component)?,
        })
    }

    /// Whether this component is covered.
    pub fn covers(&self, name: &str) -> bool {
        self.components.iter().any(|component| component == name)
    }

    /// The signature base (RFC 9421, section 2.5).
    ///
    /// # Errors
    /// When a covered component is not in the message.
    pub fn base(&self, message: &Message<'_>) -> Result<String, Malformed> {
        let mut base = String::with_capacity(512);
        for name in &self.components {
            let value = message.component(name).ok_or(Malformed::Absent)?;
            // writing to a String does not fail
            let _ = writeln!(base, "\"{name}\": {value}");
        }
        let _ = write!(base, "\"@signature-params\": {}", self.params);
        Ok(base)
    }
}

impl Message<'_> {
    /// A component's value as the base shows it; `None` for what is not here or not known.
    fn component(&self, name: &str) -> Option<String> {
        match name {
            "@method" => Some(self.method.as_str().to_owned()),
            "@authority" => self.authority(),
            // The API is served over TLS alone.
            "@scheme" => Some("https".to_owned()),
            "@target-uri" => Some(format!("https://{}{}", self.authority()?, self.request_target())),
            "@request-target" => Some(self.request_target().to_owned()),
            "@path" => Some(self.uri.path().to_owned()),
            "@query" => Some(format!("?{}", self.uri.query().unwrap_or_default())),
            _ => combined(self.headers, &HeaderName::from_bytes(name.as_bytes()).ok()?),
        }
    }

    fn request_target(&self) -> &str {
        self.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    /// Lower-case, without the default port.
    fn authority(&self) -> Option<String> {
        let sent = match self.uri.authority() {
            Some(authority) => authority.as_str(),
            None => self.headers.get(header::HOST)?.to_str().ok()?,
        };
        let authority = sent.trim().to_ascii_lowercase();
        Some(match authority.strip_suffix(":443") {
            Some(host) => host.to_owned(),
            None => authority,
        })
    }
}

/// A header that is a dictionary, over all its lines.
pub(super) fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Option<Dictionary> {
    Parser::new(&combined(headers, name)?).parse().ok()
}

/// All lines of a field, trimmed and joined (section 2.1); `None` when there is none or a byte is not visible ASCII.
fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut lines = headers.get_all(name).iter();
    let mut value = lines.next()?.to_str().ok()?.trim().to_owned();
    for line in lines {
        value.push_str(", ");
        value.push_str(line.to_str().ok()?.trim());
    }
    Some(value)
}

fn text(input: &InnerList, name: &str) -> Result<Option<String>, Malformed> {
    match input.params.get(name) {
        None => Ok(None),
        Some(value) => match value.as_string() {
            Some(text) => Ok(Some(text.as_str().to_owned())),
            None => Err(Malformed::Parameter),
        },
    }
}

fn integer(input: &InnerList, name: &str) -> Result<Option<i64>, Malformed> {
    match input.params.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_integer()
            .map(|number| Some(number.into()))
            .ok_or(Malformed::Parameter),
    }
}

/// Where a signature's components and parameters are.
pub(super) static INPUT: HeaderName = HeaderName::from_static("signature-input");
/// Where its bytes are.
pub(super) static SIGNATURE: HeaderName = HeaderName::from_static("signature");
