//! What to do about each refusal: one sentence, or a few, for every reason there is.

use jeton_engine::error::Reason;

macro_rules! remedies {
    ($($name:ident, $text:literal;)+) => {
        /// What to do about a refusal. A reason without a row here does not compile.
        pub(super) const fn remedy(reason: Reason) -> &'static str {
            match reason { $(Reason::$name => $text),+ }
        }
    };
}

remedies! {
    PathUnknown, "Compare the URL with the realm's token endpoints: `jeton dialect list` shows each dialect's path, `jeton config show` the realms.";
    MethodNotAllowed, "Send the method that the Allow header of the answer names; for a token that is POST.";
    MediaTypeMissing, "Send exactly one Content-Type header that fits the body.";
    MediaTypeUnsupported, "Send the Content-Type that the dialect reads; `jeton dialect show NAME` names it.";
    BodyEmpty, "Send the parameters in the body. Redirects and some proxies drop bodies: look there first.";
    BodyTooLarge, "Send a smaller body. A token request is never this large; if yours must be, raise server.body_bytes_max.";
    BodyIncomplete, "Look for a Content-Length that is larger than the body, a connection that drops, or a very slow sender.";
    BodyMalformed, "Make the body what Content-Type says: one JSON object in UTF-8, or an encoded form. Quotes lost in a shell are the usual cause.";
    AuthorizationMalformed, "Send `Authorization: Basic` and the base64 of `client_id:client_secret`, both form-encoded first.";
    ParameterTwice, "Send each parameter once, and not both in the header and in the body.";
    ParameterMissing, "Send every parameter that the dialect requires, as a non-empty string; `jeton dialect show NAME` lists them.";
    ParameterInvalid, "Send one of the values that the dialect allows; `jeton dialect show NAME` lists them.";
    ParameterTooLong, "Send a shorter value; a whole file pasted into a secret is the usual cause.";
    ParameterInQuery, "Move the parameter from the URL into the body: URLs end up in logs. If a secret was in it, rotate that secret now.";
    GrantTypeUnsupported, "Ask with the grant type of client credentials, spelled as the dialect spells it.";
    AuthenticationMissing, "Send the client's identifier and secret in a way that the dialect reads.";
    AuthenticationTwice, "Send the secret in the Authorization header or in the body, never in both.";
    AuthenticationMethod, "Authenticate in a way that is registered for the client, or register this one: `jeton client update ID --authentication METHOD`.";
    CertificateWrong, "Show the client's own certificate, or register what this one says: `jeton client update ID --tls-subject-dn DN`, or its key. `jeton client show ID` tells what is expected.";
    CertificateUnregistered, "Register one name of the client's certificate (`jeton client update ID --tls-subject-dn DN`, `--tls-san-dns N` and so on) or, for self_signed_tls_client_auth, its key (`--jwks-file F`).";
    CertificateUntrusted, "Name the authority that issued the certificate in server.tls.client_ca, and let the client send its intermediate certificates along.";
    CertificateExpired, "Give the client a new certificate, and compare the clocks.";
    KeysUnavailable, "The log says what went wrong where the keys are. Private addresses are only reached when [fetch] allow names them.";
    BindingMissing, "Send a DPoP proof with the request, or show a certificate in TLS: this realm's profile knows no bearer tokens.";
    AuthenticationProfile, "Authenticate with private_key_jwt or a certificate: a realm of profile fapi2 takes neither secrets nor tokens of other issuers.";
    AssertionType, "Send client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer beside client_assertion.";
    AssertionMalformed, "Send one JWT of three parts, each base64url without padding, with at most 16 KiB and no header parameter that changes its meaning (crit, zip, b64).";
    AssertionTyped, "Make a JWT for this purpose alone: leave typ away, or set it to client-authentication+jwt or JWT. An access token is no assertion.";
    AssertionAlgorithm, "Sign with EdDSA, ES256, ES384, PS256 or RS256 (profile fapi2: EdDSA, ES256 or PS256), or with HS256 and the secret for client_secret_jwt. A client that registered itself with one algorithm uses no other.";
    AssertionKeyUnknown, "Compare kid and alg of the assertion with the client's JWK set: `jeton client show ID`. A key is used with one algorithm only; an RSA key that names none is for RS256.";
    AssertionKeysNone, "Give the client what its method needs: `jeton client update ID --jwks-file F` or `--jwks-uri U`; for client_secret_jwt a secret, `jeton client rotate-secret ID`.";
    AssertionSignature, "Sign with the private half of a key in the client's JWK set, the form of RFC 7518 (r and s side by side for ES256, not DER). If the key was replaced, `jeton client update ID --jwks-file F`.";
    AssertionIssuer, "Set iss and sub to the client's identifier (RFC 7523 section 3).";
    AssertionSubject, "Set sub to the client's identifier; of a token of a trusted issuer, it must be the subject that the client was registered with.";
    AssertionOfAnother, "Leave client_id away, or make it the identifier that the assertion names.";
    AssertionAudience, "Set aud to the realm's issuer URL, as one string. While old clients move, the realm can accept its token endpoint URLs too.";
    AssertionExpiryMissing, "Set exp to a moment soon after now, in seconds since 1970, as a number.";
    AssertionExpired, "Make a new assertion for each request, and compare the clocks: `timedatectl` on both machines.";
    AssertionLongLived, "Set exp to a minute or so after now.";
    AssertionTimeMalformed, "Write nbf and iat as numbers: seconds, not milliseconds, since 1970. Both may be left away.";
    AssertionEarly, "Compare the clocks: `timedatectl` on both machines. A few seconds ahead are accepted.";
    AssertionOld, "Make a new assertion for each request; iat is when it was made.";
    AssertionIdentifier, "Give each assertion a jti of its own: a random text of 1 to 256 bytes.";
    AssertionReplayed, "Make a new assertion, with a jti of its own, for each request, repeated ones too. If the client did not send it twice, somebody else has seen it.";
    FederatedNobody, "Register the client for this issuer and sub: `jeton client update ID --federated ISSUER --federated-subject SUB`. `jeton token inspect` tells what the token says.";
    FederatedSeveral, "Send client_id beside the token, or let the clients demand claims that tell them apart.";
    FederatedClaims, "Compare the token's claims (`jeton token inspect`) with what the client demands (`jeton client show ID`): they must be equal, arrays and objects as a whole.";
    CertificateMalformed, "Compare server.client_certificate_header with what the proxy sends, and let the proxy overwrite what callers send under that name.";
    CertificateMissing, "Show the client's certificate in TLS. Behind a proxy that ends TLS, let it pass the certificate on and name it in server.trusted_proxies.";
    ProofMissing, "Send a DPoP proof with the request, or unbind the client's tokens: `jeton client update ID`.";
    ProofTwice, "Send one DPoP header with one proof. A proxy that adds a header of its own beside the client's is a usual cause.";
    ProofMalformed, "Send a compact JWT with the claims jti (1 to 256 bytes), htm, htu and iat (RFC 9449 section 4.2), made anew for each request.";
    ProofType, "Set `typ` in the header of the proof to dpop+jwt.";
    ProofAlgorithm, "Sign proofs with one of dpop_signing_alg_values_supported in the realm's metadata.";
    ProofKey, "Put the public key into the header of the proof as `jwk`, without private members; RSA keys have 2048 to 4096 bits. If the private key was sent, throw it away.";
    ProofSignature, "Sign the proof with the private key of the `jwk` in its header. Signing with one key while showing another is the usual cause.";
    ProofMethod, "Set `htm` to the method of the request, in capitals.";
    ProofTarget, "Set `htu` to the URL that the client calls: at the token endpoint as it stands in the metadata, at a gateway as it is outside; there, tell jeton the origin with `origin=` (docs/operate/gateways).";
    ProofTime, "Make a new proof for each request and set the clocks right (NTP); a client whose clock cannot be trusted is helped by nonces.";
    ProofToken, "Set `ath` to the base64url-encoded SHA-256 digest of the access token that is sent with the proof.";
    ProofReplayed, "Make a new proof, with a new jti, for each request and each attempt. If the client does so, somebody has sent a copy, or two gateways asked about one request.";
    NonceMissing, "Repeat the request with a new proof that has the value of the DPoP-Nonce header as `nonce`; clients do so by themselves.";
    NonceStale, "Repeat the request with a new proof that has the newest DPoP-Nonce; a nonce holds for at least a minute. Servers of one realm must share the master key.";
    ClientUnknown, "Look for a typing error or another realm's identifier: `jeton client list --realm R` shows those of this realm.";
    SecretWrong, "Look for a lost character or a newline at the end of the secret. If it is lost, make another: `jeton client rotate-secret ID`.";
    SecretExpired, "Give the client a new secret: `jeton client rotate-secret ID`. `jeton client show ID` tells when each one expires.";
    SecretsNone, "Give the client a secret: `jeton client rotate-secret ID`.";
    ClientLocked, "Find out who is guessing, then `jeton client unlock ID`; `jeton client show ID` tells whether the lock ends by itself.";
    ClientDisabled, "An operator disabled the client. If it may have tokens again: `jeton client enable ID`.";
    SourceNotAllowed, "Call from one of the client's networks, or allow another: `jeton client update ID --network CIDR`. Behind a proxy, name it in server.trusted_proxies.";
    ScopeMalformed, "Send scope tokens of printable ASCII, exactly one space apart.";
    ScopeNotGranted, "Ask for less, or allow more: `jeton client update ID --scope \"…\"`; `jeton client show ID` tells what it may have.";
    TargetNotAllowed, "Ask for an audience that the client may have, or allow another: `jeton client update ID --audience A`.";
    TokenNotTheirs, "Let the client revoke it that the token was issued to, or revoke it by its identifier: `jeton token revoke TOKEN_ID`.";
    RegistrationTokenMissing, "Send `Authorization: Bearer` and the token: to register, one that `jeton client registration-token` made; to manage a registration, the registration_access_token that came with it.";
    InitialTokenWrong, "Make another token: `jeton client registration-token --realm R`; with `--list` it shows the uses and the time that each has left.";
    RegistrationTokenWrong, "Send the registration_access_token that came with this very registration. Where it is lost, delete the client and register it anew: `jeton client delete ID`.";
    MetadataInvalid, "Correct the member that the answer names, as RFC 7591 section 2 and this realm want it; docs/operate/registration.md lists them all.";
    RedirectUriInvalid, "Leave redirect_uris out: no grant here redirects.";
    StatementInvalid, "Get a fresh software statement from its issuer. It must name a software_id, be signed with a key that the issuer publishes, and be for this realm when it has an audience.";
    StatementUnapproved, "Let the client bring a statement of a trusted issuer, or trust this one: [realm.R.trusted_issuers.NAME].";
    RegistrationsFull, "Delete clients that nobody uses any more (`jeton client delete ID`), or allow more: clients_max in [realm.R.registration].";
    RegistrationLimited, "Register a client once and keep what it is told, instead of registering at every start. The limits can be changed: limits in [realm.R.registration].";
    SourceLimited, "Find the programs at this address that ask too often. If they are many callers behind one address, raise `source` in [realm.R.limits]; if that address is a proxy's, name it in server.trusted_proxies.";
    RealmLimited, "Find the clients that ask most with `jeton audit list`, and give each its own limit: `client` in [realm.R.limits]. `realm` there is what all of them share.";
    RateLimited, "Keep a token until it expires instead of fetching one a call. The realm's limits can be changed: [realm.R.limits].";
    TokenInvalid, "Let the client get a new token for this gateway's audience; `jeton token inspect` tells what the old one says.";
    TokenCertificateMissing, "Let the client show its certificate to the gateway, and the gateway pass it on: name the header in server.client_certificate_header and the gateway in server.trusted_proxies.";
    TokenCertificateOther, "Use the token with the certificate that it was asked for with. If the certificate was renewed, get a new token; if not, find out how somebody else came by it.";
    TokenBound, "Send the token as `Authorization: DPoP`, with a proof by its key in the DPoP header. If the client does so, look for a gateway that rewrites the header.";
    TokenUnbound, "Send the token as `Authorization: Bearer`, or get a bound one by sending a DPoP proof to the token endpoint: `jeton client show ID` tells whether proofs bind.";
    TokenKeyOther, "Sign proofs with the key that the token was asked for with. If the client did, its token has been used by somebody else: revoke it.";
    RequestUnknown, "Let the gateway send X-Forwarded-Method and X-Forwarded-Uri, and name it in server.trusted_proxies; docs/operate/gateways has a configuration for each.";
    ScopeInsufficient, "Let the client ask for the scope that the gateway demands, and give it that scope with `jeton client update`.";
    TokenTwice, "Send the token once, in the Authorization header; tokens in URLs end up in logs (RFC 9700 section 4.3.2).";
    SourceSlowed, "Find the program at this address that guesses or has an old secret, and stop it; the address is free again soon after.";
}
