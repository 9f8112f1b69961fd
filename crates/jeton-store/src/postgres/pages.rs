//! Examines pages and indexes with PostgreSQL's own extension `amcheck`, where it is installed and we
//! may use it; one thing at a time, without keeping anybody from writing.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::trouble::{Trouble, explain};
use crate::examined::{Examined, Problem, Progress, Tell};

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// The schema of the extension, when all we need of it is there and allowed.
const EXTENSION: &str = "\
    SELECT quote_ident(nspname) FROM pg_extension \
     JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'amcheck' \
     AND has_schema_privilege(pg_namespace.oid, 'USAGE') \
     AND has_function_privilege(to_regprocedure(format( \
      '%I.bt_index_check(regclass, boolean)', nspname)), 'EXECUTE') \
     AND has_function_privilege(to_regprocedure(format( \
      '%I.verify_heapam(regclass, boolean, boolean, text, bigint, bigint)', nspname)), 'EXECUTE')";

/// Our tables, and the indexes that can be examined.
const RELATIONS: &str = "\
    SELECT pg_class.oid::regclass::text, relkind = 'r' FROM pg_class \
     LEFT JOIN pg_am ON pg_am.oid = relam LEFT JOIN pg_index ON indexrelid = pg_class.oid \
     WHERE relnamespace = current_schema()::regnamespace \
     AND (relkind = 'r' OR relkind = 'i' AND amname = 'btree' AND indisvalid) ORDER BY 1";

const LOOK: &str = "as a superuser: pg_amcheck --install-missing --heapallindexed DATABASE; or \
    CREATE EXTENSION amcheck there and grant jeton's role its functions, then the same command again";
const REINDEX: &str = "the rows are there: make the index anew with PostgreSQL's own REINDEX INDEX \
    CONCURRENTLY";
const RESTORE: &str = "keep a copy of the whole data directory, then restore a backup";

/// Notes what is wrong with pages and indexes, or that nobody looked at them.
pub(super) async fn examine(
    client: &Client,
    examined: &mut Examined,
    tell: Tell<'_>,
) -> Result<(), Trouble> {
    let Some(row) = client.query_typed_opt(EXTENSION, &[]).await? else {
        let what = "pages and indexes were not looked at: the extension amcheck is not installed, \
            or jeton's role may not use it";
        let place = "the database".to_owned();
        examined.unseen.push(Problem { place, what: what.to_owned(), remedy: LOOK });
        return Ok(());
    };
    let schema: String = row.try_get(0)?;
    let relations = client.query_typed(RELATIONS, &[]).await?;
    let total = relations.len() as u64;
    for (done, row) in (0..).zip(&relations) {
        tell(Progress { step: "checking pages", done, total });
        let (name, is_table): (&str, bool) = (row.try_get(0)?, row.try_get(1)?);
        let problems = if is_table {
            table(client, &schema, name).await
        } else {
            index(client, &schema, name).await
        };
        problems?.into_iter().for_each(|problem| examined.note(problem));
    }
    tell(Progress { step: "checking pages", done: total, total });
    Ok(())
}

/// Every page of a table, with what is kept beside it.
async fn table(client: &Client, schema: &str, name: &str) -> Result<Vec<Problem>, Trouble> {
    let sql = format!(
        "SELECT blkno, msg FROM {schema}.verify_heapam($1::text::regclass, FALSE, TRUE, 'none', \
         NULL, NULL) LIMIT 100"
    );
    let rows = match asked(client, &sql, name).await? {
        Ok(rows) => rows,
        Err(what) => {
            return Ok(vec![Problem { place: format!("table {name}"), what, remedy: RESTORE }]);
        }
    };
    let problem = |row: &tokio_postgres::Row| {
        let page: Option<i64> = row.try_get(0)?;
        let place = match page {
            Some(page) => format!("table {name}, page {page}"),
            None => format!("table {name}"),
        };
        Ok(Problem { place, what: row.try_get(1)?, remedy: RESTORE })
    };
    rows.iter().map(problem).collect()
}

/// Every page of an index, and whether each row of its table is in it.
async fn index(client: &Client, schema: &str, name: &str) -> Result<Vec<Problem>, Trouble> {
    let sql = format!("SELECT {schema}.bt_index_check($1::text::regclass, TRUE)");
    Ok(match asked(client, &sql, name).await? {
        Ok(_) => Vec::new(),
        Err(what) => vec![Problem { place: format!("index {name}"), what, remedy: REINDEX }],
    })
}

/// Asks about one thing. What PostgreSQL says instead of an answer is a finding; that the connection
/// is lost is not.
async fn asked(
    client: &Client,
    sql: &str,
    name: &str,
) -> Result<Result<Vec<tokio_postgres::Row>, String>, Trouble> {
    client.batch_execute(BEGIN).await?;
    let answer = match client.query_typed(sql, &[(&name, Type::TEXT)]).await {
        Ok(rows) => Ok(rows),
        Err(error) if error.as_db_error().is_some() => Err(explain(&error)),
        Err(error) => return Err(error.into()),
    };
    client.batch_execute("ROLLBACK").await?;
    Ok(answer)
}
