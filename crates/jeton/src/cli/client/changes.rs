//! What `jeton client update` changes: what is not mentioned stays.

use clap::Args;
use ipnet::IpNet;
use jeton_engine::claims::CustomClaims;
use jeton_engine::manage::ClientChange;
use jeton_engine::name::{Audience, Subject};
use jeton_engine::request::AuthenticationMethod;
use jeton_engine::scope::Scope;
use jeton_engine::terms::Lifetime;

use super::proving::{Proving, Unproving};
use super::role;
use crate::cli::failure::Failure;
use crate::cli::moment;

/// Every flag of [`Changes`].
const FLAGS: [&str; 31] = [
    "name",
    "no_name",
    "subject",
    "no_subject",
    "scope",
    "audience",
    "no_audience",
    "lifetime",
    "no_lifetime",
    "authentication",
    "no_authentication",
    "jwks_file",
    "jwks_uri",
    "tls_subject_dn",
    "tls_san_dns",
    "tls_san_uri",
    "tls_san_ip",
    "tls_san_email",
    "federated",
    "federated_subject",
    "federated_claim",
    "sender_constrained",
    "no_jwks",
    "no_tls_name",
    "no_federated",
    "no_sender_constrained",
    "network",
    "no_network",
    "resource_server",
    "no_resource_server",
    "claims",
];

/// The changes; at least one.
#[derive(Args, Debug)]
#[group(required = true, multiple = true, args = FLAGS)]
pub(super) struct Changes {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Take its name away
    #[arg(long, conflicts_with = "name")]
    no_name: bool,
    /// What its tokens are about (`sub`)
    #[arg(long)]
    subject: Option<Subject>,
    /// Tokens are about its identifier again
    #[arg(long, conflicts_with = "subject")]
    no_subject: bool,
    /// The scope it may have; "" for none
    #[arg(long)]
    scope: Option<Scope>,
    /// Who its tokens may be for, instead of who they were for; may be given several times
    #[arg(long)]
    audience: Vec<Audience>,
    /// Tokens are for the realm's audience again
    #[arg(long, conflicts_with = "audience")]
    no_audience: bool,
    /// How long its tokens live (10m, 1h, never)
    #[arg(long, value_name = "DURATION", value_parser = moment::lifetime)]
    lifetime: Option<Lifetime>,
    /// Tokens live as the realm or the dialect says again
    #[arg(long, conflicts_with = "lifetime")]
    no_lifetime: bool,
    /// How it may authenticate, instead of how it might; may be given several times
    #[arg(long, value_name = "METHOD")]
    authentication: Vec<AuthenticationMethod>,
    /// Any way of presenting its secret again
    #[arg(long, conflicts_with = "authentication")]
    no_authentication: bool,
    #[command(flatten)]
    proving: Proving,
    #[command(flatten)]
    unproving: Unproving,
    /// A network it may call from, instead of those so far; may be given several times
    #[arg(long, value_name = "CIDR")]
    network: Vec<IpNet>,
    /// It may call from anywhere again
    #[arg(long, conflicts_with = "network")]
    no_network: bool,
    /// It serves resources: it may introspect every token of the realm
    #[arg(long)]
    resource_server: bool,
    /// It may introspect its own tokens alone again
    #[arg(long, conflicts_with = "resource_server")]
    no_resource_server: bool,
    /// Claims that it adds to its tokens, as a JSON object, instead of those so far; {} for none
    #[arg(long, value_name = "JSON")]
    claims: Option<CustomClaims>,
}

impl Changes {
    /// What is to be changed.
    pub(super) fn read(self) -> Result<ClientChange, Failure> {
        Ok(ClientChange {
            name: replaced(self.name, self.no_name),
            subject: replaced(self.subject, self.no_subject),
            scope: self.scope,
            audiences: list_replaced(self.audience, self.no_audience),
            lifetime: replaced(self.lifetime, self.no_lifetime),
            networks: list_replaced(self.network, self.no_network),
            authentication: list_replaced(self.authentication, self.no_authentication),
            role: (self.resource_server || self.no_resource_server)
                .then(|| role(self.resource_server)),
            claims: self.claims,
            proof: self.proving.change_with(&self.unproving)?,
        })
    }
}

/// `Some(Some(new))`, `Some(None)` where it is taken away, `None` where it stays.
fn replaced<T>(new: Option<T>, taken_away: bool) -> Option<Option<T>> {
    if taken_away { Some(None) } else { new.map(Some) }
}

fn list_replaced<T>(new: Vec<T>, taken_away: bool) -> Option<Vec<T>> {
    (taken_away || !new.is_empty()).then_some(new)
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn each_flag_alone_is_a_change() {
        let command = Changes::augment_args(Command::new("update"));
        let flags: Vec<_> = command.get_arguments().map(|flag| flag.get_id().as_str()).collect();
        assert_eq!(flags, FLAGS);
        let none = command.try_get_matches_from(["update"]);
        assert!(none.is_err_and(|error| error.to_string().contains("required")));
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let command = Changes::augment_args(Command::new("update"));
        let matches = command.try_get_matches_from(["update", "--no-name"]).unwrap();
        let change = Changes::from_arg_matches(&matches).unwrap().read().unwrap();
        assert_eq!((change.name, change.subject), (Some(None), None));
        assert!(change.audiences.is_none() && change.authentication.is_none());
        assert!(change.proof.keys.is_none() && change.proof.dpop.is_none());
    }
}
