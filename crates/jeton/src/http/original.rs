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
}

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
        let targets = said(headers, &TARGETS).map(|said| said.and_then(without_origin));
        Self {
            method: one(own_method.into_iter().chain(said(headers, &METHODS))),
            target: one(own_target.into_iter().chain(targets)),
        }
    }

    /// The path, without what callers put in the query.
    pub(crate) fn path(&self) -> Option<&'a str> {
        self.target.and_then(|target| target.split(['?', '#']).next())
    }

    /// Whether the query has a parameter of this name.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        let query = self.target.and_then(|target| target.split_once('?')).map(|(_, query)| query);
        query.is_some_and(|query| has_parameter(query, name))
    }
}

/// Whether a query has a parameter of this name.
pub(crate) fn has_parameter(query: &str, name: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(own, _)| own == name)
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
    fn parameters_are_found_in_any_spelling_of_their_name() {
        let with = |target| OriginalRequest { method: None, target: Some(target) };
        assert!(with("/a?x=1&access_token=t").has_parameter("access_token"));
        assert!(with("/a?access%5Ftoken").has_parameter("access_token"));
        assert!(!with("/access_token?x=access_token").has_parameter("access_token"));
        assert!(!with("/a").has_parameter("access_token"));
        assert_eq!(with("/a?b=c").path(), Some("/a"));
    }
}
