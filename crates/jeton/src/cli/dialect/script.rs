//! What a dialect's folder says of its exchanges and of who plays in them.

use jeton_dialect::exchange::{self, Cast, CastState, Exchange};
use jeton_dialect::{Folder, Origin, Problems};

/// A dialect's exchanges and the clients and keys they are played with.
pub(in crate::cli) struct Script {
    /// The clients and keys.
    pub(in crate::cli) cast: Cast,
    /// The exchanges by name, in the order of their names.
    pub(in crate::cli) exchanges: Vec<(String, Exchange)>,
}

impl Script {
    /// Reads everything; tells every problem.
    pub(in crate::cli) fn read(folder: &Folder) -> Result<Self, Problems> {
        let directory = match &folder.origin {
            Origin::Builtin => format!("dialects/{}/exchanges", folder.dialect.name()),
            Origin::Folder(path) => format!("{path}/exchanges"),
        };
        let mut problems = Problems::default();
        let mut cast = Cast::default();
        if let Some(text) = &folder.cast {
            match Cast::parse(&format!("{directory}/cast.toml"), text) {
                Ok(parsed) => cast = parsed,
                Err(found) => problems.extend(found),
            }
        }
        let mut exchanges = Vec::new();
        for (name, text) in &folder.exchanges {
            match exchange::parse(&format!("{directory}/{name}"), text) {
                Ok(parsed) => {
                    let name = name.strip_suffix(".http").unwrap_or(name);
                    exchanges.push((name.to_owned(), parsed));
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() { Ok(Self { cast, exchanges }) } else { Err(problems) }
    }

    /// The identifier and the secret of the first client that has one and may have tokens.
    pub(in crate::cli) fn principal(&self) -> Option<(&str, &str)> {
        let mut enabled =
            self.cast.clients.iter().filter(|client| client.state == CastState::Enabled);
        enabled.find_map(|client| Some((client.id.as_str(), client.secret.as_ref()?.reveal())))
    }

    /// The exchange that shows best how a token is asked for: the one with the shortest name that
    /// begins with `accepted`, or else the first that is answered with a token.
    pub(in crate::cli) fn first_token(&self) -> Option<&Exchange> {
        let plain = self.exchanges.iter().filter(|(_, exchange)| {
            exchange.breaks.is_none()
                && !exchange.expires
                && exchange.times == 1
                && exchange.source.is_loopback()
        });
        let named = plain.clone().filter(|(name, _)| name.starts_with("accepted"));
        let plainest = named.min_by_key(|(name, _)| name.len());
        let mut others = plain.filter(|(_, exchange)| issues(exchange));
        plainest.or_else(|| others.next()).map(|(_, exchange)| exchange)
    }
}

/// Whether it is answered with a token, as far as can be told from outside: some dialects answer
/// errors with 200, too.
fn issues(exchange: &Exchange) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(&exchange.response.body).ok();
    let names_no_error =
        parsed.is_some_and(|body| body.as_object().is_some_and(|body| !body.contains_key("error")));
    (200..300).contains(&exchange.response.status) && names_no_error
}
