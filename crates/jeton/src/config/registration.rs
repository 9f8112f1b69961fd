//! What is meant by the section `[realm.NAME.registration]`: whether and how clients register themselves.

use jeton_engine::name::RealmName;
use jeton_engine::realm::proving::Proving;
use jeton_engine::realm::registration::{Admission, Registering, Statements};
use jeton_engine::request::AuthenticationMethod;

use super::Mount;
use super::check::Reader;
use super::parse;
use super::problem::Problem;
use super::proving::one_of;

/// Reads the section. The ways to authenticate are not known yet: see [`of`].
pub(super) fn registration(reader: &mut Reader, realm: &RealmName) -> Option<Option<Registering>> {
    let key = |rest: &str| format!("realm.{realm}.registration.{rest}");
    let enabled = reader.read(&key("enabled"), parse::boolean);
    let initial_access_token = reader.read(&key("initial_access_token"), |said| {
        one_of(said, &[("required", Admission::Token), ("danger-open", Admission::DangerAnybody)])
    });
    let statements = reader.read(&key("software_statements"), |said| {
        let choices = [
            ("off", Statements::Off),
            ("accepted", Statements::Accepted),
            ("required", Statements::Required),
        ];
        one_of(said, &choices)
    });
    let clients_max = reader.read(&key("clients_max"), parse::number::<1, 1_000_000>);
    let source_limits = reader.read_list(&key("limits.source"), parse::limits);
    let realm_limits = reader.read_list(&key("limits.realm"), parse::limits);
    let registering = Registering {
        initial_access_token: initial_access_token?,
        statements: statements?,
        methods: Vec::new(),
        clients_max: clients_max?,
        source_limits: source_limits?,
        realm_limits: realm_limits?,
    };
    Some(enabled?.then_some(registering))
}

/// What is meant, in a realm that is otherwise like this.
pub(super) fn of(
    reader: &mut Reader,
    said: Registering,
    realm: &RealmName,
    (mounts, proving): (&[Mount], &Proving),
) -> Registering {
    let place =
        |reader: &Reader, rest: &str| reader.place(&format!("realm.{realm}.registration.{rest}"));
    if said.initial_access_token == Admission::DangerAnybody {
        let message = format!("anybody who reaches the realm `{realm}` can make clients in it");
        let problem = Problem::new(place(reader, "initial_access_token"), message);
        let remedy = "write \"required\", and hand out tokens: `jeton client registration-token`";
        reader.warnings.push(problem.remedy(remedy));
    }
    if said.statements != Statements::Off && proving.trusted_issuers.is_empty() {
        let message = "software statements are of no use: the realm trusts no issuer of any";
        let problem = Problem::new(place(reader, "software_statements"), message);
        reader.problem(problem.remedy(format!("name one: [realm.{realm}.trusted_issuers.NAME]")));
    }
    let spoken = |method: &AuthenticationMethod| {
        mounts.iter().any(|mount| mount.terms.authentication.contains(method))
    };
    let methods = AuthenticationMethod::ALL.iter().copied();
    let methods =
        methods.filter(|method| spoken(method) && proving.profile.allows_method(*method)).collect();
    Registering { methods, ..said }
}
