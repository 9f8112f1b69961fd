//! What single steps cost on this machine by themselves, without a server around them: signatures, which
//! differ between processors by more than anything else, and what it costs to count a token.

use std::hint::black_box;
use std::time::{Duration, Instant};

use jeton_engine::measure::{Count, DURATIONS, Distribution};
use jeton_jose::jws::Unverified;
use jeton_jose::{Algorithm, SigningKey, base64url};

use crate::machine::median;
use crate::rows::Step;

/// How often and how long a step is timed.
const TIMES: usize = 5;
const WINDOW: Duration = Duration::from_millis(40);

/// As much as a token of jeton's says.
const CLAIMS: &str = concat!(
    r#"{"iss":"http://127.0.0.1:4000/eddsa","sub":"client-000003","aud":"http://127.0.0.1:4000/eddsa","#,
    r#""exp":1700003600,"iat":1700000000,"jti":"01hf8z9k2m4n6p8q","client_id":"client-000003"}"#
);

/// Microseconds of one such step.
///
/// # Errors
/// When a key cannot be made or does not work.
pub(crate) fn step(step: Step) -> anyhow::Result<f64> {
    let key = match step {
        Step::SignEdDsa | Step::VerifyEdDsa => SigningKey::generate(Algorithm::EdDsa)?,
        Step::SignEs256 => SigningKey::generate(Algorithm::Es256)?,
        Step::SignRs256 => SigningKey::generate_rsa(Algorithm::Rs256, 2048)?,
    };
    let header = base64url::encode(format!(r#"{{"alg":"{}"}}"#, key.algorithm().name()));
    let token = key.sign_compact(&header, CLAIMS.as_bytes())?;
    let public = key.verifying_key();
    Unverified::parse(&token)?.check(&public)?;
    let sign = || drop(black_box(key.sign_compact(&header, black_box(CLAIMS).as_bytes())));
    let verify = || {
        let parsed = Unverified::parse(black_box(&token));
        let _ = black_box(parsed.map(|token| token.check(&public)));
    };
    Ok(match step {
        Step::VerifyEdDsa => microseconds(verify),
        Step::SignEdDsa | Step::SignEs256 | Step::SignRs256 => microseconds(sign),
    })
}

/// Microseconds of counting a token that was given out, as the server does: the clock at the beginning and
/// at the end of its request, its duration, and a number each for its format, its secret and the caches that
/// it was found in. A server that nobody asks for metrics counts all the same.
pub(crate) fn counting() -> f64 {
    let durations = Distribution::new(DURATIONS);
    let numbers: [Count; 4] = Default::default();
    microseconds(|| {
        let began = black_box(Instant::now());
        let took = black_box(began.elapsed()).as_nanos();
        black_box(&durations).take(u64::try_from(took).unwrap_or(u64::MAX));
        black_box(&numbers).iter().for_each(Count::one);
    })
}

/// The median of a few windows.
fn microseconds(mut act: impl FnMut()) -> f64 {
    let mut found = Vec::new();
    for _ in 0..TIMES {
        let (began, mut count) = (Instant::now(), 0_u32);
        while began.elapsed() < WINDOW {
            // The clock itself would be much of a short step.
            for _ in 0..16 {
                act();
            }
            count += 16;
        }
        found.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    }
    median(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_sign_takes_longer_than_to_count() {
        let sign = step(Step::SignRs256).unwrap();
        assert!(sign > counting(), "{sign}");
    }
}
