//! A believable month for `counterfoil dev --demo`: made by the API itself, one hour after the other, so that every figure in it has
//! gone the way of a real one: judged, authorized by the simulator, booked, told, disputed, paid out.
//!
//! The service starts with its clock a month behind, and ids follow the clock; each hour of sales moves it on, until it is now. What
//! happened then says so (`effective_at`), and when the books learned it stays true (`recorded_at`). The clock never goes back.

use crate::app::App;
use crate::clock::Clock;
use crate::dev::seed::Seeded;
use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use futures_util::future::join_all;
use http::{Request, header};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tower::ServiceExt;

/// How far back it begins.
pub const DAYS: i64 = 30;
const HOURS: i64 = DAYS * 24;
/// Sales in an hour, by the hour of the day (UTC): asleep, at noon, in the evening.
const BUSY: [u32; 24] = [1, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 6, 7, 8, 8, 6, 4, 3, 2];
/// Hours in which somebody tries stolen cards.
const BURSTS: [i64; 3] = [9 * 24 + 3, 22 * 24 + 2, HOURS - 5];
const BURST: usize = 24;

const BOOKS: [(&str, i64); 8] = [
    ("The Sea Chart, hardcover", 3_490),
    ("Letters from Harbour Street", 1_890),
    ("A Field Guide to Gulls", 2_450),
    ("Knots, Splices and Stories", 1_290),
    ("Tide Tables for Beginners", 990),
    ("The Lighthouse Ledger", 2_690),
    ("Atlas of Small Islands", 5_900),
    ("Gift card", 5_000),
];
const TEAS: [(&str, i64); 6] = [
    ("Keemun, 250 g", 1_850),
    ("Dragon Well, 100 g", 2_900),
    ("Smoked Lapsang, 250 g", 1_650),
    ("Tea pot, cast iron", 7_400),
    ("Tasting set of eight", 4_200),
    ("Chrysanthemum, 60 g", 1_150),
];

/// Somebody who buys.
struct Buyer {
    email: String,
    card: String,
    ip: String,
    device: String,
}

struct Demo<'a> {
    api: Router,
    app: Arc<App>,
    seeded: &'a Seeded,
    random: StdRng,
    buyers: Vec<Buyer>,
    refused: AtomicU64,
}

/// Lives through the month. The listeners serve already: the acquirer reports to them.
///
/// # Errors
/// When the service refuses what must work.
pub async fn fill(api: Router, app: Arc<App>, clock: &Clock, seeded: &Seeded) -> Result<()> {
    let mut random = StdRng::seed_from_u64(20_261_124);
    let buyers = (0..420).map(|number| buyer(&mut random, number)).collect();
    let mut demo = Demo {
        api,
        app,
        seeded,
        random,
        buyers,
        refused: AtomicU64::new(0),
    };
    demo.set_up().await.context("setting the demonstration up")?;
    let bar = ProgressBar::new(HOURS as u64);
    let style = ProgressStyle::with_template("- demonstration data {bar:30} {percent} % of a month, {elapsed}")?;
    bar.set_style(style);
    for hour in 0..HOURS {
        demo.sell(hour).await;
        if BURSTS.contains(&hour) {
            demo.burst().await;
        }
        match hour % 24 {
            11 => demo.look_after(HOURS - hour).await,
            16 if hour % (7 * 24) > 5 * 24 => demo.pay_out().await,
            _ => {}
        }
        step(clock, hour);
        bar.inc(1);
    }
    clock.advance(clock.behind_by());
    demo.ask_somebody().await?;
    bar.finish_and_clear();
    let refused = demo.refused.load(Ordering::Relaxed);
    tracing::info!(refused, "demonstration data");
    Ok(())
}

/// An hour on, less what passed by itself; never past now.
fn step(clock: &Clock, hour: i64) {
    let left = SignedDuration::from_hours(HOURS - hour - 1);
    let behind = clock.behind_by();
    if behind > left {
        clock.advance(behind - left);
    }
}

impl Demo<'_> {
    async fn set_up(&mut self) -> Result<()> {
        for (index, shop) in self.seeded.merchants.iter().enumerate() {
            let bank = json!({"external_account": {"object": "bank_account", "country": "US", "currency": "usd",
                "routing_number": "110000000", "account_number": format!("00012345678{index}")}});
            self.post(&format!("/v1/accounts/{}/external_accounts", shop.id), &shop.id, bank)
                .await;
        }
        let hook = json!({"url": "https://127.0.0.1:18443/orders", "enabled_events": ["payment_intent.succeeded", "charge.dispute.created"],
            "description": "order service (not running in this demonstration)"});
        self.post("/v1/webhook_endpoints", &self.seeded.merchants[0].id.clone(), hook)
            .await;
        Ok(())
    }

    /// An hour's sales, at once: they are a few, of different people.
    async fn sell(&mut self, hour: i64) {
        let weekend = matches!(hour / 24 % 7, 5 | 6);
        let count = BUSY[(hour % 24) as usize] + u32::from(weekend);
        let sales: Vec<(String, Value)> = (0..count).map(|_| self.sale()).collect();
        let demo = &*self;
        let paid = sales.into_iter().map(|(shop, sale)| async move {
            let payment = demo.post("/v1/payment_intents", &shop, sale).await;
            (shop, payment)
        });
        let paid = join_all(paid).await;
        for (shop, payment) in paid {
            let succeeded = payment["status"] == "succeeded";
            if succeeded && self.random.random_ratio(1, 22) {
                let amount = payment["amount"].as_i64().unwrap_or_default();
                let part = if self.random.random_ratio(1, 2) {
                    amount
                } else {
                    amount / 3
                };
                let refund =
                    json!({"payment_intent": payment["id"], "amount": part, "reason": "requested_by_customer"});
                self.post("/v1/refunds", &shop, refund).await;
            }
        }
    }

    fn sale(&mut self) -> (String, Value) {
        let first = self.random.random_ratio(3, 5);
        let shop = self.seeded.merchants[usize::from(!first)].id.clone();
        let (what, price) = *if first {
            BOOKS.choose(&mut self.random)
        } else {
            TEAS.choose(&mut self.random)
        }
        .unwrap_or(&BOOKS[0]);
        let count = *[1, 1, 1, 1, 2, 3].choose(&mut self.random).unwrap_or(&1);
        let buyer = self.random.random_range(0..self.buyers.len());
        let buyer = &self.buyers[buyer];
        let mut sale = json!({
            "amount": price * count, "currency": "usd", "confirm": true, "description": format!("{count} × {what}"),
            "receipt_email": buyer.email,
            "risk_context": {"ip": buyer.ip, "device": buyer.device},
            "payment_method_data": {"type": "card", "card": {"number": buyer.card, "exp_month": 11, "exp_year": 2031, "cvc": "314"}},
        });
        // What goes wrong in a shop's month, by the published cards that make it so.
        let token = match self.random.random_range(0..1000) {
            0..35 => "pm_card_visa_chargeDeclinedInsufficientFunds",
            35..55 => "pm_card_visa_chargeDeclined",
            55..63 => "pm_card_chargeDeclinedExpiredCard",
            63..75 => "pm_card_createDispute",
            75..80 => "pm_card_createDisputeProductNotReceived",
            80..83 => "pm_card_createDisputeInquiry",
            83..87 => "pm_card_createIssuerFraudRecord",
            87..102 => "pm_card_riskLevelElevated",
            102..106 => "pm_card_riskLevelHighest",
            106..110 => "pm_card_refundFail",
            110..118 => "pm_card_authenticationRequired",
            _ => return (shop, sale),
        };
        if let Some(fields) = sale.as_object_mut() {
            fields.remove("payment_method_data");
            fields.insert("payment_method".into(), json!(token));
        }
        (shop, sale)
    }

    /// Somebody tries stolen cards: small amounts, one device, one address, a new card each time.
    async fn burst(&mut self) {
        let (ip, device) = (
            format!("203.0.113.{}", self.random.random_range(2..250)),
            crate::id::random(),
        );
        let shop = self.seeded.merchants[0].id.clone();
        for _ in 0..BURST {
            let declined = self.random.random_ratio(3, 5);
            let mut sale = json!({"amount": self.random.random_range(100..900), "currency": "usd", "confirm": true, "description": "Gift card",
                "risk_context": {"ip": ip, "device": device}});
            match declined {
                true => sale["payment_method"] = json!("pm_card_visa_chargeDeclined"),
                false => {
                    let number = card_number(&mut self.random);
                    sale["payment_method_data"] = json!({"type": "card",
                        "card": {"number": number, "exp_month": 9, "exp_year": 2030, "cvc": "000"}});
                }
            }
            self.post("/v1/payment_intents", &shop, sale).await;
        }
    }

    /// A day's work of the people at the console, but for the last days', which is left for whoever looks.
    async fn look_after(&mut self, hours_left: i64) {
        for shop in self
            .seeded
            .merchants
            .iter()
            .map(|shop| shop.id.clone())
            .collect::<Vec<_>>()
        {
            if hours_left > 60 {
                for review in self.list("/v1/reviews?limit=50", &shop).await {
                    let how = if self.random.random_ratio(2, 3) {
                        "approve"
                    } else {
                        "reject"
                    };
                    self.post(
                        &format!("/v1/reviews/{}/{how}", review["id"].as_str().unwrap_or_default()),
                        &shop,
                        json!({}),
                    )
                    .await;
                }
            }
            for dispute in self.list("/v1/disputes?limit=50", &shop).await {
                let id = dispute["id"].as_str().unwrap_or_default().to_owned();
                if dispute["status"] != "needs_response" || hours_left < 120 {
                    continue;
                }
                match self.random.random_range(0..6) {
                    0 => drop(self.post(&format!("/v1/disputes/{id}/close"), &shop, json!({})).await),
                    1 | 2 => drop(self.answer(&id, &shop, "winning_evidence").await),
                    3 => drop(self.answer(&id, &shop, "losing_evidence").await),
                    _ => {}
                }
            }
        }
    }

    async fn answer(&self, id: &str, shop: &str, outcome: &str) -> Value {
        let evidence = json!({"evidence": {"uncategorized_text": outcome, "shipping_carrier": "Harbour Post",
            "shipping_tracking_number": "HP 4412 9920 US"}, "submit": true});
        self.post(&format!("/v1/disputes/{id}"), shop, evidence).await
    }

    async fn pay_out(&mut self) {
        for shop in self
            .seeded
            .merchants
            .iter()
            .map(|shop| shop.id.clone())
            .collect::<Vec<_>>()
        {
            let balance = self.get("/v1/balance", &shop).await;
            let available = balance["available"][0]["amount"].as_i64().unwrap_or_default();
            if available < 10_000 {
                continue;
            }
            let payout = self
                .post(
                    "/v1/payouts",
                    &shop,
                    json!({"amount": available / 100 * 90, "currency": "usd"}),
                )
                .await;
            if let Some(id) = payout["id"].as_str() {
                for status in ["in_transit", "paid"] {
                    self.post(&format!("/v1/payouts/{id}/report"), &shop, json!({"outcome": status}))
                        .await;
                }
            }
        }
    }

    /// Two requests that wait for a second person.
    async fn ask_somebody(&self) -> Result<()> {
        let client = self.app.reads.get().await?;
        let sql = "INSERT INTO gateway.approval (book_id, id, kind, subject, amount, currency, content, reason, maker, created_at, expires_at)
                   SELECT p.book_id, $1, 'refund', p.id, p.amount, p.currency, '{\"reason\": \"requested_by_customer\"}', $2, 'operator', $3, $4
                   FROM gateway.merchant m CROSS JOIN LATERAL (SELECT t.* FROM gateway.payment t WHERE t.book_id = m.book_id
                        AND t.status = 'succeeded' AND t.amount_refunded = 0 AND t.amount_disputed = 0 ORDER BY t.id DESC LIMIT 20) p
                   ORDER BY p.amount DESC LIMIT 1";
        let now = self.app.clock.now();
        let until = now + SignedDuration::from_hours(70);
        let id = crate::id::new(crate::id::prefix::APPROVAL);
        let reason = "The parcel came back unopened; the buyer wants the money, not another one.";
        client.execute(sql, &[&id, &reason, &now, &until]).await?;
        Ok(())
    }

    async fn list(&self, path: &str, shop: &str) -> Vec<Value> {
        self.get(path, shop).await["data"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    async fn get(&self, path: &str, shop: &str) -> Value {
        self.ask("GET", path, shop, Value::Null).await
    }

    async fn post(&self, path: &str, shop: &str, body: Value) -> Value {
        self.ask("POST", path, shop, body).await
    }

    /// Asks as a shop's software does, less the socket. A decline is an answer; anything else that is refused is counted.
    async fn ask(&self, method: &str, path: &str, shop: &str, body: Value) -> Value {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.seeded.secret_key))
            .header(header::CONTENT_TYPE, "application/json")
            .header("stripe-account", shop);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let Ok(request) = request.body(Body::from(body)) else {
            return Value::Null;
        };
        let response = match self.api.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap_or_default();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status >= 400 && status != 402 && self.refused.fetch_add(1, Ordering::Relaxed) < 20 {
            tracing::warn!(status, path, code = %answer["error"]["code"], param = %answer["error"]["param"], "refused to the demonstration");
        }
        answer
    }
}

fn buyer(random: &mut StdRng, number: u32) -> Buyer {
    const NAMES: [&str; 12] = [
        "ada", "bo", "chen", "dana", "emeka", "fatima", "grace", "hugo", "ines", "jun", "kofi", "lena",
    ];
    let name = NAMES[number as usize % NAMES.len()];
    Buyer {
        email: format!("{name}{number}@buyers.example"),
        card: card_number(random),
        ip: format!(
            "198.51.{}.{}",
            random.random_range(100..200),
            random.random_range(1..250)
        ),
        device: crate::id::random(),
    }
}

/// A number that no issuer gave out and that passes the check of its last digit.
fn card_number(random: &mut StdRng) -> String {
    let bin = ["424242", "411111", "555555", "510510", "400012", "222300"]
        .choose(random)
        .unwrap_or(&"424242");
    let mut digits: Vec<u32> = bin.chars().filter_map(|digit| digit.to_digit(10)).collect();
    digits.extend((0..9).map(|_| random.random_range(0..10u32)));
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => digit * 2 / 10 + digit * 2 % 10,
            _ => *digit,
        })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_the_check_and_the_clock_arrives_now() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            let number = card_number(&mut random);
            let sum: u32 = number
                .chars()
                .rev()
                .filter_map(|digit| digit.to_digit(10))
                .enumerate()
                .map(|(at, digit)| match at % 2 {
                    1 => digit * 2 / 10 + digit * 2 % 10,
                    _ => digit,
                })
                .sum();
            assert_eq!((number.len(), sum % 10), (16, 0), "{number}");
        }
        let clock = Clock::behind(SignedDuration::from_hours(HOURS));
        assert_eq!(clock.behind_by(), SignedDuration::from_hours(HOURS));
        (0..HOURS).for_each(|hour| step(&clock, hour));
        clock.advance(clock.behind_by());
        assert_eq!(clock.behind_by(), SignedDuration::ZERO);
    }
}
