//! `counterfoil case`: a case from complaint to outcome by command line. Each command is a call of the API, whose rules and audit
//! log are those of every other caller.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::api::Which;
use super::print;
use super::table::{Align, Table, decimal};
use crate::case::words::{CaseType, Channel, Finding, Outcome, Remedy, Status};

#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  counterfoil case open --payment pi_0123 --type quality --amount 1500 --reason 'the handle broke'
  counterfoil case verify case_0123 --finding confirmed --facts 'the photograph shows it' --officer ann
  counterfoil case decide case_0123 --remedy refund_partial --amount 1200 --reasons 'broken' --evidence cae_0123 --officer ann
  counterfoil case execute case_0123")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What every command about one case has.
#[derive(clap::Args)]
struct One {
    #[command(flatten)]
    service: Which,
    /// The case's id
    case: String,
    /// The person who acts; without it, the key is the person
    #[arg(long, value_name = "PERSON")]
    officer: Option<String>,
    /// For programs: the whole case as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Decided {
    /// Minor units to refund; for refund_full everything that can be
    #[arg(long, value_name = "MINOR")]
    amount: Option<i64>,
    /// Minor units beyond the price, by bank
    #[arg(long, value_name = "MINOR")]
    compensation: Option<i64>,
    /// Who pays; the merchant when not given
    #[arg(long, value_parser = ["merchant", "platform", "advance"])]
    borne_by: Option<String>,
    /// For both sides
    #[arg(long)]
    reasons: Option<String>,
    /// An entry of the timeline that it rests on; repeat for more
    #[arg(long, value_name = "ENTRY")]
    evidence: Vec<String>,
    /// The rule and the calculation of compensation
    #[arg(long)]
    basis: Option<String>,
    /// The second person, where one is needed
    #[arg(long, value_name = "PERSON")]
    approver: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Take a complaint in
    #[command(
        after_long_help = "Example:\n  counterfoil case open --payment pi_0123 --type quality --reason 'the handle broke' --channel phone"
    )]
    Open {
        #[command(flatten)]
        service: Which,
        /// The payment
        #[arg(long, value_name = "PAYMENT")]
        payment: String,
        /// What is complained of
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(CaseType::WORDS))]
        r#type: String,
        /// Minor units that are asked for; everything that can be refunded when not given
        #[arg(long, value_name = "MINOR")]
        amount: Option<i64>,
        /// In the consumer's words
        #[arg(long)]
        reason: String,
        /// How it arrived
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Channel::WORDS))]
        channel: Option<String>,
        /// The platform's reference of the consumer
        #[arg(long)]
        consumer: Option<String>,
        /// For programs: the whole case as JSON
        #[arg(long)]
        json: bool,
    },
    /// Cases, newest first
    #[command(after_long_help = "Example:\n  counterfoil case list --status mediation --limit 50")]
    List {
        #[command(flatten)]
        service: Which,
        /// That stand here
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Status::WORDS))]
        status: Option<String>,
        /// That ended so
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Outcome::WORDS))]
        outcome: Option<String>,
        /// About this payment
        #[arg(long, value_name = "PAYMENT")]
        payment: Option<String>,
        /// With these words in complaint or reasons
        #[arg(long, value_name = "WORDS")]
        query: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=100))]
        limit: i64,
        /// For programs: one case per line
        #[arg(long)]
        json: bool,
    },
    /// A case with its timeline
    #[command(after_long_help = "Example:\n  counterfoil case show case_0123")]
    Show {
        #[command(flatten)]
        one: One,
    },
    /// How complaints went in a period, as JSON
    #[command(after_long_help = "Example:\n  counterfoil case report --from 2026-10-01 --to 2026-12-31")]
    Report {
        #[command(flatten)]
        service: Which,
        /// The first day (UTC); 92 days before the last when not given
        #[arg(long, value_name = "DATE")]
        from: Option<jiff::civil::Date>,
        /// The last day (UTC); until now when not given
        #[arg(long, value_name = "DATE")]
        to: Option<jiff::civil::Date>,
        /// Of this merchant alone
        #[arg(long, value_name = "ACCOUNT")]
        of: Option<String>,
    },
    /// Everything that belongs to a case, as JSON for a regulator; fails if a sealed case was changed
    #[command(after_long_help = "Example:\n  counterfoil case export case_0123 > case.json")]
    Export {
        #[command(flatten)]
        one: One,
    },
    /// Say something in a case
    #[command(after_long_help = "Example:\n  counterfoil case message case_0123 --text 'we are looking at it'")]
    Message {
        #[command(flatten)]
        one: One,
        /// What is said
        #[arg(long)]
        text: String,
        /// Who says it
        #[arg(long, value_parser = ["consumer", "merchant", "platform"])]
        by: Option<String>,
    },
    /// Add a piece of evidence
    #[command(
        after_long_help = "Example:\n  counterfoil case evidence case_0123 --text 'the parcel was signed for' --by merchant"
    )]
    Evidence {
        #[command(flatten)]
        one: One,
        /// In words
        #[arg(long)]
        text: Option<String>,
        /// An uploaded file
        #[arg(long, value_name = "FILE_ID")]
        file: Option<String>,
        /// SHA-256 of the file
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// Whose it is
        #[arg(long, value_parser = ["consumer", "merchant", "platform"])]
        by: Option<String>,
    },
    /// Give a case to an officer
    #[command(after_long_help = "Example:\n  counterfoil case assign case_0123 --owner ann")]
    Assign {
        #[command(flatten)]
        one: One,
        /// Who has it from now on
        #[arg(long, value_name = "PERSON")]
        owner: String,
    },
    /// Take up a case that waits for an officer
    #[command(after_long_help = "Example:\n  counterfoil case accept case_0123 --officer ann")]
    Accept {
        #[command(flatten)]
        one: One,
    },
    /// Do not take a case up
    #[command(
        after_long_help = "Example:\n  counterfoil case refuse case_0123 --reason 'the same complaint' --officer ann"
    )]
    Refuse {
        #[command(flatten)]
        one: One,
        /// For the consumer
        #[arg(long)]
        reason: String,
    },
    /// Say what was found out
    #[command(
        after_long_help = "Example:\n  counterfoil case verify case_0123 --finding confirmed --facts 'the photograph shows it'"
    )]
    Verify {
        #[command(flatten)]
        one: One,
        /// What it comes to
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Finding::WORDS))]
        finding: String,
        /// For both sides
        #[arg(long)]
        facts: String,
    },
    /// Offer a settlement, for the merchant
    #[command(after_long_help = "Example:\n  counterfoil case offer case_0123 --remedy refund_partial --amount 500")]
    Offer {
        #[command(flatten)]
        one: One,
        /// A refund, or other goods
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Remedy::WORDS))]
        remedy: String,
        /// Minor units
        #[arg(long, value_name = "MINOR")]
        amount: Option<i64>,
        /// For the consumer
        #[arg(long)]
        note: Option<String>,
    },
    /// Take an offer, for the consumer
    #[command(after_long_help = "Example:\n  counterfoil case settle case_0123 --offer cae_0123")]
    Settle {
        #[command(flatten)]
        one: One,
        /// The offer's id
        #[arg(long, value_name = "ENTRY")]
        offer: String,
    },
    /// Contest a complaint, for the merchant
    #[command(after_long_help = "Example:\n  counterfoil case contest case_0123 --reason 'it was whole when it left'")]
    Contest {
        #[command(flatten)]
        one: One,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Decide a case
    #[command(after_long_help = "Example:
  counterfoil case decide case_0123 --remedy refund_full --reasons 'the photograph shows it' --evidence cae_0123 --officer ann")]
    Decide {
        #[command(flatten)]
        one: One,
        /// What the consumer gets
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Remedy::WORDS))]
        remedy: String,
        #[command(flatten)]
        decided: Decided,
    },
    /// Carry a decision out
    #[command(after_long_help = "Example:\n  counterfoil case execute case_0123 --goods-received")]
    Execute {
        #[command(flatten)]
        one: One,
        /// The goods are back
        #[arg(long)]
        goods_received: bool,
    },
    /// Report that goods were shipped
    #[command(after_long_help = "Example:\n  counterfoil case shipped case_0123 --shipment 'UPS 1Z999'")]
    Shipped {
        #[command(flatten)]
        one: One,
        /// Carrier and number
        #[arg(long)]
        shipment: String,
    },
    /// Report that the bank has paid what was owed
    #[command(after_long_help = "Example:\n  counterfoil case paid case_0123 --bank-reference 2026112300417")]
    Paid {
        #[command(flatten)]
        one: One,
        /// The bank's own
        #[arg(long)]
        bank_reference: String,
    },
    /// Appeal, for one of the sides
    #[command(
        after_long_help = "Example:\n  counterfoil case appeal case_0123 --by consumer --reason 'look at the second photograph'"
    )]
    Appeal {
        #[command(flatten)]
        one: One,
        /// Whose appeal
        #[arg(long, value_parser = ["consumer", "merchant"])]
        by: String,
        /// What is wrong with the outcome
        #[arg(long)]
        reason: String,
    },
    /// Decide an appeal: uphold the decision, or give a remedy to change it
    #[command(
        after_long_help = "Example:\n  counterfoil case decide-appeal case_0123 --reasons 'nothing new' --officer bob"
    )]
    DecideAppeal {
        #[command(flatten)]
        one: One,
        /// What the consumer gets in all; without it the decision stands
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Remedy::WORDS))]
        remedy: Option<String>,
        #[command(flatten)]
        decided: Decided,
    },
    /// Withdraw a case, for the consumer
    #[command(after_long_help = "Example:\n  counterfoil case withdraw case_0123 --reason 'it works after all'")]
    Withdraw {
        #[command(flatten)]
        one: One,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Rate how a case was handled, for the consumer
    #[command(after_long_help = "Example:\n  counterfoil case rate case_0123 --score 5")]
    Rate {
        #[command(flatten)]
        one: One,
        /// 1 to 5
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=5))]
        score: i64,
        /// In the consumer's words
        #[arg(long)]
        comment: Option<String>,
    },
    /// Note a regulator's request, or that it has ended
    #[command(after_long_help = "Example:\n  counterfoil case regulator case_0123 --external-ref 12315-2026-7")]
    Regulator {
        #[command(flatten)]
        one: One,
        /// The regulator's reference
        #[arg(long, value_name = "REFERENCE", required_unless_present = "ended")]
        external_ref: Option<String>,
        /// It is over
        #[arg(long, conflicts_with = "external_ref")]
        ended: bool,
    },
}

pub(super) async fn run(args: Args) -> Result<()> {
    let (one, act, body) = match args.command {
        Command::Open {
            service,
            payment,
            r#type,
            amount,
            reason,
            channel,
            consumer,
            json,
        } => {
            let body = given(json!({
                "payment_intent": payment, "type": r#type, "amount": amount, "reason": reason, "channel": channel, "consumer": consumer,
            }));
            let case = service.post("/v1/cases", &body).await?;
            show(&case, json);
            return Ok(());
        }
        Command::List {
            service,
            status,
            outcome,
            payment,
            query,
            limit,
            json,
        } => {
            let mut words = url::form_urlencoded::Serializer::new(String::new());
            words.append_pair("limit", &limit.to_string());
            for (name, value) in [
                ("status", status),
                ("outcome", outcome),
                ("payment_intent", payment),
                ("query", query),
            ] {
                if let Some(value) = value {
                    words.append_pair(name, &value);
                }
            }
            return list(&service.get(&format!("/v1/cases?{}", words.finish())).await?, json);
        }
        Command::Show { one } => {
            let case = one.service.get(&format!("/v1/cases/{}", one.case)).await?;
            show(&case, one.json);
            return Ok(());
        }
        Command::Report { service, from, to, of } => {
            let day = |date: jiff::civil::Date| {
                date.to_zoned(jiff::tz::TimeZone::UTC)
                    .map(|at| at.timestamp().as_second())
            };
            let mut words = url::form_urlencoded::Serializer::new(String::new());
            if let Some(from) = from {
                words.append_pair("from", &day(from)?.to_string());
            }
            if let Some(to) = to {
                words.append_pair("to", &day(to.tomorrow()?)?.to_string());
            }
            if let Some(account) = of {
                words.append_pair("account", &account);
            }
            let report = service.get(&format!("/v1/case_reports?{}", words.finish())).await?;
            print::line(format_args!("{report:#}"));
            return Ok(());
        }
        Command::Export { one } => {
            let bundle = one.service.get(&format!("/v1/cases/{}/bundle", one.case)).await?;
            print::line(format_args!("{bundle:#}"));
            if bundle["intact"] == false {
                anyhow::bail!("this case is not as it was sealed");
            }
            return Ok(());
        }
        Command::Message { one, text, by } => (one, "messages", json!({ "text": text, "by": by })),
        Command::Evidence {
            one,
            text,
            file,
            sha256,
            by,
        } => (
            one,
            "evidence",
            json!({ "text": text, "file": file, "sha256": sha256, "by": by }),
        ),
        Command::Assign { one, owner } => (one, "assign", json!({ "owner": owner })),
        Command::Accept { one } => (one, "accept", json!({})),
        Command::Refuse { one, reason } => (one, "not_accept", json!({ "reason": reason })),
        Command::Verify { one, finding, facts } => (one, "verify", json!({ "finding": finding, "facts": facts })),
        Command::Offer {
            one,
            remedy,
            amount,
            note,
        } => (
            one,
            "offers",
            json!({ "remedy": remedy, "amount": amount, "note": note }),
        ),
        Command::Settle { one, offer } => (nameless(one), "accept_offer", json!({ "offer": offer })),
        Command::Contest { one, reason } => (one, "contest", json!({ "reason": reason })),
        Command::Decide { one, remedy, decided } => (one, "decision", decided.with(json!({ "remedy": remedy }))),
        Command::Execute { one, goods_received } => (one, "execute", json!({ "goods_received": goods_received })),
        Command::Shipped { one, shipment } => (one, "shipped", json!({ "shipment": shipment })),
        Command::Paid { one, bank_reference } => (one, "paid", json!({ "bank_reference": bank_reference })),
        Command::Appeal { one, by, reason } => (nameless(one), "appeal", json!({ "by": by, "reason": reason })),
        Command::DecideAppeal { one, remedy, decided } => {
            let body = match remedy {
                Some(remedy) => decided.with(json!({ "result": "change", "remedy": remedy })),
                None => decided.with(json!({ "result": "uphold" })),
            };
            (one, "appeal_decision", body)
        }
        Command::Withdraw { one, reason } => (nameless(one), "withdraw", json!({ "reason": reason })),
        Command::Rate { one, score, comment } => {
            (nameless(one), "rating", json!({ "score": score, "comment": comment }))
        }
        Command::Regulator {
            one,
            external_ref,
            ended,
        } => {
            let ended = ended.then_some(true);
            (
                one,
                "regulator",
                json!({ "external_ref": external_ref, "ended": ended }),
            )
        }
    };
    let mut body = given(body);
    if let Some(officer) = &one.officer {
        body["officer"] = officer.as_str().into();
    }
    let case = one
        .service
        .post(&format!("/v1/cases/{}/{act}", one.case), &body)
        .await?;
    show(&case, one.json);
    Ok(())
}

impl Decided {
    fn with(self, body: Value) -> Value {
        let Decided {
            amount,
            compensation,
            borne_by,
            reasons,
            evidence,
            basis,
            approver,
        } = self;
        let evidence = (!evidence.is_empty()).then_some(evidence);
        let more = json!({
            "amount": amount, "compensation": compensation, "borne_by": borne_by, "reasons": reasons, "evidence": evidence,
            "basis": basis, "approver": approver,
        });
        let mut all = body;
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }
}

/// A consumer acts, not an officer.
fn nameless(one: One) -> One {
    One { officer: None, ..one }
}

/// Only what was given.
fn given(body: Value) -> Value {
    match body {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .collect::<Map<_, _>>(),
        ),
        other => other,
    }
}

fn amount(object: &Value, field: &Value) -> String {
    let minor = field.as_i64().unwrap_or_default();
    let code = object["currency"].as_str().unwrap_or_default();
    match code.parse() {
        Ok(currency) => format!("{} {code}", decimal(minor.into(), currency)),
        Err(_) => format!("{minor} {code}"),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}

fn moment(value: &Value) -> String {
    let at = value
        .as_i64()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

fn list(listed: &Value, json: bool) -> Result<()> {
    let mut table = Table::new(
        &[
            Align::Left,
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Right,
            Align::Left,
            Align::Left,
        ],
        &["case", "status", "type", "asked", "held", "owner", "due (UTC)"],
    );
    for case in listed["data"].as_array().into_iter().flatten() {
        if json {
            print::line(case);
            continue;
        }
        table.row([
            text(case, "id").to_owned(),
            text(case, "status").to_owned(),
            text(case, "type").to_owned(),
            amount(case, &case["amount"]),
            amount(case, &case["hold"]["amount"]),
            text(case, "owner").to_owned(),
            moment(&case["deadlines"][0]["due_at"]),
        ]);
    }
    if !json {
        print::text(table.render());
    }
    Ok(())
}

fn show(case: &Value, json: bool) {
    if json {
        print::line(case);
        return;
    }
    print::line(format_args!(
        "{}  {} ({})  asked {}  held {}  payment {}",
        text(case, "id"),
        text(case, "status"),
        text(case, "type"),
        amount(case, &case["amount"]),
        amount(case, &case["hold"]["amount"]),
        text(case, "payment_intent"),
    ));
    for due in case["deadlines"].as_array().into_iter().flatten() {
        print::line(format_args!("  due {}  {}", moment(&due["due_at"]), text(due, "kind")));
    }
    let mut table = Table::new(
        &[Align::Left, Align::Left, Align::Left, Align::Left, Align::Left],
        &["  at (UTC)", "what", "by", "status", "entry"],
    );
    for entry in case["timeline"].as_array().into_iter().flatten() {
        table.row([
            format!("  {}", moment(&entry["created"])),
            text(entry, "kind").to_owned(),
            entry["actor"]
                .as_str()
                .unwrap_or_else(|| text(entry, "party"))
                .to_owned(),
            text(entry, "status").to_owned(),
            text(entry, "id").to_owned(),
        ]);
    }
    print::text(table.render());
}
