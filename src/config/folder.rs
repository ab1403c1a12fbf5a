//! Which folders a pack may have. A pack's folder is ours to fill and to clean, so it must be nobody
//! else's: not the system's, not the home folder, not our own, not another pack's.

use std::path::{Component, Path, PathBuf};

use directories::BaseDirs;
use toml::Spanned;

use super::{BACKSLASH, Mistake};

/// The system's folders: neither they nor, for the second list, anything in them.
const NOT_ITSELF: [&str; 12] = [
    "/home",
    "/opt",
    "/root",
    "/run",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/Applications",
    "/Library",
    "/Users",
    "/Volumes",
];
const NOT_INSIDE: [&str; 12] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin",
    "/usr/lib", "/System",
];
/// The same for Windows, which names its folders in variables.
const NOT_ITSELF_VARS: [&str; 4] = ["ProgramFiles", "ProgramFiles(x86)", "ProgramData", "PUBLIC"];
const NOT_INSIDE_VARS: [&str; 1] = ["SystemRoot"];

const CHOOSE_ANOTHER: &str =
    "Choose a folder of its own for the pack, such as \"~/Games/My Pack\".";

/// The folders that no pack may have, as they really lie on the disk.
#[derive(Debug)]
pub(super) struct Forbidden {
    home: Option<PathBuf>,
    config_file: PathBuf,
    state: PathBuf,
}

/// A folder that a pack may have.
#[derive(Debug)]
pub(super) struct Allowed {
    /// As the user named it, absolute.
    pub(super) path: PathBuf,
    /// As it really lies on the disk, for comparing.
    pub(super) resolved: PathBuf,
}

impl Forbidden {
    pub(super) fn new(config_file: &Path, state: &Path) -> Self {
        Self {
            home: BaseDirs::new().map(|dirs| dirs.home_dir().to_owned()),
            config_file: resolve(config_file),
            state: resolve(state),
        }
    }

    /// Whether a pack may have the folder besides those that are `taken`, each with its pack's name.
    pub(super) fn check(
        &self,
        given: &Spanned<String>,
        taken: &[(String, PathBuf)],
    ) -> Result<Allowed, Mistake> {
        let text = given.get_ref();
        let refuse = |(reason, hint): (String, &str)| {
            Mistake::new(given.span(), format!("`folder`: {reason}"), hint)
        };
        let path = self.absolute(text).map_err(refuse)?;
        let resolved = resolve(&path);
        if let Some(reason) = self.objection(&path, &resolved) {
            return Err(refuse((format!("`{text}` {reason}"), CHOOSE_ANOTHER)));
        }
        for (name, other) in taken {
            let relation = if *other == resolved {
                "is also the folder of"
            } else if resolved.starts_with(other) {
                "lies in the folder of"
            } else if other.starts_with(&resolved) {
                "contains the folder of"
            } else {
                continue;
            };
            return Err(refuse((format!("`{text}` {relation} the pack `{name}`"), CHOOSE_ANOTHER)));
        }
        Ok(Allowed { path, resolved })
    }

    fn absolute(&self, text: &str) -> Result<PathBuf, (String, &'static str)> {
        if text.contains(char::is_control) {
            return Err(("the path has a control character".into(), BACKSLASH));
        }
        let path = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with(std::path::is_separator) => {
                let home = self.home.as_ref().ok_or_else(|| {
                    ("`~` is unknown: there is no home folder".into(), "Write the whole path.")
                })?;
                home.join(rest.trim_start_matches(std::path::is_separator))
            }
            _ => PathBuf::from(text),
        };
        if path.is_absolute() {
            Ok(path)
        } else {
            let hint = "Write the whole path, or one that begins with `~/`, your home folder.";
            Err((format!("`{text}` is not a whole path"), hint))
        }
    }

    fn objection(&self, path: &Path, resolved: &Path) -> Option<&'static str> {
        let home = self.home.as_deref().map(resolve);
        [
            (resolved.parent().is_none(), "is the root of a drive"),
            (home.as_deref() == Some(resolved), "is your home folder"),
            (home.is_some_and(|home| home.starts_with(resolved)), "contains your home folder"),
            (
                has_own_component(path) || has_own_component(resolved),
                "goes through `.modsync`, where ModSync keeps its own files",
            ),
            (meet(&self.state, resolved), "overlaps with ModSync's own state folder"),
            (self.config_file.starts_with(resolved), "contains the settings of ModSync"),
            (is_system(resolved), "belongs to the system"),
        ]
        .into_iter()
        .find_map(|(holds, reason)| holds.then_some(reason))
    }
}

fn meet(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn has_own_component(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".modsync"))
}

fn is_system(resolved: &Path) -> bool {
    let known = |fixed: &[&str], variables: &[&str]| {
        let fixed = fixed.iter().filter(|_| cfg!(unix)).map(PathBuf::from);
        let named = variables.iter().filter(|_| cfg!(windows)).filter_map(std::env::var_os);
        fixed.chain(named.map(PathBuf::from)).map(|path| resolve(&path)).collect::<Vec<_>>()
    };
    known(&NOT_ITSELF, &NOT_ITSELF_VARS).iter().any(|folder| folder == resolved)
        || known(&NOT_INSIDE, &NOT_INSIDE_VARS).iter().any(|folder| resolved.starts_with(folder))
}

/// Where a path really leads, as far as it exists; in one case where the system knows no other.
fn resolve(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => resolved.push(part),
        }
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
    }
    if cfg!(any(windows, target_os = "macos")) {
        resolved.to_string_lossy().to_lowercase().into()
    } else {
        resolved
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_as_far_as_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let real = resolve(folder.path());
        assert_eq!(resolve(&folder.path().join("a/./b/../c")), real.join("a/c"));
    }

    #[test]
    fn the_system_keeps_its_folders() {
        for folder in ["/usr", "/etc", "/etc/deep/er", "/tmp"].iter().filter(|_| cfg!(unix)) {
            assert!(is_system(&resolve(Path::new(folder))), "{folder}");
        }
        for folder in ["/srv", "/opt/games", "/usr/local/games/x", "/var/lib/x", "/binary"] {
            assert!(!is_system(Path::new(folder)), "{folder}");
        }
    }
}
