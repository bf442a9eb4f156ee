//! Boosted trees laid out for the processor: each tree complete and of one depth, its questions where a calculation finds them,
//! so that a payment walks all trees without a branch that could be guessed wrongly, and far from the size of its cache.
//!
//! Must give the very bits that [`Trees::explain`] gives, reasons included: a property test compares them.

use super::trees::Trees;
use crate::features::{FEATURES, Features};

/// Trees that are no deeper than [`DEPTH_MAX`], every one filled up to the depth of the deepest.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    start: f64,
    depth: usize,
    /// Of each tree `1 << depth`: the question at `n` is followed by those at `2n` (below its threshold) and `2n + 1`; the first
    /// is at 1.
    thresholds: Vec<f64>,
    /// What each question is about: a feature, or that feature with "not given" as less than everything.
    slots: Vec<u16>,
    /// Of each tree `1 << depth`: what it adds.
    leaves: Vec<f32>,
    /// Of each tree `2 << depth`: what the step to this question or leaf changes the expectation by.
    steps: Vec<f64>,
}

/// The leaf that a payment came to, by tree.
pub(super) type Paths = [u8; TREES_MAX];

/// More are walked as they were trained.
const TREES_MAX: usize = 512;
/// Leaves of one tree are numbered by a byte; beyond six, most of a complete tree is filling.
const DEPTH_MAX: usize = 6;
/// Features, then the same with what was not given as less than everything; a power of two, so that no index needs a check.
const SLOTS: usize = (2 * FEATURES.len()).next_power_of_two();

impl Layout {
    /// None for trees that are deeper or more than it is made for.
    pub fn of(trees: &Trees) -> Option<Self> {
        let depth = trees.roots.iter().map(|root| depth(trees, *root)).max()?.max(1);
        if depth > DEPTH_MAX || trees.roots.len() > TREES_MAX {
            return None;
        }
        let leaves = 1 << depth;
        let mut layout = Layout {
            start: trees.start,
            depth,
            thresholds: vec![0.0; trees.roots.len() * leaves],
            slots: vec![0; trees.roots.len() * leaves],
            leaves: vec![0.0; trees.roots.len() * leaves],
            steps: vec![0.0; trees.roots.len() * leaves * 2],
        };
        for (tree, root) in trees.roots.iter().enumerate() {
            layout.fill(trees, *root, tree, 1);
        }
        Some(layout)
    }

    /// Puts a node at its place; below a leaf that comes early is that leaf again, whatever the answer.
    fn fill(&mut self, trees: &Trees, node: u32, tree: usize, place: usize) {
        let leaves = 1 << self.depth;
        let this = &trees.nodes[node as usize];
        if place >= leaves {
            self.leaves[tree * leaves + place - leaves] = this.value;
            return;
        }
        let mut children = [node, node];
        if !this.is_leaf() {
            children = [this.left, this.right];
            let moved = if this.missing_left { FEATURES.len() as u16 } else { 0 };
            self.thresholds[tree * leaves + place] = this.threshold;
            self.slots[tree * leaves + place] = this.feature + moved;
        }
        for (child, place) in children.into_iter().zip([2 * place, 2 * place + 1]) {
            let step = f64::from(trees.nodes[child as usize].value) - f64::from(this.value);
            self.steps[tree * leaves * 2 + place] = step;
            self.fill(trees, child, tree, place);
        }
    }

    /// Log-odds of fraud, and the way there.
    pub fn margin(&self, features: &Features) -> (f64, Paths) {
        let mut values = [0.0; SLOTS];
        for (place, value) in features.values().iter().enumerate() {
            values[place] = *value;
            values[FEATURES.len() + place] = if value.is_nan() { f64::NEG_INFINITY } else { *value };
        }
        match self.depth {
            1 => self.walk::<2>(&values),
            2 => self.walk::<4>(&values),
            3 => self.walk::<8>(&values),
            4 => self.walk::<16>(&values),
            5 => self.walk::<32>(&values),
            _ => self.walk::<64>(&values),
        }
    }

    fn walk<const LEAVES: usize>(&self, values: &[f64; SLOTS]) -> (f64, Paths) {
        let (thresholds, _) = self.thresholds.as_chunks::<LEAVES>();
        let (slots, _) = self.slots.as_chunks::<LEAVES>();
        let (leaves, _) = self.leaves.as_chunks::<LEAVES>();
        let mut paths = [0; TREES_MAX];
        let mut margin = self.start;
        for (((thresholds, slots), leaves), path) in thresholds.iter().zip(slots).zip(leaves).zip(&mut paths) {
            let mut place = 1;
            for _ in 0..LEAVES.trailing_zeros() {
                let question = place % LEAVES;
                let value = values[usize::from(slots[question]) % SLOTS];
                // NaN is below nothing
                place = 2 * place + 1 - usize::from(value < thresholds[question]);
            }
            *path = (place % LEAVES) as u8;
            margin += f64::from(leaves[place % LEAVES]);
        }
        (margin, paths)
    }

    /// Adds to each feature's slot what its questions changed on this way (Saabas' path contributions).
    pub fn explain(&self, paths: &Paths, contributions: &mut [f64; FEATURES.len()]) {
        let leaves = 1 << self.depth;
        let trees = self.slots.chunks_exact(leaves).zip(self.steps.chunks_exact(2 * leaves));
        for ((slots, steps), path) in trees.zip(paths) {
            let end = leaves + usize::from(*path);
            for level in (0..self.depth).rev() {
                let feature = usize::from(slots[end >> (level + 1)]) % FEATURES.len();
                contributions[feature] += steps[end >> level];
            }
        }
    }
}

fn depth(trees: &Trees, node: u32) -> usize {
    let node = &trees.nodes[node as usize];
    if node.is_leaf() {
        return 0;
    }
    1 + depth(trees, node.left).max(depth(trees, node.right))
}

#[cfg(test)]
mod tests {
    use super::super::trees::Node;
    use super::*;
    use proptest::prelude::*;

    /// Trees of any shape down to this depth, their values drawn from the bytes.
    fn trees(shape: &[u8], depth_max: usize) -> Trees {
        let mut trees = Trees {
            start: 0.0,
            roots: Vec::new(),
            nodes: Vec::new(),
        };
        let mut bytes = shape.iter().copied().cycle();
        let mut next = move || bytes.next().unwrap_or(0);
        for _ in 0..20 {
            let root = trees.nodes.len() as u32;
            trees.roots.push(root);
            grow(&mut trees, &mut next, depth_max);
        }
        trees
    }

    fn grow(trees: &mut Trees, next: &mut impl FnMut() -> u8, depth_left: usize) -> u32 {
        let place = trees.nodes.len();
        trees.nodes.push(Node {
            threshold: f64::from(next()) - 100.0,
            value: f32::from(next()) / 7.0 - 9.0,
            cover: 1.0,
            left: 0,
            right: 0,
            feature: u16::from(next()) % FEATURES.len() as u16,
            missing_left: next() < 128,
        });
        if depth_left > 0 && next() < 192 {
            trees.nodes[place].left = grow(trees, next, depth_left - 1);
            trees.nodes[place].right = grow(trees, next, depth_left - 1);
        }
        place as u32
    }

    proptest! {
        #[test]
        fn it_gives_the_bits_of_the_trees_themselves(
            shape in proptest::collection::vec(any::<u8>(), 50..400),
            depth_max in 0usize..=DEPTH_MAX,
            given in proptest::collection::vec(prop_oneof![
                4 => -110.0..160.0f64,
                2 => (-100i32..156).prop_map(f64::from),
                1 => Just(f64::NAN),
                1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
            ], FEATURES.len()),
        ) {
            let trees = trees(&shape, depth_max);
            prop_assert_eq!(trees.check(FEATURES.len()), Ok(()));
            let layout = Layout::of(&trees).expect("not too deep");
            let mut values = [0.0; FEATURES.len()];
            values.copy_from_slice(&given);
            let features = Features::from_values(values);
            let (mut expected, mut found) = ([0.0; FEATURES.len()], [0.0; FEATURES.len()]);
            let margin = trees.explain(&values, &mut expected);
            let (walked, paths) = layout.margin(&features);
            layout.explain(&paths, &mut found);
            prop_assert_eq!(walked.to_bits(), margin.to_bits());
            prop_assert_eq!(found.map(f64::to_bits), expected.map(f64::to_bits));
        }
    }

    #[test]
    fn what_it_is_not_made_for_is_left_to_the_trees() {
        let deep = trees(&[1], DEPTH_MAX + 1);
        assert!(Layout::of(&deep).is_none());
        let mut many = trees(&[1], 1);
        many.roots = vec![0; TREES_MAX + 1];
        assert!(Layout::of(&many).is_none());
    }
}
