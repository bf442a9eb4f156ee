//! The formats, one file each, behind one function.
//!
//! Every reader streams: it holds one line of the file, and of a statement only sums. What it has emitted before it refuses must be
//! thrown away by the caller; a file is right as a whole or not at all.

mod adyen;
mod bai2;
mod camt;
pub(crate) mod generic;
mod mt940;
mod proof;
mod stripe;
mod table;

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::scan::Source;
use crate::{Item, Mapping, Refused};
use proof::Proof;

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Stripe's `payout_reconciliation.itemized` report, CSV
    StripeItemized,
    /// Adyen's settlement details report, CSV
    AdyenSettlement,
    /// any CSV, with a [`Mapping`]
    Csv,
    /// ISO 20022 statement, versions 02 to 13
    Camt053,
    /// ISO 20022 notification, versions 02 to 13
    Camt054,
    /// SWIFT customer statement
    Mt940,
    /// BAI version 2 balance report
    Bai2,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::StripeItemized,
        Format::AdyenSettlement,
        Format::Csv,
        Format::Camt053,
        Format::Camt054,
        Format::Mt940,
        Format::Bai2,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::StripeItemized => "stripe-itemized",
            Format::AdyenSettlement => "adyen-settlement",
            Format::Csv => "csv",
            Format::Camt053 => "camt.053",
            Format::Camt054 => "camt.054",
            Format::Mt940 => "mt940",
            Format::Bai2 => "bai2",
        }
    }

    /// Whether a bank sends it: then what it says are movements of an account, not payments.
    pub const fn is_of_a_bank(self) -> bool {
        matches!(self, Format::Camt053 | Format::Camt054 | Format::Mt940 | Format::Bai2)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Format::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or(UnknownFormat)
    }
}

/// The text names no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("formats are stripe-itemized, adyen-settlement, csv, camt.053, camt.054, mt940 and bai2")]
pub struct UnknownFormat;

/// How to read a file, beyond its format.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// columns of a generic CSV
    pub mapping: Mapping,
    /// the account that statements must be of
    pub account: Option<String>,
}

/// Reads and proves a file. `sink` gets every item in order and may stop the reading.
///
/// # Errors
/// The first thing that is wrong; what the sink was given must then be dropped.
pub fn read(
    format: Format,
    input: impl Read,
    options: &Options,
    sink: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> Result<(), Refused> {
    let source = Source::new(input)?;
    let proof = &mut Proof::new(sink, options.account.as_deref());
    match format {
        Format::StripeItemized => stripe::read(source, proof),
        Format::AdyenSettlement => adyen::read(source, proof),
        Format::Csv => generic::read(source, &options.mapping, proof),
        Format::Camt053 | Format::Camt054 => camt::read(source, format, proof),
        Format::Mt940 => mt940::read(source, proof),
        Format::Bai2 => bai2::read(source, proof),
    }
}
