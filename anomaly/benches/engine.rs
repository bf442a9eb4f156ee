//! Cost of one assessment and one observation on ordinary traffic and on one very hot card.
use criterion as _;
fn main() {}
