//! How a [`Root`] gets to what a path names, never through a link.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::path::{Component, Path};

use cap_fs_ext::DirExt;
use cap_std::fs::Dir;

use super::error::{LinkInTheWay, is_absent};
use super::{Root, platform};

impl Root {
    /// Runs `f` in the folder that `path` lies in, with its last component.
    pub(super) fn at<T>(
        &self,
        path: &Path,
        f: impl FnOnce(&Dir, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        let (dir, name) = self.parent(path)?;
        f(&dir, name)
    }

    pub(super) fn parent<'p>(&self, path: &'p Path) -> io::Result<(Opened<'_>, &'p OsStr)> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        Ok((self.dir_at(path.parent().unwrap_or(Path::new("")))?, name))
    }

    pub(super) fn dir_at(&self, path: &Path) -> io::Result<Opened<'_>> {
        if path.as_os_str().is_empty() {
            return Ok(Opened::Before(&self.dir));
        }
        let names = names(path)?;
        match platform::dir_below(&self.dir, path) {
            Some(Ok(dir)) => return Ok(Opened::Now(dir)),
            Some(Err(e)) if e.kind() == ErrorKind::NotFound => return Err(e),
            // Whoever walks there finds out why.
            Some(Err(_)) | None => {}
        }
        let mut dir = Opened::Before(&self.dir);
        for name in names {
            dir = Opened::Now(open_dir_nofollow(&dir, name)?);
        }
        Ok(dir)
    }
}

/// A folder, and whether it is ours to close.
pub(super) enum Opened<'r> {
    Before(&'r Dir),
    Now(Dir),
}

impl Deref for Opened<'_> {
    type Target = Dir;

    fn deref(&self) -> &Dir {
        match self {
            Self::Before(dir) => dir,
            Self::Now(dir) => dir,
        }
    }
}

/// Whether nothing but names is on a way.
pub(super) fn leads_down(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_)))
}

/// The names on a way that leads down only.
fn names(path: &Path) -> io::Result<Vec<&OsStr>> {
    let name = |component| match component {
        Component::Normal(name) => Ok(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            Err(ErrorKind::InvalidInput.into())
        }
    };
    path.components().map(name).collect()
}

fn open_dir_nofollow(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    dir.open_dir_nofollow(name).map_err(|e| {
        // A link is reported as one of several errors; only a look tells them from a plain file.
        let is_link = !is_absent(&e) || e.kind() == ErrorKind::NotADirectory;
        if is_link && dir.symlink_metadata(name).is_ok_and(|m| m.is_symlink()) {
            io::Error::other(LinkInTheWay(name.to_string_lossy().into_owned()))
        } else {
            e
        }
    })
}
