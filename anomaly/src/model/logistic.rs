//! Logistic regression that learns from one label at a time: the model while there are too few labels for trees, and their
//! challenger afterwards. Fixed size, no history. Must never learn from a payment before its label is known.

use super::log_odds_to_probability;
use crate::features::{FEATURES, Features};
use serde::{Deserialize, Serialize};

/// Weights, and what features usually are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    steps: f64,
    bias: Weight,
    inputs: Vec<Input>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Weight {
    weight: f64,
    /// Mean of the gradient and of its square, as in Adam.
    gradient: f64,
    square: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Input {
    weight: Weight,
    /// Running mean and sum of squared distances of the logarithm (Welford).
    seen: f64,
    mean: f64,
    squares: f64,
}

impl Default for Logistic {
    fn default() -> Self {
        Logistic {
            steps: 0.0,
            bias: Weight {
                weight: -5.0, // fraud is rare
                ..Weight::default()
            },
            inputs: vec![Input::default(); FEATURES.len()],
        }
    }
}

impl Logistic {
    /// Probability of fraud.
    pub fn probability(&self, features: &Features) -> f64 {
        log_odds_to_probability(self.margin(features))
    }

    /// Log-odds of fraud.
    pub fn margin(&self, features: &Features) -> f64 {
        let inputs = self.inputs.iter().zip(features.values());
        self.bias.weight
            + inputs
                .map(|(input, value)| input.weight.weight * input.scaled(*value))
                .sum::<f64>()
    }

    /// Whether it was made for the features that this program has.
    pub fn fits(&self) -> bool {
        self.inputs.len() == FEATURES.len()
    }

    /// How many labels it has learned from.
    pub fn labels(&self) -> u64 {
        self.steps as u64
    }

    /// Learns from one payment whose truth became known.
    pub fn learn(&mut self, features: &Features, fraud: bool) {
        let error = self.probability(features) - f64::from(u8::from(fraud));
        self.steps += 1.0;
        let rate = RATE * (1.0 - 0.999_f64.powf(self.steps)).sqrt() / (1.0 - 0.9_f64.powf(self.steps));
        self.bias.step(error, rate);
        for (input, value) in self.inputs.iter_mut().zip(features.values()) {
            let scaled = input.scaled(*value);
            if scaled != 0.0 {
                input.weight.step(error * scaled + DECAY * input.weight.weight, rate);
            }
            input.see(*value);
        }
    }
}

impl Weight {
    fn step(&mut self, gradient: f64, rate: f64) {
        self.gradient += 0.1 * (gradient - self.gradient);
        self.square += 0.001 * (gradient * gradient - self.square);
        self.weight -= rate * self.gradient / (self.square.sqrt() + 1e-8);
    }
}

impl Input {
    fn scaled(&self, value: f64) -> f64 {
        if value.is_nan() || self.seen < 2.0 || self.squares <= 0.0 {
            return 0.0;
        }
        let deviation = (self.squares / self.seen).sqrt();
        ((logarithm(value) - self.mean) / deviation).clamp(-6.0, 6.0)
    }

    fn see(&mut self, value: f64) {
        if !value.is_nan() {
            let value = logarithm(value);
            self.seen += 1.0;
            let distance = value - self.mean;
            self.mean += distance / self.seen;
            self.squares += distance * (value - self.mean);
        }
    }
}

/// Counts and amounts spread over orders of magnitude.
fn logarithm(value: f64) -> f64 {
    value.abs().ln_1p().copysign(value)
}

const RATE: f64 = 0.001;
const DECAY: f64 = 1e-5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_one_feature_tells_and_ignores_what_is_not_given() {
        let mut model = Logistic::default();
        let features = |amount: f64| {
            let mut values = [f64::NAN; FEATURES.len()];
            values[0] = amount;
            Features::from_values(values)
        };
        for n in 0..20_000u32 {
            model.learn(&features(f64::from(n % 100)), n % 100 >= 90);
        }
        assert!(model.probability(&features(99.0)) > 5.0 * model.probability(&features(50.0)));
        assert!(model.probability(&features(f64::NAN)).is_finite());
        assert_eq!(model.labels(), 20_000);
    }
}
