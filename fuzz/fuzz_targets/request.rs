//! Requests from outside: whatever comes as query, Authorization header and body, every built-in
//! dialect reads it or refuses it, and never panics.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use jeton_dialect::{Dialects, Incoming};
use libfuzzer_sys::fuzz_target;

static DIALECTS: LazyLock<Dialects> =
    LazyLock::new(|| Dialects::builtin().expect("the built-in dialects load"));

fuzz_target!(|input: (String, Vec<u8>, Vec<u8>)| {
    let (query, authorization, body) = &input;
    for media_type in ["application/json", "application/x-www-form-urlencoded"] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        let basic = [b"Basic ".as_slice(), authorization].concat();
        if let Ok(value) = HeaderValue::from_bytes(&basic) {
            headers.insert(AUTHORIZATION, value);
        }
        for folder in DIALECTS.iter() {
            let incoming = Incoming {
                method: folder.dialect.method(),
                query: Some(query),
                headers: &headers,
                body: Ok(body),
                source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            if let Ok(asked) = folder.dialect.read(&incoming) {
                let _ = asked.request();
            }
        }
    }
});
