//! The chart of accounts: which accounts may exist at all, their normal side, and which may go below zero.
//!
//! Never holds a balance or a rule of the business. The table `ledger.chart` is the same list for readers of SQL; a
//! test holds the two together.

use std::fmt;

/// The side on which an account grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Assets and expenses grow by debits.
    Debit,
    /// Liabilities, equity and income grow by credits.
    Credit,
}

impl Side {
    /// The letter stored in the database: `D` or `C`.
    pub const fn letter(self) -> char {
        match self {
            Side::Debit => 'D',
            Side::Credit => 'C',
        }
    }
}

/// The type of an account, which decides its normal side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountType {
    /// What is owned or owed to us.
    Asset,
    /// What is owed to others.
    Liability,
    /// Opening and retained capital.
    Equity,
    /// Earned.
    Income,
    /// Spent.
    Expense,
}

impl AccountType {
    /// Lower-case name as stored in `ledger.chart.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            AccountType::Asset => "asset",
            AccountType::Liability => "liability",
            AccountType::Equity => "equity",
            AccountType::Income => "income",
            AccountType::Expense => "expense",
        }
    }

    /// Assets and expenses are debit-normal, the rest credit-normal.
    pub const fn normal_side(self) -> Side {
        match self {
            AccountType::Asset | AccountType::Expense => Side::Debit,
            AccountType::Liability | AccountType::Equity | AccountType::Income => Side::Credit,
        }
    }
}

macro_rules! chart {
    ($($(#[$doc:meta])* $name:ident = $number:literal $title:literal $kind:ident $room:ident;)+) => {
        /// An account of the chart. Each exists per book and currency, some also per acquirer or bank (the dimension).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Chart { $($(#[$doc])* $name,)+ }

        impl Chart {
            /// Every account of the chart, by number.
            pub const ALL: &'static [Chart] = &[$(Chart::$name,)+];

            /// The four-digit number, e.g. `2010`.
            pub const fn number(self) -> &'static str { match self { $(Chart::$name => $number,)+ } }

            /// The title, e.g. `merchant_payable.pending`.
            pub const fn title(self) -> &'static str { match self { $(Chart::$name => $title,)+ } }

            /// Asset, liability, equity, income or expense.
            pub const fn account_type(self) -> AccountType { match self { $(Chart::$name => AccountType::$kind,)+ } }

            /// Whether its available balance may be negative.
            pub const fn overdraft(self) -> bool { match self { $(Chart::$name => chart!(@ $room),)+ } }
        }
    };
    (@ either) => { true };
    (@ floor) => { false };
}

chart! {
    /// Segregated customer money, per bank account. The bank's word is a fact: it cannot be refused.
    ClientBank = "1010" "client_bank" Asset either;
    /// Our own money, per bank account.
    OperatingBank = "1020" "operating_bank" Asset either;
    /// Captured, not yet paid by the acquirer; goes credit when refunds outrun sales.
    AcquirerReceivable = "1110" "acquirer_receivable" Asset either;
    /// The acquirer says paid, the bank has not shown it yet; goes credit in a book whose batch has more refunds than sales.
    SettlementInTransit = "1120" "settlement_in_transit" Asset either;
    /// Principal taken by the networks, outcome open.
    ChargebackContested = "1130" "chargeback_contested" Asset floor;
    /// Invoices, off-card debts, returned direct debits.
    CustomerReceivable = "1140" "customer_receivable" Asset floor;
    /// What a merchant owes us: its negative balance.
    MerchantReceivable = "1210" "merchant_receivable" Asset floor;
    /// Advances paid for a merchant.
    MerchantRecourse = "1220" "merchant_recourse" Asset floor;
    /// Currency position, one per currency.
    FxClearing = "1310" "fx_clearing" Asset either;
    /// Unidentified bank or acquirer items; the target is zero.
    SuspenseUnmatched = "1910" "suspense_unmatched" Asset either;
    /// Money between books: over all books it nets to zero.
    InterBookClearing = "1920" "inter_book_clearing" Asset either;
    /// Sold, not yet available to the merchant.
    MerchantPending = "2010" "merchant_payable.pending" Liability floor;
    /// May be paid out to the merchant.
    MerchantAvailable = "2020" "merchant_payable.available" Liability floor;
    /// Rolling reserve.
    MerchantReserve = "2030" "merchant_reserve" Liability floor;
    /// The merchant's consumer guarantee deposit.
    MerchantDeposit = "2040" "merchant_deposit" Liability floor;
    /// Frozen by a case or a chargeback.
    DisputeHold = "2110" "dispute_hold" Liability floor;
    /// Refund accepted, not yet confirmed by the acquirer.
    RefundPayable = "2120" "refund_payable" Liability floor;
    /// Compensation owed to consumers.
    CompensationPayable = "2130" "consumer_compensation_payable" Liability floor;
    /// Payout sent, not yet confirmed by the bank.
    PayoutsInTransit = "2140" "payouts_in_transit" Liability floor;
    /// Value-added and other taxes; goes debit when fees with tax are given back.
    TaxPayable = "2210" "tax_payable" Liability either;
    /// Acquirer fees invoiced and not netted.
    ProcessorPayable = "2220" "processor_payable" Liability either;
    /// Opening and retained capital.
    Equity = "3010" "equity" Equity either;
    /// Our fee on payments.
    PlatformFeeRevenue = "4010" "platform_fee_revenue" Income either;
    /// Dispute fees charged on to merchants.
    DisputeFeeIncome = "4020" "dispute_fee_income" Income either;
    /// Penalties with a stated basis.
    PenaltyIncome = "4030" "penalty_income" Income either;
    /// Exchange gains.
    FxGain = "4040" "fx_gain" Income either;
    /// Rounding in our favour (exchange only).
    RoundingGain = "4090" "rounding_gain" Income either;
    /// What acquirers charge us.
    ProcessorFeeExpense = "5010" "processor_fee_expense" Expense either;
    /// Dispute fees charged by networks and acquirers.
    DisputeFeeExpense = "5020" "dispute_fee_expense" Expense either;
    /// Lost chargebacks that the platform bears.
    ChargebackLoss = "5030" "chargeback_loss" Expense either;
    /// Compensation that the platform bears.
    CompensationExpense = "5040" "compensation_expense" Expense either;
    /// Merchant debts written off.
    BadDebt = "5050" "bad_debt" Expense either;
    /// Exchange losses.
    FxLoss = "5060" "fx_loss" Expense either;
    /// What banks charge for payouts.
    PayoutFeeExpense = "5070" "payout_fee_expense" Expense either;
    /// Rounding against us (exchange only).
    RoundingLoss = "5090" "rounding_loss" Expense either;
}

impl Chart {
    /// The side on which this account grows.
    pub const fn normal_side(self) -> Side {
        self.account_type().normal_side()
    }

    /// The account with this number, if the chart has one.
    pub fn from_number(number: &str) -> Option<Chart> {
        Chart::ALL.iter().copied().find(|c| c.number() == number)
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_unique_and_their_first_digit_is_the_type() {
        assert!(Chart::ALL.windows(2).all(|w| w[0].number() < w[1].number()));
        for c in Chart::ALL {
            let expected = match c.account_type() {
                AccountType::Asset => '1',
                AccountType::Liability => '2',
                AccountType::Equity => '3',
                AccountType::Income => '4',
                AccountType::Expense => '5',
            };
            assert!(c.number().starts_with(expected), "{c}");
            assert_eq!(Chart::from_number(c.number()), Some(*c));
        }
    }
}
