//! The store goes away and comes back: what goes on meanwhile, for how long, and what is refused.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jeton_engine::client::ClientStatus;
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::{Parts, Settings};
use jeton_engine::error::{Error, Fault, Reason};
use jeton_engine::jose::Algorithm;
use jeton_engine::key_source::NoKeySource;
use jeton_engine::reach::Issuing;
use jeton_engine::realm::Realm;
use jeton_engine::request::Caller;
use jeton_engine::scope::Scope;
use jeton_engine::terms::{Terms, TokenShape};
use jeton_engine::token::Answered;
use jeton_engine::verify::{Access, Requirement, Scheme};
use jeton_store::{Location, SqliteSettings, SqliteStore};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::asserting::{claims, stage_of};
use crate::registering::{SOURCE, realm_with, rules};
use crate::stage::{Ask, START, Stage, fault, id, main, realm, realm_of, reason, settings, terms};

const SECOND: Duration = Duration::from_millis(900);
const MOMENT: Duration = Duration::from_millis(1);

fn sealed() -> Realm {
    realm_of(TokenShape::Sealed)
}

/// That the caller heard of a fault which passes, and when to come again: no answer.
#[track_caller]
fn assert_away<T>(answered: &Answered<T>) {
    assert!(matches!(fault(answered), Fault::Unreachable(_)), "{}", fault(answered));
    let Err(error) = &answered.outcome else { unreachable!() };
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
}

async fn passes(stage: &Stage, token: &str) -> Result<(), Error> {
    let requirement = Requirement { scope: Scope::default(), audiences: Vec::new() };
    let access = Access { scheme: Scheme::Bearer, token: token.as_bytes(), requirement };
    let source: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    let caller = Caller::from(source);
    stage.engine.verify(&stage.state(), &terms(), caller, &access).await.map(drop)
}

#[tokio::test]
async fn nobody_says_of_a_token_whether_it_holds_once_memory_has_not_followed_for_a_second() {
    let stage = Stage::with(settings(), sealed()).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    stage.parts.clock.go_on(SECOND);
    assert!(stage.introspect(&ask, &token).await.outcome.unwrap().token.is_some());
    assert_eq!(passes(&stage, &token).await, Ok(()));

    stage.parts.clock.go_on(MOMENT);
    for token in [token.as_str(), "nonsense"] {
        assert_away(&stage.introspect(&ask, token).await);
        let no_answer = passes(&stage, token).await.unwrap_err();
        assert!(matches!(no_answer, Error::Fault(Fault::Unreachable(_))), "{no_answer}");
    }
    stage.follow().await;
    assert!(stage.introspect(&ask, &token).await.outcome.unwrap().token.is_some());
    assert_eq!(passes(&stage, &token).await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_set_is_no_reason_to_doubt() {
    let stage = Stage::with(settings(), sealed()).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    stage.pass_seconds(1800);
    assert_eq!(passes(&stage, &token).await, Ok(()));
    stage.parts.clock.set(Time::from_seconds(START));
    assert_eq!(passes(&stage, &token).await, Ok(()));
}

#[tokio::test]
async fn who_prefers_an_answer_that_may_be_wrong_is_given_it_for_so_long() {
    let check_grace = Duration::from_secs(60);
    let stage = Stage::with(Settings { check_grace, ..settings() }, sealed()).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    stage.parts.clock.go_on(SECOND + check_grace);
    assert!(stage.introspect(&ask, &token).await.outcome.unwrap().token.is_some());
    stage.parts.clock.go_on(MOMENT);
    assert_away(&stage.introspect(&ask, &token).await);
    assert!(passes(&stage, &token).await.is_err());
}

#[tokio::test]
async fn the_moment_of_the_answer_counts_and_not_that_of_the_question() {
    let stage = Stage::new().await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    for _ in 0..100 {
        let token = stage.token(&terms(), &ask).await;
        stage.follow().await;
        // A stored token that nobody has asked for is read from the store, which takes its time.
        let mut asking = pin!(stage.introspect(&ask, &token));
        let is_waiting = tokio::select! {
            biased;
            _ = &mut asking => false,
            () = std::future::ready(()) => true,
        };
        if is_waiting {
            stage.parts.clock.go_on(SECOND + MOMENT);
            assert_away(&asking.await);
            return;
        }
    }
    panic!("the store answered a hundred times before anybody could look");
}

#[tokio::test]
async fn tokens_that_need_no_row_are_issued_for_the_grace_and_then_no_more() {
    for (grace, shape) in [
        (Duration::from_secs(300), TokenShape::Sealed),
        (Duration::from_secs(300), TokenShape::rfc9068(Algorithm::EdDsa)),
        (Duration::ZERO, TokenShape::Sealed),
    ] {
        let stage = Stage::with(Settings { grace, ..settings() }, realm_of(shape)).await;
        let all = [Arc::new(terms())];
        stage.engine.ensure_keys(&stage.state(), &all).await.unwrap();
        let secret = stage.orders().await;
        let ask = Ask::new("orders", &secret);
        stage.parts.clock.go_on(SECOND + grace);
        stage.issued(&terms(), &ask).await;
        stage.parts.clock.go_on(MOMENT);
        assert_away(&stage.ask(&terms(), &ask).await);
        stage.follow().await;
        stage.issued(&terms(), &ask).await;
    }
}

#[tokio::test]
async fn who_was_asleep_looks_at_the_store_before_it_issues_on() {
    let stage = Stage::with(settings(), sealed()).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let (realm, orders) = (main(), id("orders"));
    stage.manage().set_status(&realm, &orders, ClientStatus::Disabled).await.unwrap();
    stage.parts.clock.go_on(SECOND + MOMENT);
    let terms = terms();
    // Asked first: it waits for the look that comes after it.
    let (answered, ()) = tokio::join!(biased; stage.ask(&terms, &ask), stage.follow());
    assert_eq!(reason(&answered), Reason::ClientDisabled);
}

#[tokio::test]
async fn what_must_be_kept_is_refused_at_once_and_never_acknowledged() {
    let stage = Stage::with(settings(), realm_with(rules())).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let token = stage.token(&terms(), &ask).await;
    stage.parts.clock.go_on(SECOND + MOMENT);
    assert_away(&stage.ask(&terms(), &ask).await);
    assert_away(&stage.revoke(&ask, &token).await);
    // RFC 7009 would have it acknowledged, but perhaps it is a token that was not heard of yet.
    assert_away(&stage.revoke(&ask, "nonsense").await);
    assert_away(&stage.register_from(SOURCE, None, json!({})).await);

    stage.follow().await;
    assert!(stage.holds(&token).await, "nothing was done");
    stage.revoke(&ask, &token).await.outcome.unwrap();
    assert!(!stage.holds(&token).await);
}

#[tokio::test]
async fn an_assertion_that_cannot_be_spent_gives_no_token_and_is_not_used_up() {
    let (stage, signer) = stage_of(Algorithm::EdDsa, sealed()).await;
    let assertion = signer.sign(&claims());
    stage.parts.clock.go_on(SECOND + MOMENT);
    assert_away(&stage.present(&assertion).await);
    stage.follow().await;
    stage.accepted(&assertion).await;
}

/// A store in a file whose writes others can hold up, and what holds them up.
struct Held {
    _folder: TempDir,
    other: Connection,
}

impl Held {
    async fn begin(realm: Realm) -> (Stage, Self) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.db");
        let patience = Duration::from_millis(20);
        let settings_of_store = SqliteSettings { patience, ..SqliteSettings::default() };
        let store = SqliteStore::open(&Location::File(path.clone()), settings_of_store).unwrap();
        let parts = Parts {
            store,
            clock: Clock::fixed(Time::from_seconds(START)),
            random: Random::seeded(1),
            master_key: "ab".repeat(32).parse().unwrap(),
            key_source: Arc::new(NoKeySource),
            settings: settings(),
        };
        let other = Connection::open(path).unwrap();
        (Stage::on(parts, realm).await, Self { _folder: folder, other })
    }

    fn hold(&self) {
        self.other.execute_batch("BEGIN IMMEDIATE").unwrap();
    }

    fn let_go(&self) {
        self.other.execute_batch("COMMIT").unwrap();
    }
}

/// Does the same until it is true.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_only_reads_refuses_what_must_be_kept_and_everything_else_goes_on() {
    let (stage, held) = Held::begin(realm()).await;
    let secret = stage.orders().await;
    let ask = Ask::new("orders", &secret);
    let kept = stage.token(&terms(), &ask).await;
    assert!(stage.holds(&kept).await);
    assert_eq!(stage.engine.ready().await, Ok(()));
    let (stop, stopped) = oneshot::channel::<()>();
    let upkeep = tokio::spawn(Arc::clone(&stage.engine).upkeep(async {
        let _ = stopped.await;
    }));

    held.hold();
    let refused = stage.ask(&terms(), &ask).await;
    assert_away(&refused);
    assert_away(&stage.ask(&terms(), &ask).await);
    let absence = stage.engine.ready().await.unwrap_err();
    assert_eq!((absence.since, absence.issuing), (Time::from_seconds(START), Issuing::GoesOn));
    let sealed = Terms { token: Some(TokenShape::Sealed), ..terms() };
    stage.issued(&sealed, &ask).await;
    assert!(stage.introspect(&ask, &kept).await.outcome.unwrap().token.is_some());

    held.let_go();
    // Nobody but the one who probes finds out.
    until(async || stage.engine.ready().await.is_ok()).await;
    stage.issued(&terms(), &ask).await;
    // What could not be written down then was written down later.
    until(async || stage.store().event(refused.reference).await.unwrap().is_some()).await;
    drop(stop);
    upkeep.await.unwrap();
}

#[tokio::test]
async fn readiness_says_since_when_and_until_when() {
    let stage = Stage::with(settings(), sealed()).await;
    assert_eq!(stage.engine.ready().await, Ok(()));
    stage.parts.clock.go_on(SECOND + MOMENT);
    let absence = stage.engine.ready().await.unwrap_err();
    assert_eq!(absence.since, Time::from_seconds(START));
    let end = Time::from_seconds(START).plus(SECOND + Duration::from_secs(300));
    assert_eq!(absence.issuing, Issuing::Until(end));
    stage.parts.clock.go_on(Duration::from_secs(300));
    assert_eq!(stage.engine.ready().await.unwrap_err().issuing, Issuing::Ended);
    stage.follow().await;
    assert_eq!(stage.engine.ready().await, Ok(()));
}

#[tokio::test]
async fn a_client_that_is_not_known_is_refused_as_ever_while_the_store_is_away() {
    let stage = Stage::with(settings(), sealed()).await;
    stage.parts.clock.go_on(SECOND + MOMENT);
    let refused = stage.refused(&terms(), &Ask::new("nobody", "nothing")).await;
    assert_eq!(refused, Reason::ClientUnknown);
}
