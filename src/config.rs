//! `config.toml` ↔ values: what the user asked for, checked, or a reason with its line.
//!
//! A file that breaks a rule gives no settings at all, so nothing ever runs with half of what was
//! meant. Folders that would be dangerous to manage are refused here, but whether a folder is there
//! and may be written shows only when it is used.

mod edit;
mod folder;
mod name;
mod shape;
mod value;

use std::fs;
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::model::fault::{Fault, FaultKind};
use crate::model::pack::PackConfig;
use crate::model::snapshot::NoticeKinds;

pub use edit::{NewPack, add_pack, ensure, remove_pack, set_auto_apply};

/// A commented file with every key. It is also the reference of the keys.
pub const EXAMPLE: &str = include_str!("config.example.toml");

const BACKSLASH: &str = "In double quotes a backslash must be doubled; \
                         single quotes take it as it is: 'C:\\Games\\Pack'.";

/// All settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    pub packs: Vec<PackConfig>,
    /// Bytes per second, all packs together.
    pub download_limit: Option<u64>,
    /// Bytes per second, all packs together.
    pub upload_limit: Option<u64>,
    /// How many files are read at once.
    pub readers: Option<NonZero<usize>>,
    pub network: Network,
    /// What the user wants to be told of.
    pub notices: NoticeKinds,
}

impl Config {
    /// The pack of this name, in any case.
    pub fn pack(&self, name: &str) -> Option<&PackConfig> {
        self.packs.iter().find(|pack| name::key(&pack.name) == name::key(name))
    }
}

/// How the settings' file looks from outside, to notice that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    pub fn of(file: &Path) -> Self {
        let metadata = fs::metadata(file).ok();
        Self(metadata.and_then(|m| Some((m.modified().ok()?, m.len()))))
    }
}

/// How we take part in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Any free port when absent.
    pub listen_port: Option<u16>,
    pub dht: bool,
    pub local_discovery: bool,
    pub trackers: Trackers,
    pub upnp: bool,
    /// An `http`, `https` or `socks5` address. Peers can only be reached through the last.
    pub proxy: Option<String>,
    /// A fetch without any progress for so long ends.
    pub give_up_after: Duration,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            listen_port: None,
            dht: true,
            local_discovery: true,
            trackers: Trackers::default(),
            upnp: true,
            proxy: None,
            give_up_after: Duration::from_mins(1),
        }
    }
}

/// Which trackers are asked for peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trackers {
    /// Those that the torrent names.
    pub of_torrent: bool,
    /// Those that the settings name.
    pub extra: Vec<String>,
}

impl Default for Trackers {
    fn default() -> Self {
        Self { of_torrent: true, extra: Vec::new() }
    }
}

/// Why there are no settings, or why they were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("could not {verb} `{}`: {source}", file.display())]
    Io { verb: &'static str, file: PathBuf, source: io::Error },
    #[error("could not use `{}`: line {line}: {cause}", file.display())]
    Wrong { file: PathBuf, line: usize, cause: String, hint: String },
    #[error("could not add the pack to `{}`: {cause}", file.display())]
    NotAdded { file: PathBuf, cause: String, hint: String },
    #[error("could not remove the pack `{name}`: `{}` has no pack of that name", file.display())]
    NoSuchPack { file: PathBuf, name: String },
}

impl ConfigError {
    /// What to do, as a sentence.
    pub fn hint(&self) -> &str {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                "Save the file as UTF-8 text."
            }
            Self::Io { .. } => "Check that the file and its folder may be read and written.",
            Self::Wrong { hint, .. } | Self::NotAdded { hint, .. } => hint,
            Self::NoSuchPack { .. } => "See `modsync list` for the names.",
        }
    }

    pub fn fault(&self) -> Fault {
        let kind = match self {
            Self::Io { .. } => FaultKind::Io,
            Self::Wrong { .. } | Self::NotAdded { .. } | Self::NoSuchPack { .. } => {
                FaultKind::Refused
            }
        };
        Fault::new(kind, self, self.hint())
    }
}

/// What is wrong with a text of settings, before it is known what was to be done with it.
#[derive(Debug)]
struct Mistake {
    /// Where in the text.
    span: Range<usize>,
    /// Names the key.
    cause: String,
    hint: String,
}

impl Mistake {
    fn new(span: Range<usize>, cause: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { span, cause: cause.into(), hint: hint.into() }
    }

    fn in_file(self, file: &Path, text: &str) -> ConfigError {
        ConfigError::Wrong {
            file: file.to_owned(),
            line: line_of(text, self.span.start),
            cause: self.cause,
            hint: self.hint,
        }
    }
}

/// The settings in `file`; the defaults when it does not exist.
pub fn load(file: &Path, own_state: &Path) -> Result<Config, ConfigError> {
    parse(&read(file)?, file, own_state)
}

/// The settings in `text`, which is, or will be, in `file`. Asks the disk only where folders lead.
pub fn parse(text: &str, file: &Path, own_state: &Path) -> Result<Config, ConfigError> {
    shape::read(text)
        .and_then(|shape| shape.check(&folder::Forbidden::new(file, own_state)))
        .map_err(|mistake| mistake.in_file(file, text))
}

/// Fails when there is no such file. Without one nothing is followed, and that may be meant; a file that
/// has gone, with all its packs, seldom is.
pub fn check_there(file: &Path) -> Result<(), ConfigError> {
    let there = fs::metadata(file).map(drop);
    there.map_err(|source| ConfigError::Io { verb: "read", file: file.to_owned(), source })
}

fn read(file: &Path) -> Result<String, ConfigError> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ConfigError::Io { verb: "read", file: file.to_owned(), source }),
    }
}

/// Counted from one.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|&&byte| byte == b'\n').count() + 1
}
