//! A realm in which clients may register themselves, and what they send.

use jeton_engine::manage::NewRegistrationToken;
use jeton_engine::rate::Rates;
use jeton_engine::realm::Realm;
use jeton_engine::realm::registration::{Admission, Registering, Statements};
use jeton_engine::registration::{
    Managed, ManagementAct, ManagementRequest, Registered, RegistrationRequest,
};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::token::Answered;
use serde_json::{Map, Value, json};

use crate::stage::{Stage, realm, settings, terms};

pub(crate) const SOURCE: &str = "192.0.2.1";

pub(crate) fn rules() -> Registering {
    Registering {
        initial_access_token: Admission::Token,
        statements: Statements::Off,
        methods: AuthenticationMethod::ALL.to_vec(),
        clients_max: 100,
        source_limits: Rates::default(),
        realm_limits: Rates::default(),
    }
}

/// The realm, with scopes and these rules.
pub(crate) fn realm_with(rules: Registering) -> Realm {
    Realm { scopes: "read write admin".parse().unwrap(), registration: Some(rules), ..realm() }
}

pub(crate) async fn stage() -> Stage {
    Stage::with(settings(), realm_with(rules())).await
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

impl Stage {
    /// Makes an initial access token with so many uses and this scope.
    pub(crate) async fn initial(&self, uses: u32, scope: &str) -> String {
        let scope = scope.parse().unwrap();
        let new = NewRegistrationToken { scope, uses, expires_at: None };
        let (_, token) = self.manage().create_registration_token(&self.realm, new).await.unwrap();
        token.to_string()
    }

    /// Registers from an address.
    pub(crate) async fn register_from(
        &self,
        source: &str,
        token: Option<&str>,
        metadata: Value,
    ) -> Answered<Registered> {
        let source: std::net::IpAddr = source.parse().unwrap();
        let request = RegistrationRequest { token, metadata: Ok(object(metadata)) };
        self.engine.register(&self.state(), &terms(), source.into(), request).await
    }

    pub(crate) async fn register(&self, token: &str, metadata: Value) -> Answered<Registered> {
        self.register_from(SOURCE, Some(token), metadata).await
    }

    /// Registers a client and must be let.
    pub(crate) async fn registered(&self, metadata: Value) -> Registered {
        let token = self.initial(1, "").await;
        self.register(&token, metadata).await.outcome.unwrap()
    }

    pub(crate) async fn manage_own(
        &self,
        client_id: &str,
        token: Option<&str>,
        act: ManagementAct,
    ) -> Answered<Managed> {
        let source: std::net::IpAddr = SOURCE.parse().unwrap();
        let request = ManagementRequest { client_id, token, act };
        self.engine.manage_registration(&self.state(), &terms(), source.into(), request).await
    }

    /// Replaces all metadata of a client by these, to which its identifier is added.
    pub(crate) async fn replace(
        &self,
        registered: &Registered,
        metadata: Value,
    ) -> Answered<Managed> {
        let mut metadata = object(metadata);
        let id = registered.client.id.as_str();
        metadata.entry("client_id").or_insert(json!(id));
        let token = Some(registered.access_token.as_str());
        self.manage_own(id, token, ManagementAct::Replace(Ok(metadata))).await
    }

    /// Replaces and must be let.
    pub(crate) async fn replaced(&self, registered: &Registered, metadata: Value) -> Registered {
        match self.replace(registered, metadata).await.outcome.unwrap() {
            Managed::Is(registered) => *registered,
            Managed::Deleted => panic!("deleted"),
        }
    }
}

/// The member that a refusal is about.
pub(crate) fn member<T: std::fmt::Debug>(answered: &Answered<T>) -> String {
    match &answered.outcome {
        Err(jeton_engine::error::Error::Refusal(refusal)) => {
            refusal.parameter.as_deref().unwrap_or_default().to_owned()
        }
        other => panic!("no refusal: {other:?}"),
    }
}
