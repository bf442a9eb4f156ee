-- Setup intents: a card is proven and kept for later payments, and no money moves. The proof is an authorization that is
-- released at once (or a challenge of the payer before it); `check_at` also says that one may still have to be released.
CREATE TABLE gateway.setup_intent (
    book_id           bigint NOT NULL,
    id                text NOT NULL COLLATE "C",
    version           integer NOT NULL,
    status            text NOT NULL CHECK (status IN ('requires_payment_method','requires_confirmation','requires_action',
                                                      'processing','canceled','succeeded')),
    usage             text NOT NULL CHECK (usage IN ('on_session','off_session')),
    customer_id       text COLLATE "C",
    payment_method_id text COLLATE "C",
    -- the attempt at the acquirer: its number makes our reference, `seti_..:1`
    attempts          smallint NOT NULL CHECK (attempts >= 0),
    connector         text,
    acquirer_id       text COLLATE "C",
    request_key       bytea,
    swept             smallint NOT NULL,
    check_at          timestamptz,
    created_at        timestamptz NOT NULL,
    details           jsonb NOT NULL,
    PRIMARY KEY (book_id, id),
    CONSTRAINT setup_intent_has_what_it_kept CHECK (status <> 'succeeded' OR payment_method_id IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX setup_intent_due ON gateway.setup_intent (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX setup_intent_customer ON gateway.setup_intent (book_id, customer_id) INCLUDE (id) WHERE customer_id IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON gateway.setup_intent TO gateway_app;
GRANT SELECT ON gateway.setup_intent TO auditor;
