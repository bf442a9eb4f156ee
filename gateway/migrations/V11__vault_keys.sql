-- Envelope encryption. Each card has a data key of its own, wrapped by a key-encryption key that never comes here: a data
-- key opens one card, and forgetting it forgets that card in the live database. The keys lie in a table of their own so that
-- its backups can be short-lived while those of the cards are not.

-- Key-encryption keys by the name that their keeper (file or KMS) gives them. `proof` is a constant wrapped by the key: it
-- tells a key that is lost from one that was replaced under its old name.
CREATE TABLE vault.kek (
    id         text PRIMARY KEY COLLATE "C" CHECK (id <> ''),
    retired    boolean NOT NULL DEFAULT false,
    proof      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (id, retired)
);

CREATE TABLE vault.data_key (
    book_id     bigint NOT NULL,        -- 0: the platform's own secrets
    subject     text NOT NULL COLLATE "C",  -- the card's id; for secrets `secrets:` and a time-ordered suffix
    kek         text NOT NULL COLLATE "C",
    -- Always false. With it the reference below says: a key that wraps something cannot be retired, and nothing new can be
    -- wrapped by a retired one, whatever a process believed when it began.
    kek_retired boolean NOT NULL DEFAULT false CHECK (NOT kek_retired),
    wrapped     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (book_id, subject),
    FOREIGN KEY (kek, kek_retired) REFERENCES vault.kek (id, retired)
);
CREATE INDEX data_key_kek ON vault.data_key (kek);

-- One row per rotation: where it stands, and that another process may go on with it.
CREATE TABLE vault.rotation (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('kek','data')),
    target      text NOT NULL,          -- the new key-encryption key, or the new key of the secrets
    total       bigint NOT NULL,
    done        bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE UNIQUE INDEX rotation_unfinished ON vault.rotation (kind) WHERE finished_at IS NULL;

-- key_id NULL: sealed by the card's data key. Otherwise (cards from before) by that key of the key file itself.
ALTER TABLE vault.card ALTER COLUMN key_id DROP NOT NULL, ADD COLUMN shredded_at timestamptz;

-- Who may do what. vault_app seals and opens; it can change nothing that is there. vault_keeper rotates and shreds, and
-- sees no object but the sealed secrets that it must seal anew.
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['vault_keeper','migrator'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', r);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END $$;
GRANT SELECT, INSERT ON vault.kek, vault.data_key TO vault_app;
GRANT USAGE ON SCHEMA vault, gateway TO vault_keeper;
GRANT SELECT, INSERT ON vault.kek, vault.data_key, vault.rotation TO vault_keeper;
GRANT SELECT ON vault.card TO vault_keeper;
GRANT UPDATE (retired) ON vault.kek TO vault_keeper;
GRANT UPDATE (kek, wrapped, created_at), DELETE ON vault.data_key TO vault_keeper;
GRANT UPDATE (key_id, nonce, sealed, shredded_at) ON vault.card TO vault_keeper;
GRANT UPDATE (done, finished_at) ON vault.rotation TO vault_keeper;
GRANT SELECT (book_id, id, secret), UPDATE (secret) ON gateway.webhook_endpoint TO vault_keeper;
