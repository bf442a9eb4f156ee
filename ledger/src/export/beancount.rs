//! beancount: `Liabilities:B1:N2010:USD`. Parts of a name may hold neither `_` nor `.`, so books go by number and
//! accounts by theirs; the `open` directives carry the full names.

use std::io::Write;

use super::ExportError;
use super::rows::{Booked, Source};
use crate::AccountName;
use crate::chart::AccountType;
use crate::money::Decimal;

pub(super) async fn write(mut source: Source<'_>, out: &mut impl Write) -> Result<u64, ExportError> {
    let accounts = source.accounts().await?;
    let Some((first, last)) = source.days().await? else {
        source.close().await?;
        return Ok(0);
    };
    for a in &accounts {
        let currency = a.account.currency().as_str().to_uppercase();
        for pending in [false, true] {
            writeln!(out, "{first} open {} {currency}", name(a.book, &a.account, pending))?;
            writeln!(out, "  book: \"{}\"", a.book_code)?;
            writeln!(out, "  account: \"{}\"", a.account)?;
            writeln!(out, "  title: \"{}\"", a.account.chart().title())?;
        }
    }
    for book in source.carried().await?.chunk_by(|a, b| a.book == b.book) {
        for (pending, flag) in [(false, '*'), (true, '!')] {
            writeln!(out, "\n{first} {flag} \"carried forward\" \"\"")?;
            for a in book {
                let net = Decimal(a.net(pending), a.account.currency());
                let currency = a.account.currency().as_str().to_uppercase();
                writeln!(out, "  {}  {net} {currency}", name(a.book, &a.account, pending))?;
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
    // Checked at the start of its day, so on the day after; the tolerance must be said, else half a unit would pass.
    let close = last.tomorrow().unwrap_or(last);
    for a in &accounts {
        let currency = a.account.currency();
        for pending in [false, true] {
            let name = name(a.book, &a.account, pending);
            let net = Decimal(a.net(pending), currency);
            writeln!(
                out,
                "{close} balance {name} {net} ~ 0 {}",
                currency.as_str().to_uppercase()
            )?;
        }
    }
    source.close().await?;
    Ok(n)
}

fn transaction(out: &mut impl Write, j: &Booked, pending: bool) -> std::io::Result<()> {
    let mut lines = j.layer(pending).peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let flag = if pending { '!' } else { '*' };
    let reference = j.reference.as_deref().unwrap_or_default();
    writeln!(out, "\n{} {flag} \"{}\" \"{}\"", j.day(), j.code, plain(reference))?;
    writeln!(out, "  id: \"{}\"", j.id)?;
    writeln!(out, "  effective-at: \"{}\"", j.effective_at)?;
    writeln!(out, "  recorded-at: \"{}\"", j.recorded_at)?;
    for (tag, id) in [("link", j.link), ("reverses", j.reverses), ("hold", j.hold)] {
        if let Some(id) = id {
            writeln!(out, "  {tag}: \"{id}\"")?;
        }
    }
    for (account, signed) in lines {
        let currency = account.currency();
        let amount = Decimal(signed, currency);
        writeln!(
            out,
            "  {}  {amount} {}",
            name(j.book, account, pending),
            currency.as_str().to_uppercase()
        )?;
    }
    Ok(())
}

fn name(book: i64, account: &AccountName, pending: bool) -> String {
    let root = match account.chart().account_type() {
        AccountType::Asset => "Assets",
        AccountType::Liability => "Liabilities",
        AccountType::Equity => "Equity",
        AccountType::Income => "Income",
        AccountType::Expense => "Expenses",
    };
    // `D` first: a part starts with a capital or a digit. `_` is not allowed; its hex code keeps names apart.
    let dimension = account
        .dimension()
        .map(|d| format!(":D{}", d.replace('_', "-5F-")))
        .unwrap_or_default();
    // A sibling, not a child: a balance assertion includes the accounts below its own.
    let layer = if pending { "-pending" } else { "" };
    format!(
        "{root}:B{book}:N{}{layer}{dimension}:{}",
        account.chart().number(),
        account.currency().as_str().to_uppercase()
    )
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || c == '"' || c == '\\' {
                '_'
            } else {
                c
            }
        })
        .collect()
}
