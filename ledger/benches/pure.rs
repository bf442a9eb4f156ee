//! The parts without a database: what a payment costs the client before anything is sent.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use ledger::journal::{Draft, Journal};
use ledger::post::Arguments;
use ledger::{AccountName, BookId, Chart, Currency, JournalCode, Money};
use uuid::Uuid;

fn capture(receivable: &AccountName, merchant: &AccountName, fee: &AccountName) -> Journal {
    Draft::new(BookId(1), JournalCode::J03, Timestamp::UNIX_EPOCH)
        .id(Uuid::nil())
        .debit(receivable.clone(), 10_000)
        .credit(merchant.clone(), 9_680)
        .credit(fee.clone(), 320)
        .balance()
        .expect("a balanced draft")
}

fn pure(c: &mut Criterion) {
    let receivable = AccountName::new(Chart::AcquirerReceivable, Some("stripe"), Currency::USD).expect("a valid name");
    let merchant = AccountName::of(Chart::MerchantPending, Currency::USD);
    let fee = AccountName::of(Chart::PlatformFeeRevenue, Currency::USD);
    c.bench_function("journal of three lines", |b| {
        b.iter(|| capture(&receivable, &merchant, &fee))
    });
    c.bench_function("account name", |b| {
        b.iter(|| {
            AccountName::new(
                black_box(Chart::AcquirerReceivable),
                Some(black_box("stripe")),
                Currency::USD,
            )
        })
    });
    c.bench_function("currency from text", |b| {
        b.iter(|| black_box("EUR").parse::<Currency>())
    });
    c.bench_function("fee", |b| {
        b.iter(|| black_box(Money::new(12_345, Currency::USD)).fee(290, 30))
    });
    c.bench_function("split in three", |b| {
        b.iter(|| black_box(Money::new(10_000, Currency::USD)).split(&[1, 1, 1]))
    });
    let batch: Vec<Journal> = (0..128).map(|_| capture(&receivable, &merchant, &fee)).collect();
    c.bench_function("arguments of 128 journals", |b| {
        b.iter(|| Arguments::new(black_box(&batch).iter()))
    });
}

criterion_group!(benches, pure);
criterion_main!(benches);
