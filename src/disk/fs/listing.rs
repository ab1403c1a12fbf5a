//! What lies in a folder of a [`Root`].

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use cap_std::fs::Dir;

use super::error::is_absent;
use super::{Kind, Result, Root, Stat, platform};

impl Root {
    /// What lies directly in a folder, by name; nothing when the folder is not there.
    pub fn list(&self, path: impl AsRef<Path>) -> Result<Vec<(OsString, Stat)>> {
        let mut names = Vec::new();
        self.each(path, &mut |name, stat| names.push((name.to_owned(), stat)))?;
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }

    /// Tells what lies directly in a folder, in no order; nothing when the folder is not there.
    pub fn each(&self, path: impl AsRef<Path>, found: &mut dyn FnMut(&OsStr, Stat)) -> Result<()> {
        self.listed(path.as_ref(), |dir| platform::each(dir, found))
    }

    /// The same of their kinds alone, without a look at each: `None` where a file system does not tell. It fails where
    /// that costs no less than to tell all.
    pub fn each_kind(
        &self,
        path: impl AsRef<Path>,
        found: &mut dyn FnMut(&OsStr, Option<Kind>),
    ) -> Result<()> {
        self.listed(path.as_ref(), |dir| platform::each_kind(dir, found))
    }

    /// Whether `a` and `A` are one file here: the other name leads to a file and is listed nowhere. What the
    /// system calls the identity of a file is no help, since some file systems give each name its own.
    pub fn ignores_case(&self, existing: &str) -> bool {
        let (folder, name) = existing.rsplit_once('/').unwrap_or(("", existing));
        let shouted = name.to_ascii_uppercase();
        let is_there = || self.stat(Path::new(folder).join(&shouted)).is_ok_and(|it| it.is_some());
        let is_listed =
            || self.list(folder).is_ok_and(|names| names.iter().any(|(name, _)| *name == *shouted));
        shouted != name && is_there() && !is_listed()
    }

    fn listed(&self, path: &Path, list: impl FnOnce(&Dir) -> io::Result<()>) -> Result<()> {
        match self.dir_at(path).and_then(|dir| list(&dir)) {
            Err(e) if is_absent(&e) => Ok(()),
            other => other.map_err(|e| self.error("list", path, e)),
        }
    }
}
