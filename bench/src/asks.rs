//! The requests of a row: what a client of jeton would send, with assertions and proofs of its own.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jeton_engine::clock::Clock;
use jeton_jose::{Algorithm, SigningKey, base64url};
use serde_json::{Value, json};

use crate::kit::{FEW, Kit, RESOURCE_SERVER, client_id, secret};
use crate::requests::{Make, Requests, request};
use crate::rows::{Ask, Row, Set, Tokens};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const JSON: &str = "Content-Type: application/json";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Writes the requests of one row.
pub(crate) struct Asker<'a> {
    pub(crate) kit: &'a Kit,
    pub(crate) row: &'a Row,
}

impl Asker<'_> {
    /// The row's requests. `tokens` are what it asks about, where it does.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub(crate) fn requests(&self, tokens: Vec<String>) -> anyhow::Result<Requests> {
        let clients = match self.row.set {
            Set::Generated if self.row.realm == "growth" => self.kit.clients,
            _ => FEW,
        };
        let again = |write: &dyn Fn(usize) -> Vec<u8>| {
            Requests::again((0..clients).map(write).collect(), self.row.choice)
        };
        Ok(match self.row.ask {
            Ask::Json => again(&|number| self.json(number)),
            Ask::Form => again(&|number| self.form(number)),
            Ask::Basic => again(&|number| self.basic(number, &[])),
            Ask::Certificate => again(&|number| {
                self.post(&[], &format!("{}&client_id={}", self.grant(), self.id(number)))
            }),
            Ask::SecretJwt => Requests::once(self.secret_jwt()?),
            Ask::PrivateKeyJwt => Requests::once(self.private_key_jwt()),
            Ask::Federated => Requests::once(self.federated()),
            Ask::Dpop => Requests::once(self.dpop()?),
            Ask::Get => Requests::again(vec![self.get(&[])], self.row.choice),
            Ask::Introspect | Ask::Verify | Ask::Revoke => self.about(tokens),
        })
    }

    /// Requests for the tokens that this row asks about.
    pub(crate) fn for_tokens(&self) -> Requests {
        let row = Row { path: "/oauth2/token".to_owned(), ..self.row.clone() };
        let asker = Asker { kit: self.kit, row: &row };
        // Only who was given a token may revoke it, and an answer does not say who that was.
        let clients = if row.ask == Ask::Revoke { 1 } else { FEW };
        Requests::again((0..clients).map(|number| asker.form(number)).collect(), row.choice)
    }

    fn id(&self, number: usize) -> String {
        client_id(self.row.set, number)
    }

    fn path(&self) -> String {
        format!("/{}{}", self.row.realm, self.row.path)
    }

    fn grant(&self) -> String {
        format!("grant_type={}", self.row.grant_type)
    }

    fn post(&self, fields: &[&str], body: &str) -> Vec<u8> {
        let fields = [&[FORM], fields].concat();
        request("POST", &self.path(), &self.kit.address.to_string(), &fields, body)
    }

    fn get(&self, fields: &[&str]) -> Vec<u8> {
        request("GET", &self.path(), &self.kit.address.to_string(), fields, "")
    }

    fn json(&self, number: usize) -> Vec<u8> {
        let body = json!({
            "grant_type": self.row.grant_type,
            "client_id": self.id(number),
            "client_secret": secret(self.row.set, number),
        });
        let host = self.kit.address.to_string();
        request("POST", &self.path(), &host, &[JSON], &body.to_string())
    }

    fn form(&self, number: usize) -> Vec<u8> {
        let (id, secret) = (self.id(number), secret(self.row.set, number));
        self.post(&[], &format!("{}&client_id={id}&client_secret={secret}", self.grant()))
    }

    fn basic(&self, number: usize, fields: &[&str]) -> Vec<u8> {
        let basic = basic(&self.id(number), &secret(self.row.set, number));
        self.post(&[&[basic.as_str()], fields].concat(), &self.grant())
    }

    fn secret_jwt(&self) -> anyhow::Result<Make> {
        let keys =
            (0..FEW).map(|number| SigningKey::from_secret(secret(self.row.set, number).as_bytes()));
        Ok(self.assertions(keys.collect::<Result<_, _>>()?, None))
    }

    fn private_key_jwt(&self) -> Make {
        self.assertions(vec![self.kit.client_key.clone(); FEW], None)
    }

    fn federated(&self) -> Make {
        let keys = vec![self.kit.platform_key.clone(); FEW];
        self.assertions(keys, Some("https://platform.example"))
    }

    /// Assertions by these keys, a client's each; `issuer` is the client itself when absent.
    fn assertions(&self, keys: Vec<SigningKey>, issuer: Option<&'static str>) -> Make {
        let audience = self.kit.issuer(&self.row.realm, self.row.tls);
        let signers: Vec<(String, SigningKey, String)> = keys
            .into_iter()
            .enumerate()
            .map(|(number, key)| {
                let kind = json!({ "alg": key.algorithm().name(), "typ": "JWT" });
                (self.id(number), key, base64url::encode(kind.to_string()))
            })
            .collect();
        let (path, host, grant) = (self.path(), self.kit.address.to_string(), self.grant());
        let run = run();
        let mut count = 0_u64;
        Box::new(move || {
            count += 1;
            let index = count as usize % signers.len().max(1);
            let Some((id, key, header)) = signers.get(index) else { return Vec::new() };
            let now = now();
            let claims = json!({
                "iss": issuer.unwrap_or(id), "sub": id, "aud": audience,
                "iat": now, "exp": now + 300, "jti": format!("{run}-{count}"),
            });
            let assertion = signed(key, header, &claims);
            let body = format!(
                "{grant}&client_id={id}&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}"
            );
            request("POST", &path, &host, &[FORM], &body)
        })
    }

    fn dpop(&self) -> anyhow::Result<Make> {
        let key = SigningKey::generate(Algorithm::Es256)?;
        let jwk = key.verifying_key().to_jwk().unwrap_or_default();
        let jwk: Value = serde_json::from_str(&jwk)?;
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let header = base64url::encode(header.to_string());
        let url = self.kit.issuer(&self.row.realm, self.row.tls) + &self.row.path;
        let (path, host, grant) = (self.path(), self.kit.address.to_string(), self.grant());
        let known: Vec<String> =
            (0..FEW).map(|number| basic(&self.id(number), &secret(self.row.set, number))).collect();
        let run = run();
        let mut count = 0_u64;
        Ok(Box::new(move || {
            count += 1;
            let claims = json!({
                "jti": format!("{run}-{count}"), "htm": "POST", "htu": url, "iat": now(),
            });
            let proof = format!("DPoP: {}", signed(&key, &header, &claims));
            let basic = known.get(count as usize % known.len().max(1));
            let basic = basic.map(String::as_str).unwrap_or_default();
            request("POST", &path, &host, &[FORM, basic, &proof], &grant)
        }))
    }

    /// Requests about tokens.
    fn about(&self, tokens: Vec<String>) -> Requests {
        let (realm, host) = (&self.row.realm, self.kit.address.to_string());
        let server = basic(RESOURCE_SERVER, &secret(Set::Generated, 0));
        let write = |token: String| match self.row.ask {
            Ask::Verify => {
                let token = format!("Authorization: Bearer {token}");
                request("GET", &format!("/{realm}/oauth2/verify"), &host, &[&token], "")
            }
            Ask::Revoke => {
                let path = format!("/{realm}/oauth2/revoke");
                let owner = basic(&client_id(Set::Generated, 0), &secret(Set::Generated, 0));
                request("POST", &path, &host, &[FORM, &owner], &format!("token={token}"))
            }
            _ => {
                let path = format!("/{realm}/oauth2/introspect");
                request("POST", &path, &host, &[FORM, &server], &format!("token={token}"))
            }
        };
        let written: Vec<Vec<u8>> = tokens.into_iter().map(write).collect();
        match self.row.tokens {
            Tokens::Again => Requests::again(written, self.row.choice),
            Tokens::First => {
                let spare = Cell::new(0);
                let again = written.clone();
                let mut requests = Requests::once(Box::new(move || {
                    spare.set(spare.get() + 1);
                    again.get(spare.get() % again.len().max(1)).cloned().unwrap_or_default()
                }));
                requests.put(written);
                requests
            }
        }
    }
}

/// Tells the assertions of one run from those of another, which the same server may have seen.
fn run() -> i64 {
    Clock::System.now().milliseconds()
}

fn now() -> i64 {
    Clock::System.now().seconds()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn signed(key: &SigningKey, header: &str, claims: &Value) -> String {
    key.sign_compact(header, claims.to_string().as_bytes()).unwrap_or_default()
}

/// The token in a token response of any built-in dialect.
pub(crate) fn token(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let names = ["\"access_token\":", "\"accessToken\":"];
    let at = names.iter().find_map(|name| text.find(name).map(|at| at + name.len()))?;
    let rest = text.get(at..)?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(token, _)| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_every_shape() {
        assert_eq!(token(br#"{"access_token":"a.b","x":1}"#).as_deref(), Some("a.b"));
        assert_eq!(token(br#"{"data":{"access_token":"c"}}"#).as_deref(), Some("c"));
        assert_eq!(token(br#"{"accessToken":"d"}"#).as_deref(), Some("d"));
        assert_eq!(token(br#"{"access_token": "e"}"#).as_deref(), Some("e"));
        assert_eq!(token(br#"{"error":"no"}"#), None);
    }
}
