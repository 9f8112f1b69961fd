//! Random strings: every character of an alphabet is exactly as likely as every other.

use crate::clock::Random;

/// Lower-case letters and digits: safe in a URL, a shell and a Basic header without quoting.
pub(crate) const LOWER_ALPHANUMERIC: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// Letters and digits; 43 of them carry 256 bits.
pub(crate) const ALPHANUMERIC: &str =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `length` random characters of `alphabet` (ASCII, at least two characters) to `text`.
pub(crate) fn push(text: &mut String, alphabet: &str, length: usize, random: &Random) {
    let alphabet = alphabet.as_bytes();
    // Bytes that fall outside the alphabet are drawn again: a remainder would favour its start.
    let mask = alphabet.len().next_power_of_two() - 1;
    let mut missing = length;
    while missing > 0 {
        let bytes: [u8; 64] = random.bytes();
        for byte in bytes {
            if let Some(character) = alphabet.get(usize::from(byte) & mask)
                && missing > 0
            {
                text.push(char::from(*character));
                missing -= 1;
            }
        }
    }
}

/// `length` random characters of `alphabet` after `prefix`.
pub(crate) fn with_prefix(prefix: &str, alphabet: &str, length: usize, random: &Random) -> String {
    let mut text = String::with_capacity(prefix.len() + length);
    text.push_str(prefix);
    push(&mut text, alphabet, length, random);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_drawn_about_equally_often() {
        let random = Random::seeded(7);
        for alphabet in ["01", "abc", "0123456789abcdef", ALPHANUMERIC] {
            let text = with_prefix("", alphabet, 62_000, &random);
            assert_eq!(text.len(), 62_000);
            let expected = 62_000 / alphabet.len();
            for character in alphabet.chars() {
                let count = text.chars().filter(|drawn| *drawn == character).count();
                assert!(count.abs_diff(expected) < expected / 5, "{character}: {count}");
            }
        }
    }

    #[test]
    fn the_prefix_comes_first_and_is_not_counted() {
        let text = with_prefix("sk-", "0123456789abcdef", 32, &Random::seeded(1));
        assert_eq!(text.len(), 35);
        assert!(text.starts_with("sk-"));
    }
}
