//! A condition as a payment meets it: a chain of tests, each with two ways on. `a && b` is no operation of its own: after `a` the
//! chain goes on to `b`, or ends. Must never loop: a test leads to one that was written before it, or to the answer.

use super::expression::Facts;
use crate::entity::{EntityId, Kind};
use crate::features::Feature;

/// A condition, in the order in which it is tested.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    steps: Vec<Step>,
    first: u16,
}

/// A test, and where to go on: another step, [`HOLDS`] or [`FAILS`].
#[derive(Debug, Clone)]
struct Step {
    test: Test,
    yes: u16,
    no: u16,
}

const HOLDS: u16 = u16::MAX;
const FAILS: u16 = u16::MAX - 1;

#[derive(Debug, Clone)]
enum Test {
    /// Nearly all of them: a feature against a number.
    Limit(Order, Feature, f64),
    Compare(Box<(Order, Number, Number)>),
    Feature(Feature),
    CvcProvided,
    CurrencyIs([u8; 3]),
    Listed(Kind, u16),
    FeatureGiven(Feature),
    SubjectGiven(Kind),
    ScoreGiven,
    Same(Box<(Chain, Chain)>),
}

/// Something true or false, as it was written.
#[derive(Debug, Clone)]
pub(super) enum Flag {
    Constant(bool),
    Feature(Feature),
    CvcProvided,
    Compare(Order, Number, Number),
    CurrencyIs([u8; 3]),
    Listed(Kind, u16),
    FeatureGiven(Feature),
    SubjectGiven(Kind),
    ScoreGiven,
    Not(Box<Flag>),
    And(Box<Flag>, Box<Flag>),
    Or(Box<Flag>, Box<Flag>),
    Same(Box<Flag>, Box<Flag>),
    If(Box<Flag>, Box<Flag>, Box<Flag>),
}

/// A number, as it was written and as it is computed.
#[derive(Debug, Clone)]
pub(super) enum Number {
    Constant(f64),
    Feature(Feature),
    ModelScore,
    Negated(Box<Number>),
    Computed(Operation, Box<Number>, Box<Number>),
    If(Box<(Chain, Number, Number)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Unequal,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Chain {
    /// The same answer for every payment.
    pub fn of(flag: &Flag) -> Self {
        let mut steps = Vec::new();
        let first = lay(flag, HOLDS, FAILS, &mut steps);
        Chain { steps, first }
    }

    /// Whether the condition holds.
    pub fn hold(&self, facts: &Facts<'_>) -> bool {
        let mut at = self.first;
        while let Some(step) = self.steps.get(usize::from(at)) {
            at = if step.test.holds(facts) { step.yes } else { step.no };
        }
        at == HOLDS
    }
}

/// Lays the tests of a flag behind those that they lead to; gives the first. A condition has [`super::PARTS_MAX`] parts, and each
/// part makes at most one step.
fn lay(flag: &Flag, yes: u16, no: u16, steps: &mut Vec<Step>) -> u16 {
    let test = match flag {
        Flag::Constant(value) => return if *value { yes } else { no },
        Flag::Not(flag) => return lay(flag, no, yes, steps),
        Flag::And(left, right) => {
            let right = lay(right, yes, no, steps);
            return lay(left, right, no, steps);
        }
        Flag::Or(left, right) => {
            let right = lay(right, yes, no, steps);
            return lay(left, yes, right, steps);
        }
        Flag::If(condition, one, other) => {
            let (one, other) = (lay(one, yes, no, steps), lay(other, yes, no, steps));
            return lay(condition, one, other, steps);
        }
        Flag::Same(left, right) => Test::Same(Box::new((Chain::of(left), Chain::of(right)))),
        Flag::Compare(order, Number::Feature(feature), Number::Constant(limit)) => {
            Test::Limit(*order, *feature, *limit)
        }
        Flag::Compare(order, left, right) => Test::Compare(Box::new((*order, left.clone(), right.clone()))),
        Flag::Feature(feature) => Test::Feature(*feature),
        Flag::CvcProvided => Test::CvcProvided,
        Flag::CurrencyIs(code) => Test::CurrencyIs(*code),
        Flag::Listed(kind, list) => Test::Listed(*kind, *list),
        Flag::FeatureGiven(feature) => Test::FeatureGiven(*feature),
        Flag::SubjectGiven(kind) => Test::SubjectGiven(*kind),
        Flag::ScoreGiven => Test::ScoreGiven,
    };
    steps.push(Step { test, yes, no });
    (steps.len() - 1) as u16
}

impl Test {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let feature = |feature: &Feature| facts.features.values()[*feature as usize];
        match self {
            Test::Limit(order, asked, limit) => order.holds(feature(asked), *limit),
            Test::Compare(compared) => {
                let (order, left, right) = &**compared;
                order.holds(left.value(facts), right.value(facts))
            }
            Test::Feature(asked) => feature(asked) >= 1.0,
            Test::CvcProvided => facts.attempt.cvc_provided,
            Test::CurrencyIs(code) => facts.attempt.currency.eq_ignore_ascii_case(code),
            Test::Listed(kind, list) => facts.listed.on(*kind, *list),
            Test::FeatureGiven(asked) => !feature(asked).is_nan(),
            Test::SubjectGiven(kind) => EntityId::of(*kind, facts.attempt).is_some(),
            Test::ScoreGiven => !facts.model_score.is_nan(),
            Test::Same(both) => both.0.hold(facts) == both.1.hold(facts),
        }
    }
}

impl Number {
    fn value(&self, facts: &Facts<'_>) -> f64 {
        match self {
            Number::Constant(value) => *value,
            Number::Feature(feature) => facts.features.values()[*feature as usize],
            Number::ModelScore => facts.model_score,
            Number::Negated(number) => -number.value(facts),
            Number::Computed(operation, left, right) => {
                let (left, right) = (left.value(facts), right.value(facts));
                match operation {
                    Operation::Add => left + right,
                    Operation::Subtract => left - right,
                    Operation::Multiply => left * right,
                    Operation::Divide => left / right,
                }
            }
            Number::If(parts) => {
                let (condition, yes, no) = &**parts;
                if condition.hold(facts) {
                    yes.value(facts)
                } else {
                    no.value(facts)
                }
            }
        }
    }
}

impl Order {
    // what was not given compares with nothing: every comparison with NaN is false
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Order::Less => left < right,
            Order::LessOrEqual => left <= right,
            Order::Greater => left > right,
            Order::GreaterOrEqual => left >= right,
            Order::Equal => left == right,
            // not `!=`: what was not given is unequal to nothing either
            Order::Unequal => left.partial_cmp(&right).is_some_and(std::cmp::Ordering::is_ne),
        }
    }
}
