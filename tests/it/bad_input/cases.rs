//! The table: what is wrong, what is sent, and what must come back.

use super::Sent::{Form, Get, Json, Raw};
use super::{CUSTOMERS, Case, FORM, JSON, PAYMENTS, REFUNDS, Sent};

const BAD_INTEGER: (u16, &str, &str) = (400, "parameter_invalid_integer", "amount");
const BAD_BODY: (u16, &str, &str) = (400, "invalid_request_body", "");
const BAD_DESCRIPTION: (u16, &str, &str) = (400, "parameter_invalid_string", "description");

/// Every case; money needs a captured payment of 1000 and an authorized one of 1000.
pub fn all(captured: &str, authorized: &str) -> Vec<Case> {
    [amounts(), texts(), bodies(), routes(), money(captured, authorized)].concat()
}

/// A payment with this after a right amount and currency.
fn payment(more: &str) -> Sent {
    Form(PAYMENTS, format!("amount=100&currency=usd&{more}"))
}

fn amounts() -> Vec<Case> {
    let texts = [
        "0",
        "-1",
        "-100",
        "100.0",
        "100.5",
        "1e3",
        "1E3",
        "%2B100",
        "+100",
        "100+",
        "-0",
        "--1",
        "0x64",
        "1,000",
        "1_000",
        "ten",
        "NaN",
        "Infinity",
        "null",
        "true",
        "%D9%A1%D9%A0%D9%A0",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999999",
    ];
    let mut cases: Vec<Case> = texts
        .iter()
        .map(|text| {
            (
                "an amount that is none",
                Form(PAYMENTS, format!("amount={text}&currency=usd")),
                BAD_INTEGER,
            )
        })
        .collect();
    for json in [
        "100.0",
        "100.5",
        "1e2",
        "0",
        "-1",
        "9223372036854775808",
        "true",
        "[100]",
        "{\"a\":1}",
        "\"100\"",
        "\"100.0\"",
        "\"1e2\"",
    ] {
        let body = format!("{{\"amount\":{json},\"currency\":\"usd\"}}");
        cases.push(("a JSON amount that is none", Json(PAYMENTS, body), BAD_INTEGER));
    }
    cases.extend([
        (
            "no amount",
            Form(PAYMENTS, "currency=usd".into()),
            (400, "parameter_missing", "amount"),
        ),
        (
            "an empty amount",
            Form(PAYMENTS, "amount=&currency=usd".into()),
            (400, "parameter_missing", "amount"),
        ),
        (
            "a null amount",
            Json(PAYMENTS, r#"{"amount":null,"currency":"usd"}"#.into()),
            (400, "parameter_missing", "amount"),
        ),
        (
            "over the limit",
            Form(PAYMENTS, "amount=100000000&currency=usd".into()),
            (400, "amount_too_large", "amount"),
        ),
        (
            "far over it",
            Form(PAYMENTS, "amount=9223372036854775807&currency=usd".into()),
            (400, "amount_too_large", "amount"),
        ),
        (
            "a list",
            Form(PAYMENTS, "amount[]=100&currency=usd".into()),
            BAD_INTEGER,
        ),
        (
            "a group",
            Form(PAYMENTS, "amount[a]=100&currency=usd".into()),
            BAD_INTEGER,
        ),
        (
            "yen with decimals",
            Form(PAYMENTS, "amount=100.5&currency=jpy".into()),
            BAD_INTEGER,
        ),
        (
            "dinar whose last digit is not 0",
            Form(PAYMENTS, "amount=1001&currency=bhd".into()),
            BAD_INTEGER,
        ),
    ]);
    for currency in [
        "xyz",
        "us",
        "usdd",
        "us$",
        "XX",
        "840",
        "%F0%9F%92%B6",
        "usd%00",
        "+usd",
    ] {
        let form = format!("amount=100&currency={currency}");
        cases.push(("an unknown currency", Form(PAYMENTS, form), (400, "*", "currency")));
    }
    cases.push((
        "no currency",
        Form(PAYMENTS, "amount=100".into()),
        (400, "parameter_missing", "currency"),
    ));
    cases
}

fn texts() -> Vec<Case> {
    let bad_string = |param| (400, "parameter_invalid_string", param);
    let mut cases: Vec<Case> = vec![
        ("invalid UTF-8", payment("description=%FF"), BAD_BODY),
        ("an overlong encoding", payment("description=%C0%80"), BAD_BODY),
        ("a surrogate", payment("description=%ED%A0%80"), BAD_BODY),
        ("a broken escape", payment("description=%zz"), BAD_BODY),
        (
            "raw invalid UTF-8",
            Raw(
                "POST",
                PAYMENTS.into(),
                FORM,
                b"amount=100&currency=usd&description=\xff".to_vec(),
            ),
            BAD_BODY,
        ),
        ("NUL", payment("description=a%00b"), BAD_DESCRIPTION),
        ("a control character", payment("description=%1B[31m"), BAD_DESCRIPTION),
        (
            "right-to-left override",
            payment("description=%E2%80%AEmoc.elpmaxe"),
            BAD_DESCRIPTION,
        ),
        ("an isolate", payment("description=%E2%81%A6x"), BAD_DESCRIPTION),
        (
            "too long",
            payment(&format!("description={}", "a".repeat(5001))),
            BAD_DESCRIPTION,
        ),
        ("a group for a text", payment("description[a]=b"), BAD_DESCRIPTION),
        (
            "a number for a text",
            Json(PAYMENTS, r#"{"amount":100,"currency":"usd","description":7}"#.into()),
            BAD_DESCRIPTION,
        ),
        (
            "RTL in a name",
            Form(CUSTOMERS, "name=%E2%80%AEeve".into()),
            bad_string("name"),
        ),
        (
            "NUL in an address",
            Form(CUSTOMERS, "address[line1]=%00".into()),
            bad_string("address[line1]"),
        ),
        (
            "a metadata key of 41",
            payment(&format!("metadata[{}]=v", "k".repeat(41))),
            (400, "parameter_invalid_string", "*"),
        ),
        (
            "a metadata value of 501",
            payment(&format!("metadata[k]={}", "v".repeat(501))),
            bad_string("metadata[k]"),
        ),
        (
            "a nested metadata value",
            payment("metadata[k][l]=v"),
            bad_string("metadata[k]"),
        ),
        (
            "metadata as a text",
            payment("metadata=v"),
            (400, "parameter_invalid_object", "metadata"),
        ),
        (
            "NUL in a metadata key",
            payment("metadata[a%00b]=v"),
            (400, "parameter_invalid_string", "*"),
        ),
        (
            "NUL in a metadata value",
            payment("metadata[k]=%00"),
            bad_string("metadata[k]"),
        ),
    ];
    let many: String = (0..51).map(|n| format!("metadata[k{n}]=v&")).collect();
    cases.push((
        "51 metadata keys",
        payment(&many),
        (400, "parameter_invalid_object", "metadata"),
    ));
    for number in [
        "4242424242424242",
        "4242+4242+4242+4242",
        "4242-4242-4242-4242",
        "card%3A378282246310005.",
        "x5555555555554444x",
    ] {
        cases.extend([
            (
                "a card number in a description",
                payment(&format!("description={number}")),
                BAD_DESCRIPTION,
            ),
            (
                "in metadata",
                payment(&format!("metadata[note]={number}")),
                bad_string("metadata[note]"),
            ),
            (
                "in a name",
                Form(CUSTOMERS, format!("name={number}")),
                bad_string("name"),
            ),
            (
                "in an address",
                payment(&format!("shipping[address][line1]={number}&shipping[name]=A")),
                bad_string("shipping[address][line1]"),
            ),
        ]);
    }
    cases.push((
        "a card number as a metadata key",
        payment("metadata[4242424242424242]=v"),
        (400, "parameter_invalid_string", "*"),
    ));
    cases
}

fn bodies() -> Vec<Case> {
    let deep_form = format!("a{}=1", "[b]".repeat(10_000));
    let deep_json = format!("{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    vec![
        (
            "a duplicate parameter",
            Form(PAYMENTS, "amount=100&amount=200&currency=usd".into()),
            (400, "*", "amount"),
        ),
        (
            "in query and body",
            Form("/v1/payment_intents?amount=100", "amount=100&currency=usd".into()),
            (400, "*", "amount"),
        ),
        (
            "a duplicate JSON key",
            Json(PAYMENTS, r#"{"amount":100,"amount":200,"currency":"usd"}"#.into()),
            (400, "*", "*"),
        ),
        (
            "a text and a group of one name",
            payment("metadata[a]=1&metadata=2"),
            (400, "*", "*"),
        ),
        (
            "a lone surrogate",
            Json(
                PAYMENTS,
                r#"{"amount":100,"currency":"usd","description":"\ud800"}"#.into(),
            ),
            BAD_BODY,
        ),
        (
            "an unknown parameter",
            payment("colour=red"),
            (400, "parameter_unknown", "colour"),
        ),
        (
            "an unknown nested one",
            payment(
                "payment_method_data[type]=card&payment_method_data[card][number]=4242424242424242&payment_method_data[card][exp_month]=1&payment_method_data[card][exp_year]=2034&payment_method_data[card][pin]=1",
            ),
            (400, "parameter_unknown", "payment_method_data[card][pin]"),
        ),
        ("10,000 levels of form", Form(PAYMENTS, deep_form), (400, "*", "*")),
        ("10,000 levels of JSON", Json(PAYMENTS, deep_json), (400, "*", "*")),
        ("not JSON", Json(PAYMENTS, "amount=100".into()), BAD_BODY),
        ("half a JSON", Json(PAYMENTS, r#"{"amount":100"#.into()), BAD_BODY),
        (
            "JSON and more",
            Json(PAYMENTS, r#"{"amount":100,"currency":"usd"} {}"#.into()),
            BAD_BODY,
        ),
        ("a JSON list", Json(PAYMENTS, "[]".into()), BAD_BODY),
        ("a bare JSON number", Json(PAYMENTS, "7".into()), BAD_BODY),
        (
            "invalid UTF-8 in JSON",
            Raw(
                "POST",
                PAYMENTS.into(),
                JSON,
                b"{\"amount\":100,\"currency\":\"\xff\"}".to_vec(),
            ),
            BAD_BODY,
        ),
        (
            "a text content type",
            Raw(
                "POST",
                PAYMENTS.into(),
                "text/plain",
                b"amount=100&currency=usd".to_vec(),
            ),
            BAD_BODY,
        ),
        (
            "XML",
            Raw(
                "POST",
                PAYMENTS.into(),
                "application/xml",
                b"<amount>100</amount>".to_vec(),
            ),
            BAD_BODY,
        ),
        (
            "multipart",
            Raw(
                "POST",
                PAYMENTS.into(),
                "multipart/form-data; boundary=x",
                b"--x--".to_vec(),
            ),
            BAD_BODY,
        ),
        (
            "a boolean that is none",
            payment("confirm=yes"),
            (400, "parameter_invalid_boolean", "confirm"),
        ),
        (
            "a word that is none",
            payment("capture_method=later"),
            (400, "parameter_invalid_value", "capture_method"),
        ),
        (
            "a method type that is none",
            payment("payment_method_types[]=ideal"),
            (400, "parameter_invalid_value", "payment_method_types"),
        ),
        (
            "a receipt to nobody",
            payment("receipt_email=nobody"),
            (400, "email_invalid", "receipt_email"),
        ),
        (
            "expansion too deep",
            payment("expand[]=a.b.c.d.e"),
            (400, "parameter_invalid_value", "expand"),
        ),
        (
            "expansion of what is no property",
            payment("expand[]=*"),
            (400, "parameter_invalid_value", "expand"),
        ),
        (
            "two ways to pay",
            payment(
                "payment_method=pm_card_visa&payment_method_data[type]=card&payment_method_data[card][number]=4242424242424242&payment_method_data[card][exp_month]=1&payment_method_data[card][exp_year]=2034",
            ),
            (400, "parameter_conflict", "payment_method_data"),
        ),
        (
            "a stranger's customer",
            payment("customer=cus_none"),
            (404, "resource_missing", "customer"),
        ),
        (
            "SQL in an id",
            payment("customer=cus_';DROP+TABLE+gateway.payment;--"),
            (404, "resource_missing", "customer"),
        ),
        (
            "an IP that is none",
            payment("confirm=true&payment_method=pm_card_visa&risk_context[ip]=999.1.1.1"),
            (400, "*", "risk_context[ip]"),
        ),
    ]
}

fn routes() -> Vec<Case> {
    let nothing = (404, "*", "*");
    let other_method = (405, "method_not_allowed", "");
    vec![
        ("an unknown route", Get("/v1/nothing".into()), nothing),
        ("no route at all", Get("/".into()), nothing),
        (
            "a traversal",
            Get("/v1/../v1/payment_intents/..%2F..%2Fetc%2Fpasswd".into()),
            nothing,
        ),
        (
            "the wrong method",
            Raw("PUT", PAYMENTS.into(), FORM, Vec::new()),
            other_method,
        ),
        (
            "another wrong one",
            Raw("DELETE", PAYMENTS.into(), FORM, Vec::new()),
            other_method,
        ),
        (
            "an id that is none",
            Get("/v1/payment_intents/pi_none".into()),
            (404, "resource_missing", "intent"),
        ),
        (
            "another kind of id",
            Get("/v1/payment_intents/cus_abc".into()),
            (404, "resource_missing", "intent"),
        ),
        ("NUL in an id", Get("/v1/payment_intents/%00".into()), nothing),
        ("invalid UTF-8 in an id", Get("/v1/payment_intents/%FF".into()), nothing),
        (
            "a long id",
            Get(format!("/v1/payment_intents/pi_{}", "a".repeat(5000))),
            nothing,
        ),
        (
            "a card number as an id",
            Get("/v1/payment_intents/4242424242424242".into()),
            (400, "parameter_invalid_string", "path"),
        ),
        (
            "limit 0",
            Get("/v1/payment_intents?limit=0".into()),
            (400, "parameter_invalid_integer", "limit"),
        ),
        (
            "limit 101",
            Get("/v1/payment_intents?limit=101".into()),
            (400, "parameter_invalid_integer", "limit"),
        ),
        (
            "limit ten",
            Get("/v1/payment_intents?limit=ten".into()),
            (400, "parameter_invalid_integer", "limit"),
        ),
        (
            "a cursor that is none",
            Get("/v1/payment_intents?starting_after=pi_none".into()),
            (404, "resource_missing", "starting_after"),
        ),
        (
            "two cursors",
            Get("/v1/charges?starting_after=ch_a&ending_before=ch_b".into()),
            (400, "parameter_conflict", "ending_before"),
        ),
        (
            "a time that is none",
            Get("/v1/payment_intents?created[gte]=yesterday".into()),
            (400, "parameter_invalid_integer", "created[gte]"),
        ),
        (
            "a time beyond time",
            Get("/v1/payment_intents?created[gte]=9223372036854775807".into()),
            (400, "parameter_invalid_integer", "created[gte]"),
        ),
        (
            "an unknown filter",
            Get("/v1/payment_intents?colour=red".into()),
            (400, "parameter_unknown", "colour"),
        ),
    ]
}

/// What can go wrong with this captured payment of 1000 and this authorized one of 1000.
fn money(captured: &str, authorized: &str) -> Vec<Case> {
    let refund = |more: &str| Form(REFUNDS, format!("payment_intent={captured}&{more}"));
    let path: &'static str = Box::leak(format!("{PAYMENTS}/{authorized}/capture").into_boxed_str());
    let capture = |more: &str| Form(path, more.into());
    let mut cases = vec![
        ("a refund of too much", refund("amount=1001"), (400, "*", "amount")),
        ("of far too much", refund("amount=99999999"), (400, "*", "amount")),
        (
            "over the limit",
            refund("amount=100000000"),
            (400, "amount_too_large", "amount"),
        ),
        (
            "in another currency",
            refund("amount=1&currency=eur"),
            (400, "*", "currency"),
        ),
        (
            "for no reason that is one",
            refund("reason=whim"),
            (400, "parameter_invalid_value", "reason"),
        ),
        (
            "of nothing that is named",
            Form(REFUNDS, "amount=1".into()),
            (400, "parameter_missing", "payment_intent"),
        ),
        (
            "of what is not captured",
            Form(REFUNDS, format!("payment_intent={authorized}")),
            (400, "*", "*"),
        ),
        (
            "of what is not there",
            Form(REFUNDS, "payment_intent=pi_none".into()),
            (404, "resource_missing", "payment_intent"),
        ),
        (
            "a capture of too much",
            capture("amount_to_capture=1001"),
            (400, "amount_too_large", "amount_to_capture"),
        ),
    ];
    for text in ["0", "-1", "1.5", "1e1", "9223372036854775808"] {
        cases.push((
            "a refund amount that is none",
            refund(&format!("amount={text}")),
            BAD_INTEGER,
        ));
        let refusal = (400, "parameter_invalid_integer", "amount_to_capture");
        cases.push((
            "a capture amount that is none",
            capture(&format!("amount_to_capture={text}")),
            refusal,
        ));
    }
    cases
}
