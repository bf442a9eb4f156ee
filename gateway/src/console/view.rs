//! What a page shows, as data: a page names its tables, facts and forms, and one set of templates draws them.
//!
//! Everything that is text here is escaped there; nothing here is HTML. A page can therefore not forget to escape, to label a
//! field or to carry the form's token.

mod drawn;
mod frame;

pub use drawn::{Bar, Chart, Graph, Node};
pub use frame::{Frame, Group, Item, Page, Words};

/// A page.
#[derive(Debug, Default)]
pub struct View {
    /// what it is
    pub title: String,
    /// under the title, where it is not plain
    pub lead: String,
    /// the way back
    pub crumbs: Vec<(String, String)>,
    /// top to bottom
    pub sections: Vec<Section>,
    /// shows what changes: it is drawn again when something did
    pub live: bool,
}

impl View {
    /// A page with this title.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// With a line under the title.
    #[must_use]
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = lead.into();
        self
    }

    /// With a way back.
    #[must_use]
    pub fn crumb(mut self, href: impl Into<String>, text: impl Into<String>) -> Self {
        self.crumbs.push((href.into(), text.into()));
        self
    }

    /// With a section.
    #[must_use]
    pub fn with(mut self, section: impl Into<Section>) -> Self {
        self.sections.push(section.into());
        self
    }

    /// With a section, if there is one.
    #[must_use]
    pub fn with_some(mut self, section: Option<impl Into<Section>>) -> Self {
        self.sections.extend(section.map(Into::into));
        self
    }

    /// Drawn again when something changed.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }
}

/// A part of a page.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Section {
    Notice(Notice),
    Tiles(Vec<Tile>),
    Chart(Chart),
    Facts(Facts),
    Table(Table),
    Filter(Filter),
    Form(Form),
    /// forms beside each other: the acts that are possible now
    Acts(Acts),
    Graph(Graph),
    /// preformatted, as it is
    Text {
        title: String,
        text: String,
    },
}

macro_rules! sections {
    ($($variant:ident($of:ty)),+ $(,)?) => {$(
        impl From<$of> for Section {
            fn from(part: $of) -> Self {
                Section::$variant(part)
            }
        }
    )+};
}
sections!(
    Notice(Notice),
    Tiles(Vec<Tile>),
    Chart(Chart),
    Facts(Facts),
    Table(Table),
    Filter(Filter),
    Form(Form),
    Acts(Acts),
    Graph(Graph)
);

/// How something stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// neither
    #[default]
    Plain,
    /// well
    Good,
    /// look at it
    Warn,
    /// badly
    Bad,
    /// on its way
    Open,
}

impl Tone {
    /// Its class in the stylesheet.
    pub fn class(&self) -> &'static str {
        match self {
            Tone::Plain => "plain",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Open => "open",
        }
    }

    /// Of a status word, of whatever object.
    pub fn of(status: &str) -> Self {
        match status {
            "succeeded" | "paid" | "won" | "active" | "enabled" | "done" | "approved" | "allow" | "normal"
            | "delivered" | "lifted" | "reinstated" | "ok" | "closed_ok" | "resolved" | "matched" => Tone::Good,
            "failed" | "lost" | "suspended" | "offboarded" | "block" | "highest" | "returned" | "revoked"
            | "refused" | "overdue" | "disabled" | "withdrawn" | "unknown" | "mismatched" | "expired" => Tone::Bad,
            "needs_response"
            | "warning_needs_response"
            | "requires_capture"
            | "review"
            | "elevated"
            | "restricted"
            | "shadow"
            | "challenge"
            | "requires_action" => Tone::Warn,
            "processing"
            | "pending"
            | "in_transit"
            | "under_review"
            | "warning_under_review"
            | "open"
            | "submitted"
            | "begun" => Tone::Open,
            _ => Tone::Plain,
        }
    }
}

/// A remark for the reader.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Notice {
    pub tone: Tone,
    pub text: String,
}

impl Notice {
    /// A remark.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

/// A number that matters.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Tile {
    pub label: String,
    pub value: String,
    pub note: String,
    pub tone: Tone,
    pub href: String,
}

impl Tile {
    /// A number with what it counts.
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            value: value.into(),
            note: String::new(),
            tone: Tone::Plain,
            href: String::new(),
        }
    }

    /// With a line under it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// How it stands.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Where it leads.
    #[must_use]
    pub fn href(mut self, href: impl Into<String>) -> Self {
        self.href = href.into();
        self
    }
}

/// What is said of one object: labels with values.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Facts {
    pub title: String,
    pub facts: Vec<(String, Vec<Cell>)>,
}

impl Facts {
    /// With this heading; none if it is empty.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            facts: Vec::new(),
        }
    }

    /// With a fact.
    #[must_use]
    pub fn fact(mut self, label: impl Into<String>, value: impl Into<Cell>) -> Self {
        self.facts.push((label.into(), vec![value.into()]));
        self
    }

    /// With a fact, if there is one.
    #[must_use]
    pub fn fact_some(self, label: impl Into<String>, value: Option<impl Into<Cell>>) -> Self {
        match value {
            Some(value) => self.fact(label, value),
            None => self,
        }
    }

    /// With a fact of several values.
    #[must_use]
    pub fn fact_many(mut self, label: impl Into<String>, values: Vec<Cell>) -> Self {
        if !values.is_empty() {
            self.facts.push((label.into(), values));
        }
        self
    }
}

/// A list.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// said when there are none
    pub empty: String,
    /// the next page of older rows
    pub older: String,
    pub older_text: String,
    /// back to the newest
    pub newest: String,
    pub newest_text: String,
}

/// A column.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Column {
    pub label: String,
    pub right: bool,
}

/// A row; its first link is what Enter opens.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Row {
    pub cells: Vec<Vec<Cell>>,
    pub forms: Vec<Form>,
}

impl Table {
    /// A list with these columns; a name that ends with `>` is drawn to the right.
    pub fn new(title: impl Into<String>, columns: &[String]) -> Self {
        Self {
            title: title.into(),
            columns: columns
                .iter()
                .map(|label| Column {
                    right: label.ends_with('>'),
                    label: label.trim_end_matches('>').to_owned(),
                })
                .collect(),
            ..Self::default()
        }
    }

    /// With a row.
    pub fn push(&mut self, cells: Vec<Cell>) {
        self.rows.push(Row {
            cells: cells.into_iter().map(|cell| vec![cell]).collect(),
            forms: Vec::new(),
        });
    }

    /// With a row that can be acted on.
    pub fn push_with(&mut self, cells: Vec<Cell>, forms: Vec<Form>) {
        self.push(cells);
        if let Some(row) = self.rows.last_mut() {
            row.forms = forms;
        }
    }

    /// Whether any row can be acted on.
    pub fn acts(&self) -> bool {
        self.rows.iter().any(|row| !row.forms.is_empty())
    }

    /// What is said when there is nothing.
    #[must_use]
    pub fn empty(mut self, text: impl Into<String>) -> Self {
        self.empty = text.into();
        self
    }

    /// Whether the cells of this column are drawn to the right.
    pub fn right(&self, index: &usize) -> bool {
        self.columns.get(*index).is_some_and(|column| column.right)
    }
}

/// A value.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Cell {
    Text(String),
    /// less important
    Quiet(String),
    /// an amount or a count
    Number(String),
    Link {
        href: String,
        text: String,
    },
    Badge {
        tone: Tone,
        text: String,
    },
    Time {
        iso: String,
        text: String,
    },
    /// an id or a condition
    Code(String),
    /// a share of 100, drawn
    Bar {
        percent: u8,
        text: String,
    },
    /// signed, around a middle
    Points {
        plus: bool,
        width: u8,
        text: String,
    },
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl Cell {
    /// A link.
    pub fn link(href: impl Into<String>, text: impl Into<String>) -> Self {
        Cell::Link {
            href: href.into(),
            text: text.into(),
        }
    }
}

/// A search above a list, by GET.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub action: String,
    pub fields: Vec<Field>,
    pub submit: String,
    pub clear: String,
    /// further ways out: an export
    pub links: Vec<(String, String)>,
}

/// An act, by POST.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Form {
    pub title: String,
    pub help: String,
    pub action: String,
    pub fields: Vec<Field>,
    pub submit: String,
    pub tone: Tone,
    /// the key that presses its button, where no field needs filling in first
    pub key: String,
    /// asked before
    pub confirm: String,
    /// set when it is drawn
    pub token: String,
    /// makes a second press of the button the same act
    pub once: String,
    /// a file goes along
    pub upload: bool,
}

impl Form {
    /// An act with its button.
    pub fn new(action: impl Into<String>, submit: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            submit: submit.into(),
            ..Self::default()
        }
    }

    /// With a heading.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// With an explanation.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With a field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// With a file.
    #[must_use]
    pub fn file(mut self, name: &str, label: impl Into<String>) -> Self {
        self.upload = true;
        self.field(Field::new(Kind::File, name, label).required())
    }

    /// With what goes along.
    #[must_use]
    pub fn hidden(self, name: &str, value: impl Into<String>) -> Self {
        self.field(Field::new(Kind::Hidden, name, "").value(value))
    }

    /// How it looks.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// The key that presses it.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    /// Asked before.
    #[must_use]
    pub fn confirm(mut self, question: impl Into<String>) -> Self {
        self.confirm = question.into();
        self
    }
}

/// Acts beside each other.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Acts {
    pub title: String,
    pub forms: Vec<Form>,
}

/// A field of a form or a search.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Field {
    pub kind: Kind,
    pub name: String,
    pub label: String,
    pub value: String,
    pub help: String,
    pub required: bool,
    /// for password managers and phones
    pub autocomplete: &'static str,
    pub options: Vec<(String, String)>,
}

/// What is typed into a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    #[default]
    Text,
    Long,
    Password,
    Digits,
    Amount,
    Date,
    Choice,
    Hidden,
    Search,
    File,
}

impl Kind {
    /// `type` of the input.
    pub fn input(&self) -> &'static str {
        match self {
            Kind::Password => "password",
            Kind::Date => "date",
            Kind::Hidden => "hidden",
            Kind::Search => "search",
            Kind::File => "file",
            _ => "text",
        }
    }

    /// `inputmode` of the input.
    pub fn mode(&self) -> &'static str {
        match self {
            Kind::Digits => "numeric",
            Kind::Amount => "decimal",
            _ => "text",
        }
    }
}

impl Field {
    /// A field with its label.
    pub fn new(kind: Kind, name: &str, label: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            label: label.into(),
            ..Self::default()
        }
    }

    /// One of several.
    pub fn choice(name: &str, label: impl Into<String>, options: Vec<(String, String)>) -> Self {
        Self {
            options,
            ..Self::new(Kind::Choice, name, label)
        }
    }

    /// What it begins with.
    #[must_use]
    pub fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// It must be filled in.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With an explanation.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// What a password manager takes it for.
    #[must_use]
    pub fn autocomplete(mut self, what: &'static str) -> Self {
        self.autocomplete = what;
        self
    }
}
