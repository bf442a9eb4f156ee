//! The books: a double-entry ledger on PostgreSQL. Knows nothing of payments, HTTP or risk.
//!
//! # The model
//!
//! * A [book](BookId) per merchant, and one for the platform. A journal stays inside one book, every key leads with the
//!   book, and no account is shared by all merchants. Money between books passes through two
//!   [`Chart::InterBookClearing`] accounts that net to zero over all books.
//! * An [account](AccountName) is a number of the [chart](Chart), for some an acquirer or bank, and a currency:
//!   `2010.usd`, `1110.stripe.usd`. Its name is its key; nothing is looked up. It carries four counters that never go
//!   below zero: debits and credits, pending and posted. A [balance] is derived from them.
//! * A [journal](journal::Journal) is one fact: a [code](JournalCode), when it happened and when it was recorded, and
//!   lines that sum to zero per currency, the posted ones and the pending ones each by themselves. It is one row, its
//!   lines are arrays in it; the view `ledger.posting` shows them as rows. Journals are never changed: a correction is a
//!   new journal that [`reverses`](journal::Draft::reverses) the old.
//!   The journal lies in [months](partition), made ahead; one that is old enough can be detached, its sums carried forward.
//! * A hold is pending money: opened by a journal, consumed in parts, voided or lapsed by others. What is held cannot be
//!   spent, and a hold never gives more than it has.
//!
//! * A journal is [reversed](journal::Journal::reversal) once, by its mirror. What is dated in a [closed period](period)
//!   is refused, or carries a value date. A [manual journal](manual) needs two people. A journal with a key leaves a
//!   [receipt], and whoever asks again gets the first answer.
//!
//! # Who guards what
//!
//! Every invariant is held twice. In Rust: an unbalanced journal cannot be built, a [refusal](Refusal) is a value of a
//! closed list in order of precedence. In PostgreSQL: a CHECK on every journal, a CHECK on every account's limit,
//! triggers that refuse to change history even to the owner of the tables, and grants by which the serving role can
//! call [`ledger.post`](post) and otherwise only read. [`verify`](verify::verify) believes neither and sums up
//! everything again. What broke other ledgers is in `docs/ledger-failures.md`, row by row, with the tests that would notice.
//!
//! # How money moves
//!
//! [`post::post`] writes any number of journals in one statement inside the caller's database transaction, without
//! reading a balance first. [`group::GroupCommitter`] is how many callers share one such transaction; that is where the
//! throughput comes from.
//!
//! ```
//! use ledger::{AccountName, BookId, Chart, Currency, JournalCode, Money, Refusal, journal::Draft};
//!
//! let usd = Currency::USD;
//! let paid = Money::new(100_00, usd);
//! let fee = paid.fee(290, 30)?; // 2.9 % + 0.30, half to even
//! assert_eq!(fee.to_string(), "3.20 usd");
//!
//! let receivable = AccountName::new(Chart::AcquirerReceivable, Some("stripe"), usd)?;
//! let merchant = AccountName::of(Chart::MerchantPending, usd);
//! let capture = Draft::new(BookId(1), JournalCode::J03, "2026-11-23T12:00:00Z".parse()?)
//!     .reference("ch_1")
//!     .debit(receivable.clone(), paid.minor)
//!     .credit(merchant.clone(), paid.checked_sub(fee)?.minor)
//!     .credit(AccountName::of(Chart::PlatformFeeRevenue, usd), fee.minor)
//!     .balance()?;
//! assert_eq!(capture.lines().len(), 3);
//!
//! let wrong = Draft::new(BookId(1), JournalCode::J03, capture.effective_at())
//!     .debit(receivable, 100_00)
//!     .credit(merchant, 99_99)
//!     .balance();
//! assert_eq!(wrong, Err(Refusal::Unbalanced(usd)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
pub mod balance;
pub mod chart;
mod code;
pub mod export;
pub mod group;
pub mod hold;
pub mod journal;
pub mod manual;
mod migrate;
pub mod money;
mod open;
pub mod partition;
pub mod period;
pub mod post;
pub mod receipt;
mod refusal;
pub mod report;
mod rules;
pub mod seal;
pub mod statement;
pub mod verify;

pub use account::{AccountName, BookId};
pub use chart::{Chart, Side};
pub use code::{JournalCode, UnknownCode};
pub use migrate::{MigrateError, migrate};
pub use money::{Currency, Money, MoneyError};
pub use open::{AccountActError, close, open, open_book, reopen};
pub use refusal::Refusal;
