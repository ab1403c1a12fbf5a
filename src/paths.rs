//! [`Paths`]: where the settings and our own state live.
//!
//! It names places and makes nothing: whoever writes a file makes its folder.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use directories::ProjectDirs;
use sha2::{Digest, Sha256};

use crate::model::manifest::hex;

/// Both are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The file `config.toml`.
    pub config: PathBuf,
    /// The folder of everything we keep outside the packs' folders.
    pub state: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    #[error("could not find your home folder; name the places with `--config` and `--state`")]
    NoHome,
    #[error("could not make `{}` an absolute path: {source}", path.display())]
    NotAbsolute { path: PathBuf, source: io::Error },
}

impl Paths {
    /// A flag counts before `MODSYNC_CONFIG` and `MODSYNC_STATE`, and they before the usual places.
    pub fn find(
        config_flag: Option<PathBuf>,
        state_flag: Option<PathBuf>,
    ) -> Result<Self, PathsError> {
        Self::choose(
            config_flag.or_else(|| named_by("MODSYNC_CONFIG")),
            state_flag.or_else(|| named_by("MODSYNC_STATE")),
            ProjectDirs::from("", "", "modsync").as_ref(),
        )
    }

    /// The places that hold when nobody names others.
    pub fn usual() -> Result<Self, PathsError> {
        Self::choose(None, None, ProjectDirs::from("", "", "modsync").as_ref())
    }

    fn choose(
        config: Option<PathBuf>,
        state: Option<PathBuf>,
        usual: Option<&ProjectDirs>,
    ) -> Result<Self, PathsError> {
        let config = config
            .map(|path| if names_folder(&path) { path.join("config.toml") } else { path })
            .or_else(|| usual.map(|usual| usual.config_dir().join("config.toml")));
        let state = state.or_else(|| usual.map(usual_state));
        Ok(Self {
            config: absolute(config.ok_or(PathsError::NoHome)?)?,
            state: absolute(state.ok_or(PathsError::NoHome)?)?,
        })
    }

    /// What we know of one pack, beyond what lies in its folder.
    pub fn pack_state(&self, url: &str, folder: &Path) -> PathBuf {
        let name = fingerprint(&[url.as_bytes(), folder.as_os_str().as_encoded_bytes()]);
        self.state.join("packs").join(name)
    }

    /// The file by which a running engine is found. Windows gives a file no rights of its own: what only the
    /// user shall read lies where nobody else can look, wherever the rest of the state is.
    pub fn control_note(&self) -> PathBuf {
        let private = ProjectDirs::from("", "", "modsync")
            .filter(|usual| cfg!(windows) && !self.state.starts_with(usual.data_local_dir()));
        private.map_or_else(
            || self.state.join("control.json"),
            |usual| {
                let name = fingerprint(&[self.state.as_os_str().as_encoded_bytes()]);
                usual.data_local_dir().join("engines").join(name).with_extension("json")
            },
        )
    }

    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The folder that the swarm has for itself.
    pub fn swarm(&self) -> PathBuf {
        self.state.join("swarm")
    }
}

/// A name for these values, the same at any time.
fn fingerprint(values: &[&[u8]]) -> String {
    hex(&Sha256::digest(values.join(&0))[..8])
}

fn named_by(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn names_folder(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with('/') || text.ends_with(std::path::MAIN_SEPARATOR) || path.is_dir()
}

/// Only Linux has a place for state; elsewhere it lies below the program's local data.
fn usual_state(usual: &ProjectDirs) -> PathBuf {
    match usual.state_dir() {
        Some(folder) => folder.to_owned(),
        None => usual.data_local_dir().join("state"),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, PathsError> {
    std::path::absolute(&path).map_err(|source| PathsError::NotAbsolute { path, source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_that_are_named_count_and_are_made_absolute() {
        let here = env::current_dir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (given, config) in [
            ("my.toml", here.join("my.toml")),
            ("new/", here.join("new/config.toml")),
            (folder.path().to_str().unwrap(), folder.path().join("config.toml")),
        ] {
            let paths = Paths::choose(Some(given.into()), Some("state".into()), None).unwrap();
            assert_eq!(paths, Paths { config, state: here.join("state") });
        }
    }

    #[test]
    fn without_a_home_folder_both_places_must_be_named() {
        let error = Paths::choose(None, Some("state".into()), None).unwrap_err();
        assert!(matches!(error, PathsError::NoHome));
    }

    #[test]
    fn a_pack_is_known_by_its_url_and_its_folder() {
        let paths = Paths { config: "/c".into(), state: "/s".into() };
        let state = |url: &str, folder: &str| paths.pack_state(url, Path::new(folder));
        assert_eq!(state("u", "/f"), state("u", "/f"));
        assert_ne!(state("u", "/f"), state("u", "/g"));
        assert_ne!(state("u", "/f"), state("u/", "f"));
        assert_eq!(state("u", "/f").parent(), Some(Path::new("/s/packs")));
        assert_eq!(state("u", "/f").file_name().unwrap().len(), 16);
    }
}
