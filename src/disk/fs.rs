//! [`Root`]: everything we do to files below one folder, never through a link.
//!
//! A path is walked one component at a time from an open folder, and a link on the way is an error,
//! so neither a link in the folder nor one put there while we work can lead outside.
//!
//! It does not promise durability by itself: who changes a folder calls [`Root::sync_dir`] when the
//! order of changes matters.

#[cfg_attr(unix, path = "fs/unix.rs")]
#[cfg_attr(windows, path = "fs/windows.rs")]
mod platform;

#[cfg_attr(
    all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"),
    path = "fs/mapped.rs"
)]
#[cfg_attr(
    not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")),
    path = "fs/unmapped.rs"
)]
mod mapped;

mod cached;
mod durable;
mod error;
mod gathered;
mod listing;
mod memory;
mod paged;
mod points;
pub(super) mod slices;
mod stat;
mod straight;
mod walk;
mod write;

#[cfg(debug_assertions)]
pub mod faults;

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cap_fs_ext::{DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::pace::Pace;
use crate::model::fault::FaultKind;
use crate::model::path::{OWN_FOLDER, RelPath};

pub use cached::Cached;
pub use error::{FsError, hint};
use error::{OtherDisk, is_absent};
pub use memory::InMemory;
pub use paged::Paged;
pub use platform::read_exact_at;
pub(super) use platform::read_whole;
pub use stat::{Kind, Stat};
use straight::Straight;
use walk::{Opened, leads_down};

/// A folder opened once; every path is relative to it.
#[derive(Debug)]
pub struct Root {
    dir: Dir,
    path: PathBuf,
    pace: OnceLock<Pace>,
    spins: OnceLock<Option<bool>>,
    /// Tells of what the disk could not write since it was opened.
    watch: OnceLock<platform::Disk>,
    straight: Straight,
    #[cfg(debug_assertions)]
    faults: faults::Faults,
}

/// A kernel's lock on a file. It falls when this is dropped, or with the process.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File);

type Result<T> = std::result::Result<T, FsError>;

impl Root {
    /// Opens an existing folder. The folder itself may be reached through a link: the user named it.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        dir.and_then(|dir| platform::check_place(path).map(|()| dir))
            .map(|dir| Self {
                dir,
                path: path.to_owned(),
                pace: OnceLock::new(),
                spins: OnceLock::new(),
                watch: OnceLock::new(),
                straight: Straight::default(),
                #[cfg(debug_assertions)]
                faults: faults::Faults::of_process(path),
            })
            .map_err(|source| FsError { verb: "open", path: path.to_owned(), source })
    }

    /// Opens a folder, making it and its parents first when they are missing.
    pub fn create(path: &Path) -> Result<Self> {
        Dir::create_ambient_dir_all(path, ambient_authority()).map_err(|source| FsError {
            verb: "create",
            path: path.to_owned(),
            source,
        })?;
        Self::open(path)
    }

    /// A folder of ours in it, as a root of its own: what lies there is reached in one step.
    pub fn below(&self, path: &str) -> Result<Self> {
        let opened = self.dir_at(Path::new(path)).and_then(|dir| dir.open_dir("."));
        let dir = opened.map_err(|e| self.error("open", Path::new(path), e))?;
        Ok(Self {
            dir,
            path: self.path.join(path),
            pace: self.pace.clone(),
            spins: self.spins.clone(),
            watch: OnceLock::new(),
            straight: Straight::default(),
            #[cfg(debug_assertions)]
            faults: self.faults.clone(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets how hard the folder is read from now on; the first one holds.
    pub fn set_pace(&self, pace: Pace) {
        let _ = self.pace.set(pace);
    }

    /// How many may read here at once, and how gently.
    pub fn pace(&self) -> (usize, Pace) {
        let pace = self.pace.get().copied().unwrap_or_default();
        (pace.threads(|| self.spins() == Some(true)), pace)
    }

    /// Whether the folder lies on a disk that turns; `None` where the system does not tell.
    fn spins(&self) -> Option<bool> {
        *self.spins.get_or_init(|| platform::spins(&self.dir))
    }

    /// The same folder, with changes to it that fail.
    #[cfg(debug_assertions)]
    pub fn with_faults(self, faults: &faults::Faults) -> Self {
        Self { faults: faults.clone(), ..self }
    }

    /// Bytes that this user may still write on the folder's file system.
    pub fn available_space(&self) -> Result<u64> {
        fs4::available_space(&self.path).map_err(|source| FsError {
            verb: "ask for the free space of",
            path: self.path.clone(),
            source,
        })
    }

    /// Bytes that an open file takes on its disk.
    pub(in crate::disk) fn allocated(file: &File) -> io::Result<u64> {
        fs4::FileExt::allocated_size(file)
    }

    /// What stands at `path`, without following a link; `None` when nothing does.
    pub fn stat(&self, path: impl AsRef<Path>) -> Result<Option<Stat>> {
        let path = path.as_ref();
        let found = self.at(path, |dir, name| dir.symlink_metadata(name));
        match found {
            Ok(metadata) => Ok(Some(Stat::of(&metadata))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(self.error("look at", path, e)),
        }
    }

    /// Opens a file for reading.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        self.open_for(path.as_ref(), Access::Read)
    }

    /// The same for reads at places in it alone, without a look at what it is: a folder or a pipe has no such places.
    pub fn open_to_read_at(&self, path: &RelPath) -> Result<File> {
        match platform::file_below(&self.dir, Path::new(path.as_str()), Access::Read) {
            Some(Ok(file)) => Ok(file),
            Some(Err(_)) | None => self.open_file(path),
        }
    }

    /// Opens a file for reading and writing at any place, making it when it is missing.
    pub fn open_sparse(&self, path: impl AsRef<Path>) -> Result<File> {
        let path = path.as_ref();
        self.strike().map_err(|e| self.error("create", path, e))?;
        self.open_for(path, Access::Make)
    }

    /// Takes the kernel's lock on a file, which is made when it is missing. `None` when another has it.
    pub fn try_lock(&self, path: impl AsRef<Path>) -> Result<Option<Lock>> {
        let path = path.as_ref();
        let file = self.open_sparse(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(self.error("lock", path, source)),
        }
    }

    /// The same for a file that must be there.
    pub fn open_existing(&self, path: impl AsRef<Path>) -> Result<File> {
        self.open_for(path.as_ref(), Access::Change)
    }

    fn open_for(&self, path: &Path, access: Access) -> Result<File> {
        let in_one_step = leads_down(path).then(|| platform::file_below(&self.dir, path, access));
        let is_file = |file: &File| file.metadata().is_ok_and(|m| m.is_file());
        match in_one_step.flatten().and_then(io::Result::ok).filter(is_file) {
            Some(file) => Ok(file),
            None => self.open_with(path, &mut access.options()),
        }
    }

    fn create_with(&self, path: &Path, options: &mut OpenOptions) -> Result<File> {
        self.strike().map_err(|e| self.error("create", path, e))?;
        self.open_with(path, options)
    }

    fn open_with(&self, path: &Path, options: &mut OpenOptions) -> Result<File> {
        options.follow(FollowSymlinks::No);
        platform::do_not_wait(options);
        let file = self
            .at(path, |dir, name| dir.open_with(name, options))
            .map_err(|e| self.error("open", path, e))?;
        let is_file = file.metadata().is_ok_and(|m| m.is_file());
        if is_file {
            Ok(file.into_std())
        } else {
            Err(self.error("open", path, io::Error::other("it is not a regular file")))
        }
    }

    /// Reads a whole file of at most `limit` bytes; `None` when it is not there.
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        let Some(stat) = self.stat(path)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(stat.length.min(limit)).unwrap_or(0));
        self.open_file(path)?
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.error("read", path, e))?;
        if bytes.len() as u64 > limit {
            let cause = format!("it is larger than {limit} bytes");
            return Err(self.error("read", path, io::Error::other(cause)));
        }
        Ok(Some(bytes))
    }

    /// Makes a folder where nothing stands: whether that was so. It is for the caller to make it durable.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        match self.change(path, |dir, name| dir.create_dir(name)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(self.error("create", path, e)),
        }
    }

    /// Makes a folder and the folders it lies in; each new one is durable before it is used.
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        self.create_dirs(path.as_ref(), |parent| self.sync_dir(parent))
    }

    /// The same. It is for the caller to make them durable.
    pub fn create_dir_all_unsynced(&self, path: impl AsRef<Path>) -> Result<()> {
        self.create_dirs(path.as_ref(), |_| Ok(()))
    }

    /// Tells what a folder was made in.
    fn create_dirs(&self, path: &Path, made: impl Fn(&Path) -> Result<()>) -> Result<()> {
        let mut folder = PathBuf::new();
        for component in path.components() {
            let parent = folder.clone();
            folder.push(component);
            if self.create_dir(&folder)? {
                made(&parent)?;
            }
        }
        self.open_dir(path).map(drop)
    }

    /// Moves a file, link or folder; a file at `to` is replaced in one instant.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (to_dir, to_name) = self.parent(to).map_err(|e| self.error("reach", to, e))?;
        platform::patiently(|| self.change(from, |dir, name| dir.rename(name, &to_dir, to_name)))
            .map_err(|e| self.error("move", from, e))
    }

    /// Moves something to the place it was made for, which is the one that a failure names: nobody
    /// knows it by any other.
    pub fn place(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref();
        self.rename(from, to).map_err(|e| self.error("write", to, e.source))
    }

    /// The same where nothing stands: whether that was so. A crash may leave a file with both names on a file system
    /// that cannot do it in one step. On one that has no second names either, what is put there in this moment is
    /// replaced.
    pub fn place_new(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<bool> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (to_dir, to_name) = self.parent(to).map_err(|e| self.error("reach", to, e))?;
        let rename_new = |dir: &Dir, name: &OsStr| {
            self.check_not_plain()?;
            platform::rename_new(dir, name, &to_dir, to_name)
        };
        match self.change(from, rename_new) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) if e.kind() == ErrorKind::Unsupported => self.place_new_in_steps(from, to),
            Err(e) => Err(self.error("write", to, e)),
        }
    }

    fn place_new_in_steps(&self, from: &Path, to: &Path) -> Result<bool> {
        let is_file = self.stat(from)?.is_some_and(Stat::is_file);
        match is_file.then(|| self.hard_link(from, to)) {
            Some(Ok(())) => return self.remove_file_if_there(from).map(|()| true),
            Some(Err(e)) if e.source.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Some(Err(_)) | None => {}
        }
        let is_free = self.stat(to)?.is_none();
        if is_free {
            self.place(from, to)?;
        }
        Ok(is_free)
    }

    /// Lets something and what stands in the place it was made for change their names in one instant; `false` on a
    /// file system that cannot.
    pub fn swap(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<bool> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (to_dir, to_name) = self.parent(to).map_err(|e| self.error("reach", to, e))?;
        let swap = |dir: &Dir, name: &OsStr| {
            self.check_not_plain()?;
            platform::swap(dir, name, &to_dir, to_name)
        };
        match self.change(from, swap) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::Unsupported => Ok(false),
            Err(e) => Err(self.error("write", to, e)),
        }
    }

    /// Gives a file a second name.
    pub fn hard_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (to_dir, to_name) = self.parent(to).map_err(|e| self.error("reach", to, e))?;
        self.change(from, |dir, name| dir.hard_link(name, &to_dir, to_name))
            .map_err(|e| self.error("keep", from, e))
    }

    /// Makes a file with the content of another, and without a copy of it: whether the file system can.
    pub fn clone_file(&self, from: &File, to: impl AsRef<Path>) -> bool {
        self.change(to.as_ref(), |dir, name| platform::clone(from, dir, name)).is_ok()
    }

    /// Whether a file refused an operation because it is locked (in use, immutable), and not because
    /// of whose it is: only a locked one cannot be opened for writing either.
    pub fn is_locked(&self, path: impl AsRef<Path>, refusal: &FsError) -> bool {
        let is_locked = |e: &FsError| e.kind() == FaultKind::FileInUse;
        is_locked(refusal) && self.open_existing(path).is_err_and(|e| is_locked(&e))
    }

    /// Whether a file may be read alone, by whomever.
    pub fn is_read_only(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        match self.at(path, |dir, name| dir.symlink_metadata(name)) {
            Ok(metadata) => Ok(metadata.permissions().readonly()),
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(self.error("look at", path, e)),
        }
    }

    /// Fails when a file that stands there cannot be replaced while others have it open.
    pub fn check_replaceable(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match platform::patiently(|| platform::check_replaceable(self, path)) {
            Err(e) if !is_absent(&e) => Err(self.error("replace", path, e)),
            _ => Ok(()),
        }
    }

    /// Fails when names in a folder may not be changed; a folder that is not there is no failure.
    pub fn check_writable(&self, folder: &str) -> Result<()> {
        let check = self.dir_at(Path::new(folder)).and_then(|dir| platform::check_writable(&dir));
        match check {
            Err(e) if !is_absent(&e) => Err(self.error("write in", Path::new(folder), e)),
            _ => Ok(()),
        }
    }

    /// Fails when a folder lies on another disk than our own one; a folder that is not there is no failure.
    pub fn check_same_disk(&self, folder: &str) -> Result<()> {
        let disk = |path: &str| -> io::Result<_> {
            let dir = self.dir_at(Path::new(path))?;
            Ok((dir.dir_metadata()?.dev(), platform::mount(&dir)))
        };
        match (disk(folder), disk(OWN_FOLDER)) {
            (Ok(one), Ok(other)) if one == other => Ok(()),
            (Ok(_), Ok(_)) => {
                Err(self.error("write in", Path::new(folder), io::Error::other(OtherDisk)))
            }
            (Err(e), _) | (_, Err(e)) if is_absent(&e) => Ok(()),
            (Err(e), _) | (_, Err(e)) => Err(self.error("look at", Path::new(folder), e)),
        }
    }

    /// Whether two names are one file.
    pub fn same_file(&self, a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<bool> {
        let id = |path: &Path| match self.at(path, |dir, name| dir.symlink_metadata(name)) {
            Ok(m) => Ok(Some((m.dev(), m.ino()))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(self.error("look at", path, e)),
        };
        let (a, b) = (id(a.as_ref())?, id(b.as_ref())?);
        Ok(a.is_some() && a == b)
    }

    pub fn remove_file_if_there(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match platform::patiently(|| {
            self.change(path, |dir, name| dir.remove_file_or_symlink(name))
        }) {
            Err(e) if !is_absent(&e) => Err(self.error("remove", path, e)),
            _ => Ok(()),
        }
    }

    /// Removes a folder if it is there and empty; says whether it did.
    pub fn remove_dir_if_empty(&self, path: impl AsRef<Path>) -> Result<bool> {
        let path = path.as_ref();
        match self.change(path, |dir, name| dir.remove_dir(name)) {
            Ok(()) => Ok(true),
            Err(e) if is_absent(&e) || e.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(e) => Err(self.error("remove", path, e)),
        }
    }

    /// Removes a folder of ours with all that is in it; links in it are removed, not followed.
    pub fn remove_tree(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        match self.change(path, |dir, name| dir.remove_dir_all(name)) {
            Err(e) if !is_absent(&e) => Err(self.error("remove", path, e)),
            _ => Ok(()),
        }
    }

    fn open_dir(&self, path: &Path) -> Result<Opened<'_>> {
        self.dir_at(path).map_err(|e| self.error("open", path, e))
    }

    /// The same as [`Root::at`] for what changes the folder.
    fn change<T>(
        &self,
        path: &Path,
        f: impl FnOnce(&Dir, &OsStr) -> io::Result<T>,
    ) -> io::Result<T> {
        let (dir, name) = self.parent(path)?;
        self.strike()?;
        f(&dir, name)
    }

    fn error(&self, verb: &'static str, path: &Path, source: io::Error) -> FsError {
        // Component by component, so that all of it is written as the system writes paths.
        FsError { verb, path: self.path.iter().chain(path).collect(), source }
    }
}

/// Fails for a file of another length, in bytes.
pub(super) fn check_length(file: &File, length: u64) -> io::Result<()> {
    if length_of(file)? == length { Ok(()) } else { Err(other_length()) }
}

/// Bytes. It moves the file's own position, which nobody may rely on.
fn length_of(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

fn other_length() -> io::Error {
    io::Error::other("it has another length")
}

/// What a file is opened for, at any place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Change,
    /// The same, and it is made when it is missing.
    Make,
}

impl Access {
    fn options(self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(self != Self::Read).create(self == Self::Make);
        options
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        Path::new(self.as_str())
    }
}
