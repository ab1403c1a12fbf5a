//! [`PackConfig`] and [`Policy`]: what the user asked for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::path::composed;

/// One pack: one URL, one folder, one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackConfig {
    /// Unique among the packs; what commands call it.
    pub name: String,
    /// Where the `.torrent` is published, `http` or `https`.
    pub url: String,
    /// Absolute.
    pub folder: PathBuf,
    pub policy: Policy,
    /// Apply an update without being asked, unless it needs a person.
    pub auto_apply: bool,
    /// Move extras to the trash after an update.
    pub auto_clean: bool,
    /// Give others the pieces we have.
    pub seed: bool,
    /// Time between two looks at the origin.
    pub check_interval: Duration,
    /// Peers known beforehand, each `host:port`.
    pub peers: Vec<String>,
}

/// What a plan may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Extras that are never touched.
    pub ignore: Globs,
    /// Files of the pack whose local edits are kept.
    pub keep: Globs,
    /// A release that removes more than this share of the installed files needs a person, in percent.
    pub max_removed_percent: u8,
    /// A release that removes more than this many files needs a person.
    pub max_removed_files: u64,
    /// Age after which the trash is emptied.
    pub trash_age: Duration,
    /// Size above which the oldest of the trash goes first, in bytes.
    pub trash_size: u64,
}

impl Policy {
    /// Whether a file that no release names stays out of every cleaning: an edit that was kept may be of
    /// a file that the release has dropped since.
    pub fn spares(&self, path: &str) -> bool {
        self.ignore.matches(path) || self.keep.matches(path)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ignore: Globs::default(),
            keep: Globs::default(),
            max_removed_percent: 30,
            max_removed_files: 50,
            trash_age: Duration::from_hours(720),
            trash_size: 20 << 30,
        }
    }
}

impl Policy {
    /// Whether taking away `count` of `all` files needs a person.
    pub fn is_too_many(&self, count: usize, all: usize) -> bool {
        count as u64 > self.max_removed_files
            || count * 100 > all * usize::from(self.max_removed_percent)
    }
}

/// A list of patterns over relative paths, compared without regard to case and to how accents are encoded.
///
/// `*` stays within a folder, `**` crosses folders, and a pattern without `/` matches at any depth,
/// as in a `.gitignore`.
#[derive(Clone, Default)]
pub struct Globs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// Patterns that name nothing (`""`, `"/"`) match nothing.
    pub fn new(patterns: Vec<String>) -> Result<Self, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter().filter(|pattern| !pattern.trim_matches('/').is_empty()) {
            let pattern = composed(pattern);
            let anywhere;
            let whole = if pattern.trim_end_matches('/').contains('/') {
                pattern.trim_start_matches('/')
            } else {
                anywhere = format!("**/{pattern}");
                &anywhere
            };
            let whole = whole.trim_end_matches('/');
            for glob in [whole.to_owned(), format!("{whole}/**")] {
                set.add(
                    GlobBuilder::new(&glob)
                        .literal_separator(true)
                        .case_insensitive(true)
                        .build()?,
                );
            }
        }
        Ok(Self { patterns, set: set.build()? })
    }

    /// Whether a pattern names this path or a folder above it.
    pub fn matches(&self, path: impl AsRef<std::path::Path>) -> bool {
        let path = path.as_ref();
        let is_match = || match path.to_str() {
            Some(text) => self.set.is_match(&*composed(text)),
            None => self.set.is_match(path),
        };
        !self.patterns.is_empty() && is_match()
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Globs {}

impl fmt::Debug for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_without_a_slash_matches_at_any_depth_and_folders_match_what_is_in_them() {
        let globs = Globs::new(vec!["*.log".into(), "saves/".into(), "/cfg/*.ini".into()]).unwrap();
        for path in ["a.log", "x/y/B.LOG", "saves/slot1/a.sav", "deep/saves/a", "cfg/user.ini"] {
            assert!(globs.matches(path), "{path}");
        }
        for path in ["a.logs", "x/cfg/user.ini", "cfg/sub/user.ini"] {
            assert!(!globs.matches(path), "{path}");
        }
    }

    #[test]
    fn an_accent_is_the_same_in_its_letter_or_beside_it() {
        let forms = ["a\u{f1}adidos", "an\u{303}adidos"];
        for (pattern, folder) in [(forms[0], forms[1]), (forms[1], forms[0])] {
            let globs = Globs::new(vec![format!("{pattern}/")]).unwrap();
            assert!(globs.matches(format!("{folder}/slot.sav")));
        }
    }
}
