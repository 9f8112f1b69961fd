-- The same tables as in SQLite, where their reasons stand. Times are milliseconds since
-- 1970-01-01T00:00:00Z. Texts are compared by their bytes, as SQLite does: what a page of clients
-- begins with must not depend on the language of the database. Lists are JSON arrays of texts.

CREATE TABLE client (
    realm            text COLLATE "C" NOT NULL,
    id               text COLLATE "C" NOT NULL,
    name             text,
    subject          text,
    status           text   NOT NULL CHECK (status IN ('enabled', 'disabled')),
    role             text   NOT NULL CHECK (role IN ('client', 'resource_server')),
    lock             text   NOT NULL CHECK (lock IN ('open', 'until', 'until_unlocked')),
    locked_until     bigint CHECK ((lock = 'until') = (locked_until IS NOT NULL)),
    scope            text   NOT NULL,
    audiences        text,
    lifetime_seconds bigint CHECK (lifetime_seconds >= 0),  -- 0: tokens never expire
    networks         text,
    authentication   text,
    claims           text,  -- a JSON object, as it was written
    proof            text,  -- a JSON object; absent when it would be empty
    registration     text,  -- a JSON object; of a client that registered itself
    created_at       bigint NOT NULL,
    changed_at       bigint NOT NULL,
    revision         bigint NOT NULL,
    PRIMARY KEY (realm, id)
);

CREATE INDEX client_registered ON client (realm) WHERE registration IS NOT NULL;

CREATE TABLE initial_access_token (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm      text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    digest     bytea  NOT NULL CHECK (octet_length(digest) = 32),  -- SHA-256
    scope      text   NOT NULL,
    uses_left  bigint NOT NULL CHECK (uses_left >= 0),
    created_at bigint NOT NULL,
    expires_at bigint,
    UNIQUE (realm, id),
    UNIQUE (realm, digest)
);

CREATE TABLE secret (
    realm        text COLLATE "C" NOT NULL,
    client_id    text COLLATE "C" NOT NULL,
    position     integer NOT NULL,  -- the order in which a client's secrets were made
    id           text COLLATE "C" NOT NULL,
    name         text,
    generated    bytea   CHECK (octet_length(generated) = 32),  -- SHA-256
    supplied     text,                                          -- Argon2id, a PHC string
    sealed       bytea,                                         -- encrypted under the master key
    created_at   bigint  NOT NULL,
    expires_at   bigint,
    last_used_at bigint,
    PRIMARY KEY (realm, client_id, position),
    UNIQUE (realm, client_id, id),
    CHECK (num_nonnulls(generated, supplied, sealed) = 1),
    FOREIGN KEY (realm, client_id) REFERENCES client (realm, id) ON DELETE CASCADE
);

CREATE TABLE signing_key (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm        text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    algorithm    text COLLATE "C" NOT NULL,
    status       text   NOT NULL CHECK (status IN ('upcoming', 'active', 'retired')),
    sealed       bytea  NOT NULL,
    public_jwk   text,
    created_at   bigint NOT NULL,
    activated_at bigint,
    retired_at   bigint,
    UNIQUE (realm, id)
);

CREATE UNIQUE INDEX signing_key_active ON signing_key (realm, algorithm) WHERE status = 'active';
CREATE UNIQUE INDEX signing_key_upcoming ON signing_key (realm, algorithm) WHERE status = 'upcoming';

-- The table that grows fastest. Vacuum comes early and often: rows leave it as fast as they come.
CREATE TABLE token (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm        text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    digest       bytea  NOT NULL CHECK (octet_length(digest) = 32),
    format       text   NOT NULL CHECK (format IN ('jwt', 'stored', 'sealed')),
    name         text,  -- of a token made by hand; absent for one from a token endpoint
    client_id    text COLLATE "C" NOT NULL,
    subject      text   NOT NULL,
    scope        text   NOT NULL,
    audiences    text,
    confirmation text,  -- the claim `cnf`; absent for a bearer token
    issued_at    bigint NOT NULL,
    expires_at   bigint,
    revoked_at   bigint,
    UNIQUE (realm, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);

CREATE INDEX token_digest ON token (substr(digest, 1, 8));
CREATE INDEX token_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX token_by_hand ON token (realm, id) WHERE name IS NOT NULL;
CREATE INDEX token_revoked ON token (realm) WHERE revoked_at IS NOT NULL;
CREATE INDEX token_lasting ON token (realm, client_id) WHERE name IS NOT NULL OR expires_at IS NULL;

-- Tokens of this client up to this one went with the client: no query sees them any more.
CREATE TABLE deleted_client (
    realm      text COLLATE "C" NOT NULL,
    client_id  text COLLATE "C" NOT NULL,
    through    bigint NOT NULL,
    PRIMARY KEY (realm, client_id)
);

CREATE TABLE spent (
    realm text COLLATE "C" NOT NULL,
    id    bytea  NOT NULL CHECK (octet_length(id) = 16),
    until bigint NOT NULL,  -- from when on it need not be remembered
    PRIMARY KEY (realm, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);

CREATE INDEX spent_until ON spent (until);

CREATE TABLE event (
    seq       bigint GENERATED ALWAYS AS IDENTITY,
    at        bigint NOT NULL,
    reference text COLLATE "C" NOT NULL,
    realm     text   NOT NULL,
    kind      text   NOT NULL,
    client_id text,
    source    text,
    detail    text
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);

CREATE INDEX event_age ON event (at);

-- One row, which every transaction that changes something locks first and keeps locked until it
-- has committed: so revisions become visible in their order and without gaps, however many write.
CREATE TABLE feed (
    number integer PRIMARY KEY CHECK (number = 1),
    newest bigint  NOT NULL
);

INSERT INTO feed (number, newest) VALUES (1, 0);

CREATE TABLE change (
    seq     bigint PRIMARY KEY,  -- given by the feed
    at      bigint NOT NULL,
    kind    text   NOT NULL,
    realm   text   NOT NULL,
    subject text,  -- client: its identifier; token_revoked: the digest in hexadecimal
    CHECK ((kind = 'keys') = (subject IS NULL))
);

-- Written by a health check, to know that writing works.
CREATE TABLE probe (
    number integer PRIMARY KEY CHECK (number = 1),
    checks bigint  NOT NULL
);

INSERT INTO probe (number, checks) VALUES (1, 0);
