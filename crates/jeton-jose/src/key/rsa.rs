//! Which RSA keys we take: size, exponent, and none from the generator that made guessable primes.

use super::RSA_BITS;
use crate::error::KeyError;

/// Primes for which the remainders of a modulus show how its primes were made.
const FINGERPRINT_PRIMES: [u32; 17] =
    [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Checks a public key. Both numbers are big-endian without leading zeros.
pub(super) fn check(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyError> {
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&(modulus.len() * 8 - unused)) {
        return Err(KeyError::RsaSize);
    }
    let value = exponent.iter().take(4).fold(0, |value, byte| value << 8 | u32::from(*byte));
    if exponent.len() > 4 || value < 65_537 || value.is_multiple_of(2) {
        return Err(KeyError::RsaExponent);
    }
    // CVE-2017-15361: some smart cards chose primes congruent to powers of 65537 modulo many small
    // primes, and such a modulus can be factored. A sound one passes for such in one of 2^27 cases.
    if FINGERPRINT_PRIMES.iter().all(|prime| is_power_of_65537(modulus, *prime)) {
        return Err(KeyError::RsaWeak);
    }
    Ok(())
}

/// Whether the number is, modulo the prime, a power of 65537.
fn is_power_of_65537(number: &[u8], prime: u32) -> bool {
    let remainder = number.iter().fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
    let mut power = 1;
    for _ in 0..prime {
        if power == remainder {
            return true;
        }
        power = power * (65_537 % prime) % prime;
    }
    false
}
