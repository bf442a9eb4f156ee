//! `/v1/audit_events` described.

use super::operation::Operation;
use super::schema::*;

pub(in crate::api) fn index() -> Operation {
    Operation::list("List audit events", "audit_event")
        .about(
            "Who did what with the account: every privileged act, also refused ones, and every read of protected data. With a \
             platform's key and no Stripe-Account header: of all accounts, and of operators' commands. Not a call of Stripe's.",
        )
        .takes(
            Fields::new()
                .field("actor", text_up_to(255), "By this key or operator.")
                .field("object_id", text_up_to(255), "About this object."),
        )
}

pub(in crate::api) fn retrieve() -> Operation {
    Operation::new("Retrieve an audit event", "audit_event").about("Not a call of Stripe's.")
}

pub(in crate::api) fn audit_event() -> Object {
    Object::new(
        "audit_event",
        "A line of the audit log, which nobody can change.",
        Fields::new()
            .field("id", id("aud"), "")
            .field("action", text(), "The route or the command, without its parameters.")
            .field("actor", text(), "Id of the key, `operator:NAME@HOST`, or `system`.")
            .field("created", moment(), "")
            .field("detail", text().or_null(), "Status and code of the answer.")
            .field("livemode", boolean(), "")
            .field("object_id", text().or_null(), "What it was done to.")
            .field("of_platform", boolean(), "It is no merchant's affair.")
            .field("origin", text().or_null(), "The address it came from.")
            .field("request_id", text().or_null(), "")
            .field(
                "result",
                choice(&["begun", "done", "refused", "failed"]),
                "`begun`: it went on, and another event tells its end.",
            )
            .field(
                "role",
                text(),
                "What the actor may do: kind and scopes of the key, or role in the database.",
            ),
    )
}
