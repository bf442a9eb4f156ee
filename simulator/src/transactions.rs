//! A population that pays by card, and the fraud in it, by seed: histories for the scorer's back-tests.
//!
//! Follows the published parameters of the simulator in the *Fraud Detection Handbook* (Le Borgne, Siblini, Lebichot and
//! Bontempi, chapter 3.2): customers and terminals on a map, customers pay at terminals nearby, amounts around a mean of their
//! own. Three kinds of fraud: every amount above 220; all payments at a terminal for 28 days after it was compromised; a third of
//! a customer's payments, five times as large, for 14 days after the card was copied. Smaller populations keep the density of the
//! map and the share of fraud. The same seed gives the same payments.

use std::io::{self, Write};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Population {
    /// seed of all randomness
    pub seed: u64,
    /// customers, each with a card
    pub customers: usize,
    /// terminals
    pub terminals: usize,
    /// days
    pub days: usize,
    /// midnight of the first day, in seconds since the Unix epoch
    pub start_s: i64,
}

impl Default for Population {
    /// The handbook's, 183 days from 2025-04-01.
    fn default() -> Self {
        Self {
            seed: 1,
            customers: 5_000,
            terminals: 10_000,
            days: 183,
            start_s: 1_743_465_600,
        }
    }
}

/// One payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// seconds since the Unix epoch
    pub at_s: i64,
    /// who
    pub customer: u32,
    /// where
    pub terminal: u32,
    /// how much
    pub amount_cents: i64,
    /// 0 genuine, 1 large amount, 2 compromised terminal, 3 copied card
    pub scenario: u8,
}

impl Population {
    /// All payments in order of time.
    pub fn transactions(&self) -> Vec<Transaction> {
        let mut random = Random(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut transactions = self.payments(&mut random);
        transactions.sort_by_key(|payment| payment.at_s); // stable: the order of the same second is that of generation
        self.defraud(&mut transactions, &mut random);
        transactions
    }

    fn payments(&self, random: &mut Random) -> Vec<Transaction> {
        let side = 100.0 * (self.terminals as f64 / 10_000.0).sqrt();
        let place = |random: &mut Random| (random.uniform(0.0, side), random.uniform(0.0, side));
        let terminals: Vec<(f64, f64)> = (0..self.terminals).map(|_| place(random)).collect();
        let mut payments = Vec::new();
        for customer in 0..self.customers {
            let (x, y) = place(random);
            let mean = random.uniform(5.0, 100.0);
            let per_day = random.uniform(0.0, 4.0);
            let near = |(tx, ty): &(f64, f64)| (tx - x).powi(2) + (ty - y).powi(2) < RADIUS * RADIUS;
            let nearby: Vec<u32> = (0..self.terminals as u32)
                .filter(|terminal| near(&terminals[*terminal as usize]))
                .collect();
            if nearby.is_empty() {
                continue;
            }
            for day in 0..self.days as i64 {
                for _ in 0..random.poisson(per_day) {
                    let second = random.normal(43_200.0, 20_000.0) as i64;
                    if !(1..86_400).contains(&second) {
                        continue;
                    }
                    let mut amount = random.normal(mean, mean / 2.0);
                    if amount < 0.0 {
                        amount = random.uniform(0.0, 2.0 * mean);
                    }
                    payments.push(Transaction {
                        at_s: self.start_s + day * DAY_S + second,
                        customer: customer as u32,
                        terminal: nearby[random.below(nearby.len())],
                        amount_cents: (amount * 100.0).round() as i64,
                        scenario: 0,
                    });
                }
            }
        }
        payments
    }

    fn defraud(&self, transactions: &mut [Transaction], random: &mut Random) {
        // by day: the last day of each terminal's and customer's trouble, so that one pass finds all of it
        let mut terminal_until = vec![i64::MIN; self.terminals];
        let mut customer_until = vec![i64::MIN; self.customers];
        let of_a_day = |all: usize, per_full: f64, full: f64, day: i64| {
            let rate = per_full * all as f64 / full;
            ((day + 1) as f64 * rate).floor() as i64 - (day as f64 * rate).floor() as i64
        };
        let mut day = -1;
        for payment in transactions {
            let today = (payment.at_s - self.start_s).div_euclid(DAY_S);
            while day < today {
                day += 1;
                for _ in 0..of_a_day(self.terminals, 2.0, 10_000.0, day) {
                    terminal_until[random.below(self.terminals)] = day + 28;
                }
                for _ in 0..of_a_day(self.customers, 3.0, 5_000.0, day) {
                    customer_until[random.below(self.customers)] = day + 14;
                }
            }
            if payment.amount_cents > 22_000 {
                payment.scenario = 1;
            }
            if today < terminal_until[payment.terminal as usize] {
                payment.scenario = 2;
            }
            if today < customer_until[payment.customer as usize] && random.below(3) == 0 {
                payment.amount_cents *= 5;
                payment.scenario = 3;
            }
        }
    }
}

/// Writes transactions as the back-test reads them: transaction_id, datetime (UTC), customer_id, terminal_id, amount (major
/// units), fraud (0 or 1), scenario.
pub fn write_csv(transactions: &[Transaction], out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "transaction_id,datetime,customer_id,terminal_id,amount,fraud,scenario"
    )?;
    for (id, payment) in transactions.iter().enumerate() {
        let at = jiff::Timestamp::from_second(payment.at_s).map_err(io::Error::other)?;
        writeln!(
            out,
            "{id},{at},{},{},{}.{:02},{},{}",
            payment.customer,
            payment.terminal,
            payment.amount_cents / 100,
            payment.amount_cents % 100,
            u8::from(payment.scenario > 0),
            payment.scenario
        )?;
    }
    Ok(())
}

/// How far customers walk, in the units of a map of 100 by 100 with 10,000 terminals.
const RADIUS: f64 = 5.0;
const DAY_S: i64 = 86_400;

/// SplitMix64: a few lines that give the same stream for ever, which no library promises.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn uniform(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.unit() * bound as f64) as usize
    }

    /// Box and Muller.
    fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let (radius, angle) = (
            (-2.0 * (1.0 - self.unit()).ln()).sqrt(),
            std::f64::consts::TAU * self.unit(),
        );
        mean + deviation * radius * angle.cos()
    }

    /// Knuth; means of a few.
    fn poisson(&mut self, mean: f64) -> u32 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_history_in_order_with_a_little_fraud_of_each_kind() {
        let population = Population {
            customers: 500,
            terminals: 1_000,
            days: 60,
            ..Population::default()
        };
        let transactions = population.transactions();
        assert_eq!(transactions, population.transactions());
        let other = Population {
            seed: 2,
            ..population.clone()
        };
        assert_ne!(transactions, other.transactions());
        assert!(transactions.windows(2).all(|pair| pair[0].at_s <= pair[1].at_s));
        let per_day = transactions.len() as f64 / 60.0 / 500.0;
        assert!((1.7..2.1).contains(&per_day), "{per_day}");
        let share = |scenario: u8| {
            transactions.iter().filter(|t| t.scenario == scenario).count() as f64 / transactions.len() as f64
        };
        assert!(share(1) < 0.003 && share(2) > 0.001 && share(3) > 0.0001);
        assert!((0.002..0.02).contains(&(1.0 - share(0))), "{}", share(0));
        let mut csv = Vec::new();
        write_csv(&transactions[..1], &mut csv).expect("memory");
        let csv = String::from_utf8(csv).expect("a text");
        assert_eq!(csv.lines().count(), 2);
        assert!(csv.lines().nth(1).is_some_and(|line| line.starts_with("0,2025-04-01T")));
    }
}
