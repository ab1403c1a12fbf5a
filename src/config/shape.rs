//! The file's shape: which keys there are, and what becomes of each.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::folder::Forbidden;
use super::{BACKSLASH, Config, Mistake, Network, line_of, name, value};
use crate::model::pack::{PackConfig, Policy};
use crate::model::snapshot::NoticeKinds;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    #[serde(default, alias = "packs")]
    pack: Vec<Pack>,
    download_limit: Option<Spanned<Value>>,
    upload_limit: Option<Spanned<Value>>,
    readers: Option<Spanned<i64>>,
    #[serde(default)]
    network: NetworkShape,
    #[serde(default)]
    notices: NoticeKinds,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pack {
    url: Spanned<String>,
    folder: Spanned<String>,
    name: Option<Spanned<String>>,
    #[serde(default)]
    ignore: Vec<Spanned<String>>,
    #[serde(default)]
    keep: Vec<Spanned<String>>,
    auto_apply: Option<bool>,
    auto_clean: Option<bool>,
    seed: Option<bool>,
    check_interval: Option<Spanned<String>>,
    #[serde(default)]
    peers: Vec<Spanned<String>>,
    max_removed_percent: Option<Spanned<i64>>,
    max_removed_files: Option<Spanned<i64>>,
    trash_age: Option<Spanned<String>>,
    trash_size: Option<Spanned<Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkShape {
    listen_port: Option<Spanned<i64>>,
    dht: Option<bool>,
    local_discovery: Option<bool>,
    trackers: Option<Spanned<Value>>,
    upnp: Option<bool>,
    proxy: Option<Spanned<String>>,
    give_up_after: Option<Spanned<String>>,
}

/// Reads a text as far as its shape goes.
pub(super) fn read(text: &str) -> Result<Shape, Mistake> {
    toml::from_str(text).map_err(|error| explain(text, &error))
}

impl Shape {
    pub(super) fn check(self, forbidden: &Forbidden) -> Result<Config, Mistake> {
        Ok(Config {
            download_limit: value::rate("download_limit", self.download_limit.as_ref())?,
            upload_limit: value::rate("upload_limit", self.upload_limit.as_ref())?,
            readers: value::number("readers", self.readers.as_ref(), 1..=64)?
                .and_then(NonZero::new),
            network: self.network.check()?,
            notices: self.notices,
            packs: check_packs(self.pack, forbidden)?,
        })
    }
}

/// Names that were given count before those that we derive, so a derived one gives way.
fn check_packs(shapes: Vec<Pack>, forbidden: &Forbidden) -> Result<Vec<PackConfig>, Mistake> {
    let mut names = BTreeSet::new();
    for given in shapes.iter().filter_map(|shape| shape.name.as_ref()) {
        name::check(given)?;
        if !names.insert(name::key(given.get_ref())) {
            let cause = format!("`name`: there are two packs called `{}`", given.get_ref());
            return Err(Mistake::new(given.span(), cause, "Give every pack a name of its own."));
        }
    }
    let mut packs: Vec<PackConfig> = Vec::new();
    let mut taken = Vec::new();
    for shape in shapes {
        let url = value::url(&shape.url)?;
        let folder = forbidden.check(&shape.folder, &taken)?;
        let name = match &shape.name {
            Some(given) => given.get_ref().clone(),
            None => name::derive(&url, &folder.path, &mut names),
        };
        packs.push(shape.check(name.clone(), folder.path)?);
        taken.push((name, folder.resolved));
    }
    Ok(packs)
}

impl Pack {
    fn check(self, name: String, folder: PathBuf) -> Result<PackConfig, Mistake> {
        let policy = self.policy()?;
        let interval = self.check_interval.as_ref();
        let interval = value::duration("check_interval", interval, 10 * SECOND..=30 * DAY)?;
        Ok(PackConfig {
            name,
            folder,
            policy,
            auto_apply: self.auto_apply.unwrap_or(false),
            auto_clean: self.auto_clean.unwrap_or(false),
            seed: self.seed.unwrap_or(true),
            check_interval: interval.unwrap_or(Duration::from_mins(10)),
            peers: value::peers(&self.peers)?,
            url: self.url.into_inner(),
        })
    }

    fn policy(&self) -> Result<Policy, Mistake> {
        let usual = Policy::default();
        let percent = self.max_removed_percent.as_ref();
        let files = self.max_removed_files.as_ref();
        let age = self.trash_age.as_ref();
        Ok(Policy {
            ignore: value::globs("ignore", &self.ignore)?,
            keep: value::globs("keep", &self.keep)?,
            max_removed_percent: value::number("max_removed_percent", percent, 0..=100)?
                .unwrap_or(usual.max_removed_percent),
            max_removed_files: value::number("max_removed_files", files, 0..=i64::MAX)?
                .unwrap_or(usual.max_removed_files),
            trash_age: value::duration("trash_age", age, Duration::ZERO..=3650 * DAY)?
                .unwrap_or(usual.trash_age),
            trash_size: value::size("trash_size", self.trash_size.as_ref())?
                .unwrap_or(usual.trash_size),
        })
    }
}

impl NetworkShape {
    fn check(self) -> Result<Network, Mistake> {
        let usual = Network::default();
        let port = self.listen_port.as_ref();
        let patience = self.give_up_after.as_ref();
        let trackers = self.trackers.as_ref().map(value::trackers).transpose()?;
        Ok(Network {
            listen_port: value::number("listen_port", port, 1..=i64::from(u16::MAX))?,
            dht: self.dht.unwrap_or(usual.dht),
            local_discovery: self.local_discovery.unwrap_or(usual.local_discovery),
            trackers: trackers.unwrap_or(usual.trackers),
            upnp: self.upnp.unwrap_or(usual.upnp),
            proxy: self.proxy.as_ref().map(value::proxy).transpose()?,
            give_up_after: value::duration("give_up_after", patience, SECOND..=DAY)?
                .unwrap_or(usual.give_up_after),
        })
    }
}

/// The parser's errors in our words.
fn explain(text: &str, error: &toml::de::Error) -> Mistake {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    if let Some((cause, hint)) = about_key(&message) {
        return Mistake::new(span, cause, hint);
    }
    let line = text.lines().nth(line_of(text, span.start) - 1).unwrap_or_default();
    let hint = if line.contains('\\') {
        BACKSLASH
    } else if line.trim_start().starts_with("[pack") && message.contains("a sequence") {
        "A pack begins with `[[pack]]`, in two pairs of brackets."
    } else {
        "Put the line right; `config.example.toml` shows every key."
    };
    let cause = match key_on(line) {
        Some(key) => format!("`{key}`: {message}"),
        None => message,
    };
    Mistake::new(span, cause, hint)
}

/// Cause and hint when it is a key, and not its value, that is wrong.
fn about_key(message: &str) -> Option<(String, String)> {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (key, known) = rest.split_once(", expected ")?;
        let known = known.trim_start_matches("one of ");
        return Some((format!("unknown key {key}"), format!("The keys known here are {known}.")));
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        let hint = "Add it: every pack needs `url` and `folder`.";
        return Some((format!("the key {key} is missing"), hint.to_owned()));
    }
    let key = message.strip_prefix("duplicate field ")?;
    let hint = "Remove one of the two; `packs` is another name of `pack`.";
    Some((format!("the key {key} is there twice"), hint.to_owned()))
}

fn key_on(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (!key.is_empty() && key.chars().all(is_bare)).then_some(key)
}
