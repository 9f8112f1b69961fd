//! Whether a proof's `htu` is the URL of the request (RFC 9449 section 4.3): without query and
//! fragment, and after the normalisation of RFC 3986 sections 6.2.2 and 6.2.3.

use url::Url;

/// The longest URL that is compared, in bytes.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Whether both are the same, query and fragment aside.
pub(super) fn is_same(claimed: &str, expected: &str) -> bool {
    match (normalised(claimed), normalised(expected)) {
        (Some(claimed), Some(expected)) => claimed == expected,
        _ => false,
    }
}

/// Letter case of scheme and host, default port, dot segments and percent-encoding aside. `None`
/// for what is no web address, or spelled in a way that only browsers would take for one.
fn normalised(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if text.len() > URL_BYTES_MAX || !text.bytes().all(is_plain) {
        return None;
    }
    let (_, behind_scheme) = text.split_once("://")?;
    if behind_scheme.starts_with('/') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let named = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || named {
        return None;
    }
    let mut normalised = url.origin().ascii_serialization();
    respell(url.path(), &mut normalised);
    Some(normalised)
}

/// Adds a path in which only what must be is percent-encoded, in capitals (RFC 3986 sections 6.2.2.1
/// and 6.2.2.2).
fn respell(path: &str, to: &mut String) {
    let mut pieces = path.split('%');
    to.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let encoded = piece.split_at_checked(2).and_then(|(digits, rest)| {
            let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let byte = u8::from_str_radix(digits, 16).ok().filter(|_| plain)?;
            Some((byte, digits, rest))
        });
        match encoded {
            Some((byte, _, rest)) if is_unreserved(byte) => {
                to.push(char::from(byte));
                to.push_str(rest);
            }
            Some((_, digits, rest)) => {
                to.push('%');
                to.push_str(&digits.to_ascii_uppercase());
                to.push_str(rest);
            }
            None => {
                to.push('%');
                to.push_str(piece);
            }
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "https://auth.example.com/main/oauth2/token";

    #[test]
    fn spellings_of_the_same_url_are_the_same() {
        for claimed in [
            TOKEN,
            "HTTPS://Auth.Example.COM/main/oauth2/token",
            "https://auth.example.com:443/main/oauth2/token",
            "https://auth.example.com/main/oauth2/token?a=b",
            "https://auth.example.com/main/oauth2/token?a=b#c",
            "https://auth.example.com/main/oauth2/token#",
            "https://auth.example.com/x/../main/./oauth2/token",
            "https://auth.example.com/%6Dain/oauth2/tok%65n",
        ] {
            assert!(is_same(claimed, TOKEN), "{claimed}");
        }
        assert!(is_same("http://a.example:80", "http://A.example/"));
        assert!(is_same("https://a.example/%c3%a9%2f%zz", "https://a.example/%C3%A9%2F%zz?q"));
        assert!(is_same("https://[::1]:8443/a", "https://[0:0::1]:8443/a"));
    }

    #[test]
    fn the_nearest_other_urls_are_others() {
        for claimed in [
            "",
            "https://auth.example.com/main/oauth2/token/",
            "https://auth.example.com/main/oauth2/Token",
            "https://auth.example.com/main/oauth2/tokens",
            "https://auth.example.com/main/oauth2%2Ftoken",
            "https://auth.example.com//main/oauth2/token",
            "https://auth.example.com/other/oauth2/token",
            "http://auth.example.com/main/oauth2/token",
            "https://auth.example.com:8443/main/oauth2/token",
            "https://auth.example.com:80/main/oauth2/token",
            "https://auth.example.com./main/oauth2/token",
            "https://auth.example.com.evil.example/main/oauth2/token",
            "https://user@auth.example.com/main/oauth2/token",
            "https:/auth.example.com/main/oauth2/token",
            "https:auth.example.com/main/oauth2/token",
            "https:///auth.example.com/main/oauth2/token",
            "https://auth.example.com\\main/oauth2/token",
            " https://auth.example.com/main/oauth2/token",
            "https://auth.example.com/main/oauth2/to\tken",
            "//auth.example.com/main/oauth2/token",
            "/main/oauth2/token",
            "ftp://auth.example.com/main/oauth2/token",
        ] {
            assert!(!is_same(claimed, TOKEN), "{claimed}");
        }
        // What cannot be compared is not even the same as itself.
        assert!(!is_same("urn:x", "urn:x"));
    }

    proptest::proptest! {
        #[test]
        fn normalising_once_is_enough(path in "/[!-~]{0,40}") {
            if let Some(once) = normalised(&format!("https://a.example{path}")) {
                proptest::prop_assert_eq!(normalised(&once), Some(once));
            }
        }
    }
}
