-- Files of merchants: evidence for disputes. What they are is here, what is in them is in the vault, each sealed by a data key of its own.
CREATE TABLE gateway.file (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    purpose    text NOT NULL CHECK (purpose IN ('dispute_evidence')),
    filename   text NOT NULL CHECK (length(filename) BETWEEN 1 AND 255),
    type       text NOT NULL CHECK (type IN ('pdf','png','jpg')),   -- by its first bytes, whatever its name says
    size       bigint NOT NULL CHECK (size > 0),
    sha256     text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    title      text CHECK (length(title) <= 500),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
CREATE INDEX file_recent ON gateway.file (book_id, created_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON gateway.file
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE gateway.file ENABLE ALWAYS TRIGGER append_only;

CREATE TABLE vault.file (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    nonce      bytea NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
ALTER TABLE vault.file ALTER COLUMN sealed SET STORAGE EXTERNAL;   -- what is sealed does not compress

GRANT SELECT, INSERT ON gateway.file TO gateway_app;
GRANT SELECT ON gateway.file TO auditor;
GRANT SELECT, INSERT ON vault.file TO vault_app;
GRANT SELECT ON vault.file TO vault_keeper;
