//! A look at a PostgreSQL database, in one transaction that cannot write.

use std::fmt;
use std::sync::Arc;

use jeton_engine::client::Client;
use jeton_engine::clock::{Random, Time};
use jeton_engine::key::KeyRecord;
use jeton_engine::name::{ClientId, RealmName};
use jeton_engine::store::StoreError;

use super::connect::{Dialer, Link};
use super::trouble::{Trouble, explain};
use super::{PostgresAddress, clients, keys, schema};
use crate::error::OpenError;
use crate::look::Schema;

/// A PostgreSQL database that is only looked at.
pub struct PostgresLook {
    link: Link,
    schema: Schema,
    facts: PostgresFacts,
}

/// What a PostgreSQL server is and does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresFacts {
    /// Its version, as it says it.
    pub version: String,
    /// Whether jeton was never tried with anything as old.
    pub is_too_old: bool,
    /// Whether its texts are UTF-8.
    pub is_utf8: bool,
    /// `fsync`: whether commits reach the disk.
    pub syncs: bool,
    /// `full_page_writes`: whether a page that was half written can be mended.
    pub writes_full_pages: bool,
    /// `synchronous_commit`, as sessions begin with it.
    pub synchronous_commit: String,
    /// Whether it follows another server, and cannot be written.
    pub is_standby: bool,
    /// `default_transaction_read_only`: whether it refuses to write until told otherwise.
    pub is_read_only: bool,
    /// What time it is there.
    pub now: Time,
    /// Connections that it allows.
    pub connections_max: i32,
}

impl fmt::Debug for PostgresLook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresLook").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl PostgresLook {
    pub(crate) async fn open(address: &PostgresAddress) -> Result<Self, OpenError> {
        let place = address.to_string();
        let unusable = |reason: String| OpenError::Unusable { place: place.clone(), reason };
        let dialer = Dialer::new(address.clone(), Random::System).map_err(unusable)?;
        let dialer = Arc::new(dialer);
        let link = dialer.dial(|| {}).await.map_err(|error| unusable(error.to_string()))?;
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
            SET LOCAL statement_timeout = '30s'";
        link.batch_execute(begin).await.map_err(|error| unusable(explain(&error)))?;
        let facts = facts(&link).await.map_err(|error| unusable(explain(&error)))?;
        let missing = schema::missing(&place, &link, schema::MIGRATIONS).await?;
        let known = schema::newest();
        let missing = u32::try_from(missing.len()).unwrap_or(u32::MAX);
        let schema = Schema { found: known.saturating_sub(missing), known };
        Ok(Self { link, schema, facts })
    }

    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }

    /// What the server is and does.
    pub fn facts(&self) -> &PostgresFacts {
        &self.facts
    }

    pub(crate) async fn keys(&self, realm: &RealmName) -> Result<Vec<KeyRecord>, StoreError> {
        keys::all(&self.link, realm).await.map_err(StoreError::from)
    }

    pub(crate) async fn clients(
        &self,
        realm: &RealmName,
        after: Option<&ClientId>,
        count: u32,
    ) -> Result<Vec<Client>, StoreError> {
        clients::page(&self.link, realm, after, count).await.map_err(StoreError::from)
    }

    /// What time it is there, asked anew.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn now(&self) -> Result<Time, StoreError> {
        let row = self.link.query_typed_one(NOW, &[]).await.map_err(Trouble::from)?;
        let milliseconds = row.try_get(0).map_err(Trouble::from)?;
        Ok(Time::from_milliseconds(milliseconds))
    }
}

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

async fn facts(link: &Link) -> Result<PostgresFacts, tokio_postgres::Error> {
    let sql = "SELECT current_setting('server_version'), \
        current_setting('server_version_num')::integer, current_setting('server_encoding'), \
        current_setting('fsync'), current_setting('full_page_writes'), \
        (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'), \
        pg_is_in_recovery(), current_setting('default_transaction_read_only'), \
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
        current_setting('max_connections')::integer";
    let row = link.query_typed_one(sql, &[]).await?;
    let is = |index, word: &str| row.try_get::<usize, String>(index).map(|text| text == word);
    let version: i32 = row.try_get(1)?;
    Ok(PostgresFacts {
        version: row.try_get(0)?,
        is_too_old: version < schema::OLDEST,
        is_utf8: is(2, "UTF8")?,
        syncs: is(3, "on")?,
        writes_full_pages: is(4, "on")?,
        synchronous_commit: row.try_get(5)?,
        is_standby: row.try_get(6)?,
        is_read_only: is(7, "on")?,
        now: Time::from_milliseconds(row.try_get(8)?),
        connections_max: row.try_get(9)?,
    })
}
