//! Isolation forest (Liu, Ting and Zhou 2008): the textbook's unsupervised detector, as a yardstick for back-tests. Not used
//! to score payments.

use super::novelty::FEATURES_READ;
use crate::attempt::mix;
use crate::features::Features;

/// Trees that part random samples by random cuts: what is soon alone is unusual.
#[derive(Debug)]
pub struct IsolationForest(Vec<Branch>);

#[derive(Debug)]
enum Branch {
    Leaf {
        rows: usize,
    },
    Cut {
        feature: usize,
        at: f64,
        below: Box<Branch>,
        above: Box<Branch>,
    },
}

const TREES: u64 = 100;
const SAMPLE: usize = 256;

impl IsolationForest {
    /// From payments of a reference period, by the features that [`super::novelty`] reads.
    pub fn learn(reference: &[&[f64]], seed: u64) -> Self {
        let trees = (0..TREES).map(|tree| {
            let mut random = seed ^ tree << 32;
            let mut draw = move || {
                random = mix(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
                random
            };
            let sample: Vec<&[f64]> = (0..SAMPLE)
                .map(|_| reference[draw() as usize % reference.len().max(1)])
                .collect();
            Branch::grow(&sample, 8, &mut draw)
        });
        IsolationForest(if reference.is_empty() {
            Vec::new()
        } else {
            trees.collect()
        })
    }

    /// Larger is more unusual.
    pub fn score(&self, features: &Features) -> f64 {
        -self.0.iter().map(|tree| tree.depth(features.values())).sum::<f64>()
    }
}

impl Branch {
    fn grow(rows: &[&[f64]], depth_left: usize, draw: &mut impl FnMut() -> u64) -> Branch {
        let feature = FEATURES_READ[draw() as usize % FEATURES_READ.len()] as usize;
        let low = rows.iter().map(|row| given(row[feature])).fold(f64::INFINITY, f64::min);
        let high = rows
            .iter()
            .map(|row| given(row[feature]))
            .fold(f64::NEG_INFINITY, f64::max);
        if depth_left == 0 || rows.len() < 2 {
            return Branch::Leaf { rows: rows.len() };
        }
        let at = low + (high - low) * (draw() >> 11) as f64 / (1u64 << 53) as f64;
        let (below, above): (Vec<&[f64]>, Vec<&[f64]>) = rows.iter().partition(|row| given(row[feature]) < at);
        Branch::Cut {
            feature,
            at,
            below: Box::new(Branch::grow(&below, depth_left - 1, draw)),
            above: Box::new(Branch::grow(&above, depth_left - 1, draw)),
        }
    }

    fn depth(&self, values: &[f64]) -> f64 {
        match self {
            // the mean depth of a search among so many
            Branch::Leaf { rows } if *rows > 1 => {
                let rows = *rows as f64;
                2.0 * ((rows - 1.0).ln() + 0.577_215_664_9) - 2.0 * (rows - 1.0) / rows
            }
            Branch::Leaf { .. } => 0.0,
            Branch::Cut {
                feature,
                at,
                below,
                above,
            } => 1.0 + if given(values[*feature]) < *at { below } else { above }.depth(values),
        }
    }
}

fn given(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}
