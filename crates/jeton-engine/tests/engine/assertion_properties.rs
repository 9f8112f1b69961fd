//! What holds of every assertion: one altered anywhere is refused, and times are judged as the
//! rules say in plain words.

use jeton_engine::error::Reason;
use jeton_engine::jose::Algorithm;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::asserting::{Signer, claims, claims_with, signing, stage_of};
use crate::stage::{START, Stage, realm};

fn stage_for(algorithm: Algorithm) -> (Runtime, Stage, Signer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stage, signer) = runtime.block_on(stage_of(algorithm, realm()));
    (runtime, stage, signer)
}

/// A way to spoil a text.
#[derive(Clone, Debug)]
enum Spoiling {
    Replace(usize, char),
    Insert(usize, char),
    Remove(usize),
    Cut(usize),
    Swap(usize, usize),
}

fn spoiling() -> impl Strategy<Value = Spoiling> {
    let character = prop_oneof![
        proptest::char::range('A', 'Z'),
        proptest::char::range('a', 'z'),
        proptest::sample::select(vec![
            '0', '9', '-', '_', '.', '=', '+', '/', ' ', '\n', '\0', 'é'
        ]),
    ];
    let place = 0..400_usize;
    prop_oneof![
        (place.clone(), character.clone()).prop_map(|(at, with)| Spoiling::Replace(at, with)),
        (place.clone(), character).prop_map(|(at, what)| Spoiling::Insert(at, what)),
        place.clone().prop_map(Spoiling::Remove),
        place.clone().prop_map(Spoiling::Cut),
        (place.clone(), place).prop_map(|(one, two)| Spoiling::Swap(one, two)),
    ]
}

fn spoiled(text: &str, how: &Spoiling) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let length = characters.len();
    match *how {
        Spoiling::Replace(at, with) => characters[at % length] = with,
        Spoiling::Insert(at, what) => characters.insert(at % (length + 1), what),
        Spoiling::Remove(at) => drop(characters.remove(at % length)),
        Spoiling::Cut(at) => characters.truncate(at % length),
        Spoiling::Swap(one, two) => characters.swap(one % length, two % length),
    }
    characters.into_iter().collect()
}

#[test]
fn an_assertion_that_is_altered_anywhere_is_refused() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let (runtime, stage, signer) = stage_for(algorithm);
        let right = signer.sign(&claims());
        proptest!(ProptestConfig::with_cases(300), |(how in spoiling())| {
            let altered = spoiled(&right, &how);
            prop_assume!(altered != right);
            let decision = runtime.block_on(stage.present(&altered));
            prop_assert!(decision.outcome.is_err(), "{how:?}");
        });
        runtime.block_on(stage.accepted(&right));
    }
}

/// What the rules say, in seconds from now: an hour of life at most, ten seconds of leeway.
fn judged(exp: i64, nbf: Option<i64>, iat: Option<i64>) -> Result<(), Reason> {
    if exp <= -10 {
        return Err(Reason::AssertionExpired);
    }
    if exp > 3610 {
        return Err(Reason::AssertionLongLived);
    }
    if nbf.is_some_and(|nbf| nbf > 10) || iat.is_some_and(|iat| iat > 10) {
        return Err(Reason::AssertionEarly);
    }
    if iat.is_some_and(|iat| iat < -3610) {
        return Err(Reason::AssertionOld);
    }
    Ok(())
}

#[test]
fn times_are_judged_as_the_rules_say() {
    let (runtime, stage, signer) = stage_for(Algorithm::EdDsa);
    let near = || prop_oneof![-15..15_i64, 3600..3620_i64, -3620..-3600_i64, -9000..9000_i64];
    let some = || proptest::option::of(near());
    let number = std::cell::Cell::new(0);
    proptest!(ProptestConfig::with_cases(400), |(exp in near(), nbf in some(), iat in some())| {
        number.set(number.get() + 1);
        let at = |seconds: Option<i64>| seconds.map_or(Value::Null, |s| json!(START + s));
        let claims = claims_with(&json!({
            "exp": START + exp, "nbf": at(nbf), "iat": at(iat), "jti": format!("{}", number.get()),
        }));
        let decision = runtime.block_on(stage.present(&signer.sign(&claims)));
        let outcome = match &decision.outcome {
            Ok(_) => Ok(()),
            Err(_) => Err(crate::stage::reason(&decision)),
        };
        prop_assert_eq!(outcome, judged(exp, nbf, iat));
    });
}

/// Members of any JSON type in the place of each claim: refused or accepted, never a fault.
#[test]
fn claims_of_any_type_are_judged_and_never_break_anything() {
    let (runtime, stage, signer) = stage_for(Algorithm::EdDsa);
    runtime.block_on(stage.client(signing("other", &[signer.jwk()])));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{0,4}", inner, 0..3)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    });
    let names = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
    let name = proptest::sample::select(names.to_vec());
    proptest!(ProptestConfig::with_cases(300), |(name in name, value in value)| {
        let mut claims = claims();
        claims[name] = value.clone();
        let decision = runtime.block_on(stage.present(&signer.sign(&claims)));
        if let Err(error) = &decision.outcome {
            prop_assert!(matches!(error, jeton_engine::error::Error::Refusal(_)), "{error}");
        } else {
            let may_vary = ["exp", "nbf", "iat", "jti"].contains(&name);
            prop_assert!(may_vary || claims[name] == crate::asserting::claims()[name], "{claims}");
        }
    });
}
