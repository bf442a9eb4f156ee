//! Evidence for chargebacks: files, packs made of what is known, and two people where much is at stake.

use crate::disputes::{acquirers_charge, app, at, disputed, of_payment, text};
use serde_json::json;
use tests::{Answer, TestApp};

#[tokio::test]
async fn files_are_what_their_bytes_say_sealed_and_only_ever_attachments() {
    let app = app().await;
    let png = [
        b"\x89PNG\r\n\x1a\n".as_slice(),
        b"a picture of the parcel, which no page shows",
    ]
    .concat();
    let kept = upload(app, "parcel.exe", &png, "dispute_evidence").send().await.ok();
    assert_eq!(
        (&kept["filename"], &kept["type"], &kept["size"]),
        (&json!("parcel.png"), &json!("png"), &json!(png.len()))
    );
    let id = text(&kept, "id").to_owned();
    let got = app.get(&format!("/v1/files/{id}/contents")).send().await;
    assert_eq!((got.status, &got.body[..]), (200, &png[..]));
    assert_eq!(got.header("content-type"), "image/png");
    assert!(got.header("content-disposition").starts_with("attachment;"));
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    // Nobody else's key reaches it.
    let other = app.told("/merchants/1/id");
    for path in [format!("/v1/files/{id}"), format!("/v1/files/{id}/contents")] {
        assert_eq!(app.get(&path).account(&other).send().await.status, 404);
    }
    // An executable with the name of a picture, nothing, too much, and no file at all.
    let large = [png.clone(), vec![0; 5 * 1024 * 1024]].concat();
    for (content, code) in [
        (&b"MZ\x90\x00 this program cannot be run"[..], "file_type_not_supported"),
        (b"", "file_type_not_supported"),
        (&large, "file_too_large"),
    ] {
        let refused = upload(app, "parcel.jpg", content, "dispute_evidence").send().await;
        assert_eq!((refused.status, refused.text("/error/code")), (400, code));
    }
    let refused = upload(app, "parcel.png", &png, "identity_document").send().await;
    assert_eq!((refused.status, refused.text("/error/param")), (400, "purpose"));
    let bare = app
        .post("/v1/files")
        .params(json!({ "purpose": "dispute_evidence" }))
        .send()
        .await;
    assert_eq!((bare.status, bare.text("/error/param")), (400, "file"));
    // One key, one file: the same upload is replayed, another one is refused.
    let keyed = |content: &[u8]| upload(app, "a.png", content, "dispute_evidence").idempotency_key("file-once");
    let (first, replay) = (keyed(&png).send().await, keyed(&png).send().await);
    assert_eq!(first.status, 200, "{first}");
    assert!(replay.replayed() && replay.body == first.body);
    assert_eq!(keyed(&[png.clone(), vec![1]].concat()).send().await.status, 400);
    // At rest there is no byte of it in the clear.
    let sealed: Vec<u8> = app
        .sql()
        .await
        .query_one("SELECT sealed FROM vault.file WHERE id = $1", &[&id])
        .await
        .expect("a sealed file")
        .get(0);
    assert!(
        !sealed
            .windows(20)
            .any(|window| png.windows(20).any(|plain| plain == window))
    );
}

#[tokio::test]
async fn the_pack_says_what_is_known_and_becomes_evidence() {
    let app = app().await;
    let payment = app
        .post("/v1/payment_intents")
        .params(json!({
            "amount": 2500, "currency": "usd", "payment_method": "pm_card_visa", "confirm": true, "description": "order 7",
            "receipt_email": "payer@example.com",
            "shipping": { "name": "Ada 林", "address": { "line1": "1 Quay", "country": "GB" } },
            "line_items": [{ "name": "kettle", "quantity": 2, "deal_price": 1250 }],
        }))
        .send()
        .await
        .ok();
    let charge = acquirers_charge(app, &payment).await;
    app.simulator("POST", "/admin/disputes")
        .json(&json!({ "charge": charge }))
        .send()
        .await
        .ok();
    let dispute = of_payment(app, text(&payment, "id")).await;
    at(app, &dispute, "needs_response").await;
    let path = format!("/v1/disputes/{dispute}/evidence_pack");
    let pack = app.get(&path).send().await.ok();
    assert_eq!(pack["line_items"][0]["name"], "kettle");
    assert_eq!(pack["suggested_evidence"]["product_description"], "2 x kettle");
    assert_eq!(
        pack["suggested_evidence"]["customer_email_address"],
        "payer@example.com"
    );
    assert_eq!(
        pack["visa_compelling_evidence_3"]["qualifies"], false,
        "a stranger has no earlier payments"
    );
    assert!(!pack.to_string().contains("4242424242424242"));
    let file = app.post(&path).send().await.ok();
    assert_eq!(
        (&file["type"], &file["purpose"]),
        (&json!("pdf"), &json!("dispute_evidence"))
    );
    let pdf = app
        .get(&format!("/v1/files/{}/contents", text(&file, "id")))
        .send()
        .await;
    assert!(pdf.body.starts_with(b"%PDF-") && String::from_utf8_lossy(&pdf.body).contains("kettle"));
    // Evidence names it; a file of nobody is refused by the field's name.
    let staged = json!({ "evidence": { "uncategorized_file": file["id"], "customer_name": "Ada" }, "submit": false });
    let kept = app
        .post(&format!("/v1/disputes/{dispute}"))
        .params(staged)
        .send()
        .await
        .ok();
    assert_eq!(kept["evidence"]["uncategorized_file"], file["id"]);
    let foreign = json!({ "evidence": { "receipt": "file_00000000000000000000000000" }, "submit": false });
    let refused = app
        .post(&format!("/v1/disputes/{dispute}"))
        .params(foreign)
        .send()
        .await;
    assert_eq!(
        (refused.status, refused.text("/error/param")),
        (404, "evidence[receipt]")
    );
    let sent = app
        .post(&format!("/v1/disputes/{dispute}"))
        .params(json!({ "submit": true }))
        .send()
        .await
        .ok();
    assert_eq!(sent["stage"], "under_review");
}

#[tokio::test]
async fn what_costs_much_takes_two_people() {
    let app = TestApp::start_with(&["--permissive-scorer", "--second-person-from", "50"]).await;
    let other_key = app.told("/restricted_keys/disputes");
    let (_, small) = disputed(&app, 4999, &json!({})).await;
    let (_, large) = disputed(&app, 5000, &json!({})).await;
    at(&app, &small, "needs_response").await;
    at(&app, &large, "needs_response").await;
    let evidence = json!({ "evidence": { "uncategorized_text": "winning_evidence" }, "submit": true });
    app.post(&format!("/v1/disputes/{small}"))
        .params(evidence.clone())
        .send()
        .await
        .ok();

    let path = format!("/v1/disputes/{large}");
    let refused = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.text("/error/code")),
            (403, "dispute_second_person_required")
        )
    };
    refused(app.post(&path).params(evidence.clone()).send().await);
    let mut staged = evidence;
    staged["submit"] = false.into();
    app.post(&path).params(staged).send().await.ok();
    refused(app.post(&path).params(json!({ "submit": true })).send().await);
    let sent = app
        .post(&path)
        .key(&other_key)
        .params(json!({ "submit": true }))
        .send()
        .await
        .ok();
    assert_eq!(sent["evidence_details"]["submission_count"], 1);
    at(&app, &large, "won_provisional").await;
    app.verify_books().await;
}

fn upload<'a>(app: &'a TestApp, name: &str, content: &[u8], purpose: &str) -> tests::Request<'a> {
    let mut body = format!(
        "--frontier\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n{purpose}\r\n--frontier\r\nContent-Disposition: form-data; \
         name=\"file\"; filename=\"{name}\"\r\nContent-Type: image/png\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--frontier--\r\n");
    app.post("/v1/files")
        .body("multipart/form-data; boundary=frontier", body)
}
