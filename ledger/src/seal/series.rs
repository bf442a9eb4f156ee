//! What is sealed: rows of an append-only table, into a chain of their own.
//!
//! The books are one series. Whoever keeps another history in the same database seals it with the same machinery; its keys are
//! [derived](super::Keys::of_series), so that nothing signed for one series counts for another. The columns of a series' rows are
//! under the same rule as the journal's: never renamed, never of another type, and new ones NULL in old rows.

/// A table whose rows are sealed, and where their pages are.
#[derive(Debug)]
pub struct Series {
    /// What a row is called, in messages: `journal`.
    pub noun: &'static str,
    /// The table. It has `recorded_xid` and `book_id` (bigint), the id (uuid), and a block range index over `recorded_xid`.
    pub rows: &'static str,
    /// The column of the id.
    pub id: &'static str,
    /// The table of the pages, of the shape of `ledger.seal`.
    pub pages: &'static str,
    /// The function that adds a page, of the shape of `ledger.seal_page`.
    pub append: &'static str,
    /// An expression for the least id that is not in a detached part of the table, NULL while there is none.
    pub horizon: &'static str,
    /// A statement to run after sealing, bounded by a lock time-out.
    pub summarise: Option<&'static str>,
    /// The advisory lock that lets one process seal at a time.
    pub lock: i64,
    /// First field of every row's leaf.
    pub leaf: &'static str,
    /// What sets its keys apart; empty for the keys of the file themselves.
    pub keys: &'static str,
    /// What is checked, in the words of the report.
    pub checks: Checks,
}

/// Names of the checks.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Checks {
    pub pages: &'static str,
    pub rows: &'static str,
    pub keys: &'static str,
    pub macs: &'static str,
    pub exported: &'static str,
    pub unsealed: &'static str,
    pub detached: &'static str,
}

/// The books.
pub static JOURNALS: Series = Series {
    noun: "journal",
    rows: "ledger.journal",
    id: "journal_id",
    pages: "ledger.seal",
    append: "ledger.seal_page",
    horizon: "ledger.horizon()",
    summarise: Some("SELECT ledger.summarise_journals()"),
    lock: 1_936_023_916, // "seal" in ASCII
    leaf: "counterfoil/journal/v1",
    keys: "",
    checks: Checks {
        pages: "each page of the seal continues the one before it",
        rows: "each sealed journal is what was sealed, and in its place",
        keys: "each page is signed with a key of the key file",
        macs: "the MAC of each page is right",
        exported: "exported heads are of these books",
        unsealed: "journals not sealed yet are younger than the sealed ones",
        detached: "sealed journals of detached months, which are not read",
    },
};

impl Series {
    /// A statement with this series' names in it.
    pub(super) fn sql(&self, text: &'static str) -> String {
        let names = [
            ("{rows}", self.rows),
            ("{id}", self.id),
            ("{pages}", self.pages),
            ("{append}", self.append),
            ("{horizon}", self.horizon),
            ("{noun}", self.noun),
        ];
        names
            .iter()
            .fold(text.to_owned(), |text, (mark, name)| text.replace(mark, name))
    }
}
