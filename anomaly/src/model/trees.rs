//! Boosted trees in flat arrays: the score and what each feature added to it, in one pass. Must never follow a tree that
//! [`Trees::check`] has not seen: a bad file must be an error, not a loop.

use serde::{Deserialize, Serialize};

/// Trees whose leaves add up to log-odds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trees {
    /// Log-odds before any tree has spoken.
    pub(crate) start: f64,
    /// First node of each tree.
    pub(crate) roots: Vec<u32>,
    pub(crate) nodes: Vec<Node>,
}

/// A question, or a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// Below it: left; at it or above: right.
    pub threshold: f64,
    /// Mean of the leaves below, weighted by cover; of a leaf, what it adds.
    pub value: f32,
    /// Weight of the training rows that came here.
    pub cover: f32,
    /// Index of the child; 0 marks a leaf.
    pub left: u32,
    pub right: u32,
    pub feature: u16,
    /// Where a value goes that is not given.
    pub missing_left: bool,
}

impl Node {
    pub fn is_leaf(&self) -> bool {
        self.left == 0
    }

    /// The child for this value.
    pub fn next(&self, value: f64) -> u32 {
        // NaN is below nothing
        if value < self.threshold || (self.missing_left && value.is_nan()) {
            self.left
        } else {
            self.right
        }
    }
}

impl Trees {
    /// Log-odds of fraud.
    pub fn margin(&self, values: &[f64]) -> f64 {
        let leaves = self.roots.iter().map(|root| {
            let mut node = &self.nodes[*root as usize];
            while !node.is_leaf() {
                node = &self.nodes[node.next(values[node.feature as usize]) as usize];
            }
            f64::from(node.value)
        });
        self.start + leaves.sum::<f64>()
    }

    /// Log-odds of fraud; adds to each feature's slot what its questions changed (Saabas' path contributions). They and
    /// [`Trees::expected`] add up to the result, but for rounding.
    pub fn explain(&self, values: &[f64], contributions: &mut [f64]) -> f64 {
        let mut margin = self.start;
        for root in &self.roots {
            let mut node = &self.nodes[*root as usize];
            while !node.is_leaf() {
                let next = &self.nodes[node.next(values[node.feature as usize]) as usize];
                contributions[node.feature as usize] += f64::from(next.value) - f64::from(node.value);
                node = next;
            }
            margin += f64::from(node.value);
        }
        margin
    }

    /// Mean log-odds over the training rows: what is known before any feature is.
    pub fn expected(&self) -> f64 {
        let roots = self
            .roots
            .iter()
            .map(|root| f64::from(self.nodes[*root as usize].value));
        self.start + roots.sum::<f64>()
    }

    /// Whether every path ends and every feature exists.
    pub(crate) fn check(&self, features: usize) -> Result<(), &'static str> {
        if !self.start.is_finite() || self.roots.is_empty() || self.roots.len() > ROOTS_MAX {
            return Err("it has no trees, or too many");
        }
        if self.roots.iter().any(|root| *root as usize >= self.nodes.len()) {
            return Err("a tree has no root");
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let below = |child: u32| child as usize > place && (child as usize) < self.nodes.len();
            if !node.value.is_finite() || !node.cover.is_finite() || node.cover < 0.0 {
                return Err("a node has no value");
            }
            if node.is_leaf() {
                continue;
            }
            if !below(node.left) || !below(node.right) {
                return Err("a branch leads nowhere");
            }
            if node.feature as usize >= features || !node.threshold.is_finite() {
                return Err("a question is about no feature");
            }
        }
        Ok(())
    }
}

/// More would not fit the time of a score.
const ROOTS_MAX: usize = 2_000;
