//! Proves the language as a whole: documents say what the code does, problems are told all at once,
//! with a line and a remedy, and nothing dangerous is accepted by accident.
#![cfg(test)]

use jeton_dialect::{Dialects, json_schema, load};
use jeton_engine::error::Kind;

const README: &str = include_str!("../../../dialects/README.md");
const SCHEMA: &str = include_str!("../../../dialects/dialect.schema.json");

/// A small dialect without a mistake, to put mistakes into.
const SMALL: &str = r#"title = "Small"
[request]
method = "POST"
path = "/token"
media_types = { "application/json" = "json" }
checks = [{ required = ["client_id", "client_secret"] }]
[request.parameters]
client_id = "id"
client_secret = "secret"
[token]
format = "stored"
length = 32
lifetime = "1h"
[success.json]
token = "{access_token}"
[refusals]
refused = { status = 400, json = { error = "{kind}" } }
server_error = { status = 500 }
"#;

/// The problems as `line: message / remedy`.
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = load(&"small".parse().unwrap(), "small/dialect.toml", text) else {
        return Vec::new();
    };
    let told = problems.iter().map(|problem| {
        let line = problem.line.map_or_else(String::new, |line| line.to_string());
        let remedy = problem.remedy.clone().unwrap_or_default();
        assert!(!remedy.is_empty(), "no remedy: {}", problem.message);
        format!("{line}: {} / {remedy}", problem.message)
    });
    told.collect()
}

/// That the one change makes the one complaint.
#[track_caller]
fn complains(from: &str, to: &str, complaint: &str) {
    assert!(SMALL.contains(from), "{from}");
    let told = problems(&SMALL.replace(from, to));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains(complaint), "{told:#?}");
}

#[test]
fn the_schema_on_file_is_the_schema_of_the_code() {
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    assert!(
        schema == SCHEMA,
        "write this to dialects/dialect.schema.json (JETON_WRITE_SCHEMA=1 does so):\n{}",
        write_schema(&schema)
    );
}

/// Writes the schema where it belongs when that is asked for.
fn write_schema(schema: &str) -> &str {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dialects/dialect.schema.json");
    if std::env::var_os("JETON_WRITE_SCHEMA").is_some() {
        std::fs::write(path, schema).unwrap();
    }
    schema
}

#[test]
fn the_readme_tells_every_kind() {
    let mut table = "| kind | falls back to | `{message}` |\n|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let general = kind.general().map_or_else(String::new, |kind| format!("`{}`", kind.name()));
        table.push_str(&format!("| `{}` | {general} | {} |\n", kind.name(), kind.message()));
    }
    table.push_str("<!-- kinds: end");
    assert!(README.contains(&table), "dialects/README.md should have\n{table}");
}

#[test]
fn the_example_of_the_readme_is_a_dialect_and_an_exchange() {
    let after = |text: &'static str, fence: &str, index: usize| {
        let block = text.split(fence).nth(index).unwrap();
        block.split("```").next().unwrap()
    };
    let text = after(README, "```toml\n", 2);
    load(&"login".parse().unwrap(), "README.md", text).unwrap_or_else(|told| panic!("{told}"));
    let exchange = after(README, "```http\n", 1);
    jeton_dialect::exchange::parse("README.md", exchange).unwrap_or_else(|told| panic!("{told}"));
    let broken = text.replace("alphabet", "alphabt");
    let told = load(&"login".parse().unwrap(), "my-dialects/login/dialect.toml", &broken);
    let told = told.unwrap_err().to_string();
    let shown = after(README, "```text\n", 1);
    assert!(told.contains(shown.trim_end()), "the README shows\n{shown}\nthe code says\n{told}");
}

#[test]
fn every_built_in_dialect_loads() {
    let dialects = Dialects::builtin().unwrap_or_else(|told| panic!("{told}"));
    assert!(dialects.names().count() >= 12);
    assert_eq!(problems(SMALL), Vec::<String>::new());
}

#[test]
fn all_problems_of_a_file_are_told_at_once_in_the_order_of_its_lines() {
    let text = SMALL
        .replace("\"POST\"", "\"POTS\"")
        .replace("\"1h\"", "\"1 hour\"")
        .replace("{access_token}", "{acess_token}")
        .replace("refused =", "refusd =")
        .replace("length = 32", "length = \"32\"\nlenght = 32");
    let told = problems(&text);
    let expected = [
        "3: `POTS` is not a method of a token endpoint / did you mean `POST`?",
        "12: this is a TOML string / write a whole number, not negative here",
        "13: unknown key `lenght` / did you mean `length`?",
        "14: `1 hour` is not a length of time / write a number from 1 and its unit: `90s`, `10m`, `1h` or `30d`",
        "16: there is no value `acess_token` / did you mean `access_token`?",
        "17: these refusals have no answer: refused, ",
        "18: `refusd` is not a kind of refusal / did you mean `refused`?",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
}

#[test]
fn syntax_errors_are_told_with_their_lines() {
    let told = problems("title = \n[request\n");
    assert!(told.len() >= 2, "{told:#?}");
    assert!(told[0].starts_with("1: ") && told[1].starts_with("2: "), "{told:#?}");
}

#[test]
fn what_is_missing_is_told() {
    let told = problems("");
    for part in ["title", "[request]", "[token]", "[success]", "[refusals]"] {
        assert!(told.iter().any(|told| told.contains(part)), "{part} in {told:#?}");
    }
}

#[test]
fn what_would_be_dangerous_is_refused() {
    complains("length = 32", "length = 31", "less than 128 random bits");
    complains("\"1h\"", "\"never\"", "danger_never_expires");
    complains("status = 400", "status = 200", "danger_success_status");
    complains("path = ", "danger_query = true\nquery = \"refused\"\npath = ", "contradict");
    complains(
        "server_error = { status = 500 }",
        "",
        "these refusals have no answer: server_error, unavailable",
    );
    complains("{access_token}", "nothing", "the answer carries no token");
    complains("{kind}", "{access_token}", "only known when a token was issued");
    complains(
        "client_secret = \"secret\"\n",
        "client_secret = \"id\"\n",
        "the name of another parameter",
    );
    complains(
        "[token]",
        "grant_type = \"grant_type\"\n[token]",
        "any `grant_type` would be accepted",
    );
    complains("\"/token\"", "\"/a/../token\"", "is not a path");
    complains("\"POST\"", "\"HEAD\"", "is not a method");
    complains("\"{access_token}\"", "\"{access_token}\"\nb = \"{\"", "`{` without `}`");
    complains(
        "[success.json]",
        "[success.headers]\nSet-Cookie = \"a\"\n[success.json]",
        "not for a dialect to set",
    );
    complains(
        "[success.json]",
        "[success.headers]\nX = \"a\\nb\"\n[success.json]",
        "cannot stand in a header",
    );
}

#[test]
fn claims_that_grant_cannot_be_constants_and_alg_cannot_be_chosen() {
    let jwt = |header: &str, claims: &str| {
        let token = format!(
            "format = \"jwt\"\nalgorithm = \"HS256\"\nheader = {header}\nclaims = {claims}"
        );
        problems(&SMALL.replace("format = \"stored\"\nlength = 32", &token))
    };
    const HEADER: &str = "{ alg = \"{algorithm}\" }";
    const CLAIMS: &str = "{ sub = \"{subject}\", exp = \"{expires_at}\" }";
    assert_eq!(jwt(HEADER, CLAIMS), Vec::<String>::new());
    for (header, claims, complaint) in [
        ("{ alg = \"none\" }", CLAIMS, "`alg` cannot be chosen"),
        ("{ typ = \"JWT\" }", CLAIMS, "lacks `alg`"),
        (HEADER, "{ sub = \"{subject}\" }", "no claim says when the token expires"),
        (HEADER, "{ exp = \"{expires_at}\" }", "no claim says whose token it is"),
        (
            HEADER,
            "{ sub = \"{subject}\", exp = \"{expires_at}\", scope = \"admin\" }",
            "never grants",
        ),
        (HEADER, "{ sub = \"{subjekt}\", exp = \"{expires_at}\" }", "did you mean `subject`?"),
    ] {
        let told = jwt(header, claims);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].contains(complaint), "{told:#?}");
    }
}

#[test]
fn an_own_directory_adds_dialects_and_no_name_twice() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("mine");
    std::fs::create_dir_all(folder.join("exchanges")).unwrap();
    std::fs::write(folder.join("dialect.toml"), SMALL).unwrap();
    std::fs::write(folder.join("exchanges/accepted.http"), "# x").unwrap();
    std::fs::create_dir(directory.path().join("no-dialect")).unwrap();

    let mut dialects = Dialects::builtin().unwrap();
    let before = dialects.names().count();
    dialects.add_directory(directory.path()).unwrap();
    assert_eq!(dialects.names().count(), before + 1);
    assert_eq!(dialects.get("mine").unwrap().title(), "Small");
    assert_eq!(dialects.folder("mine").unwrap().exchanges[0].0, "accepted.http");

    std::fs::rename(&folder, directory.path().join("rfc6749")).unwrap();
    let mut dialects = Dialects::builtin().unwrap();
    let told = dialects.add_directory(directory.path()).unwrap_err().to_string();
    assert!(told.contains("there is a dialect rfc6749 already"), "{told}");
    assert_eq!(dialects.names().count(), before, "nothing was added");

    let told = Dialects::default().add_directory(&directory.path().join("nowhere")).unwrap_err();
    assert!(told.to_string().contains("cannot be read"), "{told}");
}
