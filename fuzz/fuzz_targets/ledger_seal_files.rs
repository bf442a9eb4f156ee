//! The seal's files, as somebody else may have left them: a log of heads, `---`, a key file. Understood or refused; what is
//! understood is written back the same; no head that was not signed is taken for signed; keys are never printed.
#![no_main]

use ledger::seal::{Head, Keys, Signature, heads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (log, key_file) = text.split_once("---\n").unwrap_or((text, text));
    let heads = heads::parse(log).unwrap_or_default();
    for head in &heads {
        let line = serde_json::to_string(head).expect("a head is JSON");
        assert_eq!(&serde_json::from_str::<Head>(&line).expect("its own line"), head);
    }
    let Ok(keys) = key_file.parse::<Keys>() else {
        return;
    };
    let printed = format!("{keys:?}");
    let secrets = key_file.split_whitespace().filter(|word| word.len() == 64);
    assert!(secrets.into_iter().all(|secret| !printed.contains(secret)));
    // The fuzzer does not hold a key that signs: the corpus has none.
    assert!(heads.iter().all(|head| head.signature(&keys) != Signature::Right));
});
