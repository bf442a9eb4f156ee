//! Stripe's search query language: `status:'succeeded' AND metadata['order']:'6735' AND -currency:'usd' AND amount>1000`.
//!
//! Text to clauses, and a refusal that says where. Pure; it knows no field.

use std::fmt;

/// Clauses, all or any of which must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// one of them is enough
    pub any: bool,
    /// at least one, at most [`MAX_CLAUSES`]
    pub clauses: Vec<Clause>,
}

/// `-field:'value'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    /// it must not hold
    pub not: bool,
    /// e.g. `payment_method_details.card.last4`
    pub field: String,
    /// of `metadata['key']`
    pub key: Option<String>,
    /// how they are compared
    pub operator: Operator,
    /// none is `null`
    pub value: Option<String>,
}

/// How a field is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Is,
    Contains,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
}

impl Operator {
    /// As it is written; `:` and `=` alike are SQL's `=` of numbers.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Is => ":",
            Operator::Contains => "~",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Equal => "=",
        }
    }
}

/// Why a text is no query, for its writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// More are refused.
pub const MAX_CLAUSES: usize = 10;

/// Reads a query.
///
/// # Errors
/// When it is none; the message says where and what was expected.
pub fn parse(text: &str) -> Result<Query, Unreadable> {
    let mut reader = Reader { text, at: 0 };
    let (mut clauses, mut joined) = (Vec::new(), None);
    loop {
        reader.spaces();
        if reader.at == text.len() {
            break;
        }
        if !clauses.is_empty()
            && let Some(any) = reader.joint()
        {
            if joined.is_some_and(|known| known != any) {
                return Err(reader.refuse("AND and OR cannot be mixed in one query"));
            }
            joined = Some(any);
            reader.spaces();
            if reader.at == text.len() {
                return Err(reader.refuse("a clause is missing after AND or OR"));
            }
        } else if !clauses.is_empty() {
            // Clauses side by side are joined by AND.
            if joined == Some(true) {
                return Err(reader.refuse("AND and OR cannot be mixed in one query"));
            }
            joined = Some(false);
        }
        clauses.push(reader.clause()?);
        if clauses.len() > MAX_CLAUSES {
            return Err(Unreadable(format!("A query has at most {MAX_CLAUSES} clauses.")));
        }
    }
    if clauses.is_empty() {
        return Err(Unreadable(
            "The query is empty: give at least one clause, for example status:'succeeded'.".into(),
        ));
    }
    Ok(Query {
        any: joined == Some(true),
        clauses,
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn clause(&mut self) -> Result<Clause, Unreadable> {
        let not = self.take("-");
        let field = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        if field.is_empty() {
            return Err(self.refuse("a field is expected, for example status"));
        }
        let key = if self.take("[") {
            self.spaces();
            let key = self
                .quoted()?
                .ok_or_else(|| self.refuse("a key in quotes is expected, for example metadata['order']"))?;
            self.spaces();
            if !self.take("]") {
                return Err(self.refuse("] is expected after the key"));
            }
            Some(key)
        } else {
            None
        };
        self.spaces();
        let operator = [
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            ("<", Operator::Less),
            (":", Operator::Is),
            ("~", Operator::Contains),
            ("=", Operator::Equal),
        ]
        .into_iter()
        .find(|(sign, _)| self.take(sign))
        .map(|(_, operator)| operator)
        .ok_or_else(|| self.refuse("one of : ~ > >= < <= = is expected"))?;
        self.spaces();
        let value = match self.quoted()? {
            Some(value) => Some(value),
            None => {
                let bare = self.word(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | '+'));
                if bare.is_empty() {
                    return Err(self.refuse("a value is expected; texts are in quotes"));
                }
                (bare != "null").then_some(bare)
            }
        };
        Ok(Clause {
            not,
            field,
            key,
            operator,
            value,
        })
    }

    /// `AND` is false, `OR` is true.
    fn joint(&mut self) -> Option<bool> {
        let rest = &self.text[self.at..];
        for (word, any) in [("and", false), ("or", true)] {
            let head = rest.get(..word.len()).unwrap_or_default();
            let ends = rest[head.len()..].chars().next().is_none_or(char::is_whitespace);
            if head.eq_ignore_ascii_case(word) && ends {
                self.at += word.len();
                return Some(any);
            }
        }
        None
    }

    /// A text in single or double quotes; a backslash takes the next character as it is.
    fn quoted(&mut self) -> Result<Option<String>, Unreadable> {
        let begun = self.at;
        let Some(quote) = self.text[self.at..].chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            return Ok(None);
        };
        let mut value = String::new();
        let mut characters = self.text[self.at + 1..].char_indices();
        while let Some((index, c)) = characters.next() {
            if c == quote {
                self.at += 1 + index + 1;
                return Ok(Some(value));
            }
            let c = if c == '\\' {
                characters.next().map(|(_, c)| c)
            } else {
                Some(c)
            };
            value.extend(c);
        }
        self.at = begun;
        Err(self.refuse("the quote that begins here does not end"))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn refuse(&self, why: &str) -> Unreadable {
        let position = self.text[..self.at].chars().count() + 1;
        Unreadable(format!("The query cannot be read at character {position}: {why}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clause(not: bool, field: &str, operator: Operator, value: &str) -> Clause {
        Clause {
            not,
            field: field.into(),
            key: None,
            operator,
            value: Some(value.into()),
        }
    }

    #[test]
    fn clauses_are_read_as_they_are_written() {
        let all = parse(r#"status:'succeeded' and -currency:"usd" amount >= 1000 AND metadata['a\'b']:null"#).unwrap();
        assert!(!all.any);
        assert_eq!(
            all.clauses,
            [
                clause(false, "status", Operator::Is, "succeeded"),
                clause(true, "currency", Operator::Is, "usd"),
                clause(false, "amount", Operator::GreaterOrEqual, "1000"),
                Clause {
                    not: false,
                    field: "metadata".into(),
                    key: Some("a'b".into()),
                    operator: Operator::Is,
                    value: None,
                },
            ]
        );
        let any = parse("email~'amy' OR name~'amy'").unwrap();
        assert!(any.any && any.clauses.len() == 2);
        // A word that begins like one of the joints is a field.
        assert_eq!(parse("a:1 order:2").unwrap().clauses[1].field, "order");
    }

    #[test]
    fn what_is_no_query_is_told_where() {
        for (text, why) in [
            ("", "empty"),
            ("  ", "empty"),
            ("status", "character 7"),
            ("status:", "character 8"),
            (":x", "character 1"),
            ("status:'x", "character 8"),
            ("a:1 AND b:2 OR c:3", "mixed"),
            ("a:1 OR b:2 c:3", "mixed"),
            ("a:1 AND", "missing"),
            ("metadata[x]:1", "character 10"),
            ("metadata['x':1", "] is expected"),
            ("(a:1)", "character 1"),
            ("é:1", "character 1"),
        ] {
            let refused = parse(text).expect_err(text).to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        assert!(parse(&"a:1 ".repeat(11)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_value_comes_back(value in "\\PC{0,40}") {
            let written = format!("metadata['k']:'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
            prop_assert_eq!(&parse(&written).unwrap().clauses[0].value, &Some(value));
        }
    }
}
