-- What a start takes into memory of each client, in one row: reading the client with its secrets costs
-- four times as much. SQLite keeps it itself, so that it is what client and secret say, whoever writes them.

CREATE TABLE client_extract (
    realm  TEXT NOT NULL,
    id     TEXT NOT NULL,
    terms  TEXT,  -- absent of a client that is not plain and has to be read whole
    digest BLOB,  -- SHA-256 of its secret
    PRIMARY KEY (realm, id)
) STRICT, WITHOUT ROWID;

-- Terms are `created_at revision expires_at secret scope`, one space apart; the third and the fourth are
-- empty without such a thing, the scope may have spaces. After a line feed comes the name, if there is one.
CREATE VIEW client_extracted AS
    SELECT client.realm, client.id,
        iif(status = 'enabled' AND role = 'client' AND lock = 'open'
                AND coalesce(subject, audiences, lifetime_seconds, networks, authentication, claims,
                    proof, registration) IS NULL
                AND count(secret.id) <= 1 AND count(secret.generated) = count(secret.id)
                AND instr(scope, char(10)) = 0,
            client.created_at || ' ' || revision || ' ' || coalesce(max(secret.expires_at), '') || ' '
                || coalesce(max(secret.id), '') || ' ' || scope || coalesce(char(10) || client.name, ''),
            NULL) AS terms,
        max(secret.generated) AS digest
    FROM client LEFT JOIN secret ON secret.realm = client.realm AND secret.client_id = client.id
    GROUP BY client.realm, client.id;

INSERT INTO client_extract SELECT * FROM client_extracted;

CREATE TRIGGER client_added AFTER INSERT ON client BEGIN
    INSERT INTO client_extract
        SELECT * FROM client_extracted WHERE realm = NEW.realm AND id = NEW.id;
END;

CREATE TRIGGER client_changed AFTER UPDATE ON client BEGIN
    DELETE FROM client_extract WHERE realm = OLD.realm AND id = OLD.id;
    INSERT INTO client_extract
        SELECT * FROM client_extracted WHERE realm = NEW.realm AND id = NEW.id;
END;

CREATE TRIGGER client_gone AFTER DELETE ON client BEGIN
    DELETE FROM client_extract WHERE realm = OLD.realm AND id = OLD.id;
END;

CREATE TRIGGER secret_added AFTER INSERT ON secret BEGIN
    REPLACE INTO client_extract
        SELECT * FROM client_extracted WHERE realm = NEW.realm AND id = NEW.client_id;
END;

-- Not of last_used_at, which is written all day.
CREATE TRIGGER secret_changed AFTER UPDATE OF realm, client_id, id, generated, expires_at ON secret BEGIN
    REPLACE INTO client_extract
        SELECT * FROM client_extracted WHERE realm = OLD.realm AND id = OLD.client_id;
    REPLACE INTO client_extract
        SELECT * FROM client_extracted WHERE realm = NEW.realm AND id = NEW.client_id;
END;

CREATE TRIGGER secret_gone AFTER DELETE ON secret BEGIN
    REPLACE INTO client_extract
        SELECT * FROM client_extracted WHERE realm = OLD.realm AND id = OLD.client_id;
END;
