-- Proof instead of secrets: keys, certificates, other issuers' assertions, bound tokens, what was
-- used up, and clients that register themselves. And where tokens are is written in another way.

ALTER TABLE client ADD COLUMN proof TEXT;  -- a JSON object; absent when it would be empty
ALTER TABLE client ADD COLUMN registration TEXT;  -- a JSON object; of a client that registered itself

CREATE INDEX client_registered ON client (realm) WHERE registration IS NOT NULL;

CREATE TABLE initial_access_token (
    seq        INTEGER PRIMARY KEY,
    realm      TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),  -- SHA-256
    scope      TEXT    NOT NULL,
    uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    UNIQUE (realm, id),
    UNIQUE (realm, digest)
) STRICT;

-- Made anew, for one of three kinds of secret is there now, and a CHECK cannot be changed.
CREATE TABLE secret_0002 (
    realm        TEXT    NOT NULL,
    client_id    TEXT    NOT NULL,
    position     INTEGER NOT NULL,  -- the order in which a client's secrets were made
    id           TEXT    NOT NULL,
    name         TEXT,
    generated    BLOB    CHECK (length(generated) = 32),  -- SHA-256
    supplied     TEXT,                                    -- Argon2id, a PHC string
    sealed       BLOB,                                    -- encrypted under the master key
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    PRIMARY KEY (realm, client_id, position),
    UNIQUE (realm, client_id, id),
    CHECK ((generated IS NOT NULL) + (supplied IS NOT NULL) + (sealed IS NOT NULL) = 1),
    FOREIGN KEY (realm, client_id) REFERENCES client (realm, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

INSERT INTO secret_0002 (realm, client_id, position, id, name, generated, supplied, created_at, expires_at, last_used_at)
    SELECT realm, client_id, position, id, name, generated, supplied, created_at, expires_at, last_used_at FROM secret;
DROP TABLE secret;
ALTER TABLE secret_0002 RENAME TO secret;

-- Made anew without the CHECKs on each row: one of them alone cost a sixth of keeping a token.
CREATE TABLE token_0002 (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    realm        TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    digest       BLOB    NOT NULL,  -- 32 bytes
    format       TEXT    NOT NULL,  -- jwt, stored or sealed
    name         TEXT,  -- of a token made by hand; absent for one from a token endpoint
    client_id    TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    scope        TEXT    NOT NULL,
    audiences    TEXT,
    confirmation TEXT,  -- the claim `cnf`; absent for a bearer token
    issued_at    INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    UNIQUE (realm, id)
) STRICT;

INSERT INTO token_0002 (seq, realm, id, digest, format, name, client_id, subject, scope, audiences, issued_at, expires_at, revoked_at)
    SELECT seq, realm, id, digest, format, name, client_id, subject, scope, audiences, issued_at, expires_at, revoked_at FROM token;
-- Numbers of tokens that are gone are not given again.
DELETE FROM sqlite_sequence WHERE name = 'token_0002';
INSERT INTO sqlite_sequence (name, seq) SELECT 'token_0002', seq FROM sqlite_sequence WHERE name = 'token';
DROP TABLE token;
ALTER TABLE token_0002 RENAME TO token;

CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX token_by_hand ON token (realm, id) WHERE name IS NOT NULL;
CREATE INDEX token_revoked ON token (realm) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_lasting ON token (realm, client_id) WHERE name IS NOT NULL OR expires_at IS NULL;

-- Digests are random, and an index over them that is written with every token costs three times as
-- much as the token itself. So where tokens are is written late, many at a time: of those after
-- `through` it is found out from their rows (src/sqlite/places.rs).
CREATE TABLE token_place (
    key BLOB    NOT NULL,  -- the first eight bytes of the digest
    seq INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE token_placed (
    number  INTEGER PRIMARY KEY CHECK (number = 1),
    through INTEGER NOT NULL
) STRICT;

INSERT INTO token_place (key, seq) SELECT substr(digest, 1, 8), seq FROM token ORDER BY 1, 2;
INSERT INTO token_placed (number, through) SELECT 1, coalesce(max(seq), 0) FROM token;

CREATE TRIGGER token_gone AFTER DELETE ON token BEGIN
    DELETE FROM token_place WHERE key = substr(OLD.digest, 1, 8) AND seq = OLD.seq;
END;

CREATE TABLE spent (
    realm TEXT    NOT NULL,
    id    BLOB    NOT NULL CHECK (length(id) = 16),
    until INTEGER NOT NULL,  -- from when on it need not be remembered
    PRIMARY KEY (realm, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX spent_until ON spent (until);
