//! What an acquirer reports in Adyen's columns: any bytes are lines that add up or a refusal, the same every time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reconcile::Format;

fuzz_target!(|bytes: &[u8]| fuzz::lines_add_up_or_are_refused(Format::AdyenSettlement, bytes));
