//! A position of the books: all journals up to one of them, in the order of the seal. What is before it never changes again.
//!
//! The order is (transaction, book, journal); a position lies behind the oldest running transaction, so nobody can commit a
//! journal among those before it any more. A sealed page ends at such a position, and its hash proves what is before.

use super::{Place, ReportError};
use jiff::Timestamp;
use std::fmt;
use std::str::FromStr;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

/// Which position is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// the newest there is
    #[default]
    Newest,
    /// the end of the newest sealed page
    Sealed,
    /// the end of this sealed page
    Page(i64),
    /// this journal, the last one that counts
    Journal(Uuid),
}

/// A position, with what names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// transaction of the last journal
    pub xid: i64,
    /// its book
    pub book: i64,
    /// the last journal
    pub journal: Uuid,
    /// when it was recorded
    pub recorded_at: Timestamp,
    /// the sealed page that ends here, with its hash; only when it was asked for by its page
    pub page: Option<(i64, String)>,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "newest" => Ok(Which::Newest),
            "sealed" => Ok(Which::Sealed),
            _ => {
                if let Some(page) = text.strip_prefix("page:") {
                    return page.parse().map(Which::Page).map_err(|_| WAYS.to_owned());
                }
                text.parse().map(Which::Journal).map_err(|_| WAYS.to_owned())
            }
        }
    }
}

/// As it is asked for again.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.page {
            Some((page, _)) => write!(f, "page:{page}"),
            None => write!(f, "{}", self.journal),
        }
    }
}

impl Position {
    /// Everything that can be seen, for who has the postings stopped: nobody can ask for it again.
    pub(crate) fn everything() -> Self {
        Self {
            xid: i64::MAX,
            book: i64::MAX,
            journal: Uuid::max(),
            recorded_at: Timestamp::MAX,
            page: None,
        }
    }

    /// The same, as it is asked for.
    pub fn which(&self) -> Which {
        match &self.page {
            Some((page, _)) => Which::Page(*page),
            None => Which::Journal(self.journal),
        }
    }

    /// In words, for people: what it is, and by what it is proved.
    pub fn words(&self) -> String {
        let journal = format!(
            "journal {} of book {}, transaction {}, recorded {}",
            self.journal, self.book, self.xid, self.recorded_at
        );
        match &self.page {
            Some((page, hash)) => format!("sealed page {page}, hash {hash}, ending with {journal}"),
            None => format!("up to {journal}"),
        }
    }
}

/// Finds it.
pub(super) async fn find(client: &impl GenericClient, which: &Which) -> Result<Position, ReportError> {
    let missing = |text: String| ReportError::Position(text);
    let position = match which {
        Which::Newest => {
            let row = client.query_typed_opt(NEWEST, &[]).await?;
            let row = row.ok_or_else(|| missing("there is no journal yet".into()))?;
            read(&row, None)?
        }
        Which::Journal(journal) => {
            let row = client.query_typed_opt(OF_JOURNAL, &[(journal, Type::UUID)]).await?;
            let row = row.ok_or_else(|| missing(format!("there is no settled journal {journal}")))?;
            read(&row, None)?
        }
        Which::Sealed | Which::Page(_) => {
            let page = match which {
                Which::Page(page) => Some(*page),
                _ => None,
            };
            let row = client.query_typed_opt(OF_PAGE, &[(&page, Type::INT8)]).await?;
            let row = row.ok_or_else(|| match page {
                Some(page) => missing(format!("there is no sealed page {page}")),
                None => missing("nothing is sealed yet".into()),
            })?;
            let hash: Vec<u8> = row.try_get("hash").map_err(ReportError::Database)?;
            let page = row.try_get("page").map_err(ReportError::Database)?;
            read(&row, Some((page, hex::encode(hash))))?
        }
    };
    // What lies before it must be here, or wholly in what was carried forward.
    let row = client
        .query_typed_opt(CARRIED_LATER, &[(&position.recorded_at, Type::TIMESTAMPTZ)])
        .await?;
    match row {
        Some(row) => Err(ReportError::Detached(row.try_get(0).map_err(ReportError::Database)?)),
        None => Ok(position),
    }
}

fn read(row: &Row, page: Option<(i64, String)>) -> Result<Position, ReportError> {
    let (xid, book, journal): Place = (row.try_get("xid")?, row.try_get("book")?, row.try_get("journal")?);
    Ok(Position {
        xid,
        book,
        journal,
        recorded_at: row.try_get("recorded_at")?,
        page,
    })
}

const WAYS: &str =
    "a position is `newest`, `sealed`, `page:N` for a sealed page, or the id of the last journal that counts";

const NEWEST: &str = "
    SELECT recorded_xid AS xid, book_id AS book, journal_id AS journal, recorded_at FROM ledger.journal
    WHERE recorded_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY recorded_xid DESC, book_id DESC, journal_id DESC LIMIT 1";

const OF_JOURNAL: &str = "
    SELECT recorded_xid AS xid, book_id AS book, journal_id AS journal, recorded_at FROM ledger.journal
    WHERE journal_id = $1 AND recorded_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint";

const OF_PAGE: &str = "
    SELECT s.page, s.hash, s.last_xid AS xid, s.last_book AS book, s.last_journal AS journal,
           coalesce(j.recorded_at, s.sealed_at) AS recorded_at
    FROM ledger.seal s LEFT JOIN ledger.journal j ON j.book_id = s.last_book AND j.journal_id = s.last_journal
    WHERE $1 IS NULL OR s.page = $1 ORDER BY s.page DESC LIMIT 1";

const CARRIED_LATER: &str = "
    SELECT to_char(max(month), 'YYYY-MM') FROM ledger.carried
    WHERE coalesce(last_recorded, 'infinity') > $1 HAVING count(*) > 0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_asked_for_as_they_are_shown() {
        let journal = Uuid::now_v7();
        for (text, which) in [
            ("newest", Which::Newest),
            ("sealed", Which::Sealed),
            ("page:42", Which::Page(42)),
            (journal.to_string().as_str(), Which::Journal(journal)),
        ] {
            assert_eq!(text.parse(), Ok(which));
        }
        for wrong in ["", "page:", "page:x", "42", "latest"] {
            assert!(wrong.parse::<Which>().is_err(), "{wrong}");
        }
        let mut position = Position {
            xid: 7,
            book: 1,
            journal,
            recorded_at: Timestamp::UNIX_EPOCH,
            page: None,
        };
        assert_eq!(position.to_string().parse(), Ok(Which::Journal(journal)));
        position.page = Some((3, "ab".into()));
        assert_eq!(position.to_string().parse(), Ok(Which::Page(3)));
        assert!(
            position.words().contains("sealed page 3, hash ab"),
            "{}",
            position.words()
        );
    }
}
