//! A request as a curl line that works when it is pasted into a POSIX shell.

use std::path::Path;

use http::Method;
use http::header::AUTHORIZATION;
use jeton_dialect::exchange::Request;

use crate::cli::dialect::basic;
use crate::cli::shell_word;

/// The line for a request below `base`, whose authority is in the file `ca` where it is https.
pub(super) fn line(base: &str, ca: Option<&Path>, request: &Request) -> String {
    let mut words = vec!["curl".to_owned(), "-sS".to_owned()];
    if let Some(ca) = ca {
        words.extend(["--cacert".to_owned(), shell_word(&ca.display().to_string())]);
    }
    // curl posts whatever has a body and gets whatever has none.
    let implied = if request.body.is_empty() { Method::GET } else { Method::POST };
    if request.method != implied {
        words.extend(["-X".to_owned(), shell_word(request.method.as_str())]);
    }
    let credentials = basic(request);
    if let Some(credentials) = &credentials {
        words.extend(["-u".to_owned(), shell_word(credentials)]);
    }
    for (name, value) in &request.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let is_default = name == "content-type" && value == "application/x-www-form-urlencoded";
        let is_said = credentials.is_some() && name == AUTHORIZATION;
        if !is_said && !is_default {
            words.extend([
                "-H".to_owned(),
                shell_word(&format!("{}: {value}", capitalized(name.as_str()))),
            ]);
        }
    }
    if !request.body.is_empty() {
        let body = String::from_utf8_lossy(&request.body);
        // curl reads a body that begins with @ from a file of that name.
        let flag = if body.starts_with('@') { "--data-raw" } else { "-d" };
        words.extend([flag.to_owned(), shell_word(&body)]);
    }
    words.push(shell_word(&format!("{base}{}", request.target)));
    words.join(" ")
}

/// A header's name as people write it: `Content-Type`.
fn capitalized(name: &str) -> String {
    let parts = name.split('-').map(|part| {
        let mut characters = part.chars();
        let first = characters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(characters).collect::<String>()
    });
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn request(method: Method, headers: &[(&'static str, &str)], body: &str) -> Request {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Request { method, target: "/t".to_owned(), headers: map, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn json_forms_basic_and_get_each_have_their_line() {
        let base = "http://127.0.0.1:8080/r";
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (request, expected) in [
            (
                request(Method::POST, &[("content-type", "application/json")], r#"{"a":"it's"}"#),
                r#"curl -sS -H 'Content-Type: application/json' -d '{"a":"it'\''s"}' http://127.0.0.1:8080/r/t"#,
            ),
            (
                request(Method::POST, &[form], "a=b&c=d"),
                "curl -sS -d 'a=b&c=d' http://127.0.0.1:8080/r/t",
            ),
            (
                request(Method::POST, &[form, ("authorization", "Basic YTpz")], "a=b"),
                "curl -sS -u a:s -d a=b http://127.0.0.1:8080/r/t",
            ),
            (request(Method::GET, &[], ""), "curl -sS http://127.0.0.1:8080/r/t"),
            (request(Method::POST, &[], ""), "curl -sS -X POST http://127.0.0.1:8080/r/t"),
            (request(Method::POST, &[], "@x"), "curl -sS --data-raw @x http://127.0.0.1:8080/r/t"),
        ] {
            assert_eq!(line(base, None, &request), expected);
        }
        let line =
            line("https://a/r", Some(Path::new("/d/my ca.pem")), &request(Method::GET, &[], ""));
        assert_eq!(line, "curl -sS --cacert '/d/my ca.pem' https://a/r/t");
    }
}
