//! hledger: `liabilities:acct_1:2010-merchant_payable.pending:usd`.

use std::collections::BTreeSet;
use std::io::Write;

use super::ExportError;
use super::rows::{Booked, Source};
use crate::chart::AccountType;
use crate::money::Decimal;
use crate::{AccountName, Currency, JournalCode};

// Descriptions besides the codes of journals. All are declared as payees, so that `check payees` finds a forged one.
const CARRIED: &str = "carried forward from detached months";
const CLOSING: &str = "closing balances by the counters";

pub(super) async fn write(mut source: Source<'_>, out: &mut impl Write) -> Result<u64, ExportError> {
    let accounts = source.accounts().await?;
    let Some((first, last)) = source.days().await? else {
        source.close().await?;
        return Ok(0);
    };
    for currency in accounts.iter().map(|a| a.account.currency()).collect::<BTreeSet<_>>() {
        // Without decimals the point is still required: it says which mark is the decimal one.
        let point = if currency.exponent() == 0 { "." } else { "" };
        writeln!(
            out,
            "commodity {}{point}",
            amount(i128::from(1000 * 10_i64.pow(currency.exponent().into())), currency)
        )?;
    }
    for code in JournalCode::ALL {
        writeln!(out, "payee {code}  ; {}", code.title())?;
    }
    writeln!(out, "payee {CARRIED}\npayee {CLOSING}")?;
    for a in &accounts {
        let name = name(&a.book_code, &a.account);
        // Two spaces end the name.
        writeln!(out, "account {name}  ; type:{}", type_letter(&a.account))?;
        writeln!(out, "account {name}:pending")?;
    }
    for book in source.carried().await?.chunk_by(|a, b| a.book == b.book) {
        for (pending, flag, suffix) in [(false, '*', ""), (true, '!', ":pending")] {
            writeln!(out, "\n{first} {flag} {CARRIED}")?;
            for a in book {
                let net = amount(a.net(pending), a.account.currency());
                writeln!(out, "    {}{suffix}  {net}", name(&a.book_code, &a.account))?;
            }
        }
    }
    let mut n = 0;
    while let Some(page) = source.next_page().await? {
        for j in &page {
            n += 1;
            transaction(out, j, false)?;
            transaction(out, j, true)?;
        }
    }
    writeln!(out, "\n{last} * {CLOSING}")?;
    for a in &accounts {
        let (name, currency) = (name(&a.book_code, &a.account), a.account.currency());
        let zero = amount(0, currency);
        writeln!(out, "    {name}  {zero} = {}", amount(a.net(false), currency))?;
        writeln!(out, "    {name}:pending  {zero} = {}", amount(a.net(true), currency))?;
    }
    source.close().await?;
    Ok(n)
}

fn transaction(out: &mut impl Write, j: &Booked, pending: bool) -> std::io::Result<()> {
    let mut lines = j.layer(pending).peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let (flag, suffix) = if pending { ('!', ":pending") } else { ('*', "") };
    write!(
        out,
        "\n{} {flag} ({}) {}",
        j.day(),
        plain(j.reference.as_deref().unwrap_or("-")),
        j.code
    )?;
    write!(
        out,
        "  ; id:{}, effective_at:{}, recorded_at:{}",
        j.id, j.effective_at, j.recorded_at
    )?;
    for (tag, id) in [("link", j.link), ("reverses", j.reverses), ("hold", j.hold)] {
        if let Some(id) = id {
            write!(out, ", {tag}:{id}")?;
        }
    }
    if let Some(key) = &j.key {
        write!(out, ", idem:{}", hex::encode(key))?;
    }
    writeln!(out)?;
    for (account, signed) in lines {
        writeln!(
            out,
            "    {}{suffix}  {}",
            name(&j.book_code, account),
            amount(signed, account.currency())
        )?;
    }
    Ok(())
}

fn name(book: &str, account: &AccountName) -> String {
    let root = match account.chart().account_type() {
        AccountType::Asset => "assets",
        AccountType::Liability => "liabilities",
        AccountType::Equity => "equity",
        AccountType::Income => "income",
        AccountType::Expense => "expenses",
    };
    let chart = account.chart();
    let dimension = account.dimension().map(|d| format!(":{d}")).unwrap_or_default();
    format!(
        "{root}:{book}:{}-{}{dimension}:{}",
        chart.number(),
        chart.title(),
        account.currency()
    )
}

fn type_letter(account: &AccountName) -> char {
    match account.chart().account_type() {
        AccountType::Asset => 'A',
        AccountType::Liability => 'L',
        AccountType::Equity => 'E',
        AccountType::Income => 'R',
        AccountType::Expense => 'X',
    }
}

fn amount(minor: i128, currency: Currency) -> String {
    format!("{} {}", currency.as_str().to_uppercase(), Decimal(minor, currency))
}

/// A reference inside parentheses and before a comment: nothing that would end either.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || "();|".contains(c) { '_' } else { c })
        .collect()
}
