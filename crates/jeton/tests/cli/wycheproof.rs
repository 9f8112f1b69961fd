//! `jeton token verify` and Wycheproof's vectors for whole tokens and key sets: every one of them goes
//! through the program, with its group's key in a file, and the exit code is the verdict.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::place::Place;

fn read(name: &str) -> Value {
    let folder: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "..", "jeton-jose", "tests", "vectors"].iter().collect();
    serde_json::from_str(&std::fs::read_to_string(folder.join(Path::new(name))).unwrap()).unwrap()
}

/// Where we differ from the verdict of this file, and why.
fn differences(file: &str) -> HashMap<u64, Value> {
    let all = read("wycheproof-differences.json");
    let of_file = all.as_array().unwrap().iter().filter(|one| one["file"] == file);
    let each = of_file.flat_map(|one| {
        let vectors = one["vectors"].as_array().unwrap();
        vectors.iter().map(move |id| (id.as_u64().unwrap(), one.clone()))
    });
    each.collect()
}

/// Runs every vector of a file, and gives how many tokens were valid and how many were not.
fn run(file: &str) -> (usize, usize) {
    let place = Place::empty();
    let differences = differences(file);
    let (mut valid, mut refused) = (0, 0);
    for group in read(&format!("wycheproof/{file}"))["testGroups"].as_array().unwrap() {
        let keys = group.get("public").unwrap_or(&group["private"]);
        std::fs::write(place.path("jwks.json"), keys.to_string()).unwrap();
        for vector in group["tests"].as_array().unwrap() {
            // Encrypted tokens are none of ours.
            let Some(token) = vector.get("jws") else { continue };
            let token = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
            let verify = ["token", "verify", "--jwks", "jwks.json"];
            let ran = place.jeton_reading(&verify, token.as_bytes());
            let id = vector["tcId"].as_u64().unwrap();
            let differs = differences.get(&id);
            let expected = (vector["result"] == "valid") != differs.is_some();
            assert_eq!(ran.code, i32::from(!expected), "{file} {id} {vector}: {ran:?}");
            if let Some(message) = differs.and_then(|one| one["message"].as_str()) {
                assert!(ran.stderr.contains(message), "{file} {id}: {ran:?}");
            }
            if expected { valid += 1 } else { refused += 1 }
        }
    }
    (valid, refused)
}

#[test]
fn tokens_are_judged_as_wycheproof_judges_them_but_for_stated_reasons() {
    assert_eq!(run("json_web_signature_test.json"), (26, 375));
}

#[test]
fn key_sets_are_judged_as_wycheproof_judges_them_but_for_stated_reasons() {
    assert_eq!(run("json_web_key_test.json"), (3, 23));
}

#[test]
fn the_older_file_for_both_is_judged_alike() {
    assert_eq!(run("json_web_crypto_test.json"), (4, 45));
}
