-- The seal: what was committed is chained into pages, so that a later change is found, also one by the owner of the
-- database. seal.rs tells the scheme; here are its table, its door and the way to the journals not sealed yet.
--
-- * The order of the seal is (recorded_xid, book_id, journal_id). Only transactions below the oldest running one are
--   sealed: nothing can be committed among them any more, so no late committer is lost and the order never changes.
-- * One chain per database, not per book: with Citus this table stays on the coordinator.
-- * A logical restore into a *younger* server must first move that server's transaction counter past max(recorded_xid)
--   (pg_resetwal --epoch): otherwise new journals would sort before sealed ones. Sealing and verifying refuse until then.
SET LOCAL ROLE ledger_owner;

-- A block range index has one entry per 32 blocks where a btree would have one per journal on the hot path: journals are
-- appended in nearly this order. The sealing job summarises what it has passed.
CREATE INDEX journal_recorded_xid ON ledger.journal USING brin (recorded_xid) WITH (pages_per_range = 32);

CREATE TABLE ledger.seal (
    page         bigint PRIMARY KEY CHECK (page > 0),           -- 1, 2, 3, ..
    journals     integer NOT NULL CHECK (journals > 0),         -- in this page
    total        bigint NOT NULL CHECK (total >= journals),     -- in this page and all before it
    last_xid     bigint NOT NULL,                               -- the page ends with this journal, itself included;
    last_book    bigint NOT NULL,                               -- it begins behind the end of the page before it
    last_journal uuid NOT NULL,
    root         bytea NOT NULL CHECK (octet_length(root) = 32),        -- Merkle root over the page's journals
    roll_digest  bytea NOT NULL CHECK (octet_length(roll_digest) = 32), -- SHA-256 of roll
    previous     bytea NOT NULL CHECK (octet_length(previous) = 32),    -- hash of the page before; zeros for the first
    sealed_at    timestamptz NOT NULL,
    hash         bytea NOT NULL CHECK (octet_length(hash) = 32),        -- over all of the above
    head         bytea NOT NULL CHECK (octet_length(head) = 32),        -- Merkle root over the hashes of all pages so far
    key_id       text COLLATE "C" NOT NULL,
    key_check    bytea NOT NULL CHECK (octet_length(key_check) = 8),    -- tells a wrong key from a forged MAC
    mac          bytea NOT NULL CHECK (octet_length(mac) = 32),         -- HMAC-SHA-256 over the head
    -- Who is in the page: book, journal and 8 bytes of its leaf each. Proves nothing that root does not; it is what names
    -- the first wrong row. Hashes do not compress.
    roll         bytea NOT NULL CHECK (octet_length(roll) = 32 * journals),
    UNIQUE (last_xid, last_book, last_journal)
);
ALTER TABLE ledger.seal ALTER COLUMN roll SET STORAGE EXTERNAL;

-- Appends a page. The serving role may add to the chain and do nothing else to it; what it adds has to continue it.
CREATE FUNCTION ledger.seal_page(
    p_page bigint, p_journals integer, p_total bigint, p_last_xid bigint, p_last_book bigint, p_last_journal uuid,
    p_root bytea, p_roll_digest bytea, p_previous bytea, p_sealed_at timestamptz, p_hash bytea, p_head bytea,
    p_key_id text, p_key_check bytea, p_mac bytea, p_roll bytea)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last ledger.seal;
BEGIN
    SELECT * INTO last FROM ledger.seal ORDER BY page DESC LIMIT 1;
    IF p_page IS DISTINCT FROM coalesce(last.page, 0) + 1
       OR p_total IS DISTINCT FROM coalesce(last.total, 0) + p_journals
       OR p_previous IS DISTINCT FROM coalesce(last.hash, decode(repeat('00', 32), 'hex'))
       OR last.page IS NOT NULL AND NOT (p_last_xid, p_last_book, p_last_journal) > (last.last_xid, last.last_book, last.last_journal)
       OR p_last_xid >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint THEN
        RAISE EXCEPTION 'page % does not continue the seal', p_page USING ERRCODE = 'LG008', DETAIL = 'seal';
    END IF;
    INSERT INTO ledger.seal (page, journals, total, last_xid, last_book, last_journal, root, roll_digest, previous,
                             sealed_at, hash, head, key_id, key_check, mac, roll)
    VALUES (p_page, p_journals, p_total, p_last_xid, p_last_book, p_last_journal, p_root, p_roll_digest, p_previous,
            p_sealed_at, p_hash, p_head, p_key_id, p_key_check, p_mac, p_roll);
END
$$;

-- Takes the block ranges filled since the last call into the index, those of partitions too. Blocks vacuum of the
-- journal alone, no reader and no writer; the caller bounds the wait with lock_timeout.
CREATE FUNCTION ledger.summarise_journals() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(brin_summarize_new_values(i.indexrelid)), 0)
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
    JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin'
    WHERE i.indrelid = 'ledger.journal'::regclass
       OR i.indrelid IN (SELECT t.relid FROM pg_partition_tree('ledger.journal') t WHERE t.isleaf);
$$;

DO $$
DECLARE
    refused text;
BEGIN
    FOREACH refused IN ARRAY ARRAY['UPDATE OR DELETE', 'TRUNCATE'] LOOP
        EXECUTE format('CREATE TRIGGER %I BEFORE %s ON ledger.seal FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()',
                       CASE refused WHEN 'TRUNCATE' THEN 'seal_no_truncate' ELSE 'seal_immutable' END, refused);
    END LOOP;
END
$$;
ALTER TABLE ledger.seal ENABLE ALWAYS TRIGGER seal_immutable;
ALTER TABLE ledger.seal ENABLE ALWAYS TRIGGER seal_no_truncate;

REVOKE ALL ON ledger.seal FROM PUBLIC;
GRANT SELECT ON ledger.seal TO gateway_app, ledger_writer, finance_ro, auditor;
REVOKE ALL ON FUNCTION ledger.seal_page, ledger.summarise_journals FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.seal_page, ledger.summarise_journals TO gateway_app, ledger_writer;
RESET ROLE;
