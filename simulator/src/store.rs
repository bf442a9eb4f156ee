//! The whole state: tables, indexes, timers, keys, and the records that make them durable.
//!
//! Everything happens under one lock, held for microseconds: state changes and their log line, never rendering, never I/O. A live
//! change and a replayed one go through the same [`Store::apply`], so a restart cannot disagree with the run before it.

use crate::dispute::Advance;
use crate::idempotency::{Finished, Keys, Reference, StoredAnswer};
use crate::log::{Log, Written};
use crate::object::*;
use crate::webhook::Outgoing;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::id::Id;

/// One change, as logged.
#[derive(Clone, Serialize, Deserialize)]
#[allow(missing_docs)] // a row put in its table, except where said
pub enum Record {
    /// First record of a directory: marks its ids.
    Epoch(u32),
    /// The simulated clock was moved to this offset.
    Clock(i64),
    Intent(Arc<Intent>),
    Charge(Arc<Charge>),
    Refund(Arc<Refund>),
    Dispute(Arc<Dispute>),
    FraudWarning(Arc<FraudWarning>),
    BalanceTransaction(Arc<BalanceTransaction>),
    Method(Arc<StoredMethod>),
    Endpoint(Arc<Endpoint>),
    Event(Arc<EventRow>),
    /// A task is due.
    Timer(i64, u64, Task),
    /// It was done.
    Fired(i64, u64),
    Key(Finished),
    /// Endpoint has acknowledged event, or it was given up.
    Delivered(Id, Id),
}

/// What a timer does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Task {
    /// The aftermath of a charge on a dispute card.
    Aftermath(Id),
    /// A pending refund succeeds.
    SettleRefund(Id),
    /// A succeeded refund fails.
    FailRefund(Id),
    /// The network decides a dispute: won or not.
    Decide(Id, bool),
    /// The next step of a dispute's script.
    Advance(Id, Advance),
    /// Evidence deadline.
    EvidenceDue(Id),
    /// An authorization that nobody captured.
    ExpireAuthorization(Id),
}

/// A table of rows by serial; nothing is ever removed.
pub struct Table<T> {
    rows: Vec<Arc<T>>,
}

impl<T: Row> Table<T> {
    /// The row with this id.
    pub fn get(&self, id: Id) -> Option<&Arc<T>> {
        self.rows.get(id.index()).filter(|row| row.id() == id)
    }

    /// The row named on the wire, if it belongs to `account`.
    pub fn find(&self, name: &str, account: &Account) -> Option<&Arc<T>> {
        self.get(Id::parse(T::PREFIX, name)?)
            .filter(|row| row.account() == account)
    }

    /// All rows, oldest first.
    pub fn rows(&self) -> &[Arc<T>] {
        &self.rows
    }

    fn put(&mut self, row: Arc<T>) {
        match self.rows.get_mut(row.id().index()) {
            Some(slot) => *slot = row,
            None => self.rows.push(row),
        }
    }
}

/// An object as it is, or was.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum Object {
    Intent(Arc<Intent>),
    Charge(Arc<Charge>),
    Refund(Arc<Refund>),
    Dispute(Arc<Dispute>),
    FraudWarning(Arc<FraudWarning>),
    BalanceTransaction(Arc<BalanceTransaction>),
    Method(Arc<StoredMethod>),
    Endpoint(Arc<Endpoint>),
}

/// An object with what `expand` asked for.
#[derive(Clone)]
pub struct Snapshot {
    /// The object.
    pub object: Object,
    /// Objects to show in place of their ids.
    pub expanded: Option<Box<Expanded>>,
}

/// Objects shown in place of their ids.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct Expanded {
    pub intent: Option<Arc<Intent>>,
    pub charge: Option<Arc<Charge>>,
    pub balance_transaction: Option<Arc<BalanceTransaction>>,
    pub refunds: Option<Vec<Arc<Refund>>>,
    pub method: bool,
}

/// An event with its object as it was.
pub struct Event {
    /// The logged part.
    pub row: Arc<EventRow>,
    /// `data.object`.
    pub object: Object,
}

/// See the module.
pub struct Store {
    epoch: u32,
    /// Offset of the simulated clock, for the clock itself.
    pub clock_offset_ms: i64,
    /// `pi_`
    pub intents: Table<Intent>,
    /// `ch_`
    pub charges: Table<Charge>,
    /// `re_`
    pub refunds: Table<Refund>,
    /// `du_`
    pub disputes: Table<Dispute>,
    /// `issfr_`
    pub fraud_warnings: Table<FraudWarning>,
    /// `txn_`
    pub balance_transactions: Table<BalanceTransaction>,
    /// `pm_`
    pub methods: Table<StoredMethod>,
    /// `we_`
    pub endpoints: Table<Endpoint>,
    /// The youngest [`EVENTS_KEPT`], oldest first.
    pub events: VecDeque<Arc<Event>>,
    events_dropped: usize,
    /// Idempotency keys.
    pub keys: Keys,
    by_reference: HashMap<Box<str>, Vec<Id>>,
    balances: HashMap<(Account, Currency), Balance>,
    timers: BTreeMap<(i64, u64), Task>,
    timers_made: u64,
    /// While replaying: events that some endpoint has not acknowledged.
    undelivered: Option<BTreeMap<(Id, Id), Outgoing>>,
    log: Option<Log>,
    records: Vec<Record>,
    outgoing: Vec<Outgoing>,
}

/// Money of one account in one currency, minor units.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    /// By the second at which it becomes available.
    by_available_on: BTreeMap<i64, i64>,
}

impl Balance {
    /// `(available, pending)` at a time in seconds.
    pub fn at(&self, now: i64) -> (i64, i64) {
        let available = self.by_available_on.range(..=now).map(|(_, net)| net).sum();
        let pending = self.by_available_on.range(now + 1..).map(|(_, net)| net).sum();
        (available, pending)
    }
}

impl Default for Store {
    /// An empty state, ready to replay a log into.
    fn default() -> Self {
        fn table<T>() -> Table<T> {
            Table { rows: Vec::new() }
        }
        Self {
            epoch: 0,
            clock_offset_ms: 0,
            intents: table(),
            charges: table(),
            refunds: table(),
            disputes: table(),
            fraud_warnings: table(),
            balance_transactions: table(),
            methods: table(),
            endpoints: table(),
            events: VecDeque::new(),
            events_dropped: 0,
            keys: Keys::default(),
            by_reference: HashMap::new(),
            balances: HashMap::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
            undelivered: Some(BTreeMap::new()),
            log: None,
            records: Vec::new(),
            outgoing: Vec::new(),
        }
    }
}

impl Store {
    /// Ends the replay: from now on changes go to `log`. Gives the deliveries that were still owed.
    pub fn attach(&mut self, log: Log) -> Vec<Outgoing> {
        self.log = Some(log);
        if self.epoch == 0 {
            self.put(Record::Epoch(rand::random_range(1..1 << 24)));
        }
        self.undelivered.take().unwrap_or_default().into_values().collect()
    }

    /// Closes the log: the writer ends once everything queued is written.
    pub fn detach(&mut self) {
        self.log = None;
    }

    /// Changes the state and remembers the change for the next [`Store::commit`].
    pub fn put(&mut self, record: Record) {
        self.apply(&record);
        self.records.push(record);
    }

    /// Queues one log line with all changes since the last commit. Await the result before telling anyone.
    pub fn commit(&mut self) -> Written {
        let Some(log) = &mut self.log else {
            return Written::Already;
        };
        if self.records.is_empty() {
            return log.barrier();
        }
        let written = log.append(&self.records, std::mem::take(&mut self.outgoing));
        self.records.clear();
        written
    }

    /// Changes the state; also used by the replay.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Epoch(epoch) => self.epoch = *epoch,
            Record::Clock(offset_ms) => self.clock_offset_ms = *offset_ms,
            Record::Intent(row) => {
                self.index_reference(row);
                self.intents.put(row.clone());
            }
            Record::Charge(row) => self.charges.put(row.clone()),
            Record::Refund(row) => self.refunds.put(row.clone()),
            Record::Dispute(row) => self.disputes.put(row.clone()),
            Record::FraudWarning(row) => self.fraud_warnings.put(row.clone()),
            Record::BalanceTransaction(row) => {
                let balance = self.balances.entry((row.account.clone(), row.currency)).or_default();
                *balance.by_available_on.entry(row.available_on).or_default() += row.amount - row.fee;
                self.balance_transactions.put(row.clone());
            }
            Record::Method(row) => self.methods.put(row.clone()),
            Record::Endpoint(row) => self.endpoints.put(row.clone()),
            Record::Event(row) => self.apply_event(row),
            Record::Timer(due_ms, number, task) => {
                self.timers_made = self.timers_made.max(number + 1);
                self.timers.insert((*due_ms, *number), *task);
            }
            Record::Fired(due_ms, number) => {
                self.timers.remove(&(*due_ms, *number));
            }
            Record::Key(finished) => {
                // Live, the key's own table already has the answer.
                if self.undelivered.is_some()
                    && let Some(answer) = self.stored_answer(&finished.answer)
                {
                    self.keys.restore(finished, answer);
                }
            }
            Record::Delivered(event, endpoint) => {
                if let Some(undelivered) = &mut self.undelivered {
                    undelivered.remove(&(*event, *endpoint));
                }
            }
        }
    }

    /// Next serial of a kind's table.
    pub fn next_id<T: Row>(&self, table: fn(&Self) -> &Table<T>) -> Id {
        Id::new(self.epoch, table(self).rows.len())
    }

    /// Next serial of an event.
    pub fn next_event_id(&self) -> Id {
        Id::new(self.epoch, self.events_dropped + self.events.len())
    }

    /// An event still kept.
    pub fn event(&self, id: Id) -> Option<&Arc<Event>> {
        self.events
            .get(id.index().checked_sub(self.events_dropped)?)
            .filter(|event| event.row.id == id)
    }

    /// Intents whose metadata carries this reference, oldest first.
    pub fn intents_by_reference(&self, reference: &str) -> impl Iterator<Item = &Arc<Intent>> {
        self.by_reference
            .get(reference)
            .into_iter()
            .flatten()
            .filter_map(|id| self.intents.get(*id))
    }

    /// Balances of one account.
    pub fn balances(&self, account: &Account) -> Vec<(Currency, &Balance)> {
        let mut all: Vec<_> = self
            .balances
            .iter()
            .filter(|((owner, _), _)| owner == account)
            .map(|((_, c), b)| (*c, b))
            .collect();
        all.sort_by_key(|(currency, _)| *currency);
        all
    }

    /// The object as it is now.
    pub fn object(&self, reference: ObjectRef) -> Option<Object> {
        Some(match reference {
            ObjectRef::Intent(id) => Object::Intent(self.intents.get(id)?.clone()),
            ObjectRef::Charge(id) => Object::Charge(self.charges.get(id)?.clone()),
            ObjectRef::Refund(id) => Object::Refund(self.refunds.get(id)?.clone()),
            ObjectRef::Dispute(id) => Object::Dispute(self.disputes.get(id)?.clone()),
            ObjectRef::FraudWarning(id) => Object::FraudWarning(self.fraud_warnings.get(id)?.clone()),
            ObjectRef::BalanceTransaction(id) => Object::BalanceTransaction(self.balance_transactions.get(id)?.clone()),
            ObjectRef::Method(id) => Object::Method(self.methods.get(id)?.clone()),
            ObjectRef::Endpoint(id) => Object::Endpoint(self.endpoints.get(id)?.clone()),
        })
    }

    /// The object as it is now with what `expand` names.
    pub fn snapshot(&self, reference: ObjectRef, expand: Expand) -> Option<Snapshot> {
        let object = self.object(reference)?;
        if expand.0 == 0 {
            return Some(Snapshot { object, expanded: None });
        }
        let (intent, charge) = match &object {
            Object::Intent(row) => (None, row.charges.last().copied()),
            Object::Charge(row) => (Some(row.intent), Some(row.id)),
            Object::Refund(row) => (Some(row.intent), Some(row.charge)),
            Object::Dispute(row) => (Some(row.intent), Some(row.charge)),
            Object::FraudWarning(row) => (Some(row.intent), Some(row.charge)),
            _ => (None, None),
        };
        let charge = charge.and_then(|id| self.charges.get(id));
        let movement = match &object {
            Object::Refund(row) if !expand.has(Expand::CHARGE) => row.balance_transaction,
            _ => charge.and_then(|charge| charge.balance_transaction),
        };
        let refunds = |charge: &Arc<Charge>| {
            charge
                .refunds
                .iter()
                .filter_map(|id| self.refunds.get(*id).cloned())
                .collect()
        };
        let expanded = Expanded {
            intent: intent
                .filter(|_| expand.has(Expand::INTENT))
                .and_then(|id| self.intents.get(id).cloned()),
            charge: charge.filter(|_| expand.has(Expand::CHARGE)).cloned(),
            balance_transaction: movement
                .filter(|_| expand.has(Expand::MOVEMENT))
                .and_then(|id| self.balance_transactions.get(id).cloned()),
            refunds: charge.filter(|_| expand.has(Expand::REFUNDS)).map(refunds),
            method: expand.has(Expand::METHOD),
        };
        Some(Snapshot {
            object,
            expanded: Some(Box::new(expanded)),
        })
    }

    /// Puts a task on the simulated clock.
    pub fn schedule(&mut self, due_ms: i64, task: Task) {
        self.put(Record::Timer(due_ms, self.timers_made, task));
    }

    /// When the next task is due.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.timers.keys().next().map(|(due_ms, _)| *due_ms)
    }

    /// Takes the next task that is due.
    pub fn take_due(&mut self, now_ms: i64) -> Option<Task> {
        let (&(due_ms, number), &task) = self.timers.first_key_value()?;
        if due_ms > now_ms {
            return None;
        }
        self.put(Record::Fired(due_ms, number));
        Some(task)
    }

    fn stored_answer(&self, reference: &Reference) -> Option<StoredAnswer> {
        Some(match reference {
            Reference::Object(object, expand) => {
                StoredAnswer::Object(self.snapshot(*object, Expand(*expand))?, *expand)
            }
            Reference::Declined(intent) => StoredAnswer::Declined(self.snapshot(*intent, Expand(0))?),
            Reference::Text(status, body) => StoredAnswer::Text(*status, body.clone()),
        })
    }

    fn apply_event(&mut self, row: &Arc<EventRow>) {
        let Some(object) = self.object(row.object) else { return };
        let event = Arc::new(Event {
            row: row.clone(),
            object,
        });
        for endpoint in self.endpoints.rows().iter().filter(|endpoint| wants(endpoint, row)) {
            let outgoing = Outgoing {
                endpoint: endpoint.clone(),
                event: event.clone(),
            };
            match &mut self.undelivered {
                Some(undelivered) => {
                    undelivered.insert((row.id, endpoint.id), outgoing);
                }
                None => self.outgoing.push(outgoing),
            }
        }
        self.events.push_back(event);
        if self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
            self.events_dropped += 1;
        }
    }

    fn index_reference(&mut self, row: &Arc<Intent>) {
        let new = row.metadata.get(REFERENCE_KEY);
        let old = self
            .intents
            .get(row.id)
            .and_then(|old| old.metadata.get(REFERENCE_KEY).map(Box::<str>::from));
        if old.as_deref() == new {
            return;
        }
        if let Some(ids) = old.and_then(|old| self.by_reference.get_mut(&old)) {
            ids.retain(|id| *id != row.id);
        }
        if let Some(new) = new {
            self.by_reference.entry(new.into()).or_default().push(row.id);
        }
    }
}

/// What `expand` named, as bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Expand(pub u8);

impl Expand {
    /// `charge`, `latest_charge`
    pub const CHARGE: u8 = 1;
    /// `payment_intent`
    pub const INTENT: u8 = 2;
    /// `balance_transaction`
    pub const MOVEMENT: u8 = 4;
    /// `refunds`
    pub const REFUNDS: u8 = 8;
    /// `payment_method`
    pub const METHOD: u8 = 16;

    /// Reads the paths of a request; `data.` of lists is dropped, unknown paths are ignored.
    pub fn parse<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let bit = |word: &str| match word {
            "charge" | "latest_charge" => Self::CHARGE,
            "payment_intent" => Self::INTENT,
            "balance_transaction" => Self::MOVEMENT,
            "refunds" => Self::REFUNDS,
            "payment_method" => Self::METHOD,
            _ => 0,
        };
        Self(
            paths
                .flat_map(|path| path.split('.'))
                .fold(0, |bits, word| bits | bit(word)),
        )
    }

    /// Whether this bit is set.
    pub fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

fn wants(endpoint: &Endpoint, row: &EventRow) -> bool {
    !endpoint.deleted
        && (endpoint.account.is_none() || endpoint.account == row.account)
        && endpoint
            .enabled_events
            .iter()
            .any(|kind| &**kind == "*" || **kind == *row.kind)
}

/// Metadata key by which a payment can be found after an unknown outcome.
pub const REFERENCE_KEY: &str = "counterfoil_reference";
/// Events kept for `GET /v1/events`; deliveries still owed keep theirs.
const EVENTS_KEPT: usize = 100_000;
