//! What `jeton dev` says when it is ready: for people a curl line a dialect, for programs one line of JSON.

use std::net::SocketAddr;
use std::path::Path;

use jeton_dialect::exchange::CastSecret;
use jeton_engine::client::Client;
use serde_json::{Value, json};

use super::tls::{CLIENT_NAME, TlsFiles};
use super::{Home, Stage, curl};
use crate::cli::client::ShownClient;
use crate::cli::failure::Failure;
use crate::cli::output::{Form, Output};
use crate::cli::shell_word;
use jeton_engine::clock::Clock;

/// Where everything is.
pub(super) struct Place<'a> {
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) home: &'a Home,
    /// The files, when https is spoken.
    pub(super) tls: Option<&'a TlsFiles>,
}

impl Place<'_> {
    /// The beginning of every public URL.
    pub(super) fn base(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.public)
    }

    /// Whom curl has to trust.
    fn ca(&self) -> Option<&Path> {
        self.tls.map(|files| files.ca.as_path())
    }
}

/// Says it.
pub(super) fn say(
    stages: &[Stage<'_>],
    realms: &[Vec<Client>],
    place: &Place<'_>,
    output: Output,
) -> Result<(), Failure> {
    if output.form() == Form::Json {
        let realms: Vec<_> = stages
            .iter()
            .zip(realms)
            .map(|(stage, clients)| realm(stage, clients, place))
            .collect();
        let mut document = json!({
            "listeners": {
                "public": place.base(),
                "admin": format!("http://{}", place.admin),
            },
            "config": place.home.config_file(),
            "realms": realms,
        });
        if let (Some(files), Some(members)) = (place.tls, document.as_object_mut()) {
            members.insert("tls".to_owned(), tls(files));
        }
        return output.line(&document.to_string());
    }
    output.line(&heading(place))?;
    if let Some(files) = place.tls {
        output.line(&trust(files))?;
    }
    stages.iter().try_for_each(|stage| output.line(&stanza(stage, place)))?;
    output.line("Ready. Ctrl-C ends it.")
}

fn heading(place: &Place<'_>) -> String {
    let config = place.home.config_file();
    let fate = if place.home.is_kept() { "kept" } else { "removed at the end" };
    format!(
        "jeton dev: {} on this machine only; health: http://{}\n\
         Demo clients with secrets that everybody knows: never for production.\n\
         Folder: {} ({fate}). To manage it: jeton client list --realm rfc6749 --config {}\n",
        place.base(),
        place.admin,
        place.home.path.display(),
        shell_word(&config.display().to_string()),
    )
}

/// Where the certificates are.
fn trust(files: &TlsFiles) -> String {
    let word = |path: &Path| shell_word(&path.display().to_string());
    format!(
        "Trust: --cacert {}. To show a client certificate (DNS name {CLIENT_NAME}): --cert {} --key {}\n",
        word(&files.ca),
        word(&files.client_certificate),
        word(&files.client_key),
    )
}

fn tls(files: &TlsFiles) -> Value {
    json!({
        "ca": files.ca,
        "client_ca": files.client_ca,
        "client_certificate": files.client_certificate,
        "client_key": files.client_key,
        "client_name": CLIENT_NAME,
    })
}

/// A dialect's title, a line to try and the answer to expect.
fn stanza(stage: &Stage<'_>, place: &Place<'_>) -> String {
    let dialect = &stage.folder.dialect;
    let title = format!("{} ({})", dialect.title(), dialect.name());
    let Some(exchange) = stage.script.first_token() else {
        let endpoint = format!("{}{}", issuer(stage, place), dialect.path());
        return format!("{title}\n  {} {endpoint}\n", dialect.method());
    };
    let line = curl::line(&issuer(stage, place), place.ca(), &exchange.request);
    let body = String::from_utf8_lossy(&exchange.response.body);
    format!("{title}\n{line}\n  answers like {} {body}\n", exchange.response.status)
}

fn issuer(stage: &Stage<'_>, place: &Place<'_>) -> String {
    format!("{}/{}", place.base(), stage.name())
}

fn realm(stage: &Stage<'_>, clients: &[Client], place: &Place<'_>) -> Value {
    let dialect = &stage.folder.dialect;
    let issuer = issuer(stage, place);
    let exchange = stage.script.first_token();
    let members = stage.script.cast.clients.iter().zip(clients);
    let clients: Vec<_> =
        members.map(|(wanted, client)| member(client, wanted.secret.as_ref())).collect();
    json!({
        "realm": stage.name(),
        "issuer": issuer,
        "dialect": dialect.name(),
        "title": dialect.title(),
        "token_endpoint": format!("{issuer}{}", dialect.path()),
        "method": dialect.method().as_str(),
        "curl": exchange.map(|exchange| curl::line(&issuer, place.ca(), &exchange.request)),
        "clients": clients,
    })
}

fn member(client: &Client, secret: Option<&CastSecret>) -> Value {
    let shown = ShownClient::new(client, Clock::System.now());
    json!({
        "client_id": client.id,
        "client_secret": secret.map(CastSecret::reveal),
        // Without the secret that it is to have it is as good as gone, whatever else it may be.
        "status": match secret {
            Some(_) if client.secrets.is_empty() => "revoked",
            _ => shown.status(),
        },
        "name": client.name,
        "subject": client.subject(),
        "scope": client.scope,
        "audience": client.audiences,
    })
}
