//! A connection string taken apart: what the driver reads, and the parameters of TLS that it does not know.
//!
//! Both forms of libpq: `postgresql://..?sslmode=verify-full&..` and `host=.. sslmode=verify-full`. What is not about TLS is
//! handed on as it stands, so that the driver alone judges it.

/// The parameters of TLS, and the string without them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub rest: String,
    pub sslmode: Option<String>,
    pub sslrootcert: Option<String>,
    pub sslcert: Option<String>,
    pub sslkey: Option<String>,
}

impl Parts {
    /// Takes a string apart. Of a parameter given twice the last one counts, as with libpq.
    pub fn split(text: &str) -> Self {
        let mut parts = Self::default();
        if !text.contains("://") {
            parts.split_words(text);
            return parts;
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let others: Vec<&str> = query.split('&').filter(|pair| !parts.took(pair)).collect();
        let others = others.join("&");
        parts.rest = match others.is_empty() {
            true => address.to_owned(),
            false => format!("{address}?{others}"),
        };
        parts
    }

    /// Whether this pair of a query was about TLS.
    fn took(&mut self, pair: &str) -> bool {
        let Some((name, value)) = pair.split_once('=') else {
            return false;
        };
        // In a URL's query of PostgreSQL a plus is a plus.
        let decoded = url::form_urlencoded::parse(format!("v={}", value.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned());
        self.take(name, decoded.unwrap_or_default())
    }

    /// `name = value` with spaces around, values in single quotes where they hold spaces, `\` before a quote.
    fn split_words(&mut self, text: &str) {
        let mut left = text.trim_start();
        while !left.is_empty() {
            let (value, length) = match left.find('=') {
                Some(equals) => {
                    let after = &left[equals + 1..];
                    let blanks = after.len() - after.trim_start().len();
                    let (value, length) = word(after.trim_start());
                    (value, equals + 1 + blanks + length)
                }
                None => (String::new(), left.len()),
            };
            let name = left.split('=').next().unwrap_or_default().trim();
            if !self.take(name, value) {
                self.rest.push_str(&left[..length]);
                self.rest.push(' ');
            }
            left = left[length..].trim_start();
        }
    }

    fn take(&mut self, name: &str, value: String) -> bool {
        let place = match name {
            "sslmode" => &mut self.sslmode,
            "sslrootcert" => &mut self.sslrootcert,
            "sslcert" => &mut self.sslcert,
            "sslkey" => &mut self.sslkey,
            _ => return false,
        };
        *place = Some(value);
        true
    }
}

/// The value at the beginning, and how many bytes it took.
fn word(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '\'' if quoted => return (value, at + 1),
            c if !quoted && c.is_whitespace() => return (value, at),
            c => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_give_their_parameters() {
        let url = Parts::split(
            "postgresql://u:p@db1,db2:5433/d?sslmode=verify-full&target_session_attrs=read-write&sslrootcert=/a%20b/c+d.pem",
        );
        assert_eq!(
            url.rest,
            "postgresql://u:p@db1,db2:5433/d?target_session_attrs=read-write"
        );
        assert_eq!(url.sslmode.as_deref(), Some("verify-full"));
        assert_eq!(url.sslrootcert.as_deref(), Some("/a b/c+d.pem"));
        let words = Parts::split(r"host=db1 sslmode = require  sslkey='/a b/it\'s' user='x y' sslcert=/c");
        assert_eq!(words.rest, "host=db1 user='x y' ");
        assert_eq!(words.sslmode.as_deref(), Some("require"));
        assert_eq!(words.sslkey.as_deref(), Some("/a b/it's"));
        assert_eq!(words.sslcert.as_deref(), Some("/c"));
        assert_eq!(Parts::split("postgresql://h/d").rest, "postgresql://h/d");
        assert_eq!(
            Parts::split("postgresql://h/d?sslmode=disable").rest,
            "postgresql://h/d"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_not_about_tls_is_kept(text in "\\PC{0,80}", user in "[a-z]{1,8}") {
            let _ = Parts::split(&text);
            let kept = Parts::split(&format!("user={user} sslmode=require"));
            prop_assert_eq!(kept.rest.trim(), format!("user={user}"));
        }
    }
}
