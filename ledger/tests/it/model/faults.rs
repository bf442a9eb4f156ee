//! The suite bites: a store that is broken in one place is told from the model, whatever the place.

use super::{compare, runtime};
use crate::postgres::Database;

/// What is broken, the function that is (or none: a statement of its own), and how.
const FAULTS: [(&str, &str, &str, &str); 18] = [
    (
        "drops a line",
        "post",
        "unnest(w.account, w.kind, w.amount)",
        "unnest(w.account[2:], w.kind[2:], w.amount[2:])",
    ),
    ("applies a counter twice", "post", "a.debits_posted + d.dd", "a.debits_posted + 2 * d.dd"),
    (
        "ignores a limit",
        "",
        "ALTER TABLE ledger.account DROP CONSTRAINT account_no_overdraft",
        "",
    ),
    (
        "is off by one at a limit",
        "",
        "ALTER TABLE ledger.account DROP CONSTRAINT account_no_overdraft;
         ALTER TABLE ledger.account ADD CONSTRAINT account_no_overdraft CHECK (overdraft OR credits_posted - debits_posted - debits_pending >= -1)",
        "",
    ),
    ("loses a release", "post", "WHEN 'x' THEN -l.amount", "WHEN 'x' THEN 0"),
    (
        "swaps sides",
        "post",
        "debits_posted = a.debits_posted + d.dd, credits_pending = a.credits_pending + d.cp, credits_posted = a.credits_posted + d.cc",
        "debits_posted = a.debits_posted + d.cc, credits_pending = a.credits_pending + d.cp, credits_posted = a.credits_posted + d.dd",
    ),
    (
        "accepts a used key",
        "post",
        "ORDER BY k.book_id, k.idem_key",
        "ORDER BY k.book_id, k.idem_key ON CONFLICT DO NOTHING",
    ),
    (
        "takes a lone journal's credits for debits",
        "post_one",
        "WHEN 'C' THEN",
        "WHEN 'D' THEN",
    ),
    (
        "drops the last line of a lone journal",
        "post_one",
        "a.account = ANY (p_account) AND a.status = 'open'; GET DIAGNOSTICS touched = ROW_COUNT;",
        "a.account = ANY (p_account[2:]) AND a.status = 'open'; touched := cardinality(p_account);",
    ),
    (
        "posts a lone journal to a closed account",
        "post_one",
        "AND a.status = 'open'",
        "",
    ),
    (
        "accepts a used key of a lone journal",
        "post_one",
        "VALUES (p_book, p_key, p_journal, p_digest)",
        "VALUES (p_book, p_key, p_journal, p_digest) ON CONFLICT DO NOTHING",
    ),
    ("forgets the hold", "post", "IF p_hold IS NOT NULL THEN", "IF false THEN"),
    (
        "leaves a hold as it was",
        "apply_holds",
        "SET remaining = h.remaining - u.amount",
        "SET remaining = h.remaining",
    ),
    (
        "lets a lapsed hold be used",
        "apply_holds",
        "u.alive >= h.expires_at",
        "false",
    ),
    ("posts to a closed account", "post", "AND a.status = 'open'", ""),
    ("forgets that a period is closed", "closed_until", "p.book_id = b.book_id", "false"),
    (
        "reverses twice",
        "guard_journal",
        "IF NOT FOUND THEN\n            RAISE EXCEPTION 'the journal is reversed already'",
        "IF false THEN\n            RAISE EXCEPTION 'the journal is reversed already'",
    ),
    (
        "forgets what it refused",
        "remember",
        "WHERE r.refusal IS NOT NULL",
        "WHERE r.refusal <> 'overdraft'",
    ),
];

#[test]
fn every_fault_of_the_store_is_caught() {
    let runtime = runtime();
    for (name, function, from, to) in FAULTS {
        let db = runtime.block_on(Database::new());
        runtime.block_on(break_it(&db, function, from, to));
        // A fixed seed: whether the suite bites must not be a matter of luck.
        let told = compare(&runtime, &db, 1, 400, 0);
        assert!(told.is_err(), "a store that {name} is not caught");
    }
}

async fn break_it(db: &Database, function: &str, from: &str, to: &str) {
    let client = db.connect().await;
    if function.is_empty() {
        return client.batch_execute(from).await.unwrap();
    }
    let source = "SELECT pg_get_functiondef(('ledger.' || $1)::regproc)";
    let source: String = client.query_one(source, &[&function]).await.unwrap().get(0);
    // The layout of the source is not the matter.
    let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
    let (source, from, to) = (squeeze(&source), squeeze(from), squeeze(to));
    assert!(source.contains(&from), "{function} has no longer: {from}\n{source}");
    client.batch_execute(&source.replace(&from, &to)).await.unwrap();
}
