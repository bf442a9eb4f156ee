//! The run over a file that was read: clusters pass by and are compared, then rules look at what is left; what was decided is written
//! as it goes, in one order, so that the same file against the same books has the same result.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reconcile::Format;
use reconcile::cluster::{self, BreakKind, Ours, Theirs};
use reconcile::rules;
use tokio_postgres::Transaction;

use super::intake::Read;
use super::report::{self, Breaks};
use super::store::{self, Claims, Side};
use super::{Error, Request};

/// Matches the file; how many of its lines are right.
pub(super) async fn run(tx: &Transaction<'_>, id: &str, read: &Read, request: &Request) -> Result<i64, Error> {
    let Some((first, last)) = read.days else {
        return Ok(0); // a file without lines
    };
    let (since, until) = (day(first, 0), day(last, 1));
    let margin = SignedDuration::from_hours(24 * i64::from(request.terms.days.max(0) + 1));
    let days = (moved(since, -margin), moved(until, margin));
    store::meet(tx, id, request.format.as_str(), days, request.book).await?;
    let mut run = Run {
        tx,
        id,
        request,
        claims: Claims::default(),
        breaks: Breaks::default(),
        number: 0,
        matched: 0,
    };
    run.clusters().await?;
    run.leftovers(since, until).await?;
    store::claim_own_sources(tx, id, request.format.as_str(), run.number).await?;
    run.breaks.insert(tx, id, request.format.as_str()).await?;
    Ok(run.matched)
}

struct Run<'a> {
    tx: &'a Transaction<'a>,
    id: &'a str,
    request: &'a Request,
    claims: Claims,
    breaks: Breaks,
    /// of the match
    number: i64,
    matched: i64,
}

impl Run<'_> {
    async fn clusters(&mut self) -> Result<(), Error> {
        let portal = store::clusters(self.tx, self.id).await?;
        let mut open = String::new();
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        loop {
            let rows = store::next(self.tx, &portal).await?;
            let end = rows.is_empty();
            for (cluster, side) in rows {
                if cluster != open {
                    self.cluster(&theirs, &ours);
                    (theirs, ours) = (Vec::new(), Vec::new());
                    open = cluster;
                }
                match side {
                    Side::Theirs(line) => theirs.push(line),
                    Side::Ours(entry) => ours.push(entry),
                }
            }
            if end {
                self.cluster(&theirs, &ours);
            }
            if end || self.claims.len() >= CLAIMS {
                self.claims
                    .insert(self.tx, self.id, self.request.format.as_str())
                    .await?;
            }
            if end {
                return Ok(());
            }
        }
    }

    fn cluster(&mut self, theirs: &[Theirs], ours: &[Ours]) {
        let outcome = cluster::compare(theirs, ours, self.request.terms);
        for found in &outcome.matches {
            let (lines, entries) = (pick(theirs, &found.theirs), pick(ours, &found.ours));
            self.matched += lines.len() as i64;
            self.claim(&lines, &entries, "reference");
        }
        for found in &outcome.breaks {
            let (lines, entries) = (pick(theirs, &found.theirs), pick(ours, &found.ours));
            // What a duplicate repeats is told with it, and stays with the line that had it first.
            let shown: Vec<&Ours> = match found.kind {
                BreakKind::Duplicate => ours.iter().take(1).collect(),
                _ => entries.clone(),
            };
            let claim = self.claim(&lines, &entries, "break");
            self.breaks.push(found.kind, &lines, &shown, Some(claim), None);
        }
    }

    async fn leftovers(&mut self, since: Timestamp, until: Timestamp) -> Result<(), Error> {
        let theirs = store::lines_left(self.tx, self.id).await?;
        let accounts = self.population().await?;
        // What went to a bank takes days to be shown; what an acquirer reports is of the same days.
        let late = SignedDuration::from_hours(24 * i64::from(self.request.terms.days.max(0)));
        let (from, to) = match self.request.format.is_of_a_bank() {
            true => (moved(since, -late), until),
            false => (since, until),
        };
        let ours = store::entries_left(self.tx, self.request.format.as_str(), &accounts, (from, to)).await?;
        let found = rules::search(&theirs, &ours, self.request.terms);
        let mut settled = (vec![false; theirs.len()], vec![false; ours.len()]);
        for (line, entries) in &found.matches {
            settled.0[*line] = true;
            entries.iter().for_each(|entry| settled.1[*entry] = true);
            self.matched += 1;
            self.claim(&[&theirs[*line]], &pick(&ours, entries), "amount");
        }
        for (n, line) in theirs.iter().enumerate().filter(|(n, _)| !settled.0[*n]) {
            let suggested = found.suggestions.iter().find(|(line, _)| *line == n);
            let meant: Vec<&Ours> = suggested.map(|(_, entries)| pick(&ours, entries)).unwrap_or_default();
            let claim = self.claim(&[line], &[], "break");
            let proposal = (!meant.is_empty()).then(|| report::same(&meant));
            self.breaks
                .push(BreakKind::TheirsOnly, &[line], &[], Some(claim), proposal);
        }
        let overdue = moved(until, -late);
        for (n, entry) in ours.iter().enumerate().filter(|(n, _)| !settled.1[*n]) {
            let expected =
                !self.request.format.is_of_a_bank() || entry.account.starts_with("1110") || entry.at < overdue;
            if expected {
                let meant = found.suggestions.iter().find(|(_, entries)| entries.contains(&n));
                let proposal = meant.map(|(line, _)| report::same_line(&theirs[*line]));
                self.breaks.push(BreakKind::OursOnly, &[], &[entry], None, proposal);
            }
        }
        self.claims
            .insert(self.tx, self.id, self.request.format.as_str())
            .await?;
        Ok(())
    }

    /// Whose entries the file must have: the clearing accounts that it speaks about. A bank's statement also has to show what is in
    /// transit, a report of an acquirer everything of that acquirer.
    async fn population(&self) -> Result<Vec<(String, String)>, Error> {
        let mut accounts = store::spoken_of(self.tx, self.id).await?;
        let format = self.request.format;
        if let Some(acquirer) = &self.request.acquirer {
            accounts.retain(|(number, _)| number != "1110");
            accounts.push(("1110".into(), acquirer.clone()));
        } else if !format.is_of_a_bank() && accounts.is_empty() {
            // It names nothing that we know: then all of its acquirer is missing in it.
            let known = store::acquirers(self.tx).await?;
            let natural = match format {
                Format::StripeItemized => Some("stripe"),
                Format::AdyenSettlement => Some("adyen"),
                _ => None,
            };
            let of_it = known
                .iter()
                .filter(|name| natural.is_none_or(|natural| natural == name.as_str()));
            accounts.extend(of_it.map(|name| ("1110".to_owned(), name.clone())));
        }
        if format.is_of_a_bank() {
            accounts.push(("2140".into(), String::new()));
            let transit = store::acquirers(self.tx).await?;
            accounts.extend(transit.into_iter().map(|acquirer| ("1120".to_owned(), acquirer)));
        }
        accounts.sort();
        accounts.dedup();
        Ok(accounts)
    }

    fn claim(&mut self, lines: &[&Theirs], entries: &[&Ours], rule: &'static str) -> i64 {
        self.number += 1;
        self.claims.push(self.number, lines, entries, rule);
        self.number
    }
}

fn pick<'a, T>(items: &'a [T], chosen: &[usize]) -> Vec<&'a T> {
    chosen.iter().map(|i| &items[*i]).collect()
}

/// The beginning of a moment's day (UTC), so many days later.
fn day(at: Timestamp, later: i64) -> Timestamp {
    let date = at.to_zoned(TimeZone::UTC).date();
    let midnight = date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    moved(midnight.unwrap_or(at), SignedDuration::from_hours(24 * later))
}

fn moved(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(at)
}

/// Claims per round trip.
const CLAIMS: usize = 2000;
