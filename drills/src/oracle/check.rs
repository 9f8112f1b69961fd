//! After the fault: asks everything, on every server, and says what is not as it was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use super::{Asked, Expected, Oracle, Spent};
use crate::assertion::Claims;
use crate::cast::{Cast, Proof, Realm};
use crate::chance::Chance;
use crate::http::{Connection, Outcome, Request};
use crate::node::Node;
use crate::place::issuer;
use crate::report::Report;
use crate::requests;

/// A server that is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// Its number, if it is known who answers.
    pub(crate) number: Option<usize>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl From<&Node> for Server {
    fn from(node: &Node) -> Self {
        Self { number: Some(node.number), address: node.public }
    }
}

const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a question is put again while a server cannot answer it.
const ATTEMPTS: usize = 50;
/// The most assertions that are tried again on each server.
const ASSERTIONS_MAX: usize = 1000;

/// Asks about everything and adds what it finds to the report.
///
/// # Errors
/// When a server does not answer at all.
pub(crate) async fn check(
    oracle: &Arc<Oracle>,
    cast: &Arc<Cast>,
    servers: &[Server],
    report: &mut Report,
) -> Result<()> {
    // What was acknowledged in the last moment is due on all of them from now on.
    tokio::time::sleep(super::OBEYED_WITHIN).await;
    for server in servers {
        ask_about_tokens(oracle, cast, *server).await?;
        try_assertions_again(oracle, *server).await?;
        try_fresh_assertions(oracle, cast, *server).await?;
        ask_for_tokens(oracle, cast, *server).await?;
    }
    let found = oracle.found();
    report.figure("tokens acknowledged", oracle.tokens());
    report.figure("revocations acknowledged", oracle.revocations());
    report.figure("assertions spent", oracle.assertions().len());
    report.must_be_zero("acknowledged and lost", found.lost.len(), &found.lost);
    report.must_be_zero("wrongly active", found.wrongly_active.len(), &found.wrongly_active);
    report.must_be_zero("wrongly refused", found.wrongly_refused.len(), &found.wrongly_refused);
    report.must_be_zero("accepted twice", found.accepted_twice.len(), &found.accepted_twice);
    Ok(())
}

/// Every token is what it has to be, on this server.
///
/// # Errors
/// When the server does not answer at all.
pub(crate) async fn ask_about_tokens(
    oracle: &Arc<Oracle>,
    cast: &Arc<Cast>,
    server: Server,
) -> Result<()> {
    let tokens: Arc<[Asked]> = oracle.all().into();
    let mut askers = JoinSet::new();
    for first in 0..CONNECTIONS {
        let (oracle, cast, tokens) = (Arc::clone(oracle), Arc::clone(cast), Arc::clone(&tokens));
        askers.spawn(async move {
            let mut connection = Connection::to(server.address, PATIENCE);
            for asked in tokens.iter().skip(first).step_by(CONNECTIONS) {
                let asker = cast.resource_server(asked.realm)?;
                let request = requests::introspect(asker, &asked.value);
                let sent = Instant::now();
                let active = insist(&mut connection, &request, requests::active).await?;
                oracle.judge(asked, server.number, sent, active);
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = askers.join_next().await {
        done??;
    }
    Ok(())
}

/// Asks until there is an answer of the kind that is wanted.
async fn insist<T>(
    connection: &mut Connection,
    request: &Request,
    read: impl Fn(&crate::http::Answer) -> Option<T>,
) -> Result<T> {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match connection.ask(request).await {
            Outcome::Answered(answer) => match read(&answer) {
                Some(said) => return Ok(said),
                None => last = format!("{} {}", answer.status, answer.body),
            },
            Outcome::NotSent(why) | Outcome::Unanswered(why) => last = why,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("a server does not answer when everything is well again: {last}")
}

/// No assertion that got a token gets another.
///
/// # Errors
/// When the server does not answer at all.
pub(crate) async fn try_assertions_again(oracle: &Oracle, server: Server) -> Result<()> {
    let status = |answer: &crate::http::Answer| (answer.status < 500).then_some(answer.status);
    let mut connection = Connection::to(server.address, PATIENCE);
    let spent = oracle.assertions();
    let step = spent.len().div_ceil(ASSERTIONS_MAX).max(1);
    for Spent { text, client } in spent.iter().step_by(step) {
        if insist(&mut connection, &requests::token_by(text), status).await? == 200 {
            oracle.accepted_twice(format!("an assertion of client {client} on {server:?}"));
        }
    }
    Ok(())
}

/// Whoever has a key gets a token by it.
async fn try_fresh_assertions(oracle: &Oracle, cast: &Cast, server: Server) -> Result<()> {
    let status = |answer: &crate::http::Answer| (answer.status < 500).then_some(answer.status);
    let mut connection = Connection::to(server.address, PATIENCE);
    // Fresh whenever it is asked, so not by the seed.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut chance = Chance::new(u64::from(now.subsec_nanos()) ^ now.as_secs());
    for client in cast.with_key().into_iter().filter(|client| oracle.is_well(*client)) {
        let (id, lifetime) = (chance.number(), Duration::from_secs(60));
        let assertion = sign(cast, client, id, lifetime)?;
        let status = insist(&mut connection, &requests::token_by(&assertion), status).await?;
        if status != 200 {
            oracle.refused(client, || format!("a fresh assertion: {status} on {server:?}"));
        }
    }
    Ok(())
}

/// An assertion of a client that has a key.
pub(crate) fn sign(cast: &Cast, client: usize, id: u64, lifetime: Duration) -> Result<String> {
    let client = cast.client(client)?;
    let Proof::Key(signer) = &client.proof else { bail!("{} has no key", client.id) };
    let audience = issuer(Realm::Jwt);
    Ok(signer.assertion(Claims { client: &client.id, audience: &audience, id, lifetime }))
}

/// Who is well gets a token.
async fn ask_for_tokens(oracle: &Oracle, cast: &Cast, server: Server) -> Result<()> {
    let status = |answer: &crate::http::Answer| (answer.status < 500).then_some(answer.status);
    let mut connection = Connection::to(server.address, PATIENCE);
    for realm in Realm::ALL {
        for client in cast.with_secret(realm).into_iter().filter(|client| oracle.is_well(*client)) {
            let request = requests::token(cast.client(client)?);
            let status = insist(&mut connection, &request, status).await?;
            if status != 200 {
                oracle.refused(client, || format!("{}: {status} on {server:?}", realm.name()));
            }
        }
    }
    Ok(())
}

/// Whether a server says what it has to of a token, right now.
pub(crate) async fn says(
    connection: &mut Connection,
    cast: &Cast,
    realm: Realm,
    token: &str,
) -> Result<Option<Expected>> {
    let request = requests::introspect(cast.resource_server(realm)?, token);
    let active = connection.ask(&request).await.answer().as_ref().and_then(requests::active);
    Ok(active.map(|active| if active { Expected::Active } else { Expected::Inactive }))
}
