//! Words of the console, in English and Simplified Chinese, from message files. A test holds both to the same keys.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `en`
    English,
    /// `zh-Hans`
    Chinese,
}

impl Language {
    /// The first that is known of a preference and of a header `Accept-Language`.
    pub fn choose(preference: Option<&str>, header: Option<&str>) -> Self {
        let wanted = preference
            .into_iter()
            .chain(header.into_iter().flat_map(|text| text.split(',')));
        wanted
            .filter_map(
                |tag| match tag.trim().get(..2).map(str::to_ascii_lowercase).as_deref() {
                    Some("en") => Some(Language::English),
                    Some("zh") => Some(Language::Chinese),
                    _ => None,
                },
            )
            .next()
            .unwrap_or(Language::English)
    }

    /// For `<html lang>`.
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-Hans",
        }
    }

    /// The words under a key. A key that is not there is shown as such: a test looks for it.
    pub fn say(self, key: &str) -> String {
        match self.words().get(key) {
            Some(words) => words.clone(),
            None => format!("⟦{key}⟧"),
        }
    }

    /// The words for a value that the database or the API uses, as `status.needs_response`; the value itself if there are none.
    pub fn word(self, kind: &str, value: &str) -> String {
        let words = self.words().get(&format!("{kind}.{value}"));
        words.cloned().unwrap_or_else(|| value.replace('_', " "))
    }

    /// The words under a key, with `{}` replaced in order.
    pub fn fill(self, key: &str, values: &[&str]) -> String {
        let words = self.say(key);
        let mut parts = words.split("{}");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (index, part) in parts.enumerate() {
            text.push_str(values.get(index).copied().unwrap_or_default());
            text.push_str(part);
        }
        text
    }

    /// Whether there are words under this key.
    pub fn knows(self, key: &str) -> bool {
        self.words().contains_key(key)
    }

    fn words(self) -> &'static HashMap<String, String> {
        match self {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

static ENGLISH: LazyLock<HashMap<String, String>> = LazyLock::new(|| read(include_str!("messages/en.txt")));
static CHINESE: LazyLock<HashMap<String, String>> = LazyLock::new(|| read(include_str!("messages/zh.txt")));

/// Lines of `key = words`; `#` begins a remark.
fn read(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, words)| (key.trim().to_owned(), words.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn both_languages_have_the_same_keys_and_gaps() {
        let keys = |words: &HashMap<String, String>| words.keys().cloned().collect::<BTreeSet<_>>();
        let (english, chinese) = (keys(&ENGLISH), keys(&CHINESE));
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(only(&english, &chinese), Vec::<String>::new(), "in English alone");
        assert_eq!(only(&chinese, &english), Vec::<String>::new(), "in Chinese alone");
        for key in &english {
            let gaps = |words: &HashMap<String, String>| words[key].matches("{}").count();
            assert_eq!(gaps(&ENGLISH), gaps(&CHINESE), "gaps of {key}");
        }
        for (text, name) in [
            (include_str!("messages/en.txt"), "en"),
            (include_str!("messages/zh.txt"), "zh"),
        ] {
            let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            assert_eq!(
                lines.clone().count(),
                english.len(),
                "{name}: a key twice, or a line that is none"
            );
        }
    }

    #[test]
    fn the_language_is_the_first_that_is_known() {
        let choose = Language::choose;
        assert_eq!(choose(None, Some("de-DE,zh-CN;q=0.8,en;q=0.5")), Language::Chinese);
        assert_eq!(choose(Some("en"), Some("zh")), Language::English);
        assert_eq!(choose(None, Some("fr, \u{4e2d}")), Language::English);
        assert_eq!(Language::English.fill("list.searched", &["7"]).matches('7').count(), 1);
        assert_eq!(Language::English.say("no.such"), "⟦no.such⟧");
    }
}
