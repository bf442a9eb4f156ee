//! JSON bodies: any bytes are parameters or a refusal with 400; no float, no depth and no duplicate comes through.
#![no_main]

use gateway::api::params::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let params = match Params::from_json(body) {
        Ok(params) => params,
        Err(error) => return assert_eq!(error.status, 400, "{}", error.message),
    };
    for name in ["amount", "a", ""] {
        let _ = (params.clone().integer(name), params.clone().boolean(name), params.clone().texts(name));
        if let Ok(Some(text)) = params.clone().text(name) {
            assert!(text.len() <= 5000 && !gateway::vault::contains_card_number(&text));
        }
        if let Ok(Some(group)) = params.clone().group(name) {
            let _ = (group.clone().value("a"), group.clone().metadata("a"), group.finish());
        }
    }
    let _ = (params.clone().expand(), params.finish());
});
