-- Times are milliseconds since 1970-01-01T00:00:00Z. Lists are JSON arrays of texts, absent when
-- empty, for all clients are read at every start and most lists are.

CREATE TABLE client (
    realm            TEXT    NOT NULL,
    id               TEXT    NOT NULL,
    name             TEXT,
    subject          TEXT,
    status           TEXT    NOT NULL CHECK (status IN ('enabled', 'disabled')),
    role             TEXT    NOT NULL CHECK (role IN ('client', 'resource_server')),
    lock             TEXT    NOT NULL CHECK (lock IN ('open', 'until', 'until_unlocked')),
    locked_until     INTEGER CHECK ((lock = 'until') = (locked_until IS NOT NULL)),
    scope            TEXT    NOT NULL,
    audiences        TEXT,
    lifetime_seconds INTEGER CHECK (lifetime_seconds >= 0),  -- 0: tokens never expire
    networks         TEXT,
    authentication   TEXT,
    claims           TEXT,  -- a JSON object
    created_at       INTEGER NOT NULL,
    changed_at       INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    PRIMARY KEY (realm, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    realm        TEXT    NOT NULL,
    client_id    TEXT    NOT NULL,
    position     INTEGER NOT NULL,  -- the order in which a client's secrets were made
    id           TEXT    NOT NULL,
    name         TEXT,
    generated    BLOB    CHECK (length(generated) = 32),  -- SHA-256
    supplied     TEXT,                                    -- Argon2id, a PHC string
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (realm, client_id, position),
    UNIQUE (realm, client_id, id),
    CHECK ((generated IS NULL) <> (supplied IS NULL)),
    FOREIGN KEY (realm, client_id) REFERENCES client (realm, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    realm        TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    algorithm    TEXT    NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('upcoming', 'active', 'retired')),
    sealed       BLOB    NOT NULL,
    public_jwk   TEXT,
    created_at   INTEGER NOT NULL,
    activated_at INTEGER,
    retired_at   INTEGER,
    UNIQUE (realm, id)
) STRICT;

CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, algorithm) WHERE status = 'active';
CREATE UNIQUE INDEX signing_key_upcoming ON signing_key (realm, algorithm) WHERE status = 'upcoming';

-- The table that grows fastest: every index but one is written in the order of time, because an
-- index written all over costs more than the row itself. The digest's first eight bytes find the
-- row as well as all of it and keep that one index small. For the same reason there is no index
-- over all of a client's tokens: see deleted_client.
CREATE TABLE token (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    realm      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    format     TEXT    NOT NULL CHECK (format IN ('jwt', 'stored', 'sealed')),
    name       TEXT,  -- of a token made by hand; absent for one from a token endpoint
    client_id  TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    audiences  TEXT,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    UNIQUE (realm, id)
) STRICT;

CREATE INDEX token_digest ON token (substr(digest, 1, 8));
CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX token_by_hand ON token (realm, id) WHERE name IS NOT NULL;
CREATE INDEX token_revoked ON token (realm) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_lasting ON token (realm, client_id) WHERE name IS NOT NULL OR expires_at IS NULL;

-- Tokens of this client up to this one went with the client: no query sees them any more. Their
-- rows go when they expire; those that last are removed at once.
CREATE TABLE deleted_client (
    realm     TEXT    NOT NULL,
    client_id TEXT    NOT NULL,
    through   INTEGER NOT NULL,
    PRIMARY KEY (realm, client_id)
) STRICT, WITHOUT ROWID;

-- Without an index on the reference: events are written all day, and one is looked up by a person
-- now and then, mostly a recent one.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    reference TEXT    NOT NULL,
    realm     TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    client_id TEXT,
    source    TEXT,
    detail    TEXT
) STRICT;

CREATE TABLE change (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    realm   TEXT    NOT NULL,
    subject TEXT,  -- client: its identifier; token_revoked: the digest in hexadecimal
    CHECK ((kind = 'keys') = (subject IS NULL))
) STRICT;

-- Written by a health check, to know that writing works.
CREATE TABLE probe (
    number INTEGER PRIMARY KEY CHECK (number = 1),
    checks INTEGER NOT NULL
) STRICT;

INSERT INTO probe (number, checks) VALUES (1, 0);
