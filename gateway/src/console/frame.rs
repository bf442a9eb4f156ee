//! What is around every page: who is signed in, where they can go, which keys there are.

use super::ctx::Ctx;
use super::message::Language;
use super::pages::{AREAS, PAGES};
use super::view::{Frame, Group, Item, Notice, Tone, Words};

/// Around the page of this request.
pub(super) fn of(ctx: &Ctx) -> Frame {
    let user = &ctx.session.user;
    let say = |key: &str| ctx.language.say(key);
    let path = ctx.href.split('?').next().unwrap_or("/");
    let groups = AREAS
        .iter()
        .map(|area| Group {
            label: say(area),
            items: PAGES
                .iter()
                .filter(|entry| entry.area == *area && entry.roles.contains(&user.role))
                .map(|entry| Item {
                    href: entry.path.to_owned(),
                    label: say(entry.title),
                    here: path == entry.path || entry.path != "/" && path.starts_with(&format!("{}/", entry.path)),
                    count: entry.count,
                    key: entry.key,
                })
                .collect(),
        })
        .filter(|group: &Group| !group.items.is_empty())
        .collect();
    let done = format!("done.{}", ctx.query.get("done"));
    Frame {
        language: ctx.language.tag(),
        theme: user.preferences.theme.clone().unwrap_or_default(),
        path: path.to_owned(),
        user: user.name.clone(),
        role: ctx.word(user.role.as_str()),
        token: ctx.session.token.form_token(),
        groups,
        flash: ctx.language.knows(&done).then(|| Notice::new(Tone::Good, say(&done))),
        words: words(ctx.language),
    }
}

/// Around a page for somebody who is not signed in.
pub(super) fn alone(language: Language) -> Frame {
    Frame {
        language: language.tag(),
        words: words(language),
        ..Frame::default()
    }
}

fn words(language: Language) -> Words {
    let say = |key| language.say(key);
    let mut keys: Vec<(String, String)> = [
        ("?", "keys.help"),
        ("/", "keys.search"),
        ("j k", "keys.rows"),
        ("Enter", "keys.open"),
        ("n", "keys.older"),
        ("a r f l", "keys.review"),
    ]
    .map(|(key, what)| (key.to_owned(), say(what)))
    .to_vec();
    let ways = PAGES.iter().filter(|entry| !entry.key.is_empty());
    keys.extend(ways.map(|entry| (format!("g {}", entry.key), say(entry.title))));
    Words {
        skip: say("frame.skip"),
        menu: say("frame.menu"),
        sign_out: say("frame.sign_out"),
        settings: say("frame.settings"),
        help: say("frame.keys"),
        close: say("frame.close"),
        search: say("frame.search"),
        acts: say("frame.acts"),
        shown_as_table: say("frame.as_table"),
        required: say("frame.required"),
        keys,
    }
}
