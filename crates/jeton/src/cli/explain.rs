//! `jeton explain`: why one request was refused, or what a message id means and what to do about it.

use jeton_engine::clock::Time;
use jeton_engine::error::{Kind, Reason};
use jeton_engine::event::{Event, EventKind, Reference};
use serde_json::{Value, json};

use super::failure::Failure;
use super::moment;
use super::open::Opened;
use super::output::{Cell, Form, Output};

mod remedy;

use remedy::remedy;

/// What somebody may ask about.
pub(super) enum Question {
    /// One decision.
    Event(Reference),
    /// A reason of the log.
    Reason(Reason),
    /// A kind of refusal of the dialect files.
    Kind(Kind),
    /// Everything there is.
    All,
}

impl Question {
    /// Understands what was typed: a message id first, because no reference has an underscore.
    pub(super) fn read(text: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::All) };
        if let Some(reason) = Reason::ALL.iter().find(|reason| reason.code() == text) {
            return Ok(Self::Reason(*reason));
        }
        if let Ok(kind) = text.parse() {
            return Ok(Self::Kind(kind));
        }
        text.parse().map(Self::Event).map_err(|_| {
            Failure::usage(format!(
                "\"{}\" is neither a reference nor a message id",
                text.escape_debug()
            ))
            .next("a reference has ten letters and digits; `jeton explain` lists all message ids")
        })
    }
}

/// Answers what needs no store.
pub(super) fn answer(question: &Question, output: Output) -> Result<(), Failure> {
    match question {
        Question::Reason(reason) => print_reason(*reason, output),
        Question::Kind(kind) => print_kind(*kind, output),
        Question::All | Question::Event(_) => print_all(output),
    }
}

/// Tells of one decision.
pub(super) async fn event(
    reference: Reference,
    opened: &Opened,
    output: Output,
) -> Result<(), Failure> {
    let found = opened.manage().event(reference).await?.ok_or_else(|| {
        Failure::failed(format!("nothing is known under the reference {reference}"))
            .next("look for a typing error; events are kept for a while only (storage.events_kept_for)")
            .next("--config, if another server answered the request")
    })?;
    let reason = reason_of(&found);
    if output.form() == Form::Json {
        return output.json(&event_json(&found, reason));
    }
    let now = opened.now();
    output.facts(&event_facts(&found, reason, now))
}

fn reason_of(event: &Event) -> Option<Reason> {
    // The reason stands before what it is about: `parameter_missing: client_id`.
    let detail = event.detail.as_deref()?.split(':').next()?;
    let told_by_reason = matches!(
        event.kind,
        EventKind::TokenRefused
            | EventKind::IntrospectionRefused
            | EventKind::RevocationRefused
            | EventKind::RegistrationRefused
    );
    Reason::ALL.iter().copied().find(|reason| told_by_reason && reason.code() == detail)
}

fn event_json(event: &Event, reason: Option<Reason>) -> Value {
    json!({
        "reference": event.reference,
        "at": moment::rfc3339(event.at),
        "realm": event.realm,
        "event": event.kind.name(),
        "client_id": event.client_id,
        "source": event.source,
        "detail": event.detail,
        "meaning": reason.map(|reason| reason.to_string()),
        "remedy": reason.map(remedy),
    })
}

fn event_facts(event: &Event, reason: Option<Reason>, now: Time) -> Vec<(&'static str, Cell)> {
    let at = format!("{} ({})", moment::rfc3339(event.at), moment::distance(event.at, now));
    let mut facts = vec![
        ("reference", Cell::new(event.reference.as_str())),
        ("at", Cell::new(at)),
        ("realm", Cell::new(event.realm.as_str())),
        ("event", Cell::new(format!("{}: {}", event.kind.name(), told(event.kind)))),
        ("client_id", Cell::maybe(event.client_id.as_ref().map(ToString::to_string))),
        ("source", Cell::maybe(event.source.map(|source| source.to_string()))),
        ("detail", Cell::maybe(event.detail.as_deref())),
    ];
    if let Some(reason) = reason {
        facts.push(("meaning", Cell::new(reason.to_string())));
        facts.push(("remedy", Cell::new(remedy(reason))));
    }
    facts
}

fn print_reason(reason: Reason, output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output.json(&reason_json(reason));
    }
    output.facts(&[
        ("id", Cell::new(reason.code())),
        ("meaning", Cell::new(reason.to_string())),
        ("remedy", Cell::new(remedy(reason))),
        (
            "callers see",
            Cell::new(format!("{}: {}", reason.kind().name(), reason.kind().message())),
        ),
    ])
}

fn reason_json(reason: Reason) -> Value {
    json!({
        "id": reason.code(),
        "meaning": reason.to_string(),
        "remedy": remedy(reason),
        "kind": reason.kind().name(),
    })
}

fn print_kind(kind: Kind, output: Output) -> Result<(), Failure> {
    let reasons: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| reason.kind() == kind)
        .map(|reason| reason.code())
        .collect();
    let general = kind.general().map(Kind::name);
    if output.form() == Form::Json {
        return output.json(&json!({
            "id": kind.name(), "meaning": kind.message(), "reasons": reasons, "general": general
        }));
    }
    output.facts(&[
        ("id", Cell::new(kind.name())),
        ("meaning", Cell::new(kind.message())),
        ("reasons", Cell::maybe(Some(reasons.join(", ")).filter(|text| !text.is_empty()))),
        ("without a row", Cell::maybe(general.map(|name| format!("the row of {name} answers")))),
    ])
}

fn print_all(output: Output) -> Result<(), Failure> {
    if output.form() == Form::Json {
        return output
            .json(&Reason::ALL.iter().map(|reason| reason_json(*reason)).collect::<Vec<_>>());
    }
    let rows: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| vec![Cell::new(reason.code()), Cell::new(reason.to_string())])
        .collect();
    output.table(&["ID", "MEANING"], &rows)
}

/// What an event tells of, in words.
fn told(kind: EventKind) -> &'static str {
    match kind {
        EventKind::TokenIssued => "a token was issued",
        EventKind::TokenRefused => "no token was issued; the caller can mend it",
        EventKind::RequestFailed => "nothing was done; something broke here",
        EventKind::IntrospectionRefused => "a question about a token was refused",
        EventKind::RevocationRefused => "a token was not revoked; the caller can mend it",
        EventKind::AccessRefused => "a gateway was told not to let a request pass",
        EventKind::RegistrationRefused => {
            "a client was not registered, or could not manage its registration"
        }
        EventKind::RegistrationTokenMade => "an initial access token was made",
        EventKind::RegistrationTokenRevoked => "an initial access token was revoked",
        EventKind::ClientRegistered => "a client registered itself",
        EventKind::TokenMade => "a token was made by hand",
        EventKind::TokenRevoked => "a token was revoked",
        EventKind::ClientCreated => "a client was made",
        EventKind::ClientChanged => "a client was changed",
        EventKind::ClientEnabled => "a client was enabled",
        EventKind::ClientDisabled => "a client was disabled",
        EventKind::ClientLocked => "a client was locked after wrong guesses",
        EventKind::ClientUnlocked => "a client was unlocked",
        EventKind::ClientDeleted => "a client was deleted",
        EventKind::SecretAdded => "a client got a further secret",
        EventKind::SecretsRevoked => "secrets of a client were revoked",
        EventKind::KeyCreated => "a signing key was made",
        EventKind::KeyImported => "a signing key was imported",
        EventKind::KeyExported => "a private signing key was exported",
        EventKind::KeyActivated => "a signing key began to sign",
        EventKind::KeyRetired => "a signing key stopped signing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_remedy_that_is_a_sentence() {
        for reason in Reason::ALL {
            let text = remedy(*reason);
            assert!(text.ends_with('.') && text.len() > 30, "{}", reason.code());
        }
    }

    #[test]
    fn every_message_id_is_understood_and_nothing_else() {
        for reason in Reason::ALL {
            assert!(
                matches!(Question::read(Some(reason.code())), Ok(Question::Reason(found)) if found == *reason)
            );
        }
        assert!(matches!(
            Question::read(Some("invalid_client")),
            Ok(Question::Kind(Kind::InvalidClient))
        ));
        assert!(matches!(Question::read(Some("0123456789")), Ok(Question::Event(_))));
        assert!(matches!(Question::read(Some("oil3456789")), Ok(Question::Event(_))));
        assert!(matches!(Question::read(Some("secret_expire")), Err(Failure::Usage(_))));
        assert!(matches!(Question::read(Some("")), Err(Failure::Usage(_))));
    }
}
