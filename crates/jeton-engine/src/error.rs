//! Refusals and faults: one variant per reason inside, few kinds outside, constant texts.
//!
//! A [`Reason`] is for operators: exact. A [`Kind`] is what a dialect may tell apart: it never
//! says whether a client exists to somebody who has not proved to be that client.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::limit::Allowance;
use crate::name::ClientId;

/// Why no token was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// We said no; the caller can mend it.
    #[error("{0}")]
    Refusal(Box<Refusal>),
    /// We broke; the caller can only try again.
    #[error("fault: {0}")]
    Fault(Fault),
}

impl Error {
    /// What a dialect may tell apart.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refusal(refusal) => refusal.kind,
            Self::Fault(fault) => fault.kind(),
        }
    }

    /// How long the caller should wait before it tries again, where waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refusal(refusal) => refusal.retry_after,
            Self::Fault(Fault::Overloaded | Fault::Unreachable(_)) => Some(Duration::from_secs(1)),
            Self::Fault(_) => None,
        }
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self::Refusal(Box::new(Refusal::from(reason)))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(Box::new(refusal))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A refusal on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exact reason, for operators.
    pub reason: Reason,
    /// Which of the dialect's rows answers: the reason's own kind, unless the dialect says of one
    /// of its parameters that a mistake there is of another kind.
    pub kind: Kind,
    /// The parameter that is at fault, by the name the dialect gives it (never its value).
    pub parameter: Option<Box<str>>,
    /// The client that was refused, once it is known that it exists. For operators only.
    pub client_id: Option<ClientId>,
    /// What was left of a limit, for dialects that tell it in headers.
    pub allowance: Option<Allowance>,
    /// How long to wait, where waiting helps.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            kind: reason.kind(),
            parameter: None,
            client_id: None,
            allowance: None,
            retry_after: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameter {
            Some(parameter) => write!(formatter, "{} ({parameter})", self.reason),
            None => self.reason.fmt(formatter),
        }
    }
}

/// We broke. The caller hears `server_error` or `unavailable` and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More was asked than can be written or hashed in time; nothing was done.
    #[error("too much to do at once; nothing was done")]
    Overloaded,
    /// The store cannot be reached; nothing was done.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The store failed in another way.
    #[error("the store failed: {0}")]
    Store(String),
    /// The realm has no active signing key of the algorithm that its tokens need.
    #[error("realm {realm} has no active {algorithm} key: make one with `jeton key create`")]
    NoKey {
        /// The realm.
        realm: String,
        /// The algorithm.
        algorithm: jeton_jose::Algorithm,
    },
    /// Something that cannot happen happened.
    #[error("{0}")]
    Impossible(&'static str),
}

/// Which fault it is, without what is different each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// [`Fault::Overloaded`].
    Overloaded,
    /// [`Fault::Unreachable`].
    Unreachable,
    /// [`Fault::Store`].
    Store,
    /// [`Fault::NoKey`].
    NoKey,
    /// [`Fault::Impossible`].
    Impossible,
}

impl FaultKind {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[Self::Overloaded, Self::Unreachable, Self::Store, Self::NoKey, Self::Impossible];

    /// The stable name in metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
            Self::Store => "store",
            Self::NoKey => "no_key",
            Self::Impossible => "impossible",
        }
    }
}

impl Fault {
    /// Which one it is.
    pub const fn fault_kind(&self) -> FaultKind {
        match self {
            Self::Overloaded => FaultKind::Overloaded,
            Self::Unreachable(_) => FaultKind::Unreachable,
            Self::Store(_) => FaultKind::Store,
            Self::NoKey { .. } => FaultKind::NoKey,
            Self::Impossible(_) => FaultKind::Impossible,
        }
    }

    /// What a dialect may tell apart.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Overloaded | Self::Unreachable(_) => Kind::Unavailable,
            Self::Store(_) | Self::NoKey { .. } | Self::Impossible(_) => Kind::ServerError,
        }
    }
}

macro_rules! reasons {
    ($($(#[$documentation:meta])* $name:ident, $code:literal, $kind:ident, $text:literal;)+) => {
        /// The exact reason of a refusal. For logs, events and `jeton explain`; never for callers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$documentation])* #[doc = $text] $name,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name in logs, events and metrics.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// What a dialect may tell apart.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind),+ }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(Self::$name => $text),+ })
            }
        }
    };
}

reasons! {
    PathUnknown, "path_unknown", NotFound, "no endpoint has this path";
    MethodNotAllowed, "method_not_allowed", MethodNotAllowed, "the endpoint does not have this method";
    MediaTypeMissing, "media_type_missing", MediaType, "the request has no Content-Type, or more than one";
    MediaTypeUnsupported, "media_type_unsupported", MediaType, "the dialect does not read this Content-Type";
    BodyEmpty, "body_empty", EmptyBody, "the request has no body";
    BodyTooLarge, "body_too_large", BodyTooLarge, "the body is larger than the server takes";
    BodyIncomplete, "body_incomplete", MalformedBody, "the body ended early or came too slowly";
    BodyMalformed, "body_malformed", MalformedBody, "the body does not decode as its Content-Type says";
    AuthorizationMalformed, "authorization_malformed", MalformedAuthorization, "the Authorization header does not decode";
    ParameterTwice, "parameter_twice", DuplicateParameter, "a parameter was given twice";
    ParameterMissing, "parameter_missing", MissingParameter, "a required parameter is missing, empty or of the wrong type";
    ParameterInvalid, "parameter_invalid", InvalidParameter, "a parameter has a value that is not allowed";
    ParameterTooLong, "parameter_too_long", InvalidParameter, "a parameter is longer than the dialect allows";
    ParameterInQuery, "parameter_in_query", InvalidParameter, "a parameter that belongs in the body was sent in the URL";
    GrantTypeUnsupported, "grant_type_unsupported", UnsupportedGrantType, "the grant type is not client credentials";
    AuthenticationMissing, "authentication_missing", InvalidClient, "the client did not authenticate";
    AuthenticationTwice, "authentication_twice", SeveralAuthentications, "the client authenticated in more than one way (RFC 6749 section 2.3)";
    AuthenticationMethod, "authentication_method", InvalidClient, "the client may not authenticate in this way";
    CertificateMalformed, "certificate_malformed", InvalidRequest, "the header in which the proxy passes on a client's certificate does not decode, or came twice";
    CertificateWrong, "certificate_wrong", InvalidClient, "the certificate is another's: it bears neither the name nor a key that is registered for the client";
    CertificateUnregistered, "certificate_unregistered", InvalidClient, "the client may authenticate with a certificate, but no name or key of one is registered for it";
    CertificateUntrusted, "certificate_untrusted", InvalidClient, "the certificate bears the client's name, but no authority that is trusted for clients vouches for it";
    CertificateExpired, "certificate_expired", InvalidClient, "the certificate is the client's, but has expired or is not valid yet";
    KeysUnavailable, "keys_unavailable", InvalidClient, "the keys of the client, or of a trusted issuer, cannot be fetched";
    CertificateMissing, "certificate_missing", InvalidRequest, "the client's tokens are bound to its certificate, and none was shown in TLS";
    AuthenticationProfile, "authentication_profile", InvalidClient, "the profile of the realm does not allow this way of authenticating";
    AssertionType, "assertion_type", InvalidClient, "client_assertion_type is missing or names no type that we read";
    AssertionMalformed, "assertion_malformed", InvalidClient, "the assertion is no signed JWT in the compact serialization, or too long";
    AssertionTyped, "assertion_typed", InvalidClient, "the assertion is a JWT of another kind (typ): an access token, for example";
    AssertionAlgorithm, "assertion_algorithm", InvalidClient, "the assertion is not signed, or with an algorithm that is not accepted here";
    AssertionKeyUnknown, "assertion_key_unknown", InvalidClient, "none of the keys, or too many, have the kid and alg that the assertion names";
    AssertionKeysNone, "assertion_keys_none", InvalidClient, "the client has no keys or secrets that assertions could be checked with";
    AssertionSignature, "assertion_signature", InvalidClient, "the signature of the assertion is wrong";
    AssertionIssuer, "assertion_issuer", InvalidClient, "iss of the assertion is missing or is not the client";
    AssertionSubject, "assertion_subject", InvalidClient, "sub of the assertion is missing or is not the client";
    AssertionOfAnother, "assertion_of_another", InvalidClient, "client_id names another client than the assertion does";
    AssertionAudience, "assertion_audience", InvalidClient, "aud of the assertion is missing, is not us, or not us alone";
    AssertionExpiryMissing, "assertion_expiry_missing", InvalidClient, "the assertion has no exp, or one that is no time";
    AssertionExpired, "assertion_expired", InvalidClient, "the assertion has expired";
    AssertionLongLived, "assertion_long_lived", InvalidClient, "exp of the assertion is further away than the realm accepts";
    AssertionTimeMalformed, "assertion_time_malformed", InvalidClient, "nbf or iat of the assertion is no time";
    AssertionEarly, "assertion_early", InvalidClient, "nbf or iat of the assertion is in the future";
    AssertionOld, "assertion_old", InvalidClient, "iat of the assertion is longer ago than the realm accepts";
    AssertionIdentifier, "assertion_identifier", InvalidClient, "jti of the assertion is missing, or not a text of 1 to 256 bytes";
    AssertionReplayed, "assertion_replayed", InvalidClient, "the assertion was used before";
    FederatedNobody, "federated_nobody", InvalidClient, "no client takes tokens of this issuer with this sub, or not the one that client_id names";
    FederatedSeveral, "federated_several", InvalidClient, "the token fits several clients and no client_id says which is meant";
    FederatedClaims, "federated_claims", InvalidClient, "a claim that the client demands of the token is missing or says something else";
    ProofMissing, "proof_missing", InvalidDpopProof, "the client's tokens are bound to a DPoP key, and no proof came with the request";
    BindingMissing, "binding_missing", InvalidRequest, "the realm only issues bound tokens, and the request shows neither a DPoP proof nor a certificate";
    ProofTwice, "proof_twice", InvalidDpopProof, "more than one DPoP proof came with the request";
    ProofMalformed, "proof_malformed", InvalidDpopProof, "the DPoP proof is no JWT, too long, or lacks jti, htm, htu or iat";
    ProofType, "proof_type", InvalidDpopProof, "the DPoP proof does not have the type dpop+jwt";
    ProofAlgorithm, "proof_algorithm", InvalidDpopProof, "the DPoP proof is signed with an algorithm that is not allowed, or not at all";
    ProofKey, "proof_key", InvalidDpopProof, "the DPoP proof shows no public key, a private or a weak one, or one for another algorithm";
    ProofSignature, "proof_signature", InvalidDpopProof, "the signature of the DPoP proof is wrong";
    ProofMethod, "proof_method", InvalidDpopProof, "the DPoP proof was made for another method (htm)";
    ProofTarget, "proof_target", InvalidDpopProof, "the DPoP proof was made for another URL (htu)";
    ProofTime, "proof_time", InvalidDpopProof, "the DPoP proof is too old, or was made in the future (iat, nbf, exp)";
    ProofToken, "proof_token", InvalidDpopProof, "the DPoP proof was not made for the token that it came with (ath)";
    ProofReplayed, "proof_replayed", InvalidDpopProof, "a DPoP proof with this jti by this key was used before";
    NonceMissing, "nonce_missing", UseDpopNonce, "the realm asks for a nonce, and the DPoP proof has none";
    NonceStale, "nonce_stale", UseDpopNonce, "the nonce of the DPoP proof is not one of the realm's, or too old";
    ClientUnknown, "client_unknown", InvalidClient, "no client has this identifier";
    SecretWrong, "secret_wrong", InvalidClient, "the secret is wrong";
    SecretExpired, "secret_expired", InvalidClient, "the secret is right but has expired";
    SecretsNone, "secrets_none", InvalidClient, "the client has no secret: none was made or all were revoked";
    ClientLocked, "client_locked", InvalidClient, "the client proved who it is but is locked after wrong guesses";
    ClientDisabled, "client_disabled", ClientDisabled, "the client proved who it is but is disabled";
    SourceNotAllowed, "source_not_allowed", SourceNotAllowed, "the client proved who it is but may not call from this address";
    ScopeMalformed, "scope_malformed", InvalidScope, "the scope breaks the grammar of RFC 6749 section 3.3";
    ScopeNotGranted, "scope_not_granted", InvalidScope, "the client may not have this scope";
    TargetNotAllowed, "target_not_allowed", InvalidTarget, "the client may not have tokens for this resource or audience";
    TokenNotTheirs, "token_not_theirs", Forbidden, "the token was issued to another client";
    TokenInvalid, "token_invalid", Forbidden, "the token does not hold (unknown, expired or revoked, or its client disabled), or is for another audience";
    TokenCertificateMissing, "token_certificate_missing", Forbidden, "the token is bound to a certificate, and the gateway passed none on";
    TokenCertificateOther, "token_certificate_other", Forbidden, "the token is bound to another certificate than the one that the gateway passed on";
    TokenBound, "token_bound", Forbidden, "the token is bound to a key, and was sent as a bearer token";
    TokenUnbound, "token_unbound", Forbidden, "the token is bound to no key, and was sent under the scheme DPoP";
    TokenKeyOther, "token_key_other", Forbidden, "the DPoP proof is by another key than the one that the token is bound to";
    RequestUnknown, "request_unknown", Forbidden, "the gateway does not say which method and URL the request has, so no DPoP proof can be checked";
    ScopeInsufficient, "scope_insufficient", Forbidden, "the token holds, but lacks scope that the gateway asks for";
    TokenTwice, "token_twice", InvalidRequest, "the token was sent twice, or in the URL";
    RegistrationTokenMissing, "registration_token_missing", Forbidden, "registering needs a token, and none came with the request";
    InitialTokenWrong, "initial_token_wrong", Forbidden, "the initial access token is unknown, expired, revoked or used up";
    RegistrationTokenWrong, "registration_token_wrong", Forbidden, "no client that registered itself has this identifier and this registration access token";
    MetadataInvalid, "metadata_invalid", InvalidRequest, "the client metadata are not allowed (RFC 7591 section 2)";
    RedirectUriInvalid, "redirect_uri_invalid", InvalidRequest, "a redirection URI in the client metadata is malformed";
    StatementInvalid, "statement_invalid", InvalidRequest, "the software statement is missing, malformed, expired, wrongly signed or for somebody else";
    StatementUnapproved, "statement_unapproved", InvalidRequest, "the software statement is of an issuer that the realm does not trust";
    RegistrationsFull, "registrations_full", Forbidden, "as many clients have registered themselves as the realm allows";
    RegistrationLimited, "registration_limited", RateLimited, "the source or the realm has used up its registrations for now";
    RateLimited, "rate_limited", RateLimited, "the client has used up its requests for now";
    SourceLimited, "source_limited", RateLimited, "the source address has used up its requests in this realm for now";
    RealmLimited, "realm_limited", RateLimited, "the realm's clients together have used up its requests for now";
    SourceSlowed, "source_slowed", SlowDown, "too many wrong guesses came from this address; it waits";
}

macro_rules! kinds {
    ($($name:ident, $code:literal, $general:expr, $text:literal;)+) => {
        /// What a dialect may tell apart: each kind can have a row in a dialect file, and a kind
        /// without a row takes the row of its more general kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $(#[doc = $text] $name,)+ }

        impl Kind {
            /// Every kind, the more general ones before the more special ones.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name of the kind's row in a dialect file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The kind whose row answers when this one has none; the two roots have no such kind.
            pub const fn general(self) -> Option<Self> {
                match self { $(Self::$name => $general),+ }
            }

            /// The constant sentence for callers, within the characters of `error_description`
            /// (RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E).
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

kinds! {
    Refused, "refused", None, "The request was refused.";
    NotFound, "not_found", Some(Self::Refused), "There is no such endpoint.";
    MethodNotAllowed, "method_not_allowed", Some(Self::Refused), "The endpoint does not have this method.";
    InvalidRequest, "invalid_request", Some(Self::Refused), "The request is missing something, repeats something or is malformed.";
    MediaType, "media_type", Some(Self::InvalidRequest), "The Content-Type is missing or not supported.";
    EmptyBody, "empty_body", Some(Self::InvalidRequest), "The request has no body.";
    BodyTooLarge, "body_too_large", Some(Self::InvalidRequest), "The request is too large.";
    MalformedBody, "malformed_body", Some(Self::InvalidRequest), "The body does not decode.";
    DuplicateParameter, "duplicate_parameter", Some(Self::InvalidRequest), "A parameter was given twice.";
    MissingParameter, "missing_parameter", Some(Self::InvalidRequest), "A required parameter is missing or empty.";
    InvalidParameter, "invalid_parameter", Some(Self::InvalidRequest), "A parameter has a value that is not allowed.";
    SeveralAuthentications, "several_authentications", Some(Self::InvalidRequest), "The client authenticated in more than one way.";
    UnsupportedGrantType, "unsupported_grant_type", Some(Self::InvalidRequest), "The grant type is not supported.";
    InvalidScope, "invalid_scope", Some(Self::InvalidRequest), "The scope is malformed or more than the client may have.";
    InvalidTarget, "invalid_target", Some(Self::InvalidRequest), "The resource or audience is unknown or not allowed.";
    InvalidDpopProof, "invalid_dpop_proof", Some(Self::InvalidRequest), "The DPoP proof is missing, malformed or does not fit the request.";
    UseDpopNonce, "use_dpop_nonce", Some(Self::InvalidDpopProof), "The DPoP proof must have the nonce that comes with this answer.";
    InvalidClient, "invalid_client", Some(Self::Refused), "Client authentication failed.";
    MalformedAuthorization, "malformed_authorization", Some(Self::InvalidClient), "The Authorization header does not decode.";
    Forbidden, "forbidden", Some(Self::InvalidClient), "The client may not have a token.";
    ClientDisabled, "client_disabled", Some(Self::Forbidden), "The client is disabled.";
    SourceNotAllowed, "source_not_allowed", Some(Self::Forbidden), "The client may not call from this address.";
    RateLimited, "rate_limited", Some(Self::Refused), "Too many requests.";
    SlowDown, "slow_down", Some(Self::RateLimited), "Too many failed attempts.";
    ServerError, "server_error", None, "An unexpected error occurred.";
    Unavailable, "unavailable", Some(Self::ServerError), "The server cannot answer right now.";
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// A text that names no [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a kind of refusal")]
pub struct UnknownKind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reaches_a_root_and_names_are_unique() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            let mut at = *kind;
            let mut steps = 0;
            while let Some(general) = at.general() {
                at = general;
                steps += 1;
                assert!(steps < 8, "{} goes round in circles", kind.name());
            }
            assert!(matches!(at, Kind::Refused | Kind::ServerError));
            assert_eq!(kind.name().parse(), Ok(*kind));
            let later = Kind::ALL.iter().skip(index + 1);
            assert!(later.clone().all(|other| other.name() != kind.name()));
        }
    }

    #[test]
    fn texts_for_callers_stay_within_the_characters_of_error_description() {
        for kind in Kind::ALL {
            let allowed = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
            assert!(kind.message().bytes().all(allowed), "{}", kind.name());
        }
    }

    #[test]
    fn unknown_client_wrong_secret_and_locked_account_are_one_kind() {
        let alike = [
            Reason::SecretWrong,
            Reason::SecretExpired,
            Reason::SecretsNone,
            Reason::CertificateWrong,
            Reason::CertificateUnregistered,
            Reason::CertificateUntrusted,
            Reason::CertificateExpired,
            // Otherwise a guess at a locked account would still tell whether it was right.
            Reason::ClientLocked,
        ];
        for reason in alike {
            assert_eq!(reason.kind(), Reason::ClientUnknown.kind());
        }
    }
}
