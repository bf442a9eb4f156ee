-- Search by metadata and e-mail is an index look-up. A term carries its book, so that no look-up meets another merchant's rows; only
-- rows that have metadata are in the index, and payments without cost nothing.
CREATE FUNCTION gateway.metadata_terms(book bigint, details jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog AS $$
    SELECT array_agg(book || E'\x1f' || key || E'\x1f' || value) FROM jsonb_each_text(details->'metadata');
$$;
CREATE INDEX payment_metadata ON gateway.payment USING gin (gateway.metadata_terms(book_id, details))
    WHERE details ? 'metadata';
CREATE INDEX customer_metadata ON gateway.customer USING gin (gateway.metadata_terms(book_id, details))
    WHERE details->'metadata' <> '{}';
CREATE INDEX customer_email ON gateway.customer (book_id, lower(details->>'email')) INCLUDE (id)
    WHERE details->>'email' IS NOT NULL;
