//! The reference as one page: rendered here, from the document alone, without a script or anything from elsewhere.

use serde_json::Value;
use std::fmt::Write;

/// Nothing is loaded and nothing runs; the page's own style is all there is.
pub(super) const CONTENT_SECURITY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page.
pub(super) fn render(document: &Value) -> String {
    let mut page = Page(String::with_capacity(512 * 1024));
    let info = &document["info"];
    page.raw("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    page.text(text(&info["title"]));
    page.raw(" API reference</title><meta name=\"viewport\" content=\"width=device-width\"><style>");
    page.raw(STYLE);
    page.raw("</style></head><body>");
    page.contents(document);
    page.raw("<main><h1>");
    page.text(text(&info["title"]));
    page.raw(" API reference</h1><p>Version ");
    page.text(text(&info["version"]));
    page.raw(". The same for programs: <a href=\"/openapi.json\">openapi.json</a>.</p>");
    page.prose(text(&info["description"]));
    for name in tags(document) {
        page.section(name);
        for (path, method, operation) in operations(document, name) {
            page.operation(path, method, operation, document);
        }
    }
    page.section("objects");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        page.object(name, schema);
    }
    page.raw("</main></body></html>");
    page.0
}

/// HTML under construction; what is not markup goes through [`Page::text`].
struct Page(String);

impl Page {
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    /// Paragraphs with `code` in back quotes.
    fn prose(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
            self.raw("<p>");
            self.inline(paragraph);
            self.raw("</p>");
        }
    }

    fn inline(&mut self, text: &str) {
        for (number, piece) in text.split('`').enumerate() {
            let code = number % 2 == 1;
            self.raw(if code { "<code>" } else { "" });
            self.text(piece);
            self.raw(if code { "</code>" } else { "" });
        }
    }

    fn contents(&mut self, document: &Value) {
        self.raw("<nav><ul>");
        for name in tags(document) {
            self.link(name, name);
            self.raw("<ul>");
            for (_, _, operation) in operations(document, name) {
                self.link(text(&operation["operationId"]), text(&operation["summary"]));
                self.raw("</li>");
            }
            self.raw("</ul></li>");
        }
        self.link("objects", "objects");
        self.raw("</li></ul></nav>");
    }

    fn link(&mut self, anchor: &str, label: &str) {
        self.raw("<li><a href=\"#");
        self.text(anchor);
        self.raw("\">");
        self.text(label);
        self.raw("</a>");
    }

    fn section(&mut self, name: &str) {
        self.raw("<h2 id=\"");
        self.text(name);
        self.raw("\">");
        self.text(name);
        self.raw("</h2>");
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value, document: &Value) {
        self.raw("<article id=\"");
        self.text(text(&operation["operationId"]));
        self.raw("\"><h3>");
        self.text(text(&operation["summary"]));
        self.raw("</h3><p class=\"route\"><b>");
        self.text(&method.to_uppercase());
        self.raw("</b> ");
        self.text(path);
        self.raw("</p>");
        self.prose(text(&operation["description"]));
        let media = &operation["requestBody"]["content"]["application/json"];
        let of_query = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query");
        let of_query: Vec<_> = of_query
            .map(|p| {
                (
                    text(&p["name"]),
                    &p["schema"],
                    text(&p["description"]),
                    p["required"] == true,
                )
            })
            .collect();
        let of_body = fields(&media["schema"]);
        let (place, all) = if media.is_null() {
            ("Query", of_query)
        } else {
            ("Body", of_body)
        };
        self.table(place, &all);
        if !media["example"].is_null() {
            self.example("Request", &media["example"]);
        }
        let answer = &operation["responses"]["200"]["content"]["application/json"];
        self.raw("<p>Gives ");
        self.kind(&answer["schema"]);
        self.raw(".</p><details><summary>Refusals</summary><dl>");
        for status in operation["responses"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(status, _)| status)
            .filter(|s| *s != "200")
        {
            self.raw("<dt>");
            self.text(status);
            self.raw("</dt><dd>");
            self.inline(text(&document["components"]["responses"][status]["description"]));
            self.raw("</dd>");
        }
        self.raw("</dl></details></article>");
    }

    fn object(&mut self, name: &str, schema: &Value) {
        self.raw("<article id=\"object-");
        self.text(name);
        self.raw("\"><h3>");
        self.text(name);
        self.raw("</h3>");
        self.prose(text(&schema["description"]));
        self.table("Field", &fields(schema));
        self.raw("<details><summary>Example</summary>");
        self.example("", &schema["examples"][0]);
        self.raw("</details></article>");
    }

    fn example(&mut self, title: &str, value: &Value) {
        if !title.is_empty() {
            self.raw("<p>");
            self.text(title);
            self.raw(":</p>");
        }
        self.raw("<pre>");
        self.text(&format!("{value:#}"));
        self.raw("</pre>");
    }

    fn table(&mut self, title: &str, rows: &[(&str, &Value, &str, bool)]) {
        if rows.is_empty() {
            return;
        }
        self.raw("<table><thead><tr><th>");
        self.text(title);
        self.raw("</th><th>Type</th><th></th></tr></thead><tbody>");
        for (name, schema, about, required) in rows {
            self.row(name, schema, about, *required);
            for (inner, schema, about, _) in fields(schema).into_iter().chain(fields(&schema["anyOf"][0])) {
                self.row(&format!("{name}[{inner}]"), schema, about, false);
            }
        }
        self.raw("</tbody></table>");
    }

    fn row(&mut self, name: &str, schema: &Value, about: &str, required: bool) {
        self.raw("<tr><td><code>");
        self.text(name);
        self.raw("</code></td><td>");
        self.kind(schema);
        self.raw(if required { ", required" } else { "" });
        self.raw("</td><td>");
        self.inline(about);
        self.raw("</td></tr>");
    }

    /// The type in a few words, with a link where it is an object of this page.
    fn kind(&mut self, schema: &Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|at| at.rsplit('/').next()) {
            self.raw("<a href=\"#object-");
            self.text(name);
            self.raw("\">");
            self.text(name);
            return self.raw("</a>");
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            return self.text(&words.join(" | "));
        }
        if let Some(all) = schema["anyOf"].as_array() {
            for (number, one) in all.iter().enumerate() {
                self.raw(if number > 0 { " or " } else { "" });
                self.kind(one);
            }
            return;
        }
        if schema["items"].is_object() {
            self.raw("list of ");
            return self.kind(&schema["items"]);
        }
        if let data @ Value::Object(_) = &schema["properties"]["data"]["items"] {
            self.raw("a list of ");
            return self.kind(data);
        }
        match &schema["type"] {
            Value::String(one) => self.text(one),
            Value::Array(all) => {
                let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                self.text(&all.join(" or "));
            }
            _ if !schema["const"].is_null() => {
                let _ = write!(self.0, "always ");
                self.text(&schema["const"].to_string());
            }
            _ => self.raw("anything"),
        }
    }
}

fn fields(schema: &Value) -> Vec<(&str, &Value, &str, bool)> {
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one == name))
    };
    let told = schema["title"].is_string(); // of an object all are there: not worth a word
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, schema)| {
            (
                name.as_str(),
                schema,
                text(&schema["description"]),
                !told && required(name),
            )
        })
        .collect()
}

fn tags(document: &Value) -> impl Iterator<Item = &str> {
    document["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tag| text(&tag["name"]))
}

fn operations<'a>(document: &'a Value, tag: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .into_iter()
                .flatten()
                .map(|(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .filter(move |(_, _, operation)| operation["tags"][0] == tag)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{margin:0;font:16px/1.5 system-ui,sans-serif;display:grid;grid-template-columns:18rem 1fr}\
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1rem;box-sizing:border-box;font-size:.85rem}\
nav ul{list-style:none;padding-left:.8rem;margin:0}main{padding:1rem 2rem;max-width:60rem}\
h2{margin-top:3rem;border-bottom:1px solid}article{margin:2rem 0}.route,code,pre{font-family:ui-monospace,monospace}\
code,pre{font-size:.85em}pre{overflow:auto;padding:.8rem;border:1px solid #8886;border-radius:.3rem}\
table{border-collapse:collapse;width:100%;font-size:.85rem}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;\
border-bottom:1px solid #8884}td:nth-child(2){max-width:16rem;overflow-wrap:anywhere}dt{float:left;width:3rem;font-weight:bold}\
@media(max-width:50rem){body{display:block}nav{position:static;height:auto}}";
