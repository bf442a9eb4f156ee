//! What a merchant's prices say: a discount from a price that was not the lowest lately, a list price that nobody ever paid, one
//! item at one time at different prices for different buyers.
//!
//! From the line items of payments that were captured. Every finding is one-sided: a price that was not seen here can only
//! make the true lowest price lower. It must never stop a payment, nor name a buyer: prices and counts are the evidence.

use super::signals::Finding;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Days with sales that an item must have before its list price counts as never charged.
const DAYS_MIN: usize = 7;
/// Buyers at each of two prices that make a difference by buyer.
const BUYERS_MIN: usize = 3;

/// One line of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// product code, or name
    pub item: String,
    /// of one piece, minor units
    pub list: i64,
    /// what one piece was sold for
    pub deal: i64,
    /// hour since 1970
    pub hour: i64,
    /// who bought, as a hash; 0 when not known
    pub buyer: u64,
}

/// What was charged for one piece on a day that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// minor units
    pub lowest: i64,
    /// minor units
    pub highest: i64,
}

/// Holds a day's sales in one currency against the 30 days before, by item, oldest day first. Gives item and finding.
pub fn find(sales: &[Sale], before: &BTreeMap<String, Vec<Charged>>) -> Vec<(String, Finding)> {
    let mut by_item: BTreeMap<&str, Vec<&Sale>> = BTreeMap::new();
    for sale in sales {
        by_item.entry(&sale.item).or_default().push(sale);
    }
    let mut findings = Vec::new();
    for (item, sales) in by_item {
        let reduced = sales
            .iter()
            .filter(|sale| sale.deal < sale.list)
            .max_by_key(|sale| sale.list);
        let days = before.get(item).map_or(&[][..], Vec::as_slice);
        let days = reduced.map_or(days, |sale| before_the_reduction(days, sale.deal));
        let lowest = days.iter().map(|day| day.lowest).min();
        let highest = days.iter().map(|day| day.highest).max();
        if let (Some(sale), Some(lowest), Some(highest)) = (reduced, lowest, highest) {
            let evidence = json!({"list_price": sale.list, "deal_price": sale.deal, "lowest_charged_in_30_days": lowest,
                                  "highest_charged_in_30_days": highest, "days_with_sales": days.len()});
            let mut found = |kind| {
                let evidence = evidence.clone();
                findings.push((item.to_owned(), Finding { kind, evidence }));
            };
            if sale.list > lowest {
                found("fake_discount");
            }
            if days.len() >= DAYS_MIN && highest < sale.list {
                found("list_price_never_charged");
            }
        }
        if let Some(finding) = by_buyer(&sales) {
            findings.push((item.to_owned(), finding));
        }
    }
    findings
}

/// The days without those at the end on which the same reduction was running: it is held against the price before it began.
fn before_the_reduction(days: &[Charged], deal: i64) -> &[Charged] {
    let running = days.iter().rev().take_while(|day| day.lowest == deal).count();
    &days[..days.len() - running]
}

/// Two prices within an hour, each paid by several buyers of whom none paid both.
fn by_buyer(sales: &[&Sale]) -> Option<Finding> {
    let mut hours: BTreeMap<i64, BTreeMap<i64, BTreeSet<u64>>> = BTreeMap::new();
    for sale in sales.iter().filter(|sale| sale.buyer != 0) {
        hours
            .entry(sale.hour)
            .or_default()
            .entry(sale.deal)
            .or_default()
            .insert(sale.buyer);
    }
    for (hour, prices) in hours {
        let mut known = prices.iter().filter(|(_, buyers)| buyers.len() >= BUYERS_MIN);
        let (Some((low, cheap)), Some((high, dear))) = (known.next(), known.next_back()) else {
            continue;
        };
        if cheap.is_disjoint(dear) {
            let evidence = json!({"hour": hour * 3_600, "prices": [{"deal_price": low, "buyers": cheap.len()},
                                                                   {"deal_price": high, "buyers": dear.len()}]});
            let kind = "price_differs_by_consumer";
            return Some(Finding { kind, evidence });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale(list: i64, deal: i64, hour: i64, buyer: u64) -> Sale {
        let item = "tea".to_owned();
        Sale {
            item,
            list,
            deal,
            hour,
            buyer,
        }
    }

    fn kinds(sales: &[Sale], days: &[(i64, i64)]) -> Vec<&'static str> {
        let charged = days
            .iter()
            .map(|&(lowest, highest)| Charged { lowest, highest })
            .collect();
        let found = find(sales, &BTreeMap::from([("tea".to_owned(), charged)]));
        found.into_iter().map(|(_, finding)| finding.kind).collect()
    }

    #[test]
    fn a_discount_is_measured_from_the_lowest_price_of_thirty_days() {
        let week = [(1_000, 1_200); 7];
        assert_eq!(
            kinds(&[sale(1_000, 800, 0, 1)], &week),
            [""; 0],
            "honest: the lowest price was 1000"
        );
        assert_eq!(kinds(&[sale(1_001, 800, 0, 1)], &week), ["fake_discount"]);
        assert_eq!(
            kinds(&[sale(1_500, 1_500, 0, 1)], &week),
            [""; 0],
            "a higher price is no discount"
        );
        assert_eq!(
            kinds(&[sale(1_200, 800, 0, 1)], &week),
            ["fake_discount"],
            "1200 was charged, and not the lowest"
        );
        assert_eq!(
            kinds(&[sale(1_201, 800, 0, 1)], &week),
            ["fake_discount", "list_price_never_charged"]
        );
        assert_eq!(
            kinds(&[sale(1_201, 800, 0, 1)], &week[..6]),
            ["fake_discount"],
            "six days are too few for never"
        );
        assert_eq!(
            kinds(&[sale(9_999, 800, 0, 1)], &[]),
            [""; 0],
            "nothing is known of a new item"
        );
        let mut running = week.to_vec();
        running.extend([(800, 1_000), (800, 800)]);
        assert_eq!(
            kinds(&[sale(1_000, 800, 0, 1)], &running),
            [""; 0],
            "the same reduction, on its third day"
        );
        assert_eq!(
            kinds(&[sale(1_000, 700, 0, 1)], &running),
            ["fake_discount"],
            "another one, from 800"
        );
    }

    #[test]
    fn buyers_who_pay_differently_within_an_hour_are_noticed() {
        let mut sales: Vec<Sale> = (1..=3).map(|buyer| sale(900, 900, 7, buyer)).collect();
        sales.extend((4..=6).map(|buyer| sale(900, 950, 7, buyer)));
        assert_eq!(kinds(&sales, &[]), ["price_differs_by_consumer"]);
        assert_eq!(kinds(&sales[..5], &[]), [""; 0], "two buyers are chance");
        sales[5].buyer = 1;
        assert_eq!(
            kinds(&sales, &[]),
            [""; 0],
            "one paid both: the price has changed meanwhile"
        );
        sales[5].buyer = 6;
        sales[5].hour = 8;
        assert_eq!(kinds(&sales, &[]), [""; 0], "another hour");
        sales[5] = sale(900, 950, 7, 0);
        assert_eq!(kinds(&sales, &[]), [""; 0], "a buyer nobody knows");
    }
}
