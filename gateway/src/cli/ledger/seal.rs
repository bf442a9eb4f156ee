//! `counterfoil ledger verify`, `seal` and `prove`: that the books are what they were.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use ledger::seal::verify::{Options, Progress};
use ledger::seal::{Head, Keys, heads, proof};
use ledger::verify::{Check, Report};
use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::super::deed::Deed;
use super::super::table::{Align, Table};
use super::super::{database, print};
use super::book_id;
use crate::dev::files;
use crate::seal;

#[derive(clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    keys: KeyFile,

    /// An exported head (head.json), or a log of them (heads.jsonl), that the books must still have; may be given again. Without
    /// it, that of the development folder is used, if it is there
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,

    /// Verify the seal alone, not the sums
    #[arg(long)]
    only_seal: bool,

    /// Do not read the journals of pages before this one again; the chain of pages is always checked from its beginning
    #[arg(long, value_name = "PAGE", default_value_t = 1)]
    from_page: i64,

    /// Go on behind the head in this file, and keep the last verified head there, also when interrupted
    #[arg(long, value_name = "FILE", conflicts_with = "from_page")]
    state: Option<PathBuf>,

    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Seal {
    #[command(flatten)]
    database: database::Which,

    #[command(flatten)]
    keys: KeyFile,

    /// Directory that gets the signed head; may be given again. Without it, that of the development folder
    #[arg(long, value_name = "DIR")]
    heads: Vec<PathBuf>,

    /// Make the key file with a fresh key when there is none
    #[arg(long)]
    create_key: bool,
}

#[derive(clap::Args)]
pub(super) struct Prove {
    #[command(flatten)]
    database: database::Which,

    /// The journal
    #[arg(value_name = "JOURNAL", required_unless_present = "consistency")]
    journal: Option<Uuid>,

    /// Its book, which is found faster when named: a merchant's account id, or `platform`
    #[arg(long, value_name = "CODE")]
    book: Option<String>,

    /// Prove it under this exported head; without it, under the newest
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,

    /// Prove that the second head only extends the first
    #[arg(long, num_args = 2, value_names = ["OLDER", "NEWER"], conflicts_with_all = ["journal", "book", "head"])]
    consistency: Vec<PathBuf>,
}

impl Seal {
    pub(super) fn deed(&self) -> Deed {
        Deed::new("ledger seal", &self.database)
    }
}

impl Prove {
    pub(super) fn deed(&self) -> Deed {
        let deed = Deed::new("ledger prove", &self.database).account(self.book.as_deref());
        match &self.journal {
            Some(journal) => deed.object(journal),
            None => deed,
        }
    }
}

#[derive(clap::Args)]
pub(in crate::cli) struct KeyFile {
    /// Keys of the seal; without it, those of the development folder, if they are there
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

pub(super) async fn verify(args: Verify) -> Result<()> {
    let mut client = args.database.connect().await?;
    let mut report = Report { checks: Vec::new() };
    if !args.only_seal {
        let progress = spinner("{spinner} {human_pos} journals summed, {elapsed}")?;
        report = ledger::verify::verify(&mut client, |journals| progress.set_position(journals)).await?;
        report.checks.extend(crate::audit::audit(&mut client).await?);
        progress.finish_and_clear();
    }
    report.checks.extend(verify_seal(&mut client, &args).await?);
    if args.json {
        let checks = report.checks.iter().map(|check| {
            json!({ "name": check.name, "rows": check.rows, "wrong": check.wrong, "first_wrong": check.first_wrong })
        });
        print::line(json!({ "ok": report.is_ok(), "checks": checks.collect::<Vec<_>>() }));
    } else {
        print::text(table(&report));
    }
    match report.is_ok() {
        true => Ok(()),
        false => {
            raise_alarm(&client, "ledger verify", &report).await;
            bail!("the books are wrong")
        }
    }
}

pub(super) async fn seal(args: Seal) -> Result<()> {
    let mut client = args.database.connect().await?;
    let dev = |name: &str| args.database.dir.join(name);
    let config = seal::Config {
        keys: args.keys.keys.clone().unwrap_or_else(|| dev("seal.keys")),
        make_keys: args.create_key,
        heads: match args.heads.is_empty() {
            true => vec![dev("heads")],
            false => args.heads.clone(),
        },
        push: seal::push::Config::default(), // the service's
        every: Duration::ZERO,               // once
        page_journals: 4096,
        verify_every: Duration::MAX, // by `verify`
    };
    let mut sealer = config.sealer()?;
    let progress = spinner("{spinner} {human_pos} journals sealed, {elapsed}")?;
    let (mut pages, mut journals) = (0, 0);
    loop {
        let round = sealer.round(&mut client).await?;
        if round.busy {
            tokio::time::sleep(Duration::from_millis(50)).await; // another process seals just now
            continue;
        }
        if let Some((dir, error)) = round.unexported.into_iter().next() {
            return Err(error).with_context(|| format!("exporting the head to {}", dir.display()));
        }
        (pages, journals) = (pages + round.pages, journals + round.journals);
        progress.set_position(journals);
        if !round.more {
            progress.finish_and_clear();
            eprintln!("{journals} journals sealed in {pages} pages");
            if let Some(head) = round.head {
                print::line(serde_json::to_string(&head)?);
            }
            return Ok(());
        }
    }
}

pub(super) async fn prove(args: Prove) -> Result<()> {
    let mut client = args.database.connect().await?;
    let proof = match (&args.consistency[..], args.journal) {
        ([older, newer], _) => proof::consistency(&mut client, &newest(older)?, &newest(newer)?).await?,
        (_, Some(journal)) => {
            let book = match &args.book {
                Some(code) => Some(book_id(&client, code).await?),
                None => None,
            };
            let head = args.head.as_deref().map(newest).transpose()?;
            proof::prove(&mut client, book, journal, head.as_ref()).await?
        }
        _ => bail!("name a journal, or two heads"),
    };
    print::line(serde_json::to_string_pretty(&proof)?);
    Ok(())
}

async fn verify_seal(client: &mut Client, args: &Verify) -> Result<Vec<Check>> {
    let keys = args.keys.read(&args.database)?;
    let mut known = Vec::new();
    for file in &args.head {
        known.extend(read_heads(file)?);
    }
    if let Some(log) = of_dev(&args.database, "heads/heads.jsonl").filter(|_| args.head.is_empty()) {
        known.extend(read_heads(&log)?);
    }
    let mut from_page = args.from_page;
    if let Some(state) = args.state.as_deref().filter(|state| state.exists()) {
        let verified = newest(state)?;
        from_page = verified.pages + 1;
        known.push(verified);
    }
    let options = Options {
        keys: keys.as_ref(),
        heads: &known,
        from_page,
    };
    let bar = spinner("{spinner} {human_pos} sealed journals, {msg}, {elapsed}")?;
    let mut verified: Option<Head> = None;
    let mut kept = Instant::now();
    let mut unkept = Ok(());
    let report = ledger::seal::verify::verify(client, options, |progress: Progress<'_>| {
        bar.set_position(progress.journals);
        bar.set_message(format!("page {}", progress.head.pages));
        if progress.good && progress.head.pages >= from_page {
            verified = Some(progress.head.clone());
            if kept.elapsed() > STATE_EVERY && unkept.is_ok() {
                unkept = keep(args.state.as_deref(), verified.as_ref());
                kept = Instant::now();
            }
        }
    })
    .await?;
    bar.finish_and_clear();
    unkept?;
    // Behind the first wrong row nothing is verified, so nothing is skipped the next time.
    if report.is_ok() {
        keep(args.state.as_deref(), verified.as_ref())?;
    }
    Ok(report.checks)
}

/// What is wrong is a security event: the service tells whoever is to be told. Who may not write may still verify.
pub(in crate::cli) async fn raise_alarm(client: &Client, who: &str, report: &Report) {
    let wrong = report.checks.iter().find(|check| check.wrong > 0);
    let detail = wrong.map_or(String::new(), |check| {
        format!(
            "{who}: {}: {}",
            check.name,
            check.first_wrong.as_deref().unwrap_or_default()
        )
    });
    let detail: String = detail.chars().take(300).collect();
    let noted = client
        .query_typed(NOTE, &[(&detail, tokio_postgres::types::Type::TEXT)])
        .await;
    if let Err(error) = noted {
        eprintln!("counterfoil: no alarm was raised: {error}");
    }
}

const NOTE: &str = "
    SELECT gateway.note_security_events(ARRAY['tampered'], ARRAY[NULL::inet], ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[$1], ARRAY[1::bigint],
        ARRAY[now()], ARRAY[now()], interval '0')";

fn keep(state: Option<&Path>, head: Option<&Head>) -> Result<()> {
    let (Some(state), Some(head)) = (state, head) else {
        return Ok(());
    };
    let text = format!("{}\n", serde_json::to_string(head)?);
    files::replace(state, text.as_bytes(), 0o600).with_context(|| format!("writing {}", state.display()))
}

impl KeyFile {
    pub(in crate::cli) fn read(&self, database: &database::Which) -> Result<Option<Keys>> {
        let path = self.keys.clone().or_else(|| of_dev(database, "seal.keys"));
        Ok(path.map(|path| Keys::from_file(&path)).transpose()?)
    }
}

/// A file of the development folder, when that is where the database is.
pub(in crate::cli) fn of_dev(database: &database::Which, name: &str) -> Option<PathBuf> {
    let path = database.dir.join(name);
    (database.database_url.is_none() && path.exists()).then_some(path)
}

pub(in crate::cli) fn read_heads(file: &Path) -> Result<Vec<Head>> {
    heads::read(file).with_context(|| format!("heads in {}", file.display()))
}

/// The newest head of a file.
fn newest(file: &Path) -> Result<Head> {
    let heads = read_heads(file)?;
    let newest = heads.into_iter().max_by_key(|head| head.pages);
    newest.with_context(|| format!("no head in {}", file.display()))
}

pub(in crate::cli) fn spinner(template: &str) -> Result<ProgressBar> {
    Ok(ProgressBar::new_spinner().with_style(ProgressStyle::with_template(template)?))
}

pub(in crate::cli) fn table(report: &Report) -> String {
    let mut table = Table::new(
        &[Align::Left, Align::Right, Align::Right, Align::Left],
        &["check", "rows", "wrong", "first wrong"],
    );
    for check in &report.checks {
        let first = check.first_wrong.clone().unwrap_or_default();
        table.row([
            check.name.to_string(),
            check.rows.to_string(),
            check.wrong.to_string(),
            first,
        ]);
    }
    table.render().to_string()
}

/// How much work an interruption costs.
const STATE_EVERY: Duration = Duration::from_secs(5);
