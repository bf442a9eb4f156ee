//! `/v1/cases` described.

use super::operation::Operation;
use super::schema::*;
use crate::case::words::*;
use serde_json::json;

pub(in crate::api) fn create() -> Operation {
    Operation::new("Open a case", "case")
        .about(
            "A consumer complains about a captured payment. It is taken up at once and the merchant's money is frozen, unless it repeats an \
             open case, a chargeback is open, or it is too late. A complaint about quality is verified within 24 hours (`verify_due`).",
        )
        .takes(
            Fields::new()
                .required("payment_intent", id_asked("pi"), "The payment.")
                .required("type", choice(CaseType::WORDS), "What is complained of.")
                .required("reason", words(), "In the consumer's words.")
                .field("amount", amount(), "What is asked for; everything that can be refunded when not given.")
                .field("channel", choice(Channel::WORDS), "How the complaint arrived; `in_app` when not given.")
                .field("item", text(), "Which line item, by its product code or name.")
                .field("consumer", person(), "The platform's own reference of the consumer.")
                .field("metadata", metadata(), "Own keys and values."),
        )
        .example(json!({ "payment_intent": "pi_00000000000000000000000000", "type": "quality", "amount": 500, "reason": "The handle broke.", "channel": "in_app" }))
}

pub(in crate::api) fn index() -> Operation {
    Operation::list("List cases", "case").takes(
        Fields::new()
            .field("payment_intent", id_asked("pi"), "About this payment.")
            .field("customer", id_asked("cus"), "Of this customer.")
            .field("status", choice(Status::WORDS), "That stand here.")
            .field("type", choice(CaseType::WORDS), "Of this type.")
            .field("outcome", choice(Outcome::WORDS), "That ended so.")
            .field("owner", text(), "Of this officer.")
            .field("external_ref", text(), "With this reference of a regulator.")
            .field(
                "query",
                text(),
                "With these words in the complaint or in the reasons of the decision.",
            ),
    )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve a case", "case")
}

pub(in crate::api) fn bundle() -> Operation {
    Operation::new("Export a case", "case_bundle").about(
        "Everything that belongs to it, for a regulator: the case, its timeline, the payment, refunds, chargebacks and journals. Of an archived \
         case, `intact` says whether it is as it was sealed.",
    )
}

pub(in crate::api) fn messages() -> Operation {
    Operation::new("Say something in a case", "case").takes(Fields::new().required("text", words(), "").and(speaker()))
}

pub(in crate::api) fn evidence() -> Operation {
    Operation::new("Add evidence to a case", "case")
        .about("A text, or a file by its id.")
        .takes(
            Fields::new()
                .field("text", words(), "Evidence in words.")
                .field("file", id_asked("file"), "An uploaded file.")
                .field(
                    "sha256",
                    text_like("^[0-9A-Fa-f]{64}$", DIGEST),
                    "Of the file: the same in several cases is noticed.",
                )
                .field("description", words(), "What it shows.")
                .and(speaker()),
        )
}

pub(in crate::api) fn offers() -> Operation {
    Operation::new("Offer a settlement", "case")
        .about("The merchant's offer, while it is asked.")
        .takes(
            Fields::new()
                .required("remedy", choice(Remedy::WORDS), "A refund, or other goods.")
                .field(
                    "amount",
                    amount(),
                    "What is refunded; all that is asked for when not given.",
                )
                .field("note", words(), "For the consumer.")
                .and(officer()),
        )
}

pub(in crate::api) fn accept_offer() -> Operation {
    Operation::new("Accept an offer", "case")
        .about("For the consumer. The case is settled; `execute` carries it out.")
        .takes(Fields::new().required("offer", id_asked("cae"), "The offer's id."))
}

pub(in crate::api) fn contest() -> Operation {
    Operation::new("Contest a complaint", "case")
        .about("The merchant does not agree: the platform mediates.")
        .takes(Fields::new().required("reason", words(), "Why.").and(officer()))
}

pub(in crate::api) fn withdraw() -> Operation {
    Operation::new("Withdraw a case", "case")
        .about("For the consumer. What is frozen is released.")
        .takes(Fields::new().field("reason", words(), "Why."))
}

pub(in crate::api) fn rate() -> Operation {
    Operation::new("Rate how a case was handled", "case")
        .about("For the consumer, once it is over; it can be changed for 30 days.")
        .takes(
            Fields::new()
                .required("score", integer_from(1, 5), "")
                .field("comment", words(), ""),
        )
}

pub(in crate::api) fn assign() -> Operation {
    Operation::new("Give a case to an officer", "case").takes(
        Fields::new()
            .required("owner", person(), "Who has it from now on.")
            .and(officer()),
    )
}

pub(in crate::api) fn accept() -> Operation {
    Operation::new("Take a case up", "case")
        .about("One that waits for an officer: the merchant's money is frozen.")
        .takes(officer())
}

pub(in crate::api) fn not_accept() -> Operation {
    Operation::new("Do not take a case up", "case")
        .about("With a reason; the consumer can appeal.")
        .takes(
            Fields::new()
                .required("reason", words(), "For the consumer.")
                .and(officer()),
        )
}

pub(in crate::api) fn verify() -> Operation {
    Operation::new("Verify a complaint", "case")
        .about("What the platform found out; then the merchant is asked.")
        .takes(
            Fields::new()
                .required("finding", choice(Finding::WORDS), "")
                .required("facts", words(), "What was found, for both sides.")
                .and(officer()),
        )
}

pub(in crate::api) fn decision() -> Operation {
    Operation::new("Decide a case", "case")
        .about("With reasons and the evidence that it rests on. `execute` carries it out; a rejection closes the case at once.")
        .takes(
            Fields::new()
                .required("remedy", choice(Remedy::WORDS), "What the consumer gets.")
                .and(decided())
                .and(officer()),
        )
}

pub(in crate::api) fn execute() -> Operation {
    Operation::new("Carry a decision out", "case")
        .about("Refunds go to the acquirer, compensation waits for the bank. What comes of a refund shows in `refund_status`.")
        .takes(
            Fields::new()
                .field("goods_received", boolean(), "The goods are back: before that they are not refunded.")
                .and(speaker()),
        )
}

pub(in crate::api) fn shipped() -> Operation {
    Operation::new("Report that goods were shipped", "case")
        .about("An exchange, a replacement or a repair is done: what is frozen is released.")
        .takes(
            Fields::new()
                .required("shipment", words(), "Carrier and number: the proof.")
                .and(officer()),
        )
}

pub(in crate::api) fn paid() -> Operation {
    Operation::new("Report that the bank has paid", "case")
        .about("Compensation, or a refund that the acquirer could not make: everything in `owed` but the advance.")
        .takes(
            Fields::new()
                .required("bank_reference", person(), "The bank's own.")
                .and(officer()),
        )
}

pub(in crate::api) fn appeal() -> Operation {
    Operation::new("Appeal", "case")
        .about("Once, while the time to appeal lasts. Another officer decides.")
        .takes(
            Fields::new()
                .required("reason", words(), "What is wrong with the outcome.")
                .field(
                    "by",
                    choice(&["consumer", "merchant"]),
                    "Whose appeal; the consumer's for a key of the platform.",
                ),
        )
}

pub(in crate::api) fn appeal_decision() -> Operation {
    Operation::new("Decide an appeal", "case")
        .about("By another officer than the first decision's. What was paid stays paid; what is given beyond it is paid now.")
        .takes(
            Fields::new()
                .required("result", choice(&["uphold", "change"]), "`change` takes a remedy like a decision.")
                .field("remedy", choice(Remedy::WORDS), "What the consumer gets in all.")
                .and(decided())
                .and(officer()),
        )
}

pub(in crate::api) fn regulator() -> Operation {
    Operation::new("Note a regulator's request", "case")
        .about("The case is not archived before that has ended; working days are those of the rules' calendar.")
        .takes(
            Fields::new()
                .field("external_ref", person(), "The regulator's reference.")
                .field("ended", boolean(), "It is over.")
                .and(officer()),
        )
}

pub(in crate::api) fn case() -> Object {
    let entry = || {
        part(
            Fields::new()
                .field("id", id("cae"), "")
                .field("actor", text().or_null(), "A person, or a key.")
                .field("created", moment(), "")
                .field("data", open_object(), "What was said.")
                .field("journals", list(text()), "What it booked.")
                .field("kind", text(), "An event's name, `message` or `evidence`.")
                .field("party", choice(Party::WORDS), "For whom.")
                .field("status", choice(Status::WORDS), "Where the case stood then.")
                .field("told", list(text()), "Who was told."),
        )
    };
    let offer = Fields::new()
        .field("id", id("cae"), "")
        .field("accepted", boolean(), "")
        .field("amount", minor_units(), "")
        .field("by", text(), "")
        .field("created", moment(), "")
        .field("note", text().or_null(), "")
        .field("remedy", choice(Remedy::WORDS), "");
    let appeal = Fields::new()
        .field("by", choice(Party::WORDS), "")
        .field("created", moment(), "")
        .field(
            "decision",
            part(decision_told()).or_null(),
            "What it came to; null while open, or when upheld.",
        )
        .field("reason", text(), "");
    let hold = Fields::new()
        .field("amount", minor_units(), "Frozen of the merchant's money.")
        .field("from_available", minor_units(), "")
        .field("from_pending", minor_units(), "")
        .field("owed_by_merchant", minor_units(), "What the merchant did not have.")
        .field(
            "status",
            choice(&["held", "none", "with_dispute"]),
            "`with_dispute`: a chargeback of the same payment has taken it over.",
        );
    let notice = Fields::new()
        .field("appeal", open_object().or_null(), "How, and until when.")
        .field("compensation", minor_units(), "")
        .field("currency", currency(), "")
        .field("facts", text().or_null(), "")
        .field("measure", choice(Remedy::WORDS).or_null(), "")
        .field("outcome", choice(Outcome::WORDS), "")
        .field("outside_routes", list(text()), "")
        .field("reasons", text().or_null(), "")
        .field("refund", minor_units(), "")
        .field("rules", open_object(), "The versions that it was decided by.");
    let owed = Fields::new()
        .field("compensation", minor_units(), "By bank, to the consumer.")
        .field("recourse", minor_units(), "By the merchant, to the platform.")
        .field("refund", minor_units(), "By bank, because the acquirer could not.");
    let verification = Fields::new()
        .field("by", text(), "")
        .field("created", moment(), "")
        .field("facts", text(), "")
        .field("finding", choice(Finding::WORDS), "");
    let rating = Fields::new()
        .field("comment", text().or_null(), "")
        .field("created", moment(), "")
        .field("score", integer_from(1, 5), "");
    let rules = Fields::new()
        .field("appeal_days", integer(), "")
        .field(
            "return_policy_version",
            integer().or_null(),
            "As disclosed with the payment.",
        )
        .field(
            "terms",
            id("trm").or_null(),
            "The version of the case rules; null for the built-in ones.",
        );
    let breach = Fields::new()
        .field("deadline", text(), "")
        .field("due_at", moment(), "")
        .field("told_at", moment(), "");
    Object::new(
        "case",
        "A dispute between a consumer and a merchant that the platform decides.",
        Fields::new()
            .field("id", id("case"), "")
            .field("amount", minor_units(), "What is asked for.")
            .field("appeal", part(appeal).or_null(), "")
            .field("breaches", list(part(breach)), "Deadlines that passed unmet.")
            .field("channel", choice(Channel::WORDS), "")
            .field("charge", expandable("ch", "charge"), "")
            .field("closed_at", moment().or_null(), "")
            .field("consumer", text().or_null(), "")
            .field("created", moment(), "")
            .field("currency", currency(), "")
            .field("customer", expandable("cus", "customer").or_null(), "")
            .field(
                "deadlines",
                list(part(Fields::new().field("due_at", moment(), "").field(
                    "kind",
                    text(),
                    "",
                ))),
                "What is due, soonest first.",
            )
            .field("decision", part(decision_told()).or_null(), "")
            .field(
                "dispute",
                expandable("du", "dispute").or_null(),
                "The chargeback that suspended it.",
            )
            .field("duplicate_of", id("case").or_null(), "The open case about the same.")
            .field("escalated", boolean(), "A supervisor owns it.")
            .field("evidence", list(entry()), "")
            .field("external_ref", text().or_null(), "A regulator's reference.")
            .field(
                "flags",
                list(part(Fields::new().field("basis", open_object(), "").field(
                    "kind",
                    text(),
                    "",
                ))),
                "What looks like abuse: for people, it decides nothing.",
            )
            .field("frozen", boolean(), "A regulator has it: it is not archived.")
            .field("hold", part(hold), "")
            .field("item", text().or_null(), "")
            .field("livemode", boolean(), "")
            .field("metadata", metadata_kept(), "")
            .field("not_accepted_reason", text().or_null(), "")
            .field(
                "notice",
                part(notice).or_null(),
                "What both sides are told of the outcome.",
            )
            .field("offers", list(part(offer)), "")
            .field("outcome", choice(Outcome::WORDS).or_null(), "")
            .field("owed", part(owed), "What is still to be paid, and by whom.")
            .field("owner", text().or_null(), "The officer who has it.")
            .field("payment_intent", expandable("pi", "payment_intent"), "")
            .field("rating", part(rating).or_null(), "")
            .field("reason", text(), "")
            .field(
                "refund",
                expandable("re", "refund").or_null(),
                "What carries the decision out.",
            )
            .field("refund_status", choice(RefundProgress::WORDS).or_null(), "")
            .field(
                "rules",
                part(rules),
                "By which it is run: those in force at the time of the order.",
            )
            .field(
                "seal",
                text_like("^[0-9a-f]{64}$", DIGEST).or_null(),
                "SHA-256 of the archived case.",
            )
            .field("status", choice(Status::WORDS), "")
            .field(
                "timeline",
                list(entry()),
                "Everything that happened, oldest first; both sides see the same.",
            )
            .field("type", choice(CaseType::WORDS), "")
            .field("verification", part(verification).or_null(), "")
            .field("verify_due", moment().or_null(), "When it must have been verified."),
    )
}

pub(in crate::api) fn bundle_told() -> Object {
    Object::new(
        "case_bundle",
        "A case with everything that belongs to it.",
        Fields::new()
            .field("id", id("case"), "")
            .field("case", object("case"), "")
            .field("charge", object("charge"), "")
            .field("disputes", list(object("dispute")), "")
            .field(
                "intact",
                boolean().or_null(),
                "It is as it was sealed; null while it is not archived.",
            )
            .field("journals", list(open_object()), "What its money did to the books.")
            .field("merchant", open_object(), "")
            .field("payment_intent", object("payment_intent"), "")
            .field("refunds", list(object("refund")), "")
            .field("retained_until", moment().or_null(), "")
            .field("seal", text().or_null(), ""),
    )
}

fn decision_told() -> Fields {
    Fields::new()
        .field("approver", text().or_null(), "")
        .field("basis", text().or_null(), "")
        .field("borne_by", choice(Bearer::WORDS), "")
        .field("compensation", minor_units(), "Beyond the price.")
        .field("created", moment(), "")
        .field("evidence", list(text()), "")
        .field("goods_received", boolean(), "")
        .field("officer", text(), "")
        .field("reasons", text(), "")
        .field("refund", minor_units(), "")
        .field("remedy", choice(Remedy::WORDS), "")
        .field("shipment", text().or_null(), "")
}

fn decided() -> Fields {
    Fields::new()
        .field(
            "amount",
            amount(),
            "What is refunded; for `refund_full` everything that can be.",
        )
        .field(
            "compensation",
            amount(),
            "Beyond the price, by bank: with `basis` and `approver`.",
        )
        .field(
            "borne_by",
            choice(&["merchant", "platform", "advance"]),
            "Who pays; the merchant when not given.",
        )
        .field("reasons", words(), "For both sides. Always needed.")
        .field(
            "evidence",
            list(id_asked("cae")),
            "Ids of entries of the timeline. A decision needs one at least.",
        )
        .field("basis", words(), "The rule and the calculation of compensation.")
        .field(
            "approver",
            person(),
            "The second person, where money beyond the price or of the platform is given.",
        )
}

fn speaker() -> Fields {
    Fields::new()
        .field(
            "by",
            choice(&["consumer", "merchant", "platform"]),
            "Who speaks; a merchant's key speaks for the merchant alone.",
        )
        .and(officer())
}

fn officer() -> Fields {
    Fields::new().field(
        "officer",
        person(),
        "The person, where a key acts for several; the key itself when not given.",
    )
}

fn words() -> Schema {
    text_up_to(5000)
}

fn person() -> Schema {
    text_up_to(100).example("ann")
}

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
