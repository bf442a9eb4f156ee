//! The words of a receipt, in English and Simplified Chinese. Pure.

use super::{Content, Locale};
use crate::wire;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What stands on a receipt: a title, lines of a label and a text, and the address where it can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Words {
    pub title: String,
    pub lines: Vec<(&'static str, String)>,
    pub footer: &'static str,
    pub url: Option<String>,
}

/// What a receipt with this number, amount and time says.
pub fn of(locale: Locale, number: &str, amount: i64, currency: &str, at: Timestamp, content: &Content) -> Words {
    let [
        title,
        payee,
        paid,
        date,
        about,
        card,
        fees,
        no_fees,
        returns,
        contact,
        send_to,
        receipt,
        footer,
    ] = match locale {
        Locale::English => ENGLISH,
        Locale::Chinese => CHINESE,
    };
    let mut lines = vec![
        (receipt, number.to_owned()),
        (payee, content.payee.clone()),
        (paid, money(amount, currency)),
        (fees, no_fees.to_owned()),
        (
            date,
            at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string(),
        ),
        (card, content.card.clone()),
    ];
    if let Some(description) = &content.description {
        lines.push((about, description.clone()));
    }
    if let Some(policy) = &content.return_policy {
        let days = policy.window_days.unwrap_or(0);
        let text = match locale {
            Locale::English if days == 0 => "none beyond what the law gives you".to_owned(),
            Locale::English => format!("{days} days from receipt of the goods"),
            Locale::Chinese if days == 0 => "除法律规定外不提供".to_owned(),
            Locale::Chinese => format!("收到商品后 {days} 天内"),
        };
        lines.push((returns, text));
        lines.push((contact, policy.contact.clone()));
        lines.push((send_to, policy.address.clone()));
    }
    Words {
        title: format!("{title} {}", content.payee),
        lines,
        footer,
        url: content.url.clone(),
    }
}

/// `12.30 USD`.
pub fn money(amount: i64, currency: &str) -> String {
    wire::amount(amount, currency).to_uppercase()
}

impl Words {
    /// As plain text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (label, line) in &self.lines {
            text.push_str(&format!("{label}: {line}\n"));
        }
        if let Some(url) = &self.url {
            text.push_str(&format!("\n{url}\n"));
        }
        text.push_str(&format!("\n{}\n", self.footer));
        text
    }
}

const ENGLISH: [&str; 13] = [
    "Your receipt from",
    "Paid to",
    "Amount paid",
    "Date",
    "For",
    "Card",
    "Fees charged to you",
    "none",
    "Returns",
    "Contact",
    "Send returns to",
    "Receipt",
    "This message was sent because a payment was made with your e-mail address.",
];
const CHINESE: [&str; 13] = [
    "付款收据：",
    "收款方",
    "付款金额",
    "日期",
    "事由",
    "银行卡",
    "向您收取的费用",
    "无",
    "退货期限",
    "联系方式",
    "退货地址",
    "收据编号",
    "您收到此邮件，是因为一笔付款使用了您的电子邮件地址。",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_payee_amount_fee_and_returns() {
        let content = Content {
            payee: "Tide Trading Ltd".into(),
            card: "visa 4242".into(),
            return_policy: Some(crate::account::rows::ReturnPolicy {
                version: 1,
                window_days: Some(14),
                contact: "help@tide.example".into(),
                address: "1 Quay".into(),
                ..Default::default()
            }),
            ..Content::default()
        };
        let at = Timestamp::from_second(1_795_000_000).unwrap();
        let text = |locale| of(locale, "AB12-CD34", 123_450, "kwd", at, &content).text();
        for words in [
            "Paid to: Tide Trading Ltd",
            "Amount paid: 123.450 KWD",
            "Fees charged to you: none",
            "Returns: 14 days",
            "AB12-CD34",
        ] {
            assert!(text(Locale::English).contains(words), "{words}");
        }
        for words in [
            "收款方: Tide Trading Ltd",
            "付款金额: 123.450 KWD",
            "向您收取的费用: 无",
            "14 天内",
        ] {
            assert!(text(Locale::Chinese).contains(words), "{words}");
        }
    }
}
