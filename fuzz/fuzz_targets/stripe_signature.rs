//! `Stripe-Signature`: a header and a body, a line each. What we sign verifies, whatever is around it does not.
#![no_main]

use gateway::webhook::signature::{sign, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (header, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let (secrets, now) = ([b"whsec_of_the_fuzzer".as_slice()], 1_795_000_000);
    if let Ok(header) = std::str::from_utf8(header) {
        assert!(verify(&secrets, header, body, now, 300).is_err());
    }
    let good = sign(&secrets, now, body);
    assert_eq!(verify(&secrets, &good, body, now, 300), Ok(()));
    assert!(verify(&secrets, &good, &[body, b"."].concat(), now, 300).is_err());
});
