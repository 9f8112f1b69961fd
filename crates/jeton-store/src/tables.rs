//! Decides what moves from one database to another: every table that both have, column by column.

/// What a column holds, in either database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Bytes,
}

/// A table that both databases have.
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// What tells its rows apart, in order: the first so many of its columns.
    pub(crate) key: usize,
    /// Its columns.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// Whether the database numbers its rows (`seq`).
    pub(crate) is_numbered: bool,
}

impl Table {
    /// The names of its columns.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// The names of the columns that tell its rows apart.
    pub(crate) fn key_names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().take(self.key).map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

const fn text(name: &'static str) -> (&'static str, Kind) {
    (name, Kind::Text)
}

const fn integer(name: &'static str) -> (&'static str, Kind) {
    (name, Kind::Integer)
}

const fn bytes(name: &'static str) -> (&'static str, Kind) {
    (name, Kind::Bytes)
}

/// Every table with something in it that matters, in an order in which they can be filled.
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "client",
        key: 2,
        columns: &[
            text("realm"),
            text("id"),
            text("name"),
            text("subject"),
            text("status"),
            text("role"),
            text("lock"),
            integer("locked_until"),
            text("scope"),
            text("audiences"),
            integer("lifetime_seconds"),
            text("networks"),
            text("authentication"),
            text("claims"),
            text("proof"),
            text("registration"),
            integer("created_at"),
            integer("changed_at"),
            integer("revision"),
        ],
        is_numbered: false,
    },
    Table {
        name: "initial_access_token",
        key: 1,
        columns: &[
            integer("seq"),
            text("realm"),
            text("id"),
            bytes("digest"),
            text("scope"),
            integer("uses_left"),
            integer("created_at"),
            integer("expires_at"),
        ],
        is_numbered: true,
    },
    Table {
        name: "secret",
        key: 3,
        columns: &[
            text("realm"),
            text("client_id"),
            integer("position"),
            text("id"),
            text("name"),
            bytes("generated"),
            text("supplied"),
            bytes("sealed"),
            integer("created_at"),
            integer("expires_at"),
            integer("last_used_at"),
        ],
        is_numbered: false,
    },
    Table {
        name: "signing_key",
        key: 1,
        columns: &[
            integer("seq"),
            text("realm"),
            text("id"),
            text("algorithm"),
            text("status"),
            bytes("sealed"),
            text("public_jwk"),
            integer("created_at"),
            integer("activated_at"),
            integer("retired_at"),
        ],
        is_numbered: true,
    },
    Table {
        name: "token",
        key: 1,
        columns: &[
            integer("seq"),
            text("realm"),
            text("id"),
            bytes("digest"),
            text("format"),
            text("name"),
            text("client_id"),
            text("subject"),
            text("scope"),
            text("audiences"),
            text("confirmation"),
            integer("issued_at"),
            integer("expires_at"),
            integer("revoked_at"),
        ],
        is_numbered: true,
    },
    Table {
        name: "deleted_client",
        key: 2,
        columns: &[text("realm"), text("client_id"), integer("through")],
        is_numbered: false,
    },
    Table {
        name: "spent",
        key: 2,
        columns: &[text("realm"), bytes("id"), integer("until")],
        is_numbered: false,
    },
    Table {
        name: "event",
        key: 1,
        columns: &[
            integer("seq"),
            integer("at"),
            text("reference"),
            text("realm"),
            text("kind"),
            text("client_id"),
            text("source"),
            text("detail"),
        ],
        is_numbered: true,
    },
    Table {
        name: "change",
        key: 1,
        columns: &[integer("seq"), integer("at"), text("kind"), text("realm"), text("subject")],
        is_numbered: false,
    },
];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::sqlite::{Location, SqliteSettings, SqliteStore};

    /// What there is in a database but moves nowhere: what was migrated, a health check's own, where
    /// SQLite has its tokens, and what it makes of clients.
    const LEFT: &str =
        "'migration', 'probe', 'token_place', 'token_placed', 'client_extract', 'client_extracted'";

    #[tokio::test]
    async fn every_column_of_every_table_moves() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jeton.db");
        let location = Location::File(path.clone());
        SqliteStore::open(&location, SqliteSettings::default()).unwrap().close().await;
        let connection = Connection::open(&path).unwrap();
        let sql = format!(
            "SELECT t.name, c.name, c.type FROM pragma_table_list AS t, pragma_table_info(t.name) AS c \
             WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT IN ({LEFT})"
        );
        let mut select = connection.prepare(&sql).unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let mut there: Vec<(String, String, String)> = rows.map(Result::unwrap).collect();
        let mut moved: Vec<(String, String, String)> = Vec::new();
        for table in TABLES {
            for (column, kind) in table.columns {
                let kind = match kind {
                    Kind::Text => "TEXT",
                    Kind::Integer => "INTEGER",
                    Kind::Bytes => "BLOB",
                };
                moved.push((table.name.to_owned(), (*column).to_owned(), kind.to_owned()));
            }
        }
        there.sort_unstable();
        moved.sort_unstable();
        assert_eq!(moved, there);
    }
}
