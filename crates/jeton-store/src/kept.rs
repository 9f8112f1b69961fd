//! How values are written at rest, in whichever database: the names of closed sets, and lists.

use jeton_engine::client::{ClientRole, ClientStatus};
use jeton_engine::key::KeyStatus;
use jeton_engine::store::StoreError;
use jeton_engine::token::TokenFormat;
use serde::Serialize;

pub(crate) const CLIENT_STATUSES: &[(&str, ClientStatus)] =
    &[("enabled", ClientStatus::Enabled), ("disabled", ClientStatus::Disabled)];

pub(crate) const ROLES: &[(&str, ClientRole)] =
    &[("client", ClientRole::Client), ("resource_server", ClientRole::ResourceServer)];

pub(crate) const KEY_STATUSES: &[(&str, KeyStatus)] = &[
    (KeyStatus::Upcoming.name(), KeyStatus::Upcoming),
    (KeyStatus::Active.name(), KeyStatus::Active),
    (KeyStatus::Retired.name(), KeyStatus::Retired),
];

pub(crate) const FORMATS: &[(&str, TokenFormat)] = &[
    (TokenFormat::Jwt.name(), TokenFormat::Jwt),
    (TokenFormat::Stored.name(), TokenFormat::Stored),
    (TokenFormat::Sealed.name(), TokenFormat::Sealed),
];

/// A list as it is kept: a JSON array, absent when empty.
pub(crate) fn list_text<T: Serialize>(list: &[T]) -> Result<Option<String>, StoreError> {
    if list.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(list)
        .map(Some)
        .map_err(|error| StoreError::Failed(format!("a list cannot be written: {error}")))
}
