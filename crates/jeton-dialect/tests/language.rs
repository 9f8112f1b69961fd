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
    let told = load(&"login".parse().unwrap(), "dialects/login/dialect.toml", &broken);
    let told = told.unwrap_err().to_string();
    let shown = after(README, "```text\n", 1);
    assert!(told.contains(shown.trim_end()), "the README shows\n{shown}\nthe code says\n{told}");

    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("login");
    std::fs::create_dir_all(folder.join("exchanges")).unwrap();
    std::fs::write(folder.join("dialect.toml"), text).unwrap();
    std::fs::write(folder.join("exchanges/refused-wrong-secret.http"), exchange).unwrap();
    std::fs::write(folder.join("exchanges/cast.toml"), after(README, "```toml\n", 3)).unwrap();
    let told = jeton_dialect::inspect_folder(&folder);
    assert!(told.is_empty(), "{told}");
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

#[test]
fn only_the_listed_ways_of_authenticating_are_read_and_named() {
    let basic = |parameters: &str| {
        let listed = "authentication = [\"client_secret_basic\"]\nchecks = []";
        SMALL
            .replace("checks = [{ required = [\"client_id\", \"client_secret\"] }]", listed)
            .replace("client_id = \"id\"\nclient_secret = \"secret\"\n", parameters)
    };
    assert_eq!(problems(&basic("client_id = \"id\"\n")), Vec::<String>::new());
    let told = problems(&basic("client_id = \"id\"\nclient_secret = \"secret\"\n"));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("no way of `authentication` reads `client_secret`"), "{told:#?}");
    assert!(told[0].contains("add `client_secret_post`"), "{told:#?}");
    complains(
        "[request.parameters]",
        "extra_parameters = [\"scope\"]\n[request.parameters]",
        "`scope` is one of our parameters",
    );
}

#[test]
fn a_status_tells_whose_fault_it_is() {
    for (status, complaint) in [
        ("399", "`refused` has a status from 400 to 499"),
        ("500", "`refused` has a status from 400 to 499"),
        ("200", "danger_success_status"),
        ("302", "`refused` has a status from 400 to 499"),
        ("70000", "`refused` has a status from 400 to 499"),
    ] {
        complains("status = 400", &format!("status = {status}"), complaint);
    }
    for (status, complaint) in [
        ("400", "`server_error` has a status from 500 to 599"),
        ("600", "`server_error` has a status from 500 to 599"),
        ("200", "danger_success_status"),
    ] {
        complains("status = 500", &format!("status = {status}"), complaint);
    }
    complains("[success.json]", "[success]\nstatus = 404\n[success.json]", "from 200 to 299");
    complains(
        "status = 500 }",
        "status = 500 }\nunavailable = { status = 429 }",
        "`unavailable` has a status from 500 to 599",
    );
    let marked = "status = 200, danger_success_status = true";
    assert_eq!(problems(&SMALL.replace("status = 400", marked)), Vec::<String>::new());
    assert_eq!(problems(&SMALL.replace("status = 500", marked)), Vec::<String>::new());
    let own = "status = 500 }\nunavailable = { status = 503 }";
    assert_eq!(problems(&SMALL.replace("status = 500 }", own)), Vec::<String>::new());
}

#[test]
fn what_is_said_twice_or_says_nothing_is_a_problem() {
    for table in ["answers.headers", "answers.refusal_headers", "success.headers"] {
        let headers = format!("[{table}]\nX-Trace = \"a\"\nx-trace = \"b\"\n[success.json]");
        complains("[success.json]", &headers, "`x-trace` is here twice");
    }
    complains(
        "status = 500",
        "status = 500, headers = { A = \"1\", a = \"2\" }",
        "`a` is here twice",
    );
    // A row's header replaces a common one, in whatever letter case.
    let replaced = "[answers.headers]\nX-Trace = \"a\"\n[success.headers]\nx-trace = \"b\"\n";
    let replaced = SMALL.replace("[success.json]", &format!("{replaced}[success.json]"));
    assert_eq!(problems(&replaced), Vec::<String>::new());
    complains("\"id\"", "[\"id\", \"id\"]", "`id` is named twice");
    assert_eq!(problems(&SMALL.replace("\"id\"", "[\"id\", \"Id\"]")), Vec::<String>::new());
    complains("checks = [", "checks = [{ required = [] }, ", "requires nothing");
    complains("= \"json\" }", "= \"json\", \"Application/JSON\" = \"json\" }", "is here twice");
}

#[test]
fn a_misspelled_key_is_told_once() {
    complains("status = 400", "statuss = 400", "did you mean `status`?");
    complains("lifetime =", "lifetim =", "did you mean `lifetime`?");
    complains("[success.json]", "[succes.json]", "did you mean `success`?");
}

#[test]
fn claims_are_all_looked_at_even_when_one_is_not_understood() {
    let token = "format = \"jwt\"\nalgorithm = \"HS256\"\nclaims = { sub = \"me\", exp = \"{expires_at}\", jti = \"{tokenid}\" }";
    let told = problems(&SMALL.replace("format = \"stored\"\nlength = 32", token));
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("`sub` cannot be a constant"), "{told:#?}");
    assert!(told[1].contains("did you mean `token_id`?"), "{told:#?}");
}

/// A folder with the small dialect and these exchanges, and what is told of it, one a line.
fn inspected(dialect: &str, cast: Option<&str>, exchanges: &[(&str, String)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("small");
    std::fs::create_dir_all(folder.join("exchanges")).unwrap();
    std::fs::write(folder.join("dialect.toml"), dialect).unwrap();
    for (name, text) in exchanges {
        std::fs::write(folder.join("exchanges").join(name), text).unwrap();
    }
    if let Some(cast) = cast {
        std::fs::write(folder.join("exchanges/cast.toml"), cast).unwrap();
    }
    let told = jeton_dialect::inspect_folder(&folder);
    let told = told.iter().map(|problem| {
        let file = problem.file.rsplit('/').next().unwrap();
        let line = problem.line.map_or_else(String::new, |line| line.to_string());
        assert!(problem.remedy.is_some(), "no remedy: {}", problem.message);
        format!("{file}:{line}: {}", problem.message)
    });
    told.collect()
}

const CAST: Option<&str> = Some("[[client]]\nid = \"a\"\nsecret = \"b\"\n");

fn exchange(request: &str, status: &str, body: &str) -> String {
    format!(
        "# x\n\n{request} HTTP/1.1\nContent-Type: application/json\n\n{{}}\n\n---\n\n\
         HTTP/1.1 {status}\nContent-Type: application/json; charset=utf-8\n\n{body}\n"
    )
}

#[test]
fn an_exchange_fits_its_name_the_dialect_and_what_it_says_of_its_body() {
    let told = |name: &str, request: &str, status: &str, body: &str| {
        inspected(SMALL, CAST, &[(name, exchange(request, status, body))])
    };
    for (name, request, status) in [
        ("accepted.http", "POST /token", "200"),
        ("accepted-x.http", "POST /token?a=b", "201"),
        ("refused.http", "POST /token", "400"),
        ("refused-path.http", "POST /nowhere", "400"),
        ("refused-method.http", "PUT /token", "400"),
        ("failed.http", "POST /token", "503"),
    ] {
        assert_eq!(told(name, request, status, "{}"), Vec::<String>::new(), "{name}");
    }
    for (name, request, status, complaint) in [
        ("denied.http", "POST /token", "400", ":: the name does not tell how this ends"),
        ("accepted.http", "POST /token", "400", ":10: an accepted request has a status"),
        ("refused.http", "POST /token", "200", ":10: a refused request has a status"),
        ("refused.http", "POST /token", "500", ":10: a refused request has a status"),
        ("failed.http", "POST /token", "400", ":10: a failed request has a status"),
        ("accepted.http", "POST /tokn", "200", ":3: the dialect's path is `/token`"),
        ("accepted.http", "PUT /token", "200", ":3: the dialect's method is `POST`"),
        ("refused.http", "PUT /token", "401", ":3: the dialect's method is `POST`"),
    ] {
        let told = told(name, request, status, "{}");
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(told[0].starts_with(&format!("{name}{complaint}")), "{told:#?}");
    }
    let broken = told("accepted.http", "POST /token", "200", "{\"a\":1,,\"b\":2}");
    assert_eq!(broken.len(), 1, "{broken:#?}");
    assert!(
        broken[0].starts_with("accepted.http:13: the recorded body is not JSON"),
        "{broken:#?}"
    );
    let marked = SMALL.replace("status = 400", "status = 200, danger_success_status = true");
    let all_succeed = [("refused.http", exchange("POST /token", "200", "{}"))];
    assert_eq!(inspected(&marked, CAST, &all_succeed), Vec::<String>::new());
}

#[test]
fn no_file_of_a_folder_hides_the_problems_of_another() {
    let files = [
        ("accepted.http", "@tims 3\n".to_owned()),
        ("denied.http", "hi\n".to_owned()),
        ("refused.http", exchange("POST /token", "200", "{")),
    ];
    let told = inspected("title = 5\n", Some("[[clint]]\n"), &files);
    for file in [
        "dialect.toml:1:",
        "cast.toml:1:",
        "accepted.http:1:",
        "denied.http:1:",
        "denied.http:: the name does not tell",
        "refused.http:13:",
    ] {
        assert!(told.iter().any(|told| told.starts_with(file)), "{file} in {told:#?}");
    }
    let file = [("accepted.http", exchange("POST /token", "200", "{}"))];
    let told = inspected(SMALL, None, &file);
    assert_eq!(told, ["cast.toml:: there are exchanges, but no cast"]);
    assert_eq!(inspected(SMALL, None, &[]), Vec::<String>::new());
}

#[test]
fn the_folder_of_every_built_in_dialect_is_without_a_problem() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dialects");
    for name in Dialects::builtin().unwrap().names() {
        let told = jeton_dialect::inspect_folder(&directory.join(name));
        assert!(told.is_empty(), "{told}");
    }
}

#[test]
fn what_is_loaded_when_asked_for_is_what_is_loaded_at_once() {
    let (all, asked) = (Dialects::builtin().unwrap(), Dialects::builtin_when_asked());
    assert!(all.names().eq(asked.names()));
    for folder in all.iter() {
        let same = asked.folder(folder.dialect.name().as_str()).unwrap();
        assert_eq!(same.dialect.source_text(), folder.dialect.source_text());
        assert_eq!((&same.cast, &same.exchanges), (&folder.cast, &folder.exchanges));
    }
    assert!(asked.get("nobody-s").is_none());
}
