//! Queries of the console: named, typed, and listed by the pages that run them, so that a test can explain each.
//!
//! A row comes as JSON, field for column. Every list ends at a limit and begins behind a key, never behind an offset.

use serde_json::Value;
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Error, GenericClient};

/// A SELECT with the types of its parameters.
#[derive(Debug)]
pub struct Query {
    /// `page.what`
    pub name: &'static str,
    /// the statement
    pub sql: &'static str,
    /// of its parameters
    pub types: &'static [Type],
}

impl Query {
    /// Its rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn rows(&self, client: &impl GenericClient, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Value>, Error> {
        debug_assert_eq!(values.len(), self.types.len(), "{}", self.name);
        let values: Vec<_> = values.iter().copied().zip(self.types.iter().cloned()).collect();
        let sql = format!("SELECT row_to_json(answer)::text FROM ({}) answer", self.sql);
        let rows = client.query_typed(&sql, &values).await?;
        rows.iter()
            .map(|row| row.try_get::<_, Json>(0).map(|json| json.0))
            .collect()
    }

    /// Its one row, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn row(
        &self,
        client: &impl GenericClient,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Value>, Error> {
        Ok(self.rows(client, values).await?.into_iter().next())
    }
}

struct Json(Value);

impl<'a> FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(serde_json::from_slice(raw)?))
    }
    fn accepts(r#type: &Type) -> bool {
        *r#type == Type::TEXT
    }
}

/// A text of a row, empty where there is none.
pub fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// A number of a row, 0 where there is none.
pub fn number(row: &Value, field: &str) -> i64 {
    row[field].as_i64().unwrap_or_default()
}
