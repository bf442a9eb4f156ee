//! Form bodies: any bytes are parameters or a refusal with 400, and what was read is read the same again.
#![no_main]

use gateway::api::params::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut params = match Params::from_form(body) {
        Ok(params) => params,
        Err(error) => return assert_eq!(error.status, 400, "{}", error.message),
    };
    for name in ["amount", "a", "amount_to_capture"] {
        if let Ok(Some(amount)) = params.clone().amount(name) {
            assert!((1..=99_999_999).contains(&amount));
        }
    }
    let _ = (params.clone().boolean("confirm"), params.clone().texts("a"), params.clone().choice("a", &["b"]));
    let _ = (params.clone().value("shipping"), params.clone().long_text("a", 20_000), params.clone().text_change("a"));
    if let Ok(Some(metadata)) = params.clone().metadata("metadata") {
        assert!(metadata.len() <= 50);
    }
    if let Ok(Some(text)) = params.text("description") {
        assert!(!text.is_empty() && text.len() <= 5000 && !gateway::vault::contains_card_number(&text));
    }
    if let Err(error) = params.finish() {
        assert_eq!(error.status, 400);
    }
});
