//! A dialect as it is meant: checked, compiled, ready to read and to write.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jeton_engine::error::Kind;
use jeton_engine::name::DialectName;
use jeton_engine::terms::Terms;

use crate::limit_fields::LimitFields;
use crate::shape::{Shape, Steps};
use crate::template::Piece;
use crate::value::Slot;

/// A token endpoint's wire format, compiled.
#[derive(Debug)]
pub struct Dialect {
    pub(crate) name: DialectName,
    pub(crate) title: String,
    pub(crate) asking: Asking,
    pub(crate) success: Row,
    /// One row per kind, in the order of [`Kind::ALL`]; kinds without a row of their own share one.
    pub(crate) refusals: Vec<Arc<Row>>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) limit_fields: LimitFields,
    pub(crate) source_text: String,
}

impl Dialect {
    /// Its name: the name of its folder.
    pub fn name(&self) -> &DialectName {
        &self.name
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The one method of the endpoint.
    pub fn method(&self) -> &Method {
        &self.asking.method
    }

    /// The endpoint's path below the realm.
    pub fn path(&self) -> &str {
        &self.asking.path
    }

    /// How its tokens are issued.
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// The file it was read from, as text.
    pub fn source_text(&self) -> &str {
        &self.source_text
    }

    /// The row that answers refusals of this kind.
    pub(crate) fn row(&self, kind: Kind) -> &Row {
        let position = Kind::ALL.iter().position(|known| *known == kind);
        // Loading fills one row per kind, so the success row is never reached from here.
        position.and_then(|at| self.refusals.get(at)).map_or(&self.success, |row| row)
    }
}

/// The longest client assertion that is read, in bytes, unless the file says otherwise.
pub(crate) const ASSERTION_BYTES_MAX: usize = 16 * 1024;

/// How a request is read.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Media types in lower case, and how a body of each is decoded.
    pub(crate) media_types: Vec<(String, Decoding)>,
    pub(crate) query: Query,
    /// Whether credentials are read from the Authorization header.
    pub(crate) basic: bool,
    /// Whether credentials are read from the parameters.
    pub(crate) post: bool,
    /// Whether an assertion among the parameters is read (RFC 7521 section 4.2).
    pub(crate) assertion: bool,
    /// Whether an identifier alone is read: a certificate may prove it (RFC 8705 section 2).
    pub(crate) named: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// Where our parameters stand among `parameters`.
    pub(crate) ours: Ours,
    pub(crate) checks: Vec<Check>,
}

/// How a body is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoding {
    Json,
    Form,
}

/// What becomes of parameters in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Query {
    Ignored,
    KnownRefused,
    Read,
}

/// A parameter that the dialect knows.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its names on the wire.
    pub(crate) names: Vec<String>,
    pub(crate) bytes_max: usize,
    pub(crate) repeatable: bool,
}

/// Where our own parameters stand in the list of parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ours {
    pub(crate) client_id: Option<usize>,
    pub(crate) client_secret: Option<usize>,
    pub(crate) client_assertion: Option<usize>,
    pub(crate) client_assertion_type: Option<usize>,
    pub(crate) grant_type: Option<usize>,
    pub(crate) scope: Option<usize>,
    pub(crate) resource: Option<usize>,
    pub(crate) audience: Option<usize>,
}

/// One check of the parameters.
#[derive(Debug)]
pub(crate) enum Check {
    /// The parameter must be there.
    Present(usize, Kind),
    /// The client must have authenticated.
    Credentials(Option<Kind>),
    /// The parameter, when it is there, must not be longer than it may.
    Length(usize),
    /// The parameter, when it is there, must have one of these values.
    Allowed(usize, Vec<String>, Kind),
}

/// One answer, compiled.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) status: StatusCode,
    pub(crate) headers: Headers,
    /// Sent when the request came with an `Authorization` header.
    pub(crate) challenge: Option<HeaderValue>,
    pub(crate) body: Body,
    /// What the body looks like, for comparing a live one with it.
    pub(crate) shape: Option<Shape>,
}

/// The headers of an answer, in order.
#[derive(Debug)]
pub(crate) enum Headers {
    /// Always the same, ready to be copied.
    Constant(HeaderMap),
    /// Some of them hold values.
    Varying(Vec<(HeaderName, HeaderText)>),
}

/// The text of a header.
#[derive(Debug)]
pub(crate) enum HeaderText {
    Constant(HeaderValue),
    Varying(Vec<Piece<Slot>>, Steps),
}

impl Headers {
    /// Puts them in the form in which they are written fastest.
    pub(crate) fn new(headers: Vec<(HeaderName, HeaderText)>) -> Self {
        let is_constant = |(_, text): &(_, HeaderText)| matches!(text, HeaderText::Constant(_));
        if !headers.iter().all(is_constant) {
            return Self::Varying(headers);
        }
        let constants = headers.into_iter().filter_map(|(name, text)| match text {
            HeaderText::Constant(value) => Some((name, value)),
            HeaderText::Varying(..) => None,
        });
        Self::Constant(constants.collect())
    }

    /// The values in them, with the names of their headers.
    pub(crate) fn varying(&self) -> impl Iterator<Item = (&HeaderName, &[Piece<Slot>])> {
        let headers = match self {
            Self::Constant(_) => &[],
            Self::Varying(headers) => headers.as_slice(),
        };
        headers.iter().filter_map(|(name, text)| match text {
            HeaderText::Constant(_) => None,
            HeaderText::Varying(pieces, _) => Some((name, pieces.as_slice())),
        })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Constant(Bytes),
    Steps(Steps),
}
