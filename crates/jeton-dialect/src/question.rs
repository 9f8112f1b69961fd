//! Questions about a token: introspection (RFC 7662 section 2.1) and revocation (RFC 7009 section
//! 2.1) ask in one way, whatever dialects the realm mounts: a form, in which the client may
//! authenticate in any way that there is.

use std::sync::LazyLock;

use http::Method;
use jeton_engine::error::{Kind, Refusal};
use jeton_engine::request::TokenQuestion;

use crate::dialect::{ASSERTION_BYTES_MAX, Asking, Check, Decoding, Ours, Parameter, Query};
use crate::read::{Asked, Incoming};

/// A question about a token, read. Owns what had to be decoded and borrows the rest.
pub struct Question<'a>(Asked<'a>);

const CLIENT_ID: usize = 0;
const CLIENT_SECRET: usize = 1;
const CLIENT_ASSERTION: usize = 2;
const CLIENT_ASSERTION_TYPE: usize = 3;
const TOKEN: usize = 4;
/// Known so that it is refused in the URL like the others. We find a token without any hint.
const TOKEN_TYPE_HINT: usize = 5;

static ASKING: LazyLock<Asking> = LazyLock::new(|| {
    let parameter = |name: &str, bytes_max| Parameter {
        names: vec![name.to_owned()],
        bytes_max,
        repeatable: false,
    };
    Asking {
        method: Method::POST,
        path: String::new(),
        media_types: vec![("application/x-www-form-urlencoded".to_owned(), Decoding::Form)],
        query: Query::KnownRefused,
        basic: true,
        post: true,
        assertion: true,
        named: true,
        parameters: vec![
            parameter("client_id", 255),
            parameter("client_secret", 1024),
            parameter("client_assertion", ASSERTION_BYTES_MAX),
            parameter("client_assertion_type", 255),
            parameter("token", usize::MAX),
            parameter("token_type_hint", usize::MAX),
        ],
        ours: Ours {
            client_id: Some(CLIENT_ID),
            client_secret: Some(CLIENT_SECRET),
            client_assertion: Some(CLIENT_ASSERTION),
            client_assertion_type: Some(CLIENT_ASSERTION_TYPE),
            ..Ours::default()
        },
        checks: vec![
            Check::Length(CLIENT_ID),
            Check::Length(CLIENT_SECRET),
            Check::Length(CLIENT_ASSERTION),
            Check::Length(CLIENT_ASSERTION_TYPE),
            Check::Length(TOKEN_TYPE_HINT),
            Check::Credentials(None),
            Check::Present(TOKEN, Kind::MissingParameter),
        ],
    }
});

impl<'a> Question<'a> {
    /// Reads a question.
    ///
    /// # Errors
    /// The first refusal: the request's form before its credentials, and these before its token.
    pub fn read(incoming: &Incoming<'a>) -> Result<Self, Refusal> {
        Asked::read(&ASKING, incoming).map(Self)
    }

    /// What was asked, in the engine's words.
    pub fn question(&self) -> TokenQuestion<'_> {
        TokenQuestion {
            credentials: self.0.credentials(),
            token: self.0.parameter(TOKEN).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, CONTENT_TYPE};
    use http::{HeaderMap, HeaderValue};
    use jeton_engine::error::Reason;
    use jeton_engine::request::{AuthenticationMethod, Credentials};

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn read(
        query: Option<&str>,
        authorization: Option<&'static str>,
        body: &str,
    ) -> Result<(String, Option<AuthenticationMethod>), Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        let incoming =
            Incoming { method: &Method::POST, query, headers: &headers, body: Ok(body.as_bytes()) };
        let question = Question::read(&incoming).map_err(|refusal| refusal.reason)?;
        let asked = question.question();
        let method = match &asked.credentials {
            Credentials::Secret(secret) => Some(secret.method),
            _ => None,
        };
        Ok((asked.token.to_owned(), method))
    }

    // a:b
    const BASIC: Option<&str> = Some("Basic YTpi");

    #[test]
    fn the_secret_comes_by_header_or_by_form_and_not_by_both() {
        let basic = Some(AuthenticationMethod::ClientSecretBasic);
        let post = Some(AuthenticationMethod::ClientSecretPost);
        assert_eq!(read(None, BASIC, "token=t"), Ok(("t".to_owned(), basic)));
        assert_eq!(read(None, BASIC, "token=t&client_id=a"), Ok(("t".to_owned(), basic)));
        let form = "token=t&client_id=a&client_secret=b";
        assert_eq!(read(None, None, form), Ok(("t".to_owned(), post)));
        assert_eq!(read(None, BASIC, form), Err(Reason::AuthenticationTwice));
        let other = "token=t&client_id=c";
        assert_eq!(read(None, BASIC, other), Err(Reason::AuthenticationTwice));
        assert_eq!(read(None, None, "token=t"), Err(Reason::AuthenticationMissing));
        assert_eq!(read(None, None, other), Ok(("t".to_owned(), None)));
    }

    #[test]
    fn the_token_comes_once_and_in_the_body() {
        assert_eq!(read(None, BASIC, "token_type_hint=x"), Err(Reason::ParameterMissing));
        assert_eq!(read(None, BASIC, "token="), Err(Reason::ParameterMissing));
        assert_eq!(read(None, BASIC, "token=t&token=t"), Err(Reason::ParameterTwice));
        assert_eq!(read(None, BASIC, "token=t&x=1&x=2"), Err(Reason::ParameterTwice));
        assert_eq!(read(None, BASIC, ""), Err(Reason::ParameterMissing));
        for query in ["token=t", "client_secret=b", "token_type_hint=access_token"] {
            assert_eq!(read(Some(query), BASIC, "token=t"), Err(Reason::ParameterInQuery));
        }
        assert!(read(Some("x=1"), BASIC, "token=t&token_type_hint=nonsense&x=1").is_ok());
    }
}
