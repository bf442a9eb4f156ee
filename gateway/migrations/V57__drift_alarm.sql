-- A model that no longer sees what it was trained on is an alarm like those of the gate.
ALTER TABLE gateway.security_event
    DROP CONSTRAINT security_event_kind_check,
    ADD CONSTRAINT security_event_kind_check CHECK (kind IN ('missing_key','wrong_key','ended_key','foreign_account','forbidden',
        'certificate_mismatch','signature_missing','signature_invalid','nonce_replayed','throttled','forged_callback','egress_refused',
        'tampered','model_drifted'));
