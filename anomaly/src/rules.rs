//! The rules: one table, one line each. Must never fire on volume alone where honest buyers make volume: many buyers
//! share one address (so an IP asks for review unless the issuer's declines, small amounts and unknown cards say the
//! same), one card retries, and a server-to-server integration gives neither IP nor device.

use crate::assessment::Decision;
use crate::config::Config;
use crate::entity::Kind;
use crate::features::{Feature, Features};
use crate::lists::{List, Listed};

/// One line of [`RULES`].
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Stable name, also used in [`Config::disabled_rules`].
    pub name: &'static str,
    /// Stable reason code.
    pub code: &'static str,
    /// What the rule asks for; `Allow` adds to the score only.
    pub decision: Decision,
    /// Percent of the remaining distance to 99 that the rule adds to the score.
    pub weight: u8,
    /// The reason, with `{value}` and `{limit}`.
    pub message: &'static str,
    condition: fn(&Case<'_>) -> Option<Hit>,
}

impl Rule {
    pub(crate) fn hit(&self, case: &Case<'_>) -> Option<Hit> {
        (self.condition)(case)
    }

    /// What the rule asks for under this configuration.
    pub(crate) fn decision(&self, config: &Config) -> Decision {
        match self.name {
            "elevated_list" => config.elevated_list_decision,
            "highest_list" => config.highest_list_decision,
            _ => self.decision,
        }
    }
}

use Decision::{Allow, Block, Review};
use Feature as F;

/// Every rule. The most severe decision wins; among equals the first line does.
pub const RULES: &[Rule] = &[
    rule(
        "block_list",
        "listed_block",
        Block,
        95,
        "This {value} is on the block list",
        |c| c.listed(List::Block),
    ),
    rule(
        "highest_list",
        "listed_highest",
        Block,
        90,
        "This {value} is on the highest-risk list",
        |c| c.listed(List::Highest),
    ),
    rule(
        "elevated_list",
        "listed_elevated",
        Review,
        68,
        "This {value} is on the elevated-risk list",
        |c| c.listed(List::Elevated),
    ),
    rule(
        "card_testing_device",
        "card_testing",
        Block,
        85,
        "{value} cards on this device in 10 minutes (limit {limit}), with small or declined amounts",
        |c| {
            let suspect = c.at_least(F::DeviceSmall10m, c.config.device_suspect_10m)
                || c.at_least(F::DeviceDeclines10m, c.config.device_suspect_10m);
            c.reaches(F::DeviceCards10m, c.config.device_cards_10m)
                .filter(|_| suspect)
        },
    ),
    rule(
        "card_testing_ip",
        "card_testing",
        Block,
        85,
        "{value} cards from this IP address in 10 minutes (limit {limit}), mostly declined; this one is new, its amount small",
        |c| {
            let evidence = c.at_least(F::IpDeclineRatio10m, c.config.testing_decline_ratio)
                && c.at_least(F::IpDeclines10m, c.config.ip_cards_block_10m / 2.0)
                && c.new_card_small_amount();
            c.reaches(F::IpCards10m, c.config.ip_cards_block_10m)
                .filter(|_| evidence)
        },
    ),
    rule(
        "card_testing_merchant",
        "card_testing",
        Block,
        80,
        "{value} cards at this merchant in 10 minutes (limit {limit}), mostly declined; this one is new, its amount small",
        |c| {
            let evidence = c.at_least(F::MerchantDeclineRatio10m, c.config.testing_decline_ratio)
                && c.at_least(F::MerchantDeclines10m, c.config.merchant_cards_10m)
                && c.new_card_small_amount();
            c.reaches(F::MerchantCards10m, c.config.merchant_cards_10m)
                .filter(|_| evidence)
        },
    ),
    rule(
        "ip_many_cards",
        "card_testing_suspected",
        Review,
        67,
        "{value} cards from this IP address in 10 minutes (limit {limit}), many small or declined",
        |c| {
            let evidence = c.at_least(F::IpDeclineRatio10m, c.config.testing_decline_ratio)
                || c.at_least(F::IpSmallRatio10m, c.config.testing_small_ratio);
            c.reaches(F::IpCards10m, c.config.ip_cards_10m).filter(|_| evidence)
        },
    ),
    rule(
        "subnet_many_cards",
        "card_testing_suspected",
        Review,
        66,
        "{value} cards from this subnet in 10 minutes (limit {limit}), mostly declined",
        |c| {
            c.reaches(F::SubnetCards10m, c.config.subnet_cards_10m)
                .filter(|_| c.at_least(F::SubnetDeclineRatio10m, c.config.testing_decline_ratio))
        },
    ),
    rule(
        "customer_many_cards",
        "many_cards",
        Review,
        66,
        "{value} cards of this customer in 1 hour (limit {limit}), several declined",
        |c| {
            c.reaches(F::CustomerCards1h, c.config.identity_cards_1h)
                .filter(|_| c.at_least(F::CustomerDeclines1h, c.config.identity_declines_1h))
        },
    ),
    rule(
        "email_many_cards",
        "many_cards",
        Review,
        66,
        "{value} cards with this e-mail address in 1 hour (limit {limit}), several declined",
        |c| {
            c.reaches(F::EmailCards1h, c.config.identity_cards_1h)
                .filter(|_| c.at_least(F::EmailDeclines1h, c.config.identity_declines_1h))
        },
    ),
    rule(
        "bin_attack",
        "bin_attack",
        Review,
        66,
        "{value} cards of this BIN in 10 minutes (limit {limit}), mostly declined; this one is new",
        |c| {
            let evidence = c.at_least(F::BinDeclineRatio10m, c.config.testing_decline_ratio)
                && c.at_least(F::BinDeclines10m, c.config.bin_cards_10m / 2.0)
                && c.is(F::CardUnseen);
            c.reaches(F::BinCards10m, c.config.bin_cards_10m).filter(|_| evidence)
        },
    ),
    rule(
        "merchant_bad_numbers",
        "bad_number_burst",
        Review,
        66,
        "{value} wrong card numbers or CVCs at this merchant in 1 hour (limit {limit}); this card is new",
        |c| {
            let evidence = c.at_least(F::MerchantBadRatio1h, c.config.merchant_bad_ratio_1h) && c.is(F::CardUnseen);
            c.reaches(F::MerchantBad1h, c.config.merchant_bad_1h)
                .filter(|_| evidence)
        },
    ),
    rule(
        "card_decline_storm",
        "decline_storm",
        Review,
        66,
        "{value} declines of this card in 10 minutes (limit {limit})",
        |c| {
            c.reaches(F::CardDeclines10m, c.config.card_declines_10m)
                .filter(|_| c.at_least(F::CardDeclineRatio10m, c.config.storm_decline_ratio))
        },
    ),
    rule(
        "device_decline_storm",
        "decline_storm",
        Review,
        66,
        "{value} declines on this device in 10 minutes (limit {limit})",
        |c| {
            c.reaches(F::DeviceDeclines10m, c.config.device_declines_10m)
                .filter(|_| c.at_least(F::DeviceDeclineRatio10m, c.config.storm_decline_ratio))
        },
    ),
    rule(
        "ip_decline_storm",
        "decline_storm",
        Review,
        66,
        "{value} declines from this IP address in 10 minutes (limit {limit})",
        |c| {
            c.reaches(F::IpDeclines10m, c.config.ip_declines_10m)
                .filter(|_| c.at_least(F::IpDeclineRatio10m, c.config.storm_decline_ratio))
        },
    ),
    rule(
        "card_velocity",
        "card_velocity",
        Review,
        66,
        "{value} attempts with this card in 10 minutes (limit {limit}), from many addresses or often declined",
        |c| {
            let evidence = c.at_least(F::CardIps1h, c.config.card_ips_1h)
                || c.at_least(F::CardDeclines1h, c.config.card_declines_1h);
            c.reaches(F::CardAttempts10m, c.config.card_attempts_10m)
                .filter(|_| evidence)
        },
    ),
    rule(
        "customer_amount",
        "amount_unusual",
        Review,
        66,
        "The amount is {value} times this customer's mean (limit {limit})",
        |c| {
            c.reaches(F::CustomerAmountVsMean, c.config.amount_vs_own)
                .filter(|_| c.at_least(F::CustomerPayments, c.config.own_payments_min))
        },
    ),
    rule(
        "card_amount",
        "amount_unusual",
        Review,
        66,
        "The amount is {value} times this card's mean (limit {limit})",
        |c| {
            let evidence = c.at_least(F::CardPayments, c.config.own_payments_min) && c.given(&[F::IpAge, F::DeviceAge]);
            c.reaches(F::CardAmountVsMean, c.config.amount_vs_own)
                .filter(|_| evidence)
        },
    ),
    rule(
        "new_card_amount",
        "amount_unusual",
        Review,
        66,
        "The card is new and the amount {value} times this merchant's mean (limit {limit})",
        |c| {
            let evidence = c.is(F::CardUnseen) && c.at_least(F::MerchantPayments, c.config.merchant_payments_min);
            c.reaches(F::MerchantAmountVsMean, c.config.amount_vs_merchant)
                .filter(|_| evidence)
        },
    ),
    rule("card_new", "card_new", Allow, 5, "The card was not seen before", |c| {
        c.reaches(F::CardUnseen, 1.0)
    }),
    rule("cvc_missing", "cvc_missing", Allow, 4, "No CVC was given", |c| {
        c.reaches(F::CvcMissing, 1.0)
    }),
    rule(
        "card_declined_lately",
        "card_declined_lately",
        Allow,
        10,
        "{value} declines of this card in 24 hours",
        |c| c.reaches(F::CardDeclines24h, 2.0),
    ),
];

const fn rule(
    name: &'static str,
    code: &'static str,
    decision: Decision,
    weight: u8,
    message: &'static str,
    condition: fn(&Case<'_>) -> Option<Hit>,
) -> Rule {
    Rule {
        name,
        code,
        decision,
        weight,
        message,
        condition,
    }
}

/// One attempt before the rules.
pub(crate) struct Case<'a> {
    pub features: &'a Features,
    pub listed: Listed,
    pub config: &'a Config,
}

/// Why a rule fired.
pub(crate) enum Hit {
    Listed(Kind),
    Reached { feature: Feature, value: f64, limit: f64 },
}

impl Case<'_> {
    fn listed(&self, list: List) -> Option<Hit> {
        self.listed.on(list).map(Hit::Listed)
    }

    fn reaches(&self, feature: Feature, limit: f64) -> Option<Hit> {
        self.features
            .value(feature)
            .filter(|value| *value >= limit)
            .map(|value| Hit::Reached { feature, value, limit })
    }

    fn at_least(&self, feature: Feature, limit: f64) -> bool {
        self.features.value(feature).is_some_and(|value| value >= limit)
    }

    fn is(&self, flag: Feature) -> bool {
        self.at_least(flag, 1.0)
    }

    fn given(&self, any: &[Feature]) -> bool {
        any.iter().any(|feature| self.features.value(*feature).is_some())
    }

    fn new_card_small_amount(&self) -> bool {
        self.is(F::CardUnseen) && self.is(F::AmountSmall)
    }
}
