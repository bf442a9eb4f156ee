//! The words of a rule, taken apart once and put together for every payment that it fires on. Must never fail: what
//! names no figure is said as it is written.

use std::fmt::Write;

/// A template with `{value}`, `{limit}` and `{listed}`.
#[derive(Debug, Clone)]
pub(super) struct Message(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Value,
    Limit,
    Listed,
}

impl Message {
    /// From the text of a rule.
    pub fn of(template: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::new(), template);
        let known = [
            ("{value}", Piece::Value),
            ("{limit}", Piece::Limit),
            ("{listed}", Piece::Listed),
        ];
        let next = |rest: &str| {
            let found = known
                .iter()
                .filter_map(|(mark, piece)| Some((rest.find(mark)?, mark.len(), piece.clone())));
            found.min_by_key(|(at, _, _)| *at)
        };
        while let Some((at, length, piece)) = next(rest) {
            pieces.push(Piece::Text(rest[..at].into()));
            pieces.push(piece);
            rest = &rest[at + length..];
        }
        pieces.push(Piece::Text(rest.into()));
        Message(pieces)
    }

    /// The sentence with its figures: whole numbers plainly, others with one decimal.
    pub fn with(&self, value: f64, limit: Option<f64>, listed: &str) -> String {
        let mut said = String::with_capacity(128);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => said.push_str(text),
                Piece::Value => figure(&mut said, value),
                Piece::Limit => limit.iter().for_each(|limit| figure(&mut said, *limit)),
                Piece::Listed => said.push_str(listed),
            }
        }
        said
    }
}

fn figure(said: &mut String, value: f64) {
    let decimals = usize::from(value.fract() != 0.0);
    let _ = write!(said, "{value:.decimals$}"); // a text takes everything
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_words_stand_where_the_rule_has_them() {
        let said = |template: &str| Message::of(template).with(20.5, Some(8.0), "card");
        assert_eq!(
            said("{value} cards (limit {limit}) of this {listed}"),
            "20.5 cards (limit 8) of this card"
        );
        assert_eq!(said("{limit}{limit}{value}"), "8820.5");
        assert_eq!(said("{Value} is } no {figure"), "{Value} is } no {figure");
        assert_eq!(said(""), "");
        assert_eq!(Message::of("over {limit}: {value}").with(3.0, None, ""), "over : 3");
    }
}
