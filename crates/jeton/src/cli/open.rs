//! Opens what commands work on: the configuration, the store, the master key.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use jeton_engine::clock::{Clock, Random, Time};
use jeton_engine::engine::Parts;
use jeton_engine::key_source::NoKeySource;
use jeton_engine::manage::Manage;
use jeton_engine::name::{DialectName, RealmName};
use jeton_engine::realm::Realm;
use jeton_engine::terms::Terms;

use super::failure::Failure;
use crate::config::{self, Config, Problems, RealmConfig};
use crate::storage;

/// Which realm a command is about.
#[derive(Args, Clone, Debug)]
pub(super) struct RealmChoice {
    /// The realm; may be left out when the configuration has only one
    #[arg(long, value_name = "R")]
    realm: Option<RealmName>,
}

/// The configuration and the store, ready for management.
pub(super) struct Opened {
    config: Config,
    store: storage::Opened,
    manage: Manage,
    clock: Clock,
}

/// Finds and reads the configuration; tells every problem.
pub(super) fn load_config(explicit: Option<&Path>) -> Result<Config, Failure> {
    let path = config::find(explicit)
        .map_err(|missing| Failure::usage(missing.to_string()).next("jeton init"))?;
    config::load(&path).map_err(|problems| refused(&problems, &path))
}

/// Tells what is wrong with the configuration in this file.
pub(super) fn refused(problems: &Problems, path: &Path) -> Failure {
    super::print_problems(problems);
    let count = problems.len();
    let plural = if count == 1 { "" } else { "s" };
    Failure::usage(format!("the configuration has {count} problem{plural}"))
        .at(path.display())
        .next("mend what is named above; `jeton config check` checks again")
}

impl Opened {
    /// Opens what a configuration names.
    pub(super) async fn new(config: Config) -> Result<Self, Failure> {
        let (clock, random) = (Clock::System, Random::System);
        let master_key = config::master_key::read(&config.storage.master_key, &random)
            .map_err(|error| Failure::usage(error.to_string()).at("[storage] master_key"))?;
        let store = storage::open(&config.storage, &random)
            .await
            .map_err(|error| Failure::failed(format!("the database cannot be used: {error}")))?;
        let parts = Parts {
            store: store.store(),
            clock: clock.clone(),
            random,
            master_key,
            key_source: Arc::new(NoKeySource),
            settings: config.settings,
        };
        Ok(Self { config, store, manage: Manage::new(parts), clock })
    }

    /// The room behind the door.
    pub(super) fn manage(&self) -> &Manage {
        &self.manage
    }

    /// The time of day.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The realm that was named, or the only one.
    pub(super) fn realm(&self, choice: &RealmChoice) -> Result<&Realm, Failure> {
        realm(&self.config, choice).map(|found| &found.realm)
    }

    /// The realm of this name.
    pub(super) fn realm_named(&self, name: &str) -> Result<&Realm, Failure> {
        let realm = self.config.realm(name).map(|found| &found.realm);
        realm.ok_or_else(|| Failure::usage(format!("realm {name} does not exist")))
    }

    /// The terms of a realm's mount: of the dialect that was named, or of the first.
    pub(super) fn terms(
        &self,
        choice: &RealmChoice,
        dialect: Option<&DialectName>,
    ) -> Result<Arc<Terms>, Failure> {
        let realm = realm(&self.config, choice)?;
        let wanted = |terms: &&Arc<Terms>| dialect.is_none_or(|name| terms.dialect == *name);
        let terms = realm.terms();
        terms.iter().find(wanted).map(Arc::clone).ok_or_else(|| {
            let names: Vec<_> = terms.iter().map(|terms| terms.dialect.to_string()).collect();
            let what = format!(
                "realm {} does not speak {}",
                realm.realm.name,
                dialect.map_or("any dialect", DialectName::as_str)
            );
            Failure::usage(what).next(format!("one of its dialects: {}", names.join(", ")))
        })
    }

    /// Lets go of the store, everything written.
    pub(super) async fn close(self) {
        self.store.close().await;
    }
}

fn realm<'a>(config: &'a Config, choice: &RealmChoice) -> Result<&'a RealmConfig, Failure> {
    let names: Vec<_> = config.realms.iter().map(|realm| realm.realm.name.as_str()).collect();
    let place = config.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    if names.is_empty() {
        return Err(Failure::usage("the configuration has no realm")
            .at(place)
            .next("add one: [realm.main] with an issuer and dialects"));
    }
    let known = format!("one of the realms: {}", names.join(", "));
    match (&choice.realm, config.realms.as_slice()) {
        (Some(name), _) => config.realm(name.as_str()).ok_or_else(|| {
            Failure::usage(format!("realm {name} does not exist")).at(place).next(known)
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::usage("--realm is missing").next(known)),
    }
}
