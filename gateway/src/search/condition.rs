//! Clauses as SQL: which fields each kind of object has, how each is compared, and which have an index of their own.
//!
//! Every value travels as a parameter; what is in the SQL is from the tables below. Pure.

use super::query::{Clause, Operator, Query};
use crate::id::{self, prefix};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// A kind of object that can be searched for.
#[derive(Debug)]
pub struct Subject {
    /// with its schema
    pub table: &'static str,
    /// of its ids
    pub prefix: &'static str,
    /// what would make a slow query fast, for its writer
    pub narrow: &'static str,
    fields: &'static [Field],
    /// where its metadata is; `{}` is the condition on the row `d.` that has it
    metadata: &'static str,
    /// the predicate of the index over it
    has_metadata: &'static str,
    /// what holds of every row
    always: &'static str,
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    /// of the row `t`
    sql: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// the whole, in any case
    Token,
    /// the whole as it is written, by an index of its own
    Id,
    /// the whole or a part, in any case
    Text,
    /// the same, the whole by an index of its own
    IndexedText,
    Number,
    /// unix seconds
    Moment,
    Boolean,
}

/// `/v1/payment_intents/search`.
pub static PAYMENTS: Subject = Subject {
    table: "gateway.payment",
    prefix: prefix::PAYMENT,
    narrow: "customer, metadata and a range of created are quick to find",
    fields: &[
        field("amount", "t.amount", Kind::Number),
        field("created", "t.created_at", Kind::Moment),
        field("currency", "t.currency", Kind::Token),
        field("customer", "t.customer_id", Kind::Id),
        field("status", "t.status", Kind::Token),
    ],
    metadata: "({})",
    has_metadata: "d.details ? 'metadata'",
    always: "true",
};

/// `/v1/charges/search`.
pub static CHARGES: Subject = Subject {
    table: "gateway.charge",
    prefix: prefix::CHARGE,
    narrow: "metadata and a range of created are quick to find",
    fields: &[
        field("amount", "t.amount", Kind::Number),
        field("created", "t.created_at", Kind::Moment),
        field("currency", "t.currency", Kind::Token),
        field("customer", "t.customer_id", Kind::Token),
        field("disputed", "t.disputed", Kind::Boolean),
        field("payment_method_details.card.brand", "(t.card->>'brand')", Kind::Token),
        field(
            "payment_method_details.card.exp_month",
            "(t.card->>'exp_month')",
            Kind::Token,
        ),
        field(
            "payment_method_details.card.exp_year",
            "(t.card->>'exp_year')",
            Kind::Token,
        ),
        field(
            "payment_method_details.card.fingerprint",
            "(t.card->>'fingerprint')",
            Kind::Token,
        ),
        field("payment_method_details.card.last4", "(t.card->>'last4')", Kind::Token),
        field(
            "refunded",
            "(t.amount_captured > 0 AND t.amount_refunded = t.amount_captured)",
            Kind::Boolean,
        ),
        field(
            "status",
            "(CASE t.status WHEN 'succeeded' THEN 'succeeded' WHEN 'voided' THEN 'succeeded' WHEN 'failed' THEN 'failed' ELSE 'pending' END)",
            Kind::Token,
        ),
    ],
    metadata: "t.payment_id IN (SELECT d.id FROM gateway.payment d WHERE d.book_id = $1 AND {})",
    has_metadata: "d.details ? 'metadata'",
    always: "true",
};

/// `/v1/customers/search`.
pub static CUSTOMERS: Subject = Subject {
    table: "gateway.customer",
    prefix: prefix::CUSTOMER,
    narrow: "email, metadata and a range of created are quick to find",
    fields: &[
        field("created", "t.created_at", Kind::Moment),
        field("email", "(t.details->>'email')", Kind::IndexedText),
        field("name", "(t.details->>'name')", Kind::Text),
        field("phone", "(t.details->>'phone')", Kind::Text),
    ],
    metadata: "({})",
    has_metadata: "d.details->'metadata' <> '{}'",
    always: "NOT t.deleted",
};

const fn field(name: &'static str, sql: &'static str, kind: Kind) -> Field {
    Field { name, sql, kind }
}

/// A value on its way to the server.
pub type Value = (Box<dyn ToSql + Sync + Send>, Type);

/// A query as SQL over a row `t`, after the two parameters that every search has.
pub struct Condition {
    /// the condition
    pub sql: String,
    /// its parameters from `$3` on
    pub values: Vec<Value>,
    /// some index has all rows that can match
    pub indexed: bool,
    /// no row that matches has a smaller id
    pub oldest_id: Option<String>,
    /// no row that matches has a greater id
    pub newest_id: Option<String>,
}

impl Condition {
    /// The condition of a query over these objects.
    ///
    /// # Errors
    /// When a clause does not fit them, in words for its writer.
    pub fn of(subject: &Subject, book_id: i64, query: &Query) -> Result<Self, String> {
        let mut condition = Self {
            sql: String::new(),
            values: Vec::new(),
            indexed: query.any,
            oldest_id: None,
            newest_id: None,
        };
        let mut parts = Vec::new();
        for clause in &query.clauses {
            let (sql, indexed) = condition.clause(subject, book_id, clause)?;
            // Of all one index is enough, of any each clause needs one.
            condition.indexed = if query.any {
                condition.indexed && indexed
            } else {
                condition.indexed || indexed
            };
            if !query.any {
                condition.bound(subject, clause);
            }
            parts.push(if clause.not {
                format!("NOT coalesce({sql}, false)")
            } else {
                sql
            });
        }
        condition.sql = format!(
            "{} AND ({})",
            subject.always,
            parts.join(if query.any { " OR " } else { " AND " })
        );
        Ok(condition)
    }

    fn clause(&mut self, subject: &Subject, book_id: i64, clause: &Clause) -> Result<(String, bool), String> {
        if clause.field == "metadata" {
            return self.metadata(subject, book_id, clause);
        }
        let name = &clause.field;
        let known = || {
            subject
                .fields
                .iter()
                .map(|field| field.name)
                .collect::<Vec<_>>()
                .join(", ")
        };
        let Some(field) = subject
            .fields
            .iter()
            .find(|field| field.name == name)
            .filter(|_| clause.key.is_none())
        else {
            return Err(format!(
                "The field {} cannot be searched by; these can: {}, metadata['key'].",
                crate::api::error::shown(name),
                known()
            ));
        };
        let unfit = |expected: &str| Err(format!("The field {name} is compared with {expected}."));
        let Some(value) = &clause.value else {
            return match (field.kind, clause.operator) {
                (Kind::Number | Kind::Moment | Kind::Boolean, _) => unfit("a value, it is never null"),
                (_, Operator::Is) => Ok((format!("{} IS NULL", field.sql), false)),
                _ => unfit(": when the value is null"),
            };
        };
        let sql = field.sql;
        match (field.kind, clause.operator) {
            (Kind::Token, Operator::Is) => {
                let n = self.value(value.clone(), Type::TEXT);
                Ok((format!("lower({sql}) = lower(${n})"), false))
            }
            (Kind::Id, Operator::Is) => {
                let n = self.value(value.clone(), Type::TEXT);
                Ok((format!("{sql} = ${n}"), !clause.not))
            }
            (Kind::Text | Kind::IndexedText, Operator::Is) => {
                let n = self.value(value.clone(), Type::TEXT);
                let indexed = field.kind == Kind::IndexedText && !clause.not;
                let there = if indexed {
                    format!("{sql} IS NOT NULL AND ")
                } else {
                    String::new()
                };
                Ok((format!("({there}lower{sql} = lower(${n}))"), indexed))
            }
            (Kind::Text | Kind::IndexedText, Operator::Contains) if value.chars().count() >= 3 => {
                let n = self.value(value.clone(), Type::TEXT);
                Ok((format!("strpos(lower{sql}, lower(${n})) > 0"), false))
            }
            (Kind::Text | Kind::IndexedText, Operator::Contains) => unfit("at least three characters when it is by ~"),
            (Kind::Text | Kind::IndexedText, _) => unfit(": or ~"),
            (Kind::Token | Kind::Id, _) => unfit(": alone"),
            (Kind::Boolean, Operator::Is) => {
                let flag = match value.as_str() {
                    "true" => true,
                    "false" => false,
                    _ => return unfit("true or false"),
                };
                let n = self.value(flag, Type::BOOL);
                Ok((format!("{sql} = ${n}"), false))
            }
            (Kind::Boolean, _) => unfit(": alone"),
            (Kind::Number | Kind::Moment, Operator::Contains) => unfit(": = > >= < <="),
            (Kind::Number, operator) => {
                let Ok(number) = value.parse::<i64>() else {
                    return unfit("a whole number");
                };
                let n = self.value(number, Type::INT8);
                Ok((format!("{sql} {} ${n}", sign(operator)), false))
            }
            (Kind::Moment, operator) => {
                let moment = value
                    .parse()
                    .ok()
                    .and_then(|second| jiff::Timestamp::from_second(second).ok());
                let Some(moment) = moment else {
                    return unfit("unix seconds");
                };
                let n = self.value(moment, Type::TIMESTAMPTZ);
                Ok((format!("date_trunc('second', {sql}) {} ${n}", sign(operator)), false))
            }
        }
    }

    fn metadata(&mut self, subject: &Subject, book_id: i64, clause: &Clause) -> Result<(String, bool), String> {
        let Some(key) = &clause.key else {
            return Err("Metadata is searched by key: metadata['key']:'value'.".into());
        };
        if clause.operator != Operator::Is {
            return Err("Metadata is compared with : alone.".into());
        }
        // Of charges the metadata is their payment's; of all others the row's own.
        let own = !subject.metadata.contains(" d ");
        let on_rows = |inner: String| {
            let inner = if own { inner.replace("d.", "t.") } else { inner };
            subject.metadata.replacen("{}", &inner, 1)
        };
        Ok(match &clause.value {
            None => {
                let n = self.value(key.clone(), Type::TEXT);
                let has = format!("coalesce((d.details->'metadata'->>${n}) IS NOT NULL, false)");
                (format!("NOT {}", on_rows(has)), false)
            }
            Some(value) if clause.not => {
                let (k, v) = (
                    self.value(key.clone(), Type::TEXT),
                    self.value(value.clone(), Type::TEXT),
                );
                (on_rows(format!("(d.details->'metadata'->>${k}) = ${v}")), false)
            }
            Some(value) => {
                let term = format!("{book_id}\u{1f}{key}\u{1f}{value}");
                let n = self.value(vec![term], Type::TEXT_ARRAY);
                let (has, terms) = (
                    subject.has_metadata,
                    format!("gateway.metadata_terms(d.book_id, d.details) @> ${n}"),
                );
                (on_rows(format!("{has} AND {terms}")), true)
            }
        })
    }

    /// Ids are made in the order of time: a range of `created` is a range of the primary key, give or take [`SKEW_S`].
    fn bound(&mut self, subject: &Subject, clause: &Clause) {
        if clause.field != "created" || clause.not {
            return;
        }
        let Some(second) = clause.value.as_ref().and_then(|value| value.parse::<i64>().ok()) else {
            return;
        };
        let at = |second: i64| {
            let ms = second.clamp(0, 1 << 37).unsigned_abs() * 1000;
            id::from_uuid(subject.prefix, Uuid::from_u128(u128::from(ms) << 80))
        };
        let (oldest, newest) = match clause.operator {
            Operator::Greater | Operator::GreaterOrEqual => (true, false),
            Operator::Less | Operator::LessOrEqual => (false, true),
            _ => (true, true),
        };
        if oldest {
            let bound = at(second.saturating_sub(SKEW_S));
            self.oldest_id = self.oldest_id.take().max(Some(bound));
        }
        if newest {
            let bound = at(second.saturating_add(SKEW_S));
            self.newest_id = Some(self.newest_id.take().map_or(bound.clone(), |known| known.min(bound)));
        }
    }

    /// The number of a new parameter.
    fn value(&mut self, value: impl ToSql + Sync + Send + 'static, r#type: Type) -> usize {
        self.values.push((Box::new(value), r#type));
        self.values.len() + 2
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Is | Operator::Contains => "=",
        other => other.as_str(),
    }
}

/// Between the moment that an object was made and the moment that is in its id.
const SKEW_S: i64 = 3600;
