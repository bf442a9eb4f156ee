//! The pages: one file each, and one line each in [`PAGES`], which says who may open it, where it is found, what it reads and what it
//! leaves in the audit log. Router, navigation, keys, the matrix of roles and the test that explains queries come from here.

pub mod approvals;
pub mod audit;
pub mod disputes;
pub mod ledger;
pub mod merchants;
pub mod model;
pub mod overview;
pub mod payment;
pub mod payments;
pub mod payouts;
pub mod reconciliation;
pub mod reviews;
pub mod rules;
pub mod search;
pub mod settings;
pub mod technical;

use super::ctx::{Ctx, Outcome};
use super::query::Query;
use super::role::*;
use futures_util::future::BoxFuture;

/// What a page leaves in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// nothing: lists without people in them
    None,
    /// that it was shown
    Shown,
    /// that it was done; where the API does it, the API says so
    Act,
}

/// A line of the table.
pub struct Entry {
    /// GET or POST
    pub method: &'static str,
    /// with `{id}` for parameters
    pub path: &'static str,
    /// who may
    pub roles: &'static [Role],
    /// of the navigation; empty: not in it
    pub area: &'static str,
    /// key of its name there
    pub title: &'static str,
    /// the key after `g`
    pub key: &'static str,
    /// the live count beside it
    pub count: &'static str,
    /// for the audit log
    pub mark: Mark,
    /// what it reads
    pub queries: &'static [&'static Query],
    pub(super) run: Run,
}

type Run = for<'a> fn(&'a Ctx) -> BoxFuture<'a, Outcome>;

impl std::fmt::Debug for Entry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.method, self.path)
    }
}

const fn entry(method: &'static str, path: &'static str, roles: &'static [Role], mark: Mark, run: Run) -> Entry {
    Entry {
        method,
        path,
        roles,
        area: "",
        title: "",
        key: "",
        count: "",
        mark,
        queries: &[],
        run,
    }
}

impl Entry {
    /// In the navigation.
    const fn at(mut self, area: &'static str, title: &'static str, key: &'static str) -> Self {
        self.area = area;
        self.title = title;
        self.key = key;
        self
    }

    /// With a live count beside it.
    const fn counting(mut self, count: &'static str) -> Self {
        self.count = count;
        self
    }

    /// What it shows is protected: that it was shown is in the audit log.
    const fn shown(mut self) -> Self {
        self.mark = Mark::Shown;
        self
    }

    /// What it reads.
    const fn reads(mut self, queries: &'static [&'static Query]) -> Self {
        self.queries = queries;
        self
    }
}

macro_rules! page {
    ($path:literal, $roles:expr, $run:path) => {
        entry("GET", $path, $roles, Mark::None, |ctx| Box::pin($run(ctx)))
    };
}
macro_rules! act {
    ($path:literal, $roles:expr, $run:path) => {
        entry("POST", $path, $roles, Mark::Act, |ctx| Box::pin($run(ctx)))
    };
}

/// Parts of the navigation, in order.
pub const AREAS: [&str; 5] = ["area.work", "area.money", "area.risk", "area.platform", "area.own"];

/// Every page and every act.
#[rustfmt::skip]
pub static PAGES: &[Entry] = &[
    page!("/", EVERYONE, overview::show).at("area.work", "nav.overview", "o").reads(&[&overview::TODAY, &overview::DAYS, &overview::HEALTH, &overview::ALARMS, &overview::MERCHANTS]),
    page!("/reviews", RISK, reviews::index).at("area.work", "nav.reviews", "r").counting("reviews").reads(&[&reviews::LIST]),
    page!("/reviews/next", RISK, reviews::next).reads(&[&reviews::NEXT]),
    page!("/reviews/{id}", RISK, reviews::show).shown().reads(&[&reviews::ONE, &reviews::NEAR]),
    act!("/reviews/{id}/approve", RISK_ACTS, reviews::approve).reads(&[&reviews::ONE]),
    act!("/reviews/{id}/reject", RISK_ACTS, reviews::reject).reads(&[&reviews::ONE]),
    act!("/reviews/{id}/list", RISK_ACTS, reviews::put_on_list).reads(&[&reviews::ONE]),
    page!("/disputes", DISPUTES, disputes::index).at("area.work", "nav.disputes", "d").counting("disputes").reads(&[&disputes::LIST, &disputes::WAITING]),
    page!("/disputes/{id}", DISPUTES, disputes::show).shown().reads(&[&disputes::ONE]),
    act!("/disputes/{id}/evidence", DISPUTE_ACTS, disputes::save).reads(&[&disputes::ONE]),
    act!("/disputes/{id}/close", DISPUTE_ACTS, disputes::accept).reads(&[&disputes::ONE]),
    page!("/approvals", STAFF, approvals::index).at("area.work", "nav.approvals", "a").counting("approvals").reads(&[&approvals::OPEN, &approvals::RECENT]),
    page!("/approvals/{id}", STAFF, approvals::show).reads(&[&approvals::ONE]),
    act!("/approvals/{id}/approve", APPROVERS, approvals::approve).reads(&[&approvals::ONE]),
    act!("/approvals/{id}/reject", APPROVERS, approvals::reject).reads(&[&approvals::ONE]),
    page!("/payments", EVERYONE, payments::index).at("area.money", "nav.payments", "p").reads(&[&payments::LIST, &payments::ALL_MERCHANTS]),
    page!("/payments.csv", EVERYONE, payments::export).shown().reads(&[&payments::LIST, &payments::ALL_MERCHANTS]),
    page!("/payments/{id}", EVERYONE, payment::show).shown().reads(&[&payment::ONE, &payment::CHARGES, &payment::REFUNDS, &payment::DISPUTES, &payment::JOURNALS, &payment::EVENTS]),
    act!("/payments/{id}/refund", REFUND_ACTS, payment::refund).reads(&[&payment::ONE]),
    page!("/payouts", PAYOUTS, payouts::index).at("area.money", "nav.payouts", "u").reads(&[&payouts::LIST, &payouts::FUNDS]),
    page!("/ledger", BOOKS, ledger::index).at("area.money", "nav.ledger", "l").reads(&[&ledger::BOOKS_OF_ALL, &ledger::SEAL]),
    page!("/ledger/{book}", BOOKS, ledger::book).reads(&[&ledger::ACCOUNTS, &ledger::JOURNALS, &ledger::BOOK]),
    page!("/ledger/{book}/accounts/{account}", BOOKS, ledger::statement).reads(&[&ledger::BOOK]),
    page!("/ledger/{book}/journals/{id}", BOOKS, ledger::journal).reads(&[&ledger::JOURNAL, &ledger::BOOK]),
    page!("/reconciliation", BOOKS, reconciliation::index).at("area.money", "nav.reconciliation", "c").reads(&[&reconciliation::FILES, &reconciliation::OPEN]),
    page!("/reconciliation/{id}", BOOKS, reconciliation::show).reads(&[&reconciliation::ONE, &reconciliation::DECISIONS]),
    act!("/reconciliation", BOOK_ACTS, reconciliation::upload),
    act!("/reconciliation/{id}/resolve", BOOK_ACTS, reconciliation::resolve),
    act!("/reconciliation/{id}/reopen", BOOK_ACTS, reconciliation::reopen),
    page!("/rules", RISK, rules::index).at("area.risk", "nav.rules", "e").reads(&[&payments::ALL_MERCHANTS]),
    page!("/rules/{account}/{id}", RISK, rules::show),
    act!("/rules/{account}", RISK_ACTS, rules::create),
    act!("/rules/{account}/{id}", RISK_ACTS, rules::update),
    act!("/rules/{account}/{id}/backtest", RISK_ACTS, rules::backtest),
    page!("/lists", RISK, rules::lists).at("area.risk", "nav.lists", "i").reads(&[&payments::ALL_MERCHANTS]),
    page!("/lists/{account}/{id}", RISK, rules::list).shown(),
    act!("/lists/{account}/{id}", RISK_ACTS, rules::add_item),
    act!("/lists/{account}/{id}/remove", RISK_ACTS, rules::remove_item),
    page!("/model", RISK, model::show).at("area.risk", "nav.model", "m").reads(&[&model::BY_SCORE]),
    page!("/merchants", STAFF, merchants::index).at("area.platform", "nav.merchants", "t").reads(&[&merchants::LIST]),
    page!("/merchants/{id}", EVERYONE, merchants::show).shown().reads(&[&merchants::KEYS]),
    act!("/merchants/{id}/{act}", MERCHANT_ACTS, merchants::act),
    page!("/webhooks", TECHNICAL, technical::webhooks).at("area.platform", "nav.webhooks", "w").reads(&[&technical::ENDPOINTS]),
    page!("/webhooks/{account}/{id}", TECHNICAL, technical::endpoint),
    act!("/webhooks/{account}/{id}/retry", TECHNICAL_ACTS, technical::retry),
    page!("/keys", TECHNICAL, technical::keys).at("area.platform", "nav.keys", "k").reads(&[&technical::KEYS]),
    act!("/keys/{id}/revoke", TECHNICAL_ACTS, technical::ask_to_revoke).reads(&[&technical::KEY]),
    page!("/audit", AUDIT, audit::index).at("area.platform", "nav.audit", "v").shown(),
    page!("/search", EVERYONE, search::find).reads(&[&search::PLACES]),
    page!("/settings", EVERYONE, settings::show).at("area.own", "nav.settings", "s"),
    act!("/settings", EVERYONE, settings::save),
    act!("/settings/views", EVERYONE, settings::save_view),
    page!("/settings/password", EVERYONE, settings::password),
    act!("/settings/password", EVERYONE, settings::set_password),
    page!("/settings/second-factor", EVERYONE, settings::second_factor),
    act!("/settings/second-factor", EVERYONE, settings::set_second_factor),
];

/// Who decides what others ask for.
const APPROVERS: &[Role] = &[Role::Admin, Role::Supervisor];

/// The page of an object, by the prefix of its id.
pub(super) fn of_object(id: &str) -> Option<String> {
    let (prefix, _) = id.rsplit_once('_')?;
    Some(match prefix {
        "pi" => format!("/payments/{id}"),
        "prv" => format!("/reviews/{id}"),
        "du" => format!("/disputes/{id}"),
        "acct" => format!("/merchants/{id}"),
        "apr" => format!("/approvals/{id}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::message::Language;
    use std::collections::HashSet;

    #[test]
    fn the_table_is_sound() {
        let (mut seen, mut keys) = (HashSet::new(), HashSet::new());
        for entry in PAGES {
            assert!(seen.insert((entry.method, entry.path)), "{entry:?} twice");
            assert!(!entry.roles.is_empty(), "{entry:?} is nobody's");
            assert_eq!(entry.method == "POST", entry.mark == Mark::Act, "{entry:?}");
            assert_eq!(entry.area.is_empty(), entry.title.is_empty(), "{entry:?}");
            if !entry.area.is_empty() {
                assert!(
                    AREAS.contains(&entry.area) && entry.method == "GET" && !entry.path.contains('{'),
                    "{entry:?}"
                );
                assert!(keys.insert(entry.key), "the key of {entry:?} is taken");
                for language in [Language::English, Language::Chinese] {
                    assert!(language.knows(entry.title) && language.knows(entry.area), "{entry:?}");
                }
            }
            for query in entry.queries {
                let parameters = (1..=20).filter(|at| query.sql.contains(&format!("${at}"))).count();
                assert_eq!(parameters, query.types.len(), "{}", query.name);
            }
        }
    }
}
