//! What a bank's host sends: any bytes are a message or a refusal, and a message has one form.
#![no_main]

use gateway::connector::iso8583::codec::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Message::decode(bytes) else {
        return;
    };
    let again = message.encode().expect("what was read can be written");
    assert_eq!(&again[..], bytes);
    // Showing it never fails, whatever is in it.
    assert!(format!("{message:?}").starts_with(message.mti()));
});
