//! A bank's host that speaks ISO 8583:1987: authorizations, completions, reversals, refunds, and the truth about them.
//!
//! It has its own reading of the standard ([`codec`]), and nothing in common with the program under test. Messages are two bytes
//! of length, ASCII fields, binary bitmaps. What it decided is in `bank.log`, written before the answer, and read again at start.
//! Faults are those of the rest of the simulator, with method `BANK` and path `/bank/0100`; a delay holds the answer back and
//! lets others pass. It must never log a card number: it drops it once the issuer's answer is known.

mod codec;

use crate::Simulator;
use crate::card::{self, Issuer};
use crate::fault::Action;
use crate::params::Params;
use codec::Fields;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// An authorization and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// DE 37
    pub rrn: String,
    /// STAN and time of the original, as DE 90 names it
    original: String,
    /// what DE 48 says, the acquirer's customer's own reference
    pub reference: String,
    /// minor units
    pub amount: i64,
    /// numeric
    pub currency: String,
    /// `approved`, `declined` or `reversed`
    pub status: String,
    /// minor units
    pub captured: i64,
    /// minor units
    pub refunded: i64,
    /// how often the money was moved: more than one, where none said that more would follow, is a payment taken twice
    pub completions: u32,
    /// nothing more can be taken: the last completion, or the release of the rest
    #[serde(default)]
    closed: bool,
    /// approved raises, by the STAN and time of their messages; minor units
    #[serde(default)]
    raises: Vec<(String, i64)>,
}

/// What was decided, one line of the log each.
#[derive(Debug, Serialize, Deserialize)]
struct Decided {
    /// type class, STAN, RRN: a repeat gets the same answer
    key: String,
    answer: Vec<(u8, String)>,
    mti: String,
    account: Option<Account>,
    /// an original that was reversed before it came
    unseen: Option<String>,
}

/// The host's books.
#[derive(Default)]
struct Books {
    accounts: Vec<Account>,
    by_original: HashMap<String, usize>,
    answers: HashMap<String, Fields>,
    /// originals that were reversed before they came
    reversed_unseen: std::collections::HashSet<String>,
    log: Option<File>,
}

/// The host.
pub struct Bank {
    books: Mutex<Books>,
}

impl Bank {
    /// A host with the history of this file.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut books = Books::default();
        if let Ok(text) = std::fs::read_to_string(path) {
            // The last line may be half written: then its answer was never sent.
            text.lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .for_each(|decided| books.apply(decided));
        }
        books.log = Some(File::options().create(true).append(true).open(path)?);
        Ok(Self {
            books: Mutex::new(books),
        })
    }

    /// Everything it ever authorized, oldest first.
    pub fn truth(&self) -> Vec<Account> {
        self.books().accounts.clone()
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `stop` turns true.
pub async fn serve(simulator: Arc<Simulator>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((tcp, _)) => drop(tokio::spawn(line(simulator.clone(), tcp, stopped.clone()))),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn line(simulator: Arc<Simulator>, tcp: TcpStream, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        ended = connection(&simulator, tcp) => if let Err(error) = ended {
            tracing::info!(%error, "a line to the bank ended");
        },
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn connection(simulator: &Arc<Simulator>, tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut from, mut to) = tcp.into_split();
    let (answers, mut queue) = mpsc::channel::<Vec<u8>>(256);
    let reading = async {
        loop {
            let length = usize::from(from.read_u16().await?);
            let mut bytes = vec![0; length];
            from.read_exact(&mut bytes).await?;
            let request = Fields::parse(&bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            let (simulator, answers) = (simulator.clone(), answers.clone());
            // Each at its own pace: answers may overtake each other.
            if let Some(outcome) = handle(&simulator, request) {
                match outcome {
                    Handled::Answer(answer, 0) => drop(answers.send(answer.frame()).await),
                    Handled::Answer(answer, ms) => drop(tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                        drop(answers.send(answer.frame()).await);
                    })),
                    Handled::Cut => return Err(io::Error::other("cut by a fault rule")),
                }
            }
        }
    };
    let writing = async {
        while let Some(frame) = queue.recv().await {
            to.write_all(&frame).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = reading => ended,
        ended = writing => ended,
    }
}

enum Handled {
    /// the answer, and how many milliseconds it is held back
    Answer(Fields, u64),
    /// the connection ends
    Cut,
}

/// Decides about a message; nothing when a fault swallows the answer.
fn handle(simulator: &Simulator, request: Fields) -> Option<Handled> {
    let amount: i64 = request.get(4).parse().unwrap_or_default();
    let params = Params::parse(format!("amount={amount}").as_bytes());
    let path = format!("/bank/{}", request.mti);
    let fault = simulator.faults.for_request("BANK", &path, &params);
    let action = fault.as_ref().map(|fault| fault.action);
    if action == Some(Action::Reset) {
        return Some(Handled::Cut);
    }
    if request.mti == "0800" {
        let mut answer = request.answer("0810", &[7, 11, 70]);
        answer.set(39, "00");
        return Some(Handled::Answer(answer, 0));
    }
    match action {
        Some(Action::TimeoutBefore) => return None,
        Some(Action::ErrorBefore | Action::RateLimit) => {
            let mut answer = request.answer(&request.answer_mti(), ECHOED);
            answer.set(39, "96");
            return Some(Handled::Answer(answer, 0));
        }
        _ => {}
    }
    let mut answer = simulator.bank.books().decide(&request);
    match action {
        Some(Action::TimeoutAfter | Action::ErrorAfter) => return None,
        Some(Action::ResetAfter) => return Some(Handled::Cut),
        Some(Action::WrongAmount) => answer.set(4, &format!("{:012}", amount + 1)),
        Some(Action::WrongCurrency) => answer.set(49, "392"),
        _ => {}
    }
    let ms = fault
        .filter(|fault| fault.action == Action::Delay)
        .map_or(0, |fault| fault.ms);
    Some(Handled::Answer(answer, ms))
}

impl Books {
    fn decide(&mut self, request: &Fields) -> Fields {
        let class = &request.mti[..2];
        let key = format!("{class}:{}:{}", request.get(11), request.get(37));
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let (code, account, unseen) = match (class, request.get(3)) {
            ("01", _) if !request.get(90).is_empty() => self.raise(request),
            ("01", _) => self.authorize(request),
            ("02", "200000") => self.refund(request),
            ("02", _) => self.complete(request),
            ("04", _) => self.reverse(request),
            _ => ("12", None, None),
        };
        let mut answer = request.answer(&request.answer_mti(), ECHOED);
        answer.set(39, code);
        if class == "01" && code == "00" {
            answer.set(38, &format!("{:06}", (self.accounts.len() + 1) % 1_000_000));
        }
        let decided = Decided {
            key,
            answer: answer.list(),
            mti: answer.mti.clone(),
            account,
            unseen,
        };
        if let Some(log) = &mut self.log {
            let mut line = serde_json::to_vec(&decided).unwrap_or_default();
            line.push(b'\n');
            if let Err(error) = log.write_all(&line) {
                tracing::error!(%error, "the bank's log cannot be written");
            }
        }
        self.apply(decided);
        answer
    }

    fn apply(&mut self, decided: Decided) {
        if let Some(account) = decided.account {
            match self.by_original.get(&account.original) {
                Some(index) => self.accounts[*index] = account,
                None => {
                    self.by_original.insert(account.original.clone(), self.accounts.len());
                    self.accounts.push(account);
                }
            }
        }
        self.reversed_unseen.extend(decided.unseen);
        self.answers
            .insert(decided.key, Fields::of(&decided.mti, decided.answer));
    }

    fn authorize(&self, request: &Fields) -> Verdict {
        let original = format!("{}{}", request.get(11), request.get(7));
        let account = |status: &str| Account {
            rrn: request.get(37).to_owned(),
            original: original.clone(),
            reference: codec::private_part(request.get(48), "01").to_owned(),
            amount: request.get(4).parse().unwrap_or_default(),
            currency: request.get(49).to_owned(),
            status: status.to_owned(),
            captured: 0,
            refunded: 0,
            completions: 0,
            closed: false,
            raises: Vec::new(),
        };
        if self.reversed_unseen.contains(&original) {
            // Its reversal overtook it: too late.
            return ("68", Some(account("declined")), None);
        }
        let code = match card::issuer(request.get(2)) {
            None => "14",
            Some(Issuer::Approves) => "00",
            Some(Issuer::Challenges(_) | Issuer::ChallengesUnlessSetUp) => "1A",
            Some(Issuer::Declines(reason)) => match (reason.code, reason.decline_code) {
                ("expired_card", _) => "54",
                ("incorrect_cvc", _) => "N7",
                ("processing_error", _) => "96",
                (_, "insufficient_funds") => "51",
                (_, "lost_card") => "41",
                (_, "stolen_card") => "43",
                (_, "card_velocity_exceeded") => "61",
                (_, "fraudulent") => "59",
                _ => "05",
            },
        };
        let status = if code == "00" { "approved" } else { "declined" };
        (code, Some(account(status)), None)
    }

    fn complete(&self, request: &Fields) -> Verdict {
        let amount: i64 = request.get(4).parse().unwrap_or_default();
        match self.original(request) {
            Some(account)
                if account.status == "approved" && !account.closed && account.captured + amount <= account.amount =>
            {
                let account = Account {
                    captured: account.captured + amount,
                    completions: account.completions + 1,
                    closed: codec::private_part(request.get(48), "03").is_empty(),
                    ..account.clone()
                };
                ("00", Some(account), None)
            }
            Some(_) => ("12", None, None),
            None => ("25", None, None),
        }
    }

    fn refund(&self, request: &Fields) -> Verdict {
        let amount: i64 = request.get(4).parse().unwrap_or_default();
        match self.original(request) {
            Some(account) if account.refunded + amount <= account.captured => {
                let account = Account {
                    refunded: account.refunded + amount,
                    ..account.clone()
                };
                ("00", Some(account), None)
            }
            Some(_) => ("13", None, None),
            None => ("25", None, None),
        }
    }

    /// More of what was approved, before anything is taken: to ten times what it was.
    fn raise(&self, request: &Fields) -> Verdict {
        let more: i64 = request.get(4).parse().unwrap_or_default();
        let own = format!("{}{}", request.get(11), request.get(7));
        let Some(account) = self.original(request) else {
            return ("25", None, None);
        };
        let raised: i64 = account.raises.iter().map(|(_, amount)| amount).sum();
        if self.reversed_unseen.contains(&own) {
            return ("68", None, None);
        }
        if account.status != "approved" || account.completions > 0 {
            return ("12", None, None);
        }
        if account.amount + more > (account.amount - raised) * 10 {
            return ("51", None, None);
        }
        let mut account = account.clone();
        account.amount += more;
        account.raises.push((own, more));
        ("00", Some(account), None)
    }

    fn reverse(&self, request: &Fields) -> Verdict {
        let named = original_of(request);
        let raised = |account: &&Account| account.raises.iter().any(|(own, _)| *own == named);
        if let Some(account) = self.accounts.iter().rev().find(raised) {
            let mut account = account.clone();
            account.amount -= account
                .raises
                .iter()
                .filter(|(own, _)| *own == named)
                .map(|(_, amount)| amount)
                .sum::<i64>();
            account.raises.retain(|(own, _)| *own != named);
            return ("00", Some(account), None);
        }
        let stays: i64 = request
            .get(95)
            .get(..12)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        match self.original(request) {
            // What was taken stays, the rest is released.
            Some(account) if account.captured > 0 && stays == account.captured && !account.closed => {
                let account = Account {
                    closed: true,
                    ..account.clone()
                };
                ("00", Some(account), None)
            }
            Some(account) if account.captured > 0 => ("12", None, None),
            Some(account) => {
                let account = Account {
                    status: "reversed".to_owned(),
                    ..account.clone()
                };
                ("00", Some(account), None)
            }
            None => ("25", None, Some(original_of(request))),
        }
    }

    fn original(&self, request: &Fields) -> Option<&Account> {
        self.by_original
            .get(&original_of(request))
            .map(|index| &self.accounts[*index])
    }
}

/// Response code, the account as it becomes, an original that has not been seen.
type Verdict = (&'static str, Option<Account>, Option<String>);

/// STAN and time of the message that DE 90 names.
fn original_of(request: &Fields) -> String {
    request.get(90).get(4..20).unwrap_or_default().to_owned()
}

/// What an answer repeats.
const ECHOED: &[u8] = &[3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49];
