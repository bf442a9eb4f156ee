//! Queries of lists: expand, cursors, limit and times, in whatever order and form.
#![no_main]

use gateway::api::{list, params::Params};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &[u8]| {
    let Ok(mut params) = Params::from_form(query) else { return };
    match params.expand() {
        Ok(paths) => assert!(paths.iter().all(|path| path.split('.').count() <= 4)),
        Err(error) => return assert_eq!(error.status, 400),
    }
    match list::page(&mut params) {
        Ok(page) => {
            assert!((1..=100).contains(&page.limit));
            assert!(page.starting_after.is_none() || page.ending_before.is_none());
        }
        Err(error) => return assert_eq!(error.status, 400),
    }
    let mut filters = Vec::new();
    match list::created(&mut params, &mut filters) {
        Ok(()) => assert!(filters.len() <= 4),
        Err(error) => assert_eq!(error.status, 400),
    }
});
