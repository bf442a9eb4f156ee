//! Exact Shapley values of boosted trees (TreeSHAP, Lundberg et al. 2018, algorithm 2, path-dependent): what each feature
//! contributes, over all orders in which features could become known. Tens of microseconds: for a case that a person opens;
//! every payment has [`super::trees::Trees::explain`].

use super::trees::Trees;

/// One feature on the way down: the share of orders in which the path is taken without it and with it.
#[derive(Clone, Copy)]
struct Step {
    feature: Option<u16>,
    without: f64,
    with: f64,
    weight: f64,
}

impl Trees {
    /// Adds each feature's Shapley value, in log-odds, to its slot. They and [`Trees::expected`] add up to
    /// [`Trees::margin`], but for rounding.
    pub fn shapley(&self, values: &[f64], contributions: &mut [f64]) {
        for root in &self.roots {
            self.walk(
                *root,
                values,
                contributions,
                &[],
                Step {
                    feature: None,
                    without: 1.0,
                    with: 1.0,
                    weight: 1.0,
                },
            );
        }
    }

    fn walk(&self, place: u32, values: &[f64], contributions: &mut [f64], path: &[Step], step: Step) {
        let mut path = extended(path, step);
        let node = &self.nodes[place as usize];
        if node.is_leaf() {
            for place in 1..path.len() {
                let Step {
                    feature, without, with, ..
                } = path[place];
                if let Some(feature) = feature {
                    let weight: f64 = unwound(&path, place).iter().map(|step| step.weight).sum();
                    contributions[feature as usize] += weight * (with - without) * f64::from(node.value);
                }
            }
            return;
        }
        let hot = node.next(values[node.feature as usize]);
        let cold = if hot == node.left { node.right } else { node.left };
        let (mut without, mut with) = (1.0, 1.0);
        if let Some(place) = path.iter().position(|step| step.feature == Some(node.feature)) {
            (without, with) = (path[place].without, path[place].with);
            path = unwound(&path, place);
        }
        let share = |child: u32| f64::from(self.nodes[child as usize].cover) / f64::from(node.cover);
        let feature = Some(node.feature);
        let step = |child: u32, with: f64| Step {
            feature,
            without: without * share(child),
            with,
            weight: 0.0,
        };
        self.walk(hot, values, contributions, &path, step(hot, with));
        self.walk(cold, values, contributions, &path, step(cold, 0.0));
    }
}

fn extended(path: &[Step], step: Step) -> Vec<Step> {
    let depth = path.len();
    let mut path = path.to_vec();
    path.push(Step {
        weight: if depth == 0 { 1.0 } else { 0.0 },
        ..step
    });
    for place in (0..depth).rev() {
        path[place + 1].weight += step.with * path[place].weight * (place + 1) as f64 / (depth + 1) as f64;
        path[place].weight *= step.without * (depth - place) as f64 / (depth + 1) as f64;
    }
    path
}

/// The path as if the feature at `place` had never been on it.
fn unwound(path: &[Step], place: usize) -> Vec<Step> {
    let depth = path.len() - 1;
    let Step { without, with, .. } = path[place];
    let mut path = path.to_vec();
    let mut next = path[depth].weight;
    for at in (0..depth).rev() {
        if with != 0.0 {
            let before = path[at].weight;
            path[at].weight = next * (depth + 1) as f64 / ((at + 1) as f64 * with);
            next = before - path[at].weight * without * (depth - at) as f64 / (depth + 1) as f64;
        } else {
            path[at].weight *= (depth + 1) as f64 / (without * (depth - at) as f64);
        }
    }
    for at in place..depth {
        path[at] = Step {
            weight: path[at].weight,
            ..path[at + 1]
        };
    }
    path.pop();
    path
}

#[cfg(test)]
mod tests {
    use super::super::trees::Node;
    use super::*;

    /// Two questions about feature 0 and one each about 1 and 2.
    fn trees() -> Trees {
        let leaf = |value: f32, cover: f32| Node {
            threshold: 0.0,
            value,
            cover,
            left: 0,
            right: 0,
            feature: 0,
            missing_left: false,
        };
        let branch = |feature: u16, threshold: f64, cover: f32, left: u32, right: u32| Node {
            threshold,
            value: 0.0,
            cover,
            left,
            right,
            feature,
            missing_left: true,
        };
        let mut nodes = vec![
            branch(0, 1.0, 100.0, 1, 2),
            branch(1, 5.0, 60.0, 3, 4),
            branch(0, 3.0, 40.0, 5, 6),
            leaf(-1.0, 45.0),
            branch(2, 0.5, 15.0, 7, 8),
            leaf(0.5, 10.0),
            leaf(2.0, 30.0),
            leaf(0.25, 5.0),
            leaf(-3.0, 10.0),
        ];
        for place in (0..nodes.len()).rev() {
            if !nodes[place].is_leaf() {
                let (left, right) = (nodes[nodes[place].left as usize], nodes[nodes[place].right as usize]);
                nodes[place].value = (left.value * left.cover + right.value * right.cover) / nodes[place].cover;
            }
        }
        Trees {
            start: -2.0,
            roots: vec![0],
            nodes,
        }
    }

    /// Mean over what is not known, by cover.
    fn expectation(trees: &Trees, place: u32, values: &[f64], known: u32) -> f64 {
        let node = &trees.nodes[place as usize];
        if node.is_leaf() {
            return f64::from(node.value);
        }
        if known & 1 << node.feature != 0 {
            return expectation(trees, node.next(values[node.feature as usize]), values, known);
        }
        [node.left, node.right]
            .map(|child| f64::from(trees.nodes[child as usize].cover) * expectation(trees, child, values, known))
            .iter()
            .sum::<f64>()
            / f64::from(node.cover)
    }

    #[test]
    fn shapley_values_equal_the_definition_and_add_up() {
        let trees = trees();
        trees.check(3).unwrap();
        let weight = [1.0 / 3.0, 1.0 / 6.0, 1.0 / 3.0]; // |S|! (n - |S| - 1)! / n!
        for values in [
            [0.0, 0.0, 0.0],
            [0.0, 9.0, 0.1],
            [0.0, 9.0, 1.0],
            [2.0, 9.0, 1.0],
            [4.0, 0.0, 0.0],
            [f64::NAN; 3],
        ] {
            let mut found = [0.0; 3];
            trees.shapley(&values, &mut found);
            for feature in 0..3u32 {
                let others = (0..8u32).filter(|set| set & 1 << feature == 0);
                let expected: f64 = others
                    .map(|set| {
                        let gain =
                            expectation(&trees, 0, &values, set | 1 << feature) - expectation(&trees, 0, &values, set);
                        weight[set.count_ones() as usize] * gain
                    })
                    .sum();
                assert!(
                    (found[feature as usize] - expected).abs() < 1e-9,
                    "{values:?} {feature} {found:?} {expected}"
                );
            }
            assert!((trees.expected() + found.iter().sum::<f64>() - trees.margin(&values)).abs() < 1e-6);
            let mut path = [0.0; 3];
            assert_eq!(trees.explain(&values, &mut path), trees.margin(&values));
            assert!((trees.expected() + path.iter().sum::<f64>() - trees.margin(&values)).abs() < 1e-6);
        }
    }
}
