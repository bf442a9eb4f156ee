//! What one route takes and gives.

use super::schema::{Fields, Schema, choice, id_asked, integer_from, list, moment_asked, object, text_up_to};
use serde_json::{Value, json};

/// The description of one route; everything that follows from the route itself is added by [`mod@super::document`].
#[derive(Clone, Debug)]
pub struct Operation {
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) takes: Fields,
    pub(super) gives: Value,
    pub(super) example: Option<Value>,
    pub(super) declines: bool,
    pub(super) files: &'static [&'static str],
    pub(super) multipart: bool,
}

impl Operation {
    /// `summary` in a few words, as an imperative; `gives` is the name of an object.
    pub fn new(summary: &'static str, gives: &str) -> Self {
        Self::giving(summary, object(gives))
    }

    /// The same for an answer that is not one listed object.
    pub fn giving(summary: &'static str, gives: Schema) -> Self {
        Self {
            summary,
            about: "",
            takes: Fields::new(),
            gives: gives.0,
            example: None,
            declines: false,
            files: &[],
            multipart: false,
        }
    }

    /// The body is `multipart/form-data`, with a file in it.
    #[must_use]
    pub fn multipart(mut self) -> Self {
        self.multipart = true;
        self
    }

    /// A list of these objects, newest first, by pages and by time.
    pub fn list(summary: &'static str, of: &str) -> Self {
        Self::list_of(summary, object(of)).takes(created())
    }

    /// A list without a filter by time.
    pub fn list_of(summary: &'static str, of: Schema) -> Self {
        let list = Fields::new()
            .field("object", super::schema::always("list"), "")
            .field("data", list(of), "At most `limit` objects, newest first.")
            .field(
                "has_more",
                super::schema::boolean(),
                "Whether more follow in the direction of travel.",
            )
            .field("url", text_up_to(5000), "Where this list is.");
        Self::giving(summary, super::schema::part(list)).takes(paging())
    }

    /// A search over these objects, newest first, by pages.
    pub fn search(summary: &'static str, of: &str, example: &str) -> Self {
        let found = Fields::new()
            .field("object", super::schema::always("search_result"), "")
            .field("data", list(object(of)), "At most `limit` objects, newest first.")
            .field("has_more", super::schema::boolean(), "Whether there is another page.")
            .field("next_page", text_up_to(255).or_null(), "Its name: give it as `page`.")
            .field("url", text_up_to(5000), "Where this search is.");
        let asked = Fields::new()
            .required(
                "query",
                text_up_to(2000).example(example),
                "In Stripe's search query language.",
            )
            .field(
                "limit",
                integer_from(1, 100).example(10),
                "How many at most; 10 when not given.",
            )
            .field("page", text_up_to(255), "The `next_page` of the answer before.");
        Self::giving(summary, super::schema::part(found))
            .about(
                "Clauses `field:'value'`, joined by AND or by OR and negated by a leading `-`; `~` finds a part of a text, `>` `>=` \
                 `<` `<=` compare numbers, `null` is what is not there. Objects are found as soon as they are made.",
            )
            .takes(asked)
    }

    /// More about it than fits into its summary.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Parameters: of the body for POST, of the query otherwise.
    #[must_use]
    pub fn takes(mut self, fields: Fields) -> Self {
        self.takes = self.takes.and(fields);
        self
    }

    /// Media types of files that the answer may be instead.
    #[must_use]
    pub fn files(mut self, types: &'static [&'static str]) -> Self {
        self.files = types;
        self
    }

    /// A request that works.
    #[must_use]
    pub fn example(mut self, body: Value) -> Self {
        self.example = Some(body);
        self
    }

    /// It can end in a 402: the card, not the request, was refused.
    #[must_use]
    pub fn may_decline(mut self) -> Self {
        self.declines = true;
        self
    }
}

fn paging() -> Fields {
    Fields::new()
        .field(
            "limit",
            integer_from(1, 100).example(10),
            "How many at most; 10 when not given.",
        )
        .field(
            "starting_after",
            id_asked("pi"),
            "The id after which the page begins: the last of the page before.",
        )
        .field(
            "ending_before",
            id_asked("pi"),
            "The id before which the page ends; not together with starting_after.",
        )
}

fn created() -> Fields {
    let at = moment_asked;
    Fields::new()
        .field("created", at(), "Made in this second (Unix time).")
        .field("created[gt]", at(), "Made after this second.")
        .field("created[gte]", at(), "Made in this second or later.")
        .field("created[lt]", at(), "Made before this second.")
        .field("created[lte]", at(), "Made in this second or earlier.")
}

/// The error envelope, in the form of every answer that is not a success.
pub(super) fn error() -> Value {
    let types = ["api_error", "card_error", "idempotency_error", "invalid_request_error"];
    let text = || text_up_to(5000);
    let envelope = Fields::new()
        .field("type", choice(&types), "What kind of error it is.")
        .field("message", text(), "For people: what is wrong and what to do.")
        .seldom("code", text(), "For programs: why.")
        .seldom("doc_url", text(), "More about the code.")
        .seldom("param", text(), "The parameter that is wrong, in bracket form.")
        .seldom(
            "position",
            super::schema::part(Fields::new().field("line", integer_from(1, 10_000), "").field(
                "column",
                integer_from(1, 10_000),
                "",
            )),
            "Where in the condition of a rule.",
        )
        .seldom(
            "decline_code",
            text().or_null(),
            "The issuer's reason, for a declined card.",
        )
        .seldom("charge", text(), "The attempt that was declined.")
        .seldom("payment_intent", object("payment_intent"), "The payment as it is now.")
        .seldom("setup_intent", object("setup_intent"), "The setup intent as it is now.")
        .seldom(
            "payment_method",
            object("payment_method").or_null(),
            "What was to be paid with.",
        );
    let schema = Fields::new().field("error", super::schema::part(envelope), "").told();
    let mut schema = json!(schema);
    schema["title"] = "error".into();
    schema["description"] = "Every answer that is not a success has this form.".into();
    schema
}
