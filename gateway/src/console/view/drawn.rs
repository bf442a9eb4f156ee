//! What is drawn as SVG on the server: bars over time, and what is tied to what. Where each part goes; the templates draw it.

use super::Tone;

/// Bars over time, drawn as SVG, with the numbers as a table for who does not see it.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Chart {
    pub title: String,
    pub unit: String,
    pub bars: Vec<Bar>,
}

/// One bar, with what of it is to be seen apart.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Bar {
    pub label: String,
    pub value: i64,
    pub part: i64,
    pub text: String,
}

impl Chart {
    /// Height of the tallest, in the drawing's units.
    const HEIGHT: i64 = 120;
    const WIDTH: i64 = 720;

    /// Each bar as x, y, width and height, and y and height of its part.
    pub fn drawn(&self) -> Vec<(i64, i64, i64, i64, i64, i64)> {
        let most = self.bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
        let step = Self::WIDTH / i64::try_from(self.bars.len()).unwrap_or(1).max(1);
        let high = |value: i64| (i128::from(value.max(0)) * i128::from(Self::HEIGHT) / i128::from(most)) as i64;
        (0i64..)
            .zip(&self.bars)
            .map(|(at, bar)| {
                let (whole, part) = (high(bar.value), high(bar.part));
                let (x, width) = (at * step + 1, (step - 3).max(1));
                (x, Self::HEIGHT - whole, width, whole, Self::HEIGHT - part, part)
            })
            .collect()
    }
}

/// What is shared, around a middle: drawn as SVG, with the same as a list below it.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Graph {
    pub title: String,
    pub middle: String,
    pub nodes: Vec<Node>,
}

/// What is tied to the middle, and by what.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Node {
    pub tie: String,
    pub text: String,
    pub href: String,
    pub tone: Tone,
}

impl Graph {
    /// Where each node is, around the middle at 360, 130.
    pub fn placed(&self) -> Vec<(i64, i64)> {
        let count = self.nodes.len().max(1) as f64;
        (0..self.nodes.len())
            .map(|at| {
                let angle = std::f64::consts::TAU * at as f64 / count - std::f64::consts::FRAC_PI_2;
                (
                    (360.0 + 270.0 * angle.cos()) as i64,
                    (130.0 + 100.0 * angle.sin()) as i64,
                )
            })
            .collect()
    }
}
