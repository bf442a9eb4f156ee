-- Card data lives apart: its own schema, its own role, no join across. A row is useless without the key file.
CREATE SCHEMA vault;
CREATE TABLE vault.card (
    book_id    bigint NOT NULL,
    id         text NOT NULL COLLATE "C",
    key_id     text NOT NULL,
    nonce      bytea NOT NULL CHECK (octet_length(nonce) = 12),
    sealed     bytea NOT NULL,   -- AES-256-GCM over number and expiry; the row's identity is the associated data
    created_at timestamptz NOT NULL,
    PRIMARY KEY (book_id, id)
);
