//! Removes what nobody needs any more, a few rows a step. What somebody else holds is left for the
//! next step, so that no step waits for anybody, however many servers take one at a time.

use jeton_engine::store::Horizon;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::trouble::{Trouble, integer};

const TOKENS: &str = "WITH gone AS MATERIALIZED (SELECT seq FROM token WHERE expires_at < $1 \
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
    DELETE FROM token USING gone WHERE token.seq = gone.seq";

const SPENT: &str = "WITH gone AS MATERIALIZED (SELECT realm, id FROM spent WHERE until < $1 \
    ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED) \
    DELETE FROM spent USING gone WHERE spent.realm = gone.realm AND spent.id = gone.id";

const INITIAL_ACCESS_TOKENS: &str = "WITH gone AS MATERIALIZED (SELECT seq FROM \
    initial_access_token WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED) \
    DELETE FROM initial_access_token USING gone WHERE initial_access_token.seq = gone.seq";

const EVENTS: &str = "WITH gone AS MATERIALIZED (SELECT ctid FROM event WHERE at < $1 \
    ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) \
    DELETE FROM event USING gone WHERE event.ctid = gone.ctid";

const CHANGES: &str = "WITH gone AS MATERIALIZED (SELECT seq FROM change WHERE at < $1 \
    ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED) \
    DELETE FROM change USING gone WHERE change.seq = gone.seq";

/// Removes at most `count` rows. Each kind in a transaction of its own.
pub(super) async fn remove(client: &Client, before: &Horizon, count: u32) -> Result<u64, Trouble> {
    let mut removed = 0;
    for (sql, before) in [
        (TOKENS, before.tokens),
        (SPENT, before.spent),
        (INITIAL_ACCESS_TOKENS, before.events),
        (EVENTS, before.events),
        (CHANGES, before.events),
    ] {
        let left = integer(u64::from(count).saturating_sub(removed))?;
        if left > 0 {
            let before = before.milliseconds();
            let values = [(&before as _, Type::INT8), (&left as _, Type::INT8)];
            removed += client.execute_typed(sql, &values).await?;
        }
    }
    Ok(removed)
}
