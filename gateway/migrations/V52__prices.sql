-- What was charged for an item on a day: the lowest and the highest price of one piece, for announced reductions to be held
-- against (EU Directive 98/6/EC, art. 6a: the lowest price of the 30 days before). Days that are over; they do not change.
CREATE TABLE risk.price_day (
    book_id  bigint NOT NULL,
    item     text NOT NULL,                -- product code, or the name where there is none
    currency text NOT NULL,
    day      date NOT NULL,                -- UTC
    lowest   bigint NOT NULL CHECK (lowest >= 0),
    highest  bigint NOT NULL CHECK (highest >= lowest),
    sales    bigint NOT NULL CHECK (sales > 0),
    PRIMARY KEY (book_id, item, currency, day)
);
GRANT SELECT, INSERT ON risk.price_day TO gateway_app;
GRANT SELECT ON risk.price_day TO auditor;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON risk.price_day
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.refuse_change();
ALTER TABLE risk.price_day ENABLE ALWAYS TRIGGER append_only;
