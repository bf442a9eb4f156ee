//! `application/x-www-form-urlencoded`, built by hand into one buffer that is wiped when the request is gone.
//!
//! The buffer may hold a card number: it is made large enough for a card payment at once, since a string that grows
//! leaves copies behind, and it must never be printed.

use bytes::Bytes;
use std::fmt::Write as _;
use zeroize::Zeroizing;

pub(super) struct Form(Zeroizing<String>);

impl Form {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(String::with_capacity(1024)))
    }

    /// Adds a field; the name is ours and needs no escape.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push('=');
        self.escaped(value);
        self
    }

    pub(super) fn integer(mut self, name: &str, value: i64) -> Self {
        self.name(name);
        // Writing to a String cannot fail.
        let _ = write!(self.0, "={value}");
        self
    }

    /// Adds `group[member]`, whose member name is a caller's.
    pub(super) fn member(mut self, group: &str, member: &str, value: &str) -> Self {
        self.name(group);
        self.0.push('[');
        self.escaped(member);
        self.0.push_str("]=");
        self.escaped(value);
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The body, wiped when its last handle is dropped.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(Wiped(self.0))
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
    }

    fn escaped(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                self.0.push(byte as char);
            } else {
                self.0.push('%');
                self.0.push(HEX[usize::from(byte >> 4)] as char);
                self.0.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_what_a_server_reads(value in any::<String>(), member in any::<String>(), number in any::<i64>()) {
            let form = Form::new().text("a[b]", &value).member("evidence", &member, &value).integer("n", number);
            let read: Vec<(String, String)> = form_urlencoded::parse(form.as_str().as_bytes()).into_owned().collect();
            let expected = [("a[b]".to_owned(), value.clone()), (format!("evidence[{member}]"), value), ("n".to_owned(), number.to_string())];
            prop_assert_eq!(read, expected);
        }
    }
}
