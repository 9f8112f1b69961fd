//! Which URLs may be asked at all: https, a host, nothing hidden in them.

use std::fmt;

use url::{Host, Position, Url};

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// A URL that may be asked, if its host is where it may be.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target(Url);

/// Why a URL may not be asked. Reads after "the URL".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is longer than [`URL_BYTES_MAX`].
    #[error("is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is no absolute URL with a host.
    #[error("is not an absolute URL of visible ASCII characters")]
    Malformed,
    /// It is not https.
    #[error("must be https")]
    NotHttps,
    /// It has a user or a password.
    #[error("must not carry a user or a password")]
    Userinfo,
    /// It has a fragment.
    #[error("must not have a fragment")]
    Fragment,
    /// Its port is one of another protocol.
    #[error("must name port 443, or one from 1024 up")]
    Port,
}

impl Target {
    /// Reads a URL. Any spelling that programs understand differently is refused: white space,
    /// backslashes, missing slashes.
    ///
    /// # Errors
    /// Why it may not be asked.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(TargetError::Malformed);
        }
        let (scheme, rest) = text.split_once("://").ok_or(TargetError::Malformed)?;
        let url = Url::parse(text).map_err(|_| TargetError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(TargetError::NotHttps);
        }
        if rest.starts_with('/') || url.host().is_none() {
            return Err(TargetError::Malformed);
        }
        // `https://@host/` has an empty user, which is one too many.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(TargetError::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        // Mail, shells and databases of old live below: none of them shall be knocked on from here.
        if url.port().is_some_and(|port| port < 1024) {
            return Err(TargetError::Port);
        }
        Ok(Self(url))
    }

    /// The whole URL, normalized.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host: a name, or an address however it was spelled.
    pub(super) fn host(&self) -> Host<&str> {
        self.0.host().unwrap_or(Host::Domain(""))
    }

    /// The host as certificates name it: an IPv6 address without brackets.
    pub(super) fn host_name(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// What `Host` says (RFC 9110 section 7.2).
    pub(super) fn authority(&self) -> &str {
        &self.0[Position::BeforeHost..Position::AfterPort]
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.0[Position::BeforePath..Position::AfterQuery]
    }

    /// The path alone.
    pub(super) fn path(&self) -> &str {
        self.0.path()
    }

    /// The same host and port with another path.
    pub(super) fn with_path(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_query(None);
        url.set_path(path);
        Self(url)
    }

    pub(super) fn has_query(&self) -> bool {
        self.0.query().is_some()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Target({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_with_a_host_may_be_asked() {
        for text in [
            "https://example.com",
            "https://example.com:443/jwks.json?x=1",
            "HTTPS://example.com/a",
            "https://10.0.0.1:6443/openid/v1/jwks",
            "https://[2001:db8::1]:8443/",
        ] {
            assert!(Target::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_hidden_or_ambiguous_is_refused() {
        use TargetError as E;
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        for (text, error) in [
            (long.as_str(), E::TooLong),
            ("http://example.com/", E::NotHttps),
            ("file:///etc/passwd", E::NotHttps),
            ("ftp://example.com/", E::NotHttps),
            ("example.com/jwks", E::Malformed),
            ("https:example.com", E::Malformed),
            ("https:///example.com", E::Malformed),
            ("https://", E::Malformed),
            ("https:\\\\example.com", E::Malformed),
            ("https://example.com\\@10.0.0.1/", E::Malformed),
            ("https://exa mple.com/", E::Malformed),
            ("https://example.com/\n", E::Malformed),
            ("https://exämple.com/", E::Malformed),
            ("https://user@example.com/", E::Userinfo),
            ("https://user:secret@example.com/", E::Userinfo),
            ("https://@example.com/", E::Userinfo),
            ("https://example.com/#keys", E::Fragment),
            ("https://example.com/#", E::Fragment),
            ("https://example.com:25/", E::Port),
            ("https://example.com:0/", E::Port),
            ("https://example.com:80/", E::Port),
        ] {
            assert_eq!(Target::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn addresses_in_odd_spellings_are_addresses() {
        for text in ["https://0x7f.1/", "https://2130706433/", "https://0177.0.0.1/"] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.host_name(), "127.0.0.1", "{text}");
            assert!(matches!(target.host(), Host::Ipv4(_)), "{text}");
        }
    }
}
