//! What Windows does its own way.

// What cannot fail here can fail elsewhere.
#![allow(clippy::unnecessary_wraps)]

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::windows::fs::FileExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Component, Path, Prefix, PrefixComponent};
use std::thread;
use std::time::Duration;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use windows::Win32::Foundation::HANDLE;
use windows::Win32::Storage::FileSystem::GetVolumeInformationByHandleW;
use windows::Win32::System::SystemServices::FILE_SUPPORTS_BLOCK_REFCOUNTING;

use super::{Access, Kind, Root, Stat, is_absent, slices};

/// The way from an open folder of a server to what is in it is one that cap-std gets wrong
/// (<https://github.com/bytecodealliance/cap-std/issues/318>): what there is would not be seen.
pub(super) fn check_place(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    let is_server = |prefix: PrefixComponent<'_>| matches!(prefix.kind(), Prefix::VerbatimUNC(..));
    if matches!(folder.components().next(), Some(Component::Prefix(first)) if is_server(first)) {
        let why = "it lies on a network drive, which ModSync cannot use on Windows";
        return Err(io::Error::new(ErrorKind::Unsupported, why));
    }
    Ok(())
}

/// There is no one step to what lies further down.
pub(super) fn dir_below(_: &Dir, _: &Path) -> Option<io::Result<Dir>> {
    None
}

/// There is no one step to what lies further down.
pub(super) fn file_below(_: &Dir, _: &Path, _: Access) -> Option<io::Result<File>> {
    None
}

/// Nobody asks here whether the disk turns.
pub(super) fn spins(_: &Dir) -> Option<bool> {
    None
}

/// Disks tell the same.
pub(super) fn mount(_: &Dir) -> u64 {
    0
}

/// Tells what lies directly in a folder.
pub(super) fn each(dir: &Dir, found: &mut dyn FnMut(&OsStr, Stat)) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        match entry.metadata() {
            Ok(metadata) => found(&entry.file_name(), Stat::of(&metadata)),
            Err(e) if is_absent(&e) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// All that is told of a file comes with its name here: who lists the looks has no more to do.
pub(super) fn each_kind(_: &Dir, _: &mut dyn FnMut(&OsStr, Option<Kind>)) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Fills `buf` from `offset`; moves the file's own position, which nobody may rely on.
pub fn read_exact_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_read(buf, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                buf = &mut buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Fills `buf` with a file, which must end where that does.
pub fn read_whole(file: &File, buf: &mut [u8]) -> io::Result<()> {
    super::check_length(file, buf.len() as u64)?;
    read_exact_at(file, buf, 0)
}

/// Writes all of `buf` at `offset`; moves the file's own position, which nobody may rely on.
pub fn write_all_at(file: &File, mut buf: &[u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match file.seek_write(buf, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => {
                buf = &buf[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Windows has such steps for ways from the top alone, and not for an open folder.
pub(super) fn rename_new(_: &Dir, _: &OsStr, _: &Dir, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn swap(_: &Dir, _: &OsStr, _: &Dir, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes a file that shares the blocks of another until one of them is written. `ReFS` can
/// (<https://learn.microsoft.com/en-us/windows/win32/fileio/block-cloning>).
pub(super) fn clone(from: &File, dir: &Dir, name: &OsStr) -> io::Result<()> {
    if !lets_blocks_be_shared(from) {
        return Err(ErrorKind::Unsupported.into());
    }
    let mut options = OpenOptions::new();
    let to = dir.open_with(name, options.read(true).write(true).create_new(true))?.into_std();
    let cloned = reflink_copy::reflink_file(from, &to);
    drop(to);
    if cloned.is_err() {
        // What is in it is no copy.
        let _ = dir.remove_file(name);
    }
    cloned
}

/// Whether the disk of a file does; NTFS does not.
#[expect(unsafe_code, reason = "only the system can be asked for it")]
fn lets_blocks_be_shared(file: &File) -> bool {
    let (handle, mut flags) = (HANDLE(file.as_raw_handle()), 0);
    // SAFETY: the handle is that of an open file, and the one place that is written to is there.
    let asked = unsafe {
        GetVolumeInformationByHandleW(handle, None, None, None, Some(&raw mut flags), None)
    };
    asked.is_ok() && flags & FILE_SUPPORTS_BLOCK_REFCOUNTING != 0
}

pub(super) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// NTFS journals its names by itself, and a folder's handle cannot be flushed without rights we lack.
pub(super) fn sync_dir(_: &Dir) -> io::Result<()> {
    Ok(())
}

/// Windows wants to know of it when a file is opened first, and then of all that is written there.
pub(super) fn open_direct(_: &File) -> Option<File> {
    None
}

/// Windows keeps what it likes.
pub(super) fn write_through(file: &File, parts: &[&[u8]], offset: u64) -> io::Result<()> {
    slices::each(parts, offset, |bytes, at| write_all_at(file, bytes, at))
}

/// Windows begins by itself soon enough.
pub(super) fn begin_sync(_: &File, _: u64, _: usize) {}

/// Windows has no such wish.
pub(super) fn forget(_: &File) {}

/// A disk is synced as a whole by administrators only.
#[derive(Debug)]
pub(super) struct Disk;

pub(super) fn open_to_sync(_: &Dir) -> io::Result<Disk> {
    Ok(Disk)
}

pub(super) fn sync_disk(_: &Disk) -> io::Result<bool> {
    Ok(false)
}

/// Rights are lists here that only a try can judge.
pub(super) fn check_writable(_: &Dir) -> io::Result<()> {
    Ok(())
}

/// A second name can be given to a file whatever others do with it, so only this tells before the first
/// step that they keep it: who allows neither writing nor deleting, and a program that runs. A file may be moved that is
/// read-only, and not be opened to be written.
pub(super) fn check_replaceable(root: &Root, path: &Path) -> io::Result<()> {
    const FILE_WRITE_DATA: u32 = 0x2;
    const DELETE: u32 = 0x1_0000;
    root.at(path, |dir, name| {
        let metadata = dir.symlink_metadata(name)?;
        if !metadata.is_file() {
            return Ok(());
        }
        let is_read_only = metadata.permissions().readonly();
        let access = if is_read_only { DELETE } else { FILE_WRITE_DATA | DELETE };
        let mut options = OpenOptions::new();
        options.access_mode(access).follow(FollowSymlinks::No);
        dir.open_with(name, &options).map(drop)
    })
}

/// Virus scanners and indexes open a file for a moment whenever it has changed, and keep others from moving it
/// and from replacing it meanwhile; Windows tells nobody when they are done.
pub(super) fn patiently<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    const ERROR_ACCESS_DENIED: i32 = 5;
    const PAUSE: Duration = Duration::from_millis(20);
    const ATTEMPTS: u32 = 75;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(e) if is_in_use(&e) || e.raw_os_error() == Some(ERROR_ACCESS_DENIED) => {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
    attempt()
}

pub(super) fn do_not_wait(_: &mut OpenOptions) {}

/// What lies below a user's own folder is for that user alone here.
pub(super) fn keep_private(_: &mut OpenOptions) {}

/// `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION`, `ERROR_USER_MAPPED_FILE`.
pub(super) fn is_in_use(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(32 | 33 | 1224))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::os::windows::fs::OpenOptionsExt;

    use crate::disk::fs::Root;
    use crate::model::fault::FaultKind;

    #[test]
    fn a_file_that_a_game_has_open_cannot_be_replaced_and_is_named() {
        const TO_READ_AND_WRITE: u32 = 3;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mods")).unwrap();
        for name in ["a.pak", "b.pak"] {
            fs::write(dir.path().join("mods").join(name), name).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let open = dir.path().join("mods/b.pak");
        let game = OpenOptions::new().read(true).share_mode(TO_READ_AND_WRITE).open(open).unwrap();

        root.check_replaceable("mods/a.pak").unwrap();
        let refusal = root.check_replaceable("mods/b.pak").unwrap_err();
        assert_eq!(refusal.kind(), FaultKind::FileInUse);
        assert!(refusal.to_string().contains("b.pak`: the file is in use"), "{refusal}");

        drop(game);
        root.check_replaceable("mods/b.pak").unwrap();
        assert_eq!(fs::read(dir.path().join("mods/b.pak")).unwrap(), b"b.pak");
    }
}
