//! Puts the `oauth2` crate through the checks; jsonwebtoken verifies the tokens. One line a check, divided by tabs.

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous, decode, decode_header};
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AccessToken, AuthType, ClientId, ClientSecret, IntrospectionUrl, RequestTokenError, Scope,
    TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use reqwest::blocking::Client;
use serde::Deserialize;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
struct Facts {
    scope: String,
    audience: String,
    realms: Vec<Realm>,
}

#[derive(Deserialize)]
struct Realm {
    algorithm: Algorithm,
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: String,
    clients: HashMap<String, Credentials>,
}

#[derive(Deserialize)]
struct Credentials {
    id: String,
    secret: String,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Claims {
    client_id: String,
    sub: String,
    scope: String,
    iss: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<u32> {
    let facts: Facts = serde_json::from_slice(&std::fs::read(std::env::var("INTEROP_FACTS")?)?)?;
    // Redirects are not followed, as the crate's documentation asks for.
    let http = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
    let caller = Caller { facts: &facts, http };
    println!("version\t{}", version());
    let mut failures = 0;
    let mut check = |name: String, result: Result<()>| match result {
        Ok(()) => println!("ok\t{name}"),
        Err(error) => {
            failures += 1;
            println!("failed\t{name}\t{}", format!("{error:?}").replace(['\n', '\t'], " "));
        }
    };
    let first = facts.realms.first().ok_or("no realm")?;
    for (method, authentication) in
        [("basic", AuthType::BasicAuth), ("post", AuthType::RequestBody)]
    {
        for kind in ["plain", "hard", "umlaut", "colon"] {
            let token = caller.token(first, kind, authentication.clone());
            check(format!("{kind} {method}"), token.map(drop));
        }
        check(format!("wrong secret {method}"), caller.refused(first, authentication));
    }
    check("another token each time".to_owned(), caller.differ(first));
    check("introspected".to_owned(), caller.introspected(first));
    for (at, realm) in facts.realms.iter().enumerate() {
        let name = format!("{:?}", realm.algorithm);
        check(format!("verified\tjsonwebtoken\t{name}"), caller.verified(realm, realm));
        let other = facts.realms.get(at + 1).unwrap_or(first);
        let refused = match caller.verified(realm, other) {
            Ok(()) => Err("another realm's keys verified it".into()),
            Err(error) if error.to_string() == "no such key" => Ok(()),
            Err(error) => Err(error),
        };
        check(format!("jsonwebtoken refuses {name} of another realm"), refused);
    }
    Ok(failures)
}

/// The version of `oauth2` in the lock file that this was built from.
fn version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let package = lock.split("name = \"oauth2\"\nversion = \"").nth(1).unwrap_or("unknown\"");
    package.split('"').next().unwrap_or("unknown")
}

struct Caller<'a> {
    facts: &'a Facts,
    http: Client,
}

impl Caller<'_> {
    fn token(&self, realm: &Realm, kind: &str, authentication: AuthType) -> Result<String> {
        let credentials = realm.clients.get(kind).ok_or("no such client")?;
        let client =
            client(realm, &credentials.id, &credentials.secret)?.set_auth_type(authentication);
        let mut request = client.exchange_client_credentials();
        for scope in self.facts.scope.split(' ') {
            request = request.add_scope(Scope::new(scope.to_owned()));
        }
        let token = request.request(&self.http)?.access_token().secret().clone();
        let claims = dangerous::insecure_decode::<Claims>(&token)?.claims;
        let wanted = Claims {
            client_id: credentials.id.clone(),
            sub: credentials.id.clone(),
            scope: self.facts.scope.clone(),
            iss: realm.issuer.clone(),
        };
        if claims == wanted { Ok(token) } else { Err(format!("{claims:?}").into()) }
    }

    fn refused(&self, realm: &Realm, authentication: AuthType) -> Result<()> {
        let credentials = realm.clients.get("plain").ok_or("no such client")?;
        let client = client(realm, &credentials.id, "wrong")?.set_auth_type(authentication);
        match client.exchange_client_credentials().request(&self.http) {
            Err(RequestTokenError::ServerResponse(answer))
                if *answer.error() == BasicErrorResponseType::InvalidClient =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(_) => Err("a token came back".into()),
        }
    }

    fn differ(&self, realm: &Realm) -> Result<()> {
        let one = self.token(realm, "plain", AuthType::BasicAuth)?;
        let another = self.token(realm, "plain", AuthType::BasicAuth)?;
        if one == another { Err("the same token twice".into()) } else { Ok(()) }
    }

    /// No revocation: the crate refuses to send a token to be revoked over plain HTTP.
    fn introspected(&self, realm: &Realm) -> Result<()> {
        let token = self.token(realm, "hard", AuthType::BasicAuth)?;
        let cut = token.get(8..).ok_or("a short token")?;
        // Other clients' tokens are none of its business.
        for (kind, token, active) in
            [("hard", &*token, true), ("hard", cut, false), ("plain", &*token, false)]
        {
            let credentials = realm.clients.get(kind).ok_or("no such client")?;
            let endpoint = IntrospectionUrl::new(realm.introspection_endpoint.clone())?;
            let answer = client(realm, &credentials.id, &credentials.secret)?
                .set_introspection_url(endpoint)
                .introspect(&AccessToken::new(token.to_owned()))
                .request(&self.http)?;
            if answer.active() != active {
                return Err(format!("{kind} hears active: {}", answer.active()).into());
            }
        }
        Ok(())
    }

    fn verified(&self, realm: &Realm, keys_of: &Realm) -> Result<()> {
        let token = self.token(realm, "plain", AuthType::BasicAuth)?;
        let keys: JwkSet = self.http.get(&keys_of.jwks_uri).send()?.json()?;
        let header = decode_header(&token)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(format!("typ is {:?}", header.typ).into());
        }
        let key = keys.find(header.kid.as_deref().ok_or("no kid")?).ok_or("no such key")?;
        let mut validation = Validation::new(realm.algorithm);
        validation.set_audience(&[&self.facts.audience]);
        validation.set_issuer(&[&realm.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        decode::<Claims>(&token, &DecodingKey::from_jwk(key)?, &validation)?;
        Ok(())
    }
}

type Ready = BasicClient<
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointNotSet,
    oauth2::EndpointSet,
>;

fn client(realm: &Realm, id: &str, secret: &str) -> Result<Ready> {
    let endpoint = TokenUrl::new(realm.token_endpoint.clone())?;
    Ok(BasicClient::new(ClientId::new(id.to_owned()))
        .set_client_secret(ClientSecret::new(secret.to_owned()))
        .set_token_uri(endpoint))
}
