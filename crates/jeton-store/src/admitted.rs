//! What came of registering a client, as the number that a write gives back.

use jeton_engine::store::Admitted;

const ANSWERS: [Admitted; 3] = [Admitted::TokenUsedUp, Admitted::Registered, Admitted::Full];

/// The number of an answer.
pub(crate) fn count(admitted: Admitted) -> u64 {
    ANSWERS.iter().position(|answer| *answer == admitted).unwrap_or(0) as u64
}

/// The answer of a number.
pub(crate) fn of_count(count: u64) -> Admitted {
    let answer = usize::try_from(count).ok().and_then(|place| ANSWERS.get(place));
    answer.copied().unwrap_or(Admitted::TokenUsedUp)
}
