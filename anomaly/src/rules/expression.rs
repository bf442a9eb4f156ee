//! Conditions of rules: a typed part of the Common Expression Language, checked when they are saved and compiled once.
//!
//! The grammar is CEL's own (crate `cel`); what is kept of it is what can be answered in bounded time from one payment:
//! comparisons, `&&`, `||`, `!`, `?:`, arithmetic, `x in [..]`, `x in lists.name` and `given(x)`. Nothing loops, so a condition
//! costs no more than its length. What was not given (no device, no history) is a NaN: every comparison with it is false.
//! The compiled form (`chain`) reads the features in place, allocates nothing and cannot fail; 50 of CEL's own programs would
//! need more than the whole budget of an assessment (`benches/engine.rs`).
//!
//! Must never accept a name or a type that it does not know: the writer of a rule learns it when saving, not the buyer.

use super::chain::{Chain, Flag, Number, Operation, Order};
use crate::attempt::Attempt;
use crate::entity::Kind;
use crate::features::{FEATURES, Feature, Features, Unit};
use crate::lists::{Listed, Lists};
use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

/// Longest condition, in characters.
pub const CONDITION_MAX: usize = 2_000;
/// Most parts (names, numbers, operators) of one condition.
pub const PARTS_MAX: usize = 200;
/// Deepest nesting of a condition; the parser needs more stack than the evaluation.
const DEPTH_MAX: u16 = 32;

/// Why a condition is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong and what to write instead.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Character in that line, from 1.
    pub column: usize,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, character {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Mistake {}

/// What a condition can ask about one payment.
pub(crate) struct Facts<'a> {
    pub attempt: &'a Attempt,
    pub features: &'a Features,
    pub listed: &'a Listed<'a>,
    /// 0..=99; NaN when no model scored the payment.
    pub model_score: f64,
}

/// A condition, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    tests: Chain,
    /// The first feature compared with a constant: what the reason shows as value and limit.
    pub shown: Option<(Shown, Option<f64>)>,
    /// The lists asked about, with the kind of subject sought: what the reason names.
    pub lists: Vec<(Kind, u16)>,
}

impl Condition {
    /// Parses, checks and compiles.
    pub fn compile(source: &str, lists: &Lists) -> Result<Self, Mistake> {
        let length = source.chars().count();
        if length > CONDITION_MAX {
            let message = format!("A condition has at most {CONDITION_MAX} characters; this one has {length}.");
            return Err(Mistake {
                message,
                line: 1,
                column: 1,
            });
        }
        let parser = Parser::new()
            .max_recursion_depth(DEPTH_MAX)
            .error_recovery_limit(1)
            .enable_optional_syntax(false);
        let (tree, info) = parser
            .parse_with_source_info(source)
            .map_err(|errors| syntax(&errors))?;
        let mut compiler = Compiler {
            lists,
            info: &info,
            source,
            parts: 0,
            shown: None,
            asked: Vec::new(),
        };
        match compiler.compile(&tree)? {
            Typed::Flag(root) => Ok(Condition {
                tests: Chain::of(&root),
                shown: compiler.shown,
                lists: compiler.asked,
            }),
            other => Err(compiler.mistake(
                &tree,
                format!("A condition must be true or false; this is {}.", other.kind()),
            )),
        }
    }

    /// Whether it holds.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        self.tests.hold(facts)
    }
}

/// What a reason shows the value of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown {
    Feature(Feature),
    ModelScore,
}

/// Every name that a condition may use, beside the features: name, what it is.
pub const NAMES: &[(&str, &str)] = &[
    (
        "model_score",
        "number, 0 to 99: the model's score; not given without a model",
    ),
    ("currency", "text: ISO 4217 code in lower case"),
    ("cvc_provided", "true when a CVC came with the payment"),
    ("card", "for lists and given(): the card's fingerprint"),
    ("customer", "for lists and given()"),
    ("email", "for lists and given()"),
    ("device", "for lists and given()"),
    ("ip", "for lists and given()"),
    ("bin", "for lists and given(): the card's first digits"),
];

/// CEL's comparisons.
fn order(function: &str) -> Option<Order> {
    Some(match function {
        operators::LESS => Order::Less,
        operators::LESS_EQUALS => Order::LessOrEqual,
        operators::GREATER => Order::Greater,
        operators::GREATER_EQUALS => Order::GreaterOrEqual,
        operators::EQUALS => Order::Equal,
        operators::NOT_EQUALS => Order::Unequal,
        _ => return None,
    })
}

/// A part of a condition with its type.
enum Typed {
    Flag(Flag),
    Number(Number),
    Text(String),
    Currency,
    Subject(Kind),
}

impl Typed {
    fn kind(&self) -> &'static str {
        match self {
            Typed::Flag(_) => "true or false",
            Typed::Number(_) => "a number",
            Typed::Text(_) | Typed::Currency => "a text",
            Typed::Subject(_) => "a subject of lists",
        }
    }
}

struct Compiler<'a> {
    lists: &'a Lists,
    info: &'a SourceInfo,
    source: &'a str,
    parts: usize,
    shown: Option<(Shown, Option<f64>)>,
    asked: Vec<(Kind, u16)>,
}

impl Compiler<'_> {
    fn compile(&mut self, node: &IdedExpr) -> Result<Typed, Mistake> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(self.mistake(
                node,
                format!("A condition has at most {PARTS_MAX} parts: make two rules of it."),
            ));
        }
        match &node.expr {
            Expr::Ident(name) => self.name(node, name),
            Expr::Literal(literal) => self.literal(node, literal),
            Expr::Call(call) if call.target.is_none() => self.call(node, &call.func_name, &call.args),
            Expr::Call(call) => Err(self.mistake(node, format!("There is no method {}.", call.func_name))),
            Expr::Select(_) => Err(self.mistake(
                node,
                "Fields are for lists alone: write `card in lists.name`.".to_owned(),
            )),
            Expr::Comprehension(_) => Err(self.mistake(
                node,
                "Loops (all, exists, map, filter) and has() are not part of conditions; ask given(name) whether something is known."
                    .to_owned(),
            )),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err(self.mistake(
                node,
                "A list is allowed only after `in`, maps and objects not at all.".to_owned(),
            )),
        }
    }

    fn name(&mut self, node: &IdedExpr, name: &str) -> Result<Typed, Mistake> {
        if let Some(kind) = subject(name) {
            return Ok(Typed::Subject(kind));
        }
        Ok(match name {
            "model_score" => {
                self.shown.get_or_insert((Shown::ModelScore, None));
                Typed::Number(Number::ModelScore)
            }
            "currency" => Typed::Currency,
            "cvc_provided" => Typed::Flag(Flag::CvcProvided),
            _ => {
                let Some(line) = FEATURES.iter().find(|line| line.name == name) else {
                    let nearest = nearest(name);
                    return Err(self.mistake(
                        node,
                        format!("Nothing is called {name}. Did you mean {nearest}? The names are listed by GET /v1/radar/features."),
                    ));
                };
                self.shown.get_or_insert((Shown::Feature(line.feature), None));
                match line.unit {
                    Unit::Flag => Typed::Flag(Flag::Feature(line.feature)),
                    _ => Typed::Number(Number::Feature(line.feature)),
                }
            }
        })
    }

    fn literal(&self, node: &IdedExpr, literal: &LiteralValue) -> Result<Typed, Mistake> {
        Ok(match literal {
            LiteralValue::Boolean(value) => Typed::Flag(Flag::Constant(*value.inner())),
            LiteralValue::Int(value) => Typed::Number(Number::Constant(*value.inner() as f64)),
            LiteralValue::UInt(value) => Typed::Number(Number::Constant(*value.inner() as f64)),
            LiteralValue::Double(value) => Typed::Number(Number::Constant(*value.inner())),
            LiteralValue::String(text) => Typed::Text(text.inner().to_owned()),
            LiteralValue::Null | LiteralValue::Bytes(_) => {
                return Err(self.mistake(
                    node,
                    "null and bytes are not part of conditions; ask given(name) whether something is known.".to_owned(),
                ));
            }
        })
    }

    fn call(&mut self, node: &IdedExpr, function: &str, arguments: &[IdedExpr]) -> Result<Typed, Mistake> {
        if let Some(order) = order(function)
            && let [left, right] = arguments
        {
            return self.compare(node, order, left, right).map(Typed::Flag);
        }
        let operation = match function {
            operators::ADD => Some(Operation::Add),
            operators::SUBSTRACT => Some(Operation::Subtract),
            operators::MULTIPLY => Some(Operation::Multiply),
            operators::DIVIDE => Some(Operation::Divide),
            _ => None,
        };
        match (function, operation, arguments) {
            (_, Some(operation), [left, right]) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Ok(Typed::Number(Number::Computed(
                    operation,
                    Box::new(left),
                    Box::new(right),
                )))
            }
            (operators::LOGICAL_AND, _, [left, right]) => {
                let (left, right) = (self.flag(left)?, self.flag(right)?);
                Ok(Typed::Flag(Flag::And(Box::new(left), Box::new(right))))
            }
            (operators::LOGICAL_OR, _, [left, right]) => {
                let (left, right) = (self.flag(left)?, self.flag(right)?);
                Ok(Typed::Flag(Flag::Or(Box::new(left), Box::new(right))))
            }
            (operators::LOGICAL_NOT, _, [flag]) => Ok(Typed::Flag(Flag::Not(Box::new(self.flag(flag)?)))),
            (operators::NEGATE, _, [number]) => Ok(match self.number(number)? {
                Number::Constant(value) => Typed::Number(Number::Constant(-value)),
                number => Typed::Number(Number::Negated(Box::new(number))),
            }),
            (operators::CONDITIONAL, _, [condition, yes, no]) => {
                let condition = Box::new(self.flag(condition)?);
                match (self.compile(yes)?, self.compile(no)?) {
                    (Typed::Flag(yes), Typed::Flag(no)) => {
                        Ok(Typed::Flag(Flag::If(condition, Box::new(yes), Box::new(no))))
                    }
                    (Typed::Number(yes), Typed::Number(no)) => {
                        Ok(Typed::Number(Number::If(Box::new((Chain::of(&condition), yes, no)))))
                    }
                    (yes, no) => Err(self.mistake(
                        node,
                        format!(
                            "Both answers of ?: must be numbers, or both true or false; here: {} and {}.",
                            yes.kind(),
                            no.kind()
                        ),
                    )),
                }
            }
            (operators::IN, _, [sought, list]) => self.membership(node, sought, list).map(Typed::Flag),
            ("given", _, [asked]) => match self.compile(asked)? {
                Typed::Number(Number::Feature(feature)) | Typed::Flag(Flag::Feature(feature)) => {
                    Ok(Typed::Flag(Flag::FeatureGiven(feature)))
                }
                Typed::Number(Number::ModelScore) => Ok(Typed::Flag(Flag::ScoreGiven)),
                Typed::Subject(kind) => Ok(Typed::Flag(Flag::SubjectGiven(kind))),
                _ => Err(self.mistake(
                    asked,
                    "given() asks about a feature, model_score, or a subject such as device.".to_owned(),
                )),
            },
            ("given", _, _) => Err(self.mistake(node, "given() takes one name.".to_owned())),
            _ => Err(self.mistake(
                node,
                format!(
                    "There is no {} here: conditions have comparisons, && || ! ?: + - * /, in, and given(name).",
                    shown(function)
                ),
            )),
        }
    }

    fn compare(&mut self, node: &IdedExpr, order: Order, left: &IdedExpr, right: &IdedExpr) -> Result<Flag, Mistake> {
        let before = self.shown;
        match (self.compile(left)?, self.compile(right)?) {
            (Typed::Number(left), Typed::Number(right)) => {
                let compared = match (&left, &right) {
                    (Number::Feature(feature), Number::Constant(limit))
                    | (Number::Constant(limit), Number::Feature(feature)) => Some((Shown::Feature(*feature), *limit)),
                    (Number::ModelScore, Number::Constant(limit)) | (Number::Constant(limit), Number::ModelScore) => {
                        Some((Shown::ModelScore, *limit))
                    }
                    _ => None,
                };
                if before.is_none_or(|(_, limit)| limit.is_none())
                    && let Some((shown, limit)) = compared
                {
                    self.shown = Some((shown, Some(limit)));
                }
                Ok(Flag::Compare(order, left, right))
            }
            (Typed::Currency, Typed::Text(text)) | (Typed::Text(text), Typed::Currency)
                if matches!(order, Order::Equal | Order::Unequal) =>
            {
                let is = Flag::CurrencyIs(self.currency(node, &text)?);
                Ok(if order == Order::Equal {
                    is
                } else {
                    Flag::Not(Box::new(is))
                })
            }
            (Typed::Flag(left), Typed::Flag(right)) if matches!(order, Order::Equal | Order::Unequal) => {
                let same = Flag::Same(Box::new(left), Box::new(right));
                Ok(if order == Order::Equal {
                    same
                } else {
                    Flag::Not(Box::new(same))
                })
            }
            (left, right) => Err(self.mistake(
                node,
                format!(
                    "{} cannot be compared with {} in this way.",
                    capital(left.kind()),
                    right.kind()
                ),
            )),
        }
    }

    fn membership(&mut self, node: &IdedExpr, sought: &IdedExpr, list: &IdedExpr) -> Result<Flag, Mistake> {
        match (self.compile(sought)?, &list.expr) {
            (Typed::Subject(kind), Expr::Select(select)) => {
                if select.operand.expr != Expr::Ident("lists".to_owned()) || select.test {
                    return Err(self.mistake(list, "Write `card in lists.name`.".to_owned()));
                }
                let Some((number, of)) = self.lists.find(&select.field) else {
                    return Err(self.mistake(
                        list,
                        format!("There is no list with the alias {}. Make it first: POST /v1/radar/value_lists.", shown(&select.field)),
                    ));
                };
                if of != kind {
                    return Err(self.mistake(
                        list,
                        format!("lists.{} holds items of the kind {}, not {}.", select.field, of.name(), kind.name()),
                    ));
                }
                self.asked.push((kind, number));
                Ok(Flag::Listed(kind, number))
            }
            (Typed::Currency, Expr::List(items)) => {
                let mut any = Flag::Constant(false);
                for item in &items.elements {
                    let Typed::Text(text) = self.compile(item)? else {
                        return Err(self.mistake(item, "Only texts belong into this list.".to_owned()));
                    };
                    any = Flag::Or(Box::new(any), Box::new(Flag::CurrencyIs(self.currency(item, &text)?)));
                }
                Ok(any)
            }
            (Typed::Number(sought), Expr::List(items)) => {
                let mut any = Flag::Constant(false);
                for item in &items.elements {
                    let equal = Flag::Compare(Order::Equal, sought.clone(), self.number(item)?);
                    any = Flag::Or(Box::new(any), Box::new(equal));
                }
                Ok(any)
            }
            (other, _) => Err(self.mistake(
                node,
                format!("{} cannot be sought in this: write `card in lists.name`, `currency in [\"usd\"]` or `amount in [100]`.", capital(other.kind())),
            )),
        }
    }

    fn currency(&self, node: &IdedExpr, text: &str) -> Result<[u8; 3], Mistake> {
        <[u8; 3]>::try_from(text.as_bytes())
            .ok()
            .filter(|code| code.iter().all(u8::is_ascii_lowercase))
            .ok_or_else(|| {
                self.mistake(
                    node,
                    "A currency is three lower-case letters, such as \"usd\".".to_owned(),
                )
            })
    }

    fn flag(&mut self, node: &IdedExpr) -> Result<Flag, Mistake> {
        match self.compile(node)? {
            Typed::Flag(flag) => Ok(flag),
            other => Err(self.mistake(node, format!("This must be true or false; it is {}.", other.kind()))),
        }
    }

    fn number(&mut self, node: &IdedExpr) -> Result<Number, Mistake> {
        match self.compile(node)? {
            Typed::Number(number) => Ok(number),
            other => Err(self.mistake(node, format!("This must be a number; it is {}.", other.kind()))),
        }
    }

    fn mistake(&self, node: &IdedExpr, message: String) -> Mistake {
        let at = self.info.offset_for(node.id).map_or(0, |(start, _)| start as usize);
        let before: Vec<char> = self.source.chars().take(at).collect();
        let line = before.iter().filter(|c| **c == '\n').count();
        let column = before.iter().rev().take_while(|c| **c != '\n').count();
        Mistake {
            message,
            line: line + 1,
            column: column + 1,
        }
    }
}

fn subject(name: &str) -> Option<Kind> {
    Kind::LISTED.into_iter().find(|kind| kind.name() == name)
}

fn syntax(errors: &cel::ParseErrors) -> Mistake {
    let first = errors.errors.first();
    let at = first.map_or((1, 1), |error| error.pos);
    let said = first.map_or("", |error| error.msg.as_str());
    Mistake {
        message: format!("This is not a CEL expression: {}.", shown(said.trim_end_matches('.'))),
        line: usize::try_from(at.0).unwrap_or(1).max(1),
        column: usize::try_from(at.1).unwrap_or(1).max(1),
    }
}

/// A caller's text inside an error: bounded, one line.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The known name that shares the most three-letter pieces with this one.
fn nearest(name: &str) -> &'static str {
    let pieces = |text: &str| -> Vec<[u8; 3]> { text.as_bytes().windows(3).map(|w| [w[0], w[1], w[2]]).collect() };
    let sought = pieces(name);
    let alike = |candidate: &str| {
        let has = pieces(candidate);
        let common = sought.iter().filter(|piece| has.contains(piece)).count();
        (common * 1000).checked_div(has.len() + sought.len()).unwrap_or(0)
    };
    FEATURES
        .iter()
        .map(|line| line.name)
        .chain(NAMES.iter().map(|(name, _)| *name))
        .max_by_key(|candidate| alike(candidate))
        .unwrap_or("amount")
}
