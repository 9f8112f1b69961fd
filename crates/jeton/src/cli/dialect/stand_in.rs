//! Lets another client stand in for one of the cast: its identifier and secret are put wherever
//! those of the cast stand in a request, in whatever encoding.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use jeton_dialect::exchange::Request;

/// One text in place of another.
pub(super) struct Replacement<'a> {
    pub(super) old: &'a str,
    pub(super) new: &'a str,
}

/// The request with every replacement made.
pub(super) fn replace(request: &Request, replacements: &[Replacement<'_>]) -> Request {
    let mut changed = request.clone();
    for Replacement { old, new } in replacements {
        changed.target = encodings(old, new)
            .iter()
            .fold(changed.target, |target, (old, new)| target.replace(old.as_str(), new));
        for (old, new) in encodings(old, new) {
            changed.body = replaced(&changed.body, old.as_bytes(), new.as_bytes());
        }
        if let Some(basic) = basic(&changed)
            && basic.contains(old)
        {
            let encoded = format!("Basic {}", STANDARD.encode(basic.replace(old, new)));
            if let Ok(value) = HeaderValue::try_from(encoded) {
                changed.headers.insert(AUTHORIZATION, value);
            }
        }
    }
    changed
}

/// Whether a text stands anywhere in a request, in whatever encoding.
pub(super) fn mentions(request: &Request, text: &str) -> bool {
    let inside = |bytes: &[u8], text: &str| {
        !text.is_empty() && bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    encodings(text, text)
        .iter()
        .any(|(text, _)| inside(&request.body, text) || inside(request.target.as_bytes(), text))
        || basic(request).is_some_and(|basic| basic.contains(text))
}

/// What an `Authorization: Basic` header says.
pub(in crate::cli) fn basic(request: &Request) -> Option<String> {
    let value = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    scheme.eq_ignore_ascii_case("basic").then(|| String::from_utf8(decoded).ok())?
}

/// The two texts as they stand in forms, in JSON, and as they are. Equal encodings come once.
fn encodings(old: &str, new: &str) -> Vec<(String, String)> {
    let form =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let percent = |text: &str| form(text).replace('+', "%20");
    let json = |text: &str| {
        let quoted = serde_json::Value::from(text).to_string();
        quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
    };
    let all = [(json(old), json(new)), (form(old), form(new)), (percent(old), percent(new))];
    let mut different: Vec<(String, String)> = Vec::new();
    for (old, new) in all {
        if !different.iter().any(|(known, _)| *known == old) {
            different.push((old, new));
        }
    }
    different
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(old).filter(|_| !old.is_empty()) {
            Some(after) => {
                out.extend_from_slice(new);
                rest = after;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn request(target: &str, body: &str) -> Request {
        Request {
            method: Method::POST,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn body(text: &str, old: &str, new: &str) -> String {
        let changed = replace(&request("/", text), &[Replacement { old, new }]);
        String::from_utf8(changed.body).unwrap()
    }

    #[test]
    fn a_client_is_replaced_in_json_forms_and_as_it_is() {
        assert_eq!(body(r#"{"id":"plain"}"#, "plain", "other"), r#"{"id":"other"}"#);
        assert_eq!(body("id=a+b%26&x=1", "a b&", "c&d e"), "id=c%26d+e&x=1");
        assert_eq!(body("id=a%20b&x=1", "a b", "c d"), "id=c%20d&x=1");
        assert_eq!(body(r#"{"id":"q\"q"}"#, "q\"q", "s"), r#"{"id":"s"}"#);
        assert_eq!(body("nothing here", "absent", "x"), "nothing here");
    }

    #[test]
    fn a_client_is_replaced_in_the_basic_header_and_the_target() {
        let mut basic_request = request("/t?client_id=a", "");
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode("a:s"))).unwrap();
        basic_request.headers.insert(AUTHORIZATION, value);
        assert!(mentions(&basic_request, "a:s") && !mentions(&basic_request, "z"));
        let changed = replace(
            &basic_request,
            &[Replacement { old: "a:s", new: "b:t" }, Replacement { old: "=a", new: "=b" }],
        );
        assert_eq!(basic(&changed).unwrap(), "b:t");
    }
}
