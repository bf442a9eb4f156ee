//! The pack on paper: A4, headings and lines, so that an issuer's clerk can read it. Pure.
//!
//! Latin text is Helvetica, everything else a standard Chinese face that readers bring along: no font is embedded. It must never leave a
//! line out because it is long: lines are broken, pages follow.

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use serde_json::Value;

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
const MARGIN: f32 = 56.0;
const SIZE: f32 = 9.5;
const LEADING: f32 = 13.5;
/// Half an em fits about this often into a line.
const HALVES: usize = 98;
const LATIN: Name<'static> = Name(b"F1");
const HAN: Name<'static> = Name(b"F2");

/// The document.
pub fn render(pack: &Value) -> Vec<u8> {
    let mut lines = Vec::new();
    lines.push((true, format!("Evidence for dispute {}", word(&pack["dispute"]))));
    for (name, value) in pack.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "object" | "dispute" | "suggested_evidence") || value.is_null() {
            continue;
        }
        lines.push((true, title(name)));
        tell(value, 0, &mut lines);
    }
    document(&lines)
}

/// A value as indented lines: objects by name, lists by number.
fn tell(value: &Value, depth: usize, lines: &mut Vec<(bool, String)>) {
    let indent = "  ".repeat(depth);
    let mut entry = |name: String, value: &Value| match value {
        Value::Null => {}
        Value::Object(_) | Value::Array(_) => {
            lines.push((false, format!("{indent}{name}:")));
            tell(value, depth + 1, lines);
        }
        simple => lines.push((false, format!("{indent}{name}: {}", shown(&name, simple)))),
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| entry(title(name), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, value)| entry((n + 1).to_string(), value)),
        simple => lines.push((false, format!("{indent}{}", shown("", simple)))),
    }
}

/// Moments as dates, the rest as it is; amounts are minor units and say so.
fn shown(name: &str, value: &Value) -> String {
    let moment = matches!(name, "Created" | "Made" | "Sent" | "Due by");
    if let (true, Some(seconds)) = (moment, value.as_i64())
        && let Ok(at) = jiff::Timestamp::from_second(seconds)
    {
        return at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    }
    let unit = if name == "Amount" || name.ends_with("price") {
        " (minor units)"
    } else {
        ""
    };
    format!("{}{unit}", word(value))
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `receipt_number` as `Receipt number`.
fn title(name: &str) -> String {
    let spaced = name.replace('_', " ");
    let mut chars = spaced.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Breaks a text where it is too long, between words if it can.
fn broken(text: &str) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        let width = if c.is_ascii() { 1 } else { 2 };
        if used + width > HALVES {
            let rest = match line.rfind(' ').filter(|at| *at > line.len() / 2) {
                Some(at) => line.split_off(at).trim_start().to_owned(),
                None => String::new(),
            };
            used = rest.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            lines.push(std::mem::replace(&mut line, rest));
        }
        line.push(c);
        used += width;
    }
    lines.push(line);
    lines
}

fn document(lines: &[(bool, String)]) -> Vec<u8> {
    let mut pages = vec![Content::new()];
    let mut y = HEIGHT - MARGIN;
    for (heading, text) in lines {
        if *heading {
            y -= LEADING / 2.0;
        }
        for line in broken(text) {
            if y < MARGIN {
                pages.push(Content::new());
                y = HEIGHT - MARGIN;
            }
            if let Some(page) = pages.last_mut() {
                write(page, y, *heading, &line);
            }
            y -= LEADING;
        }
    }
    let mut ids = (1..).map(Ref::new);
    let mut next = || ids.next().unwrap_or(Ref::new(i32::MAX));
    let (catalog, tree, latin, han, cid, descriptor) = (next(), next(), next(), next(), next(), next());
    let ids: Vec<(Ref, Ref)> = pages.iter().map(|_| (next(), next())).collect();
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    pdf.pages(tree)
        .kids(ids.iter().map(|(page, _)| *page))
        .count(ids.len() as i32);
    for ((id, stream), content) in ids.iter().zip(pages) {
        let mut page = pdf.page(*id);
        page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT))
            .parent(tree)
            .contents(*stream);
        page.resources().fonts().pair(LATIN, latin).pair(HAN, han);
        page.finish();
        pdf.stream(*stream, &content.finish());
    }
    pdf.type1_font(latin)
        .base_font(Name(b"Helvetica"))
        .encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.type0_font(han)
        .base_font(Name(b"STSong-Light-UniGB-UCS2-H"))
        .encoding_predefined(Name(b"UniGB-UCS2-H"))
        .descendant_font(cid);
    pdf.cid_font(cid)
        .subtype(CidFontType::Type0)
        .base_font(Name(b"STSong-Light"))
        .system_info(SystemInfo {
            registry: Str(b"Adobe"),
            ordering: Str(b"GB1"),
            supplement: 2,
        })
        .font_descriptor(descriptor)
        .default_width(1000.0);
    pdf.font_descriptor(descriptor)
        .name(Name(b"STSong-Light"))
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(-25.0, -254.0, 1000.0, 880.0))
        .italic_angle(0.0)
        .ascent(880.0)
        .descent(-120.0)
        .cap_height(880.0)
        .stem_v(93.0);
    pdf.finish()
}

fn write(page: &mut Content, y: f32, heading: bool, line: &str) {
    let size = if heading { SIZE + 2.0 } else { SIZE };
    page.begin_text();
    if line.is_ascii() {
        page.set_font(LATIN, size)
            .next_line(MARGIN, y)
            .show(Str(line.as_bytes()));
    } else {
        // Two bytes a character; what lies beyond that plane is shown as a question mark.
        let codes: Vec<u8> = line
            .chars()
            .flat_map(|c| u16::try_from(u32::from(c)).unwrap_or(u16::from(b'?')).to_be_bytes())
            .collect();
        page.set_font(HAN, size).next_line(MARGIN, y).show(Str(&codes));
    }
    page.end_text();
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::payment::rows::Charge;
    use serde_json::json;

    /// A charge of a customer from a known device.
    pub fn charge() -> Charge {
        serde_json::from_value(json!({
            "book_id": 1, "id": "ch_1", "version": 1, "payment_id": "pi_1", "status": "succeeded", "amount": 100, "currency": "usd",
            "amount_captured": 100, "amount_refunded": 0, "captured": true, "disputed": true, "capture_wanted": true,
            "payment_method_id": "pm_1", "customer_id": "cus_1", "connector": "stripe", "acquirer_id": null, "acquirer_reference": null,
            "hold_id": null, "fee": 0, "balance_transaction_id": null, "failure_code": null, "decline_code": null,
            "failure_message": null,
            "card": {"brand": "visa", "bin": "424242", "last4": "4242", "exp_month": 1, "exp_year": 2030, "fingerprint": "F",
                     "funding": "credit", "country": "US"},
            "risk": {"decision": "allow", "score": 1, "level": "normal"},
            "context": {"ip": "192.0.2.1", "device": 7}, "authentication": null, "operations": 0, "routing": {}, "mismatch": null,
            "request_key": null, "swept": 0, "check_at": null, "receipt_url": null, "created_at": "2026-01-01T00:00:00Z"
        }))
        .expect("a row")
    }

    #[test]
    fn every_line_is_on_some_page_and_long_ones_are_broken() {
        let items: Vec<Value> = (0..200)
            .map(|n| json!({"name": format!("item-{n}"), "quantity": 1}))
            .collect();
        let pack = json!({"object": "x", "dispute": "du_1", "line_items": items, "policy": {"text": "word ".repeat(100)}, "none": null});
        let file = render(&pack);
        assert!(file.starts_with(b"%PDF-"));
        let text = String::from_utf8_lossy(&file);
        for n in 0..200 {
            assert!(text.contains(&format!("item-{n})")), "{n}");
        }
        assert_eq!(
            text.matches("(word").count(),
            broken(&"word ".repeat(100)).len() - 1,
            "continued lines begin with a word"
        );
        assert!(
            text.contains("/Count 1") && !text.contains("/Count 1\n"),
            "more than nine pages"
        );
        assert!(
            broken(&"字".repeat(300))
                .iter()
                .all(|line| line.chars().count() <= HALVES / 2)
        );
        assert_eq!(broken(&"x".repeat(500)).concat(), "x".repeat(500), "nothing is lost");
    }

    #[test]
    fn moments_are_dates_and_amounts_say_their_unit() {
        assert_eq!(shown("Created", &json!(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown("Amount", &json!(1234)), "1234 (minor units)");
        assert_eq!(title("network_reason_code"), "Network reason code");
    }
}
