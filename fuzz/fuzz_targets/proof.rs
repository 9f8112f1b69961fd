//! DPoP proofs from outside: reading one never panics, and what is taken for one was signed by the key
//! in it, says all that it must and is no larger than we read.

#![no_main]

use jeton_engine::dpop::{IDENTIFIER_BYTES_MAX, PROOF_BYTES_MAX, Proof};
use jeton_engine::realm::proving::Profile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = Proof::read(text, Profile::Standard.algorithms());
    if let Ok(proof) = &read {
        assert!(text.len() <= PROOF_BYTES_MAX);
        assert!((1..=IDENTIFIER_BYTES_MAX).contains(&proof.id.len()));
    }
    // What the stricter profile takes, the other one takes for the same.
    if let Ok(strict) = Proof::read(text, Profile::Fapi2.algorithms()) {
        assert_eq!(read, Ok(strict));
    }
});
