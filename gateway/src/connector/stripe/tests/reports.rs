//! What callbacks report, in our words.

use super::*;
use crate::connector::{DisputeMove, DisputePhase, DisputeReport};

#[tokio::test]
async fn reports() {
    let stripe = Stripe::new(config("http://127.0.0.1:1")).unwrap();
    let event = |kind: &str, object: &str| format!(r#"{{"id":"evt_1","type":"{kind}","data":{{"object":{object}}}}}"#);
    let report = |kind: &str, object: &str| stripe.report(&event(kind, object));
    assert_eq!(
        report(
            "payment_intent.succeeded",
            &intent("succeeded", r#","metadata":{"counterfoil_reference":"ch_1"}"#)
        ),
        Ok(Report::Payment {
            reference: Some("ch_1".into()),
            acquirer_id: "pi_1".into()
        })
    );
    let refund = r#"{"id":"re_9","status":"failed","failure_reason":"expired_or_canceled_card","metadata":{"counterfoil_reference":"re_1"}}"#;
    for kind in ["charge.refund.updated", "refund.updated", "refund.failed"] {
        let expected = Report::Refund {
            reference: Some("re_1".into()),
            acquirer_id: "re_9".into(),
            succeeded: Some(false),
            failure_reason: Some("expired_or_canceled_card".into()),
        };
        assert_eq!(report(kind, refund), Ok(expected));
    }
    let dispute = r#"{"id":"du_9","amount":2000,"currency":"usd","reason":"fraudulent","status":"won","charge":"ch_9","payment_intent":"pi_1",
        "network_reason_code":"10.4","is_charge_refundable":false,"evidence_details":{"due_by":1795000000,"has_evidence":false},
        "balance_transactions":[{"id":"txn_1","amount":-2000,"fee":1500,"net":-3500},{"id":"txn_2","amount":2000,"fee":-1500,"net":3500}]}"#;
    let expected = AcquirerDispute {
        acquirer_id: "du_9".into(),
        payment_acquirer_id: Some("pi_1".into()),
        charge_acquirer_reference: Some("ch_9".into()),
        reference: None,
        status: "won".into(),
        amount: 2000,
        currency: "usd".into(),
        reason: "fraudulent".into(),
        network_reason_code: Some("10.4".into()),
        due_by: Some(1_795_000_000),
        phase: DisputePhase::First,
        moves: [("txn_1", -2000, 1500), ("txn_2", 2000, -1500)]
            .map(|(id, amount, fee)| DisputeMove {
                id: id.into(),
                amount,
                fee,
                currency: "usd".into(),
            })
            .to_vec(),
        is_charge_refundable: false,
    };
    for (kind, expected_kind) in [
        ("charge.dispute.created", DisputeReport::Created),
        ("charge.dispute.updated", DisputeReport::Updated),
        ("charge.dispute.funds_withdrawn", DisputeReport::FundsWithdrawn),
        ("charge.dispute.funds_reinstated", DisputeReport::FundsReinstated),
        ("charge.dispute.closed", DisputeReport::Closed),
    ] {
        assert_eq!(
            report(kind, dispute),
            Ok(Report::Dispute {
                kind: expected_kind,
                dispute: expected.clone()
            })
        );
    }
    assert_eq!(report("customer.created", "{}"), Ok(Report::Ignored));
    let warning = r#"{"id":"issfr_1","payment_intent":"pi_1","fraud_type":"made_with_lost_card"}"#;
    let expected = Report::FraudWarning {
        acquirer_id: "issfr_1".into(),
        payment_acquirer_id: "pi_1".into(),
        fraud_type: "made_with_lost_card".into(),
    };
    assert_eq!(report("radar.early_fraud_warning.created", warning), Ok(expected));
    assert!(report("charge.dispute.created", "{}").is_err());
    assert!(stripe.report("not json").is_err());
}
