//! Payouts as files for the bank: valid by the bank's own schema, each payout in one file ever, the same file whenever it is fetched,
//! and what the bank answers applied once.

use crate::accounts::checker;
use crate::payouts::{balance, comes_to, merchant, pay_out, sell};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::{Answer, TestApp, eventually, said, workspace};

/// Reads a file with the schema that sepaxml brings, and prints what is in it.
const READ: &str = r#"
import json, os, sys, sepaxml, xmlschema
schema = xmlschema.XMLSchema(os.path.join(os.path.dirname(sepaxml.__file__), "schemas", "pain.001.001.09.xsd"))
schema.validate(sys.argv[1])
print(json.dumps(schema.to_dict(sys.argv[1], decimal_type=str)))
"#;

async fn valid(app: &TestApp, xml: &[u8]) -> Value {
    let path = app.dir().join("payouts.xml");
    std::fs::write(&path, xml).expect("a file");
    let output = tokio::process::Command::new(workspace().join(".tools/python/bin/python"))
        .args(["-c", READ])
        .arg(&path)
        .output()
        .await
        .expect("python: scripts/bootstrap.sh test installs it");
    let text = String::from_utf8_lossy(xml);
    assert!(output.status.success(), "{}\n{text}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn make(app: &TestApp, parameters: Value) -> Answer {
    app.post("/v1/payout_files").params(parameters).send().await
}

async fn fetch(app: &TestApp, file: &Value) -> Vec<u8> {
    let answer = app.get(file["url"].as_str().expect("a URL")).send().await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.body.to_vec()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer} of {value}"))
}

#[tokio::test]
async fn payouts_go_to_the_bank_in_a_file_and_come_back_as_it_says() {
    let app = &TestApp::start().await;
    let checker = checker(app).await;
    let (first, second) = (merchant(app, &checker).await, merchant(app, &checker).await);
    for id in [&first, &second] {
        sell(app, id, 10_000).await;
        comes_to(app, id, (10_000, 0, 0)).await;
    }
    let kept = pay_out(app, &first, 4_001).await.ok();
    let closed = pay_out(app, &second, 2_500).await.ok();
    let paused = pay_out(app, &second, 1_000).await.ok();
    let cancel = format!("/v1/payouts/{}/cancel", text(&paused, "/id"));
    app.post(&cancel).account(&second).send().await.ok();

    for (parameters, code) in [
        (json!({}), "parameter_missing"),
        (json!({ "currency": "sek" }), "no_pending_payouts"),
        (
            json!({ "currency": "gbp", "execution_date": "2020-01-01" }),
            "parameter_invalid_value",
        ),
        (
            json!({ "currency": "gbp", "execution_date": "soon" }),
            "parameter_invalid_string",
        ),
    ] {
        let refused = make(app, parameters).await;
        assert_eq!((refused.status, refused.text("/error/code")), (400, code), "{refused}");
    }
    // Two at once: each payout is in one of them, and in no other ever.
    let parameters = || json!({ "currency": "gbp", "execution_date": "2099-12-31" });
    let (one, other) = tokio::join!(make(app, parameters()), make(app, parameters()));
    let files: Vec<Answer> = [one, other].into_iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files.into_iter().next().expect("one").ok();
    assert_eq!(
        (file["payouts"].as_i64(), file["amount"].as_i64()),
        (Some(2), Some(6_501))
    );
    let xml = fetch(app, &file).await;
    assert_eq!(fetch(app, &file).await, xml, "the same whenever it is fetched");
    assert_eq!(
        hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&xml)),
        text(&file, "/sha256")
    );

    let read = valid(app, &xml).await;
    let header = &read["CstmrCdtTrfInitn"]["GrpHdr"];
    assert_eq!((text(header, "/CtrlSum"), text(header, "/NbOfTxs")), ("65.01", "2"));
    let payment = &read["CstmrCdtTrfInitn"]["PmtInf"][0];
    assert_eq!(text(payment, "/ReqdExctnDt/Dt"), "2099-12-31");
    assert_eq!(text(payment, "/DbtrAcct/Id/IBAN"), "DE89370400440532013000");
    let transfers = payment["CdtTrfTxInf"].as_array().expect("transfers");
    let amounts: BTreeSet<&str> = transfers
        .iter()
        .map(|transfer| text(transfer, "/Amt/InstdAmt/$"))
        .collect();
    assert_eq!(amounts, BTreeSet::from(["25.00", "40.01"]));
    assert_eq!(text(&transfers[0], "/CdtrAcct/Id/IBAN"), "GB82WEST12345698765432");
    let names: Vec<String> = transfers
        .iter()
        .map(|transfer| text(transfer, "/PmtId/EndToEndId").replacen("po", "po_", 1))
        .collect();
    assert_eq!(names, [text(&kept, "/id"), text(&closed, "/id")]);
    // Nobody but the platform, and nothing of it in clear in the database.
    for path in ["/v1/payout_files", text(&file, "/url")] {
        let refused = app.get(path).key(&app.told("/restricted_keys/finance")).send().await;
        assert_eq!(
            (refused.status, refused.text("/error/code")),
            (403, "platform_key_required")
        );
    }
    let sql = app.sql().await;
    let row = sql.query_one("SELECT (SELECT string_agg(f::text, '') FROM gateway.payout_file f) || (SELECT string_agg(i::text, '') FROM gateway.payout_instruction i)", &[]).await.expect("rows");
    assert!(!row.get::<_, String>(0).contains("12345698765432"));
    let refused = app
        .post(&format!("/v1/payouts/{}/cancel", text(&kept, "/id")))
        .account(&first)
        .send()
        .await;
    assert_eq!(
        refused.text("/error/code"),
        "payout_unexpected_state",
        "the bank has it: {refused}"
    );

    // The bank answers: one it will pay, one it will not, and one that is none of ours.
    let answer = |inner: &str| {
        let path = app.dir().join("pain002.xml");
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:pain.002.001.10\"><CstmrPmtStsRpt>\
             <GrpHdr><MsgId>B-1</MsgId></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>{}</OrgnlMsgId></OrgnlGrpInfAndSts>\
             <OrgnlPmtInfAndSts>{inner}</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>",
            text(&file, "/id").replace('_', "")
        );
        std::fs::write(&path, xml).expect("a file");
        path.display().to_string()
    };
    let status = |name: &str, status: &str, reason: &str| {
        format!(
            "<TxInfAndSts><OrgnlEndToEndId>{name}</OrgnlEndToEndId><TxSts>{status}</TxSts>\
             <StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn><AddtlInf>as of May</AddtlInf></StsRsnInf></TxInfAndSts>"
        )
    };
    let carried = |payout: &Value| text(payout, "/id").replace('_', "");
    let path = answer(&format!(
        "{}{}",
        status(&carried(&kept), "ACSC", "G000"),
        status(&carried(&closed), "RJCT", "AC04")
    ));
    for (told, result) in [("noted", 0), ("known already", 0)] {
        let output = app.counterfoil(&["payouts", "status", &path, "--json"]).await;
        assert_eq!(output.status.code(), Some(result), "{}", said(&output));
        assert!(
            said(&output).contains(&format!(r#""result":"{told}""#)),
            "{}",
            said(&output)
        );
    }
    let path_of = |payout: &Value| format!("/v1/payouts/{}", text(payout, "/id"));
    let failed = eventually("the payout has failed", || async {
        let now = app.get(&path_of(&closed)).account(&second).send().await.ok();
        (now["status"] == "failed").then_some(now)
    })
    .await;
    assert_eq!(
        (&failed["failure_code"], &failed["failure_message"]),
        (&json!("account_closed"), &json!("as of May"))
    );
    assert_eq!(
        balance(app, &second).await,
        (10_000, 0, 0),
        "what was not paid is the merchant's again"
    );
    let now = app.get(&path_of(&kept)).account(&first).send().await.ok();
    assert_eq!(now["status"], "in_transit", "that it is paid is said by a statement");
    let path = answer(&status("INVOICE-7", "RJCT", "AC01"));
    let output = app.counterfoil(&["payouts", "status", &path]).await;
    assert!(
        !output.status.success() && said(&output).contains("INVOICE-7"),
        "{}",
        said(&output)
    );
    for wrong in ["<!DOCTYPE a><Document/>", "<Document>", "no XML"] {
        std::fs::write(&path, wrong).expect("a file");
        let output = app.counterfoil(&["payouts", "status", &path]).await;
        assert!(
            !output.status.success() && said(&output).contains("at byte"),
            "{wrong}: {}",
            said(&output)
        );
    }
    // What has failed is in no second file: a new payout is, a resent one never.
    let refused = make(app, parameters()).await;
    assert_eq!(refused.text("/error/code"), "no_pending_payouts", "{refused}");
    let again = pay_out(app, &second, 500).await.ok();
    let next = make(app, parameters()).await.ok();
    assert_ne!(next["id"], file["id"]);
    let xml = fetch(app, &next).await;
    assert!(String::from_utf8_lossy(&xml).contains(&carried(&again)));
    app.verify_books().await;
    app.stop().await;
}
