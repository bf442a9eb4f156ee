//! What is around every page, and the page as a whole: the one template that everything goes through.

use super::{Notice, View};
use askama::Template;

/// Around every page: who is signed in and where they can go.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Frame {
    pub language: &'static str,
    pub theme: String,
    pub path: String,
    pub user: String,
    pub role: String,
    pub token: String,
    pub groups: Vec<Group>,
    pub flash: Option<Notice>,
    pub words: Words,
}

/// Pages that belong together in the navigation.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Group {
    pub label: String,
    pub items: Vec<Item>,
}

/// One way in.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Item {
    pub href: String,
    pub label: String,
    pub here: bool,
    /// which live count is beside it
    pub count: &'static str,
    /// after `g`
    pub key: &'static str,
}

/// Words of the frame itself.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Words {
    pub skip: String,
    pub menu: String,
    pub sign_out: String,
    pub settings: String,
    pub help: String,
    pub close: String,
    pub search: String,
    pub acts: String,
    pub shown_as_table: String,
    pub keys: Vec<(String, String)>,
    pub required: String,
}

/// The whole page.
#[derive(Template)]
#[template(path = "console/page.html")]
pub struct Page<'a> {
    /// around it
    pub frame: &'a Frame,
    /// what it shows
    pub view: &'a View,
}
