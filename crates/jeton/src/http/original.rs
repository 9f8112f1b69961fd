//! The request that a gateway asks about: what it says of its method and URI. Only a trusted proxy
//! is believed; when two of its headers disagree, nothing is.

use http::{HeaderMap, HeaderName, Method};

/// The request at the gateway, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OriginalRequest<'a> {
    /// Its method.
    pub(crate) method: Option<&'a str>,
    /// Its target: path and query.
    pub(crate) target: Option<&'a str>,
    /// The scheme of its URL.
    pub(crate) scheme: Option<&'a str>,
    /// Host and perhaps port of its URL.
    pub(crate) host: Option<&'a str>,
    /// Whether any target that the proxy names has a token in its query; also when they disagree,
    /// or a caller could hide one behind a header of its own.
    pub(crate) has_token: bool,
}

/// The parameter by which RFC 6750 section 2.3 once let tokens stand in URLs.
pub(super) const TOKEN_PARAMETER: &str = "access_token";

static SCHEMES: [HeaderName; 1] = [HeaderName::from_static("x-forwarded-proto")];
static HOSTS: [HeaderName; 1] = [HeaderName::from_static("x-forwarded-host")];
static METHODS: [HeaderName; 2] =
    [HeaderName::from_static("x-forwarded-method"), HeaderName::from_static("x-original-method")];
static TARGETS: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
];

impl<'a> OriginalRequest<'a> {
    /// What a trusted proxy says. One that puts the target behind our own path keeps the method of
    /// the request as well.
    pub(crate) fn told(
        headers: &'a HeaderMap,
        method: &'a Method,
        behind: Option<&'a str>,
    ) -> Self {
        let own_method = behind.map(|_| Some(method.as_str()));
        let own_target = behind.map(Some);
        let told = said(headers, &TARGETS).map(|said| said.and_then(without_origin));
        let targets: Vec<Option<&str>> = own_target.into_iter().chain(told).collect();
        Self {
            method: one(own_method.into_iter().chain(said(headers, &METHODS))),
            has_token: targets.iter().flatten().any(|target| has_token(target)),
            target: one(targets.into_iter()),
            scheme: one(said(headers, &SCHEMES)),
            host: one(said(headers, &HOSTS)),
        }
    }

    /// The path, without what callers put in the query.
    pub(crate) fn path(&self) -> Option<&'a str> {
        self.target.and_then(|target| target.split(['?', '#']).next())
    }
}

/// Whether a token stands in the query of a target (RFC 9700 section 4.3.2).
fn has_token(target: &str) -> bool {
    target.split_once('?').is_some_and(|(_, query)| query_has_token(query))
}

/// Whether a token stands in a query, however its name is spelled.
pub(super) fn query_has_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == TOKEN_PARAMETER)
}

/// Every value of these headers; `None` for one that is no text.
fn said<'a>(
    headers: &'a HeaderMap,
    names: &'static [HeaderName],
) -> impl Iterator<Item = Option<&'a str>> {
    names.iter().flat_map(|name| headers.get_all(name).iter()).map(|value| value.to_str().ok())
}

/// What all of them say.
fn one<'a>(mut said: impl Iterator<Item = Option<&'a str>>) -> Option<&'a str> {
    let first = said.next()??;
    said.all(|other| other == Some(first)).then_some(first)
}

/// Path and query of a URL that some gateways send whole.
fn without_origin(url: &str) -> Option<&str> {
    if url.starts_with('/') {
        return Some(url);
    }
    let (_, rest) = url.split_once("://")?;
    match rest.find(['/', '?']) {
        Some(at) => rest.get(at..),
        None => Some("/"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(behind: Option<&str>, headers: &[(&'static str, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let told = OriginalRequest::told(&map, &Method::PATCH, behind);
        format!("{} {}", told.method.unwrap_or("-"), told.target.unwrap_or("-"))
    }

    #[test]
    fn each_gateways_way_of_saying_it_is_understood() {
        let forwarded = [("x-forwarded-method", "PUT"), ("x-forwarded-uri", "/a?b=c")];
        assert_eq!(told(None, &forwarded), "PUT /a?b=c");
        let original = [("x-original-method", "PUT"), ("x-original-uri", "/a")];
        assert_eq!(told(None, &original), "PUT /a");
        for (url, target) in [
            ("https://api.example.com/a?b", "/a?b"),
            ("https://api.example.com", "/"),
            ("https://api.example.com?x=/", "?x=/"),
            ("/a", "/a"),
            ("a", "-"),
        ] {
            assert_eq!(told(None, &[("x-original-url", url)]), format!("- {target}"));
        }
        assert_eq!(told(Some("/a?b=c"), &[]), "PATCH /a?b=c");
        assert_eq!(told(None, &[]), "- -");
    }

    #[test]
    fn what_disagrees_is_not_known() {
        let two = [("x-forwarded-uri", "/a"), ("x-original-uri", "/b")];
        assert_eq!(told(None, &two), "- -");
        assert_eq!(told(None, &[("x-forwarded-uri", "/a"), ("x-forwarded-uri", "/b")]), "- -");
        assert_eq!(told(Some("/a"), &[("x-forwarded-uri", "/b")]), "PATCH -");
        assert_eq!(told(Some("/a"), &[("x-forwarded-method", "PUT")]), "- /a");
        let agreeing = [("x-forwarded-uri", "/a"), ("x-original-url", "https://x/a")];
        assert_eq!(told(None, &agreeing), "- /a");
    }

    #[test]
    fn a_token_is_found_in_any_spelling_of_its_name_and_behind_any_header() {
        let told = |behind, uris: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, uri) in uris {
                headers.append(*name, HeaderValue::from_static(uri));
            }
            OriginalRequest::told(&headers, &Method::GET, behind).has_token
        };
        assert!(told(Some("/a?x=1&access_token=t"), &[]));
        assert!(told(Some("/a?access%5Ftoken"), &[]));
        assert!(!told(Some("/access_token?x=access_token"), &[]));
        assert!(!told(Some("/a"), &[]));
        let hidden = [("x-forwarded-uri", "/a?access_token=t"), ("x-original-uri", "/b")];
        assert!(told(None, &hidden));
        assert!(told(Some("/c"), &hidden));
        let path = OriginalRequest { target: Some("/a?b=c"), ..OriginalRequest::default() };
        assert_eq!(path.path(), Some("/a"));
    }
}
