-- What the service tells of its own health is looked up every quarter of a minute: by small indexes over what waits, so that the
-- look costs the same after years.
CREATE INDEX review_undecided ON gateway.review (book_id) WHERE open;
CREATE INDEX signal_unacknowledged ON risk.signal (book_id) WHERE status = 'open';

-- The replicas of this server: whether a commit waits for one, and how much of the log it has not yet on disk. Nothing else of
-- pg_stat_replication, which shows addresses, and more to whoever may read all statistics. The owner of this function has to be a
-- member of pg_read_all_stats (the installation guide says so); without that no replica is seen, and the alarm says so too.
CREATE FUNCTION gateway.replication(OUT waited_for boolean, OUT lag_bytes bigint) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT sync_state IN ('sync', 'quorum'),
           CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint END
    FROM pg_stat_replication WHERE state = 'streaming'
$$;
REVOKE ALL ON FUNCTION gateway.replication FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gateway.replication TO gateway_app, auditor;
