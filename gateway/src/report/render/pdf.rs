//! A report on paper: A4 landscape, one fixed-width font that every reader has, headings on each page, pages numbered.
//!
//! Amounts are never cut; long words are, with `~`. Letters outside Latin-1 are shown by their code point: the font has no others.
//! It must never put a date of making or a random id into the file.

use super::{Cell, Kind, Made};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

/// The file.
pub(super) fn render(made: &Made) -> Vec<u8> {
    let lines = table(made);
    let (head, rows) = lines.split_at(1);
    let mut above: Vec<String> = made
        .heading()
        .into_iter()
        .map(|(label, words)| cut(&format!("{label}: {words}"), WIDTH))
        .collect();
    above.push(String::new());
    above.extend(head.iter().cloned());
    above.push("-".repeat(head.first().map_or(0, |line| line.chars().count())));
    let per_page = LINES.saturating_sub(above.len() + 2).max(1);
    let mut pages: Vec<&[String]> = rows.chunks(per_page).collect();
    if pages.is_empty() {
        pages.push(&[]);
    }
    write(made.report.title, &above, &pages)
}

/// The rows in columns, the names first.
fn table(made: &Made) -> Vec<String> {
    let columns = made.report.columns;
    let mut rows = vec![columns.iter().map(|column| column.name.to_owned()).collect::<Vec<_>>()];
    rows.extend(made.rows.iter().map(|row| row.iter().map(shown).collect::<Vec<_>>()));
    let mut widths = vec![0; columns.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // What is too wide is taken from the widest column of words, again and again.
    while widths.iter().sum::<usize>() + 2 * widths.len() > WIDTH {
        let words = columns
            .iter()
            .zip(widths.iter_mut())
            .filter(|(column, _)| column.kind == Kind::Text);
        match words.map(|(_, width)| width).filter(|width| **width > NARROWEST).max() {
            Some(width) => *width -= 1,
            None => break,
        }
    }
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(columns) {
            let cell = cut(cell, *width);
            line.push_str(&match column.kind {
                Kind::Money | Kind::Count => format!("{cell:>width$}  "),
                _ => format!("{cell:<width$}  "),
            });
        }
        line.trim_end().to_owned()
    });
    lines.collect()
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Moment(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        cell => cell.words(),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('~');
    short
}

fn write(title: &str, above: &[String], pages: &[&[String]]) -> Vec<u8> {
    let mut pdf = Pdf::new();
    let (catalog, tree, font) = (Ref::new(1), Ref::new(2), Ref::new(3));
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let page_of = |n: usize| Ref::new(number(5 + 2 * n));
    let content_of = |n: usize| Ref::new(number(6 + 2 * n));
    pdf.catalog(catalog).pages(tree);
    pdf.pages(tree)
        .kids((0..pages.len()).map(page_of))
        .count(number(pages.len()));
    pdf.type1_font(font)
        .base_font(Name(b"Courier"))
        .encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.document_info(Ref::new(4)).title(pdf_writer::TextStr(title));
    for (n, rows) in pages.iter().enumerate() {
        let mut page = pdf.page(page_of(n));
        page.media_box(Rect::new(0.0, 0.0, 842.0, 595.0));
        page.parent(tree);
        page.contents(content_of(n));
        page.resources().fonts().pair(Name(b"F"), font);
        page.finish();
        let mut content = Content::new();
        content.begin_text();
        content.set_font(Name(b"F"), 7.0);
        content.set_leading(9.0);
        content.set_text_matrix([1.0, 0.0, 0.0, 1.0, 36.0, 551.0]);
        let foot = format!("page {} of {}", n + 1, pages.len());
        let ends = [String::new(), foot];
        for line in above.iter().chain(*rows).chain(&ends) {
            content.show(Str(&latin(line)));
            content.next_line_using_leading();
        }
        content.end_text();
        pdf.stream(content_of(n), &content.finish());
    }
    pdf.finish()
}

/// In the font's own encoding, which is Latin-1 for what it shares with it.
fn latin(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            code @ (0x20..=0x7e | 0xa0..=0xff) => bytes.push(code as u8),
            code => bytes.extend(format!("<U+{code:04X}>").bytes()),
        }
    }
    bytes
}

/// Characters in a line: 770 points of 4.2 each.
const WIDTH: usize = 183;
/// Lines on a page: 523 points of 9 each.
const LINES: usize = 58;
/// Words are not cut to less.
const NARROWEST: usize = 8;
