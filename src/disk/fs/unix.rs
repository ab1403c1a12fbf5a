//! What Unix does its own way.

// What cannot fail here can fail elsewhere.
#![allow(clippy::unnecessary_wraps)]

use std::cmp::Ordering;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cap_fs_ext::DirExt;
use cap_primitives::fs::{AccessModes, AccessType};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::FileType;

use super::paged::PAGE;
use super::{Access, Kind, Root, Stat, slices};

/// Fills `buf` from `offset`; the file's own position does not matter.
pub fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

/// Fills `buf` with a file, which must end where that does. It is asked for one byte more: that costs less than to ask first
/// where it ends.
pub fn read_whole(file: &File, buf: &mut [u8]) -> io::Result<()> {
    let (length, mut more) = (buf.len(), [0]);
    let mut parts = [IoSliceMut::new(buf), IoSliceMut::new(&mut more)];
    let read = rustix::io::preadv(file, &mut parts, 0);
    match read.map_or(Ordering::Less, |read| read.cmp(&length)) {
        // Where it goes on, its last page has more; if that one is full, the next may not be to be had.
        Ordering::Equal if !length.is_multiple_of(PAGE) => Ok(()),
        Ordering::Equal => super::check_length(file, length as u64),
        Ordering::Greater => Err(super::other_length()),
        // It may have more than was to be had at once.
        Ordering::Less => {
            super::check_length(file, length as u64)?;
            file.read_exact_at(buf, 0)
        }
    }
}

/// Writes all of `buf` at `offset`; the file's own position does not matter.
pub fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(buf, offset)
}

/// Any folder can be used.
pub(super) fn check_place(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A folder on a way of names alone, opened in one step and never through a link. `None` where the system has no such step.
pub(super) fn dir_below(dir: &Dir, path: &Path) -> Option<io::Result<Dir>> {
    below(dir, path, None).map(|opened| opened.map(Dir::from_std_file))
}

/// The same of whatever stands there, on a way of names alone.
pub(super) fn file_below(dir: &Dir, path: &Path, access: Access) -> Option<io::Result<File>> {
    below(dir, path, Some(access))
}

/// A file that is opened for something, or else a folder: <https://man7.org/linux/man-pages/man2/openat2.2.html>
#[cfg(target_os = "linux")]
fn below(dir: &Dir, path: &Path, file: Option<Access>) -> Option<io::Result<File>> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    const FILE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
    /// As far as the user's mask lets it.
    const NEW_FILE: Mode = Mode::from_raw_mode(0o666);
    debug_assert!(super::leads_down(path));
    let (opening, mode) = match file {
        None => (OFlags::PATH | OFlags::DIRECTORY, Mode::empty()),
        Some(Access::Read) => (FILE | OFlags::RDONLY, Mode::empty()),
        Some(Access::Change) => (FILE | OFlags::RDWR, Mode::empty()),
        Some(Access::Make) => (FILE | OFlags::RDWR | OFlags::CREATE, NEW_FILE),
    };
    let flags = opening | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Names alone lead nowhere else without links. Linux would make sure of it under a lock that all threads share.
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(dir, path, flags, mode, resolve);
    Some(opened.map(File::from).map_err(io::Error::from))
}

#[cfg(not(target_os = "linux"))]
fn below(_: &Dir, _: &Path, _: Option<Access>) -> Option<io::Result<File>> {
    None
}

/// Which of the mounts a folder lies in, where the system tells: nothing moves from one to another, be they of
/// one disk.
#[cfg(target_os = "linux")]
pub(super) fn mount(dir: &Dir) -> u64 {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    statx(dir, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_or(0, |stat| stat.stx_mnt_id)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn mount(_: &Dir) -> u64 {
    0
}

/// Whether a folder lies on a disk that turns (<https://docs.kernel.org/block/queue-sysfs.html>). The disk of a virtual
/// machine says so whatever lies beneath. `None` where the file system does not say on which disk it is.
#[cfg(target_os = "linux")]
pub(super) fn spins(dir: &Dir) -> Option<bool> {
    use rustix::fs::{fstat, major, minor};
    let stat = fstat(dir).ok()?;
    let device = format!("/sys/dev/block/{}:{}", major(stat.st_dev), minor(stat.st_dev));
    let is_virtual =
        std::fs::read_link(&device).is_ok_and(|it| it.display().to_string().contains("/virtio"));
    // A part of a disk has no queue of its own: the disk above it has.
    let asked = ["queue", "../queue"].map(|queue| format!("{device}/{queue}/rotational"));
    let says = asked.iter().find_map(|path| std::fs::read(path).ok())?;
    Some(says.starts_with(b"1") && !is_virtual)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn spins(_: &Dir) -> Option<bool> {
    None
}

/// Tells what lies directly in a folder.
pub(super) fn each(dir: &Dir, found: &mut dyn FnMut(&OsStr, Stat)) -> io::Result<()> {
    use rustix::fs::{AtFlags, statat};
    each_entry(dir, |name, _| match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let kind = kind_of(FileType::from_raw_mode(stat.st_mode)).unwrap_or(Kind::Other);
            let modified = (stat.st_mtime, stat.st_mtime_nsec);
            found(OsStr::from_bytes(name.to_bytes()), stat_of(kind, stat.st_size, modified));
            Ok(())
        }
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    })
}

/// Some file systems keep the kinds of what a folder has apart from the names
/// (`DT_UNKNOWN`, <https://man7.org/linux/man-pages/man3/readdir.3.html>).
pub(super) fn each_kind(dir: &Dir, found: &mut dyn FnMut(&OsStr, Option<Kind>)) -> io::Result<()> {
    each_entry(dir, |name, kind| {
        found(OsStr::from_bytes(name.to_bytes()), kind_of(kind));
        Ok(())
    })
}

fn each_entry(
    dir: &Dir,
    mut found: impl FnMut(&CStr, FileType) -> io::Result<()>,
) -> io::Result<()> {
    use rustix::fs::{Dir as Listing, Mode, OFlags, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut listing = Listing::new(openat(dir, ".", flags, Mode::empty())?)?;
    while let Some(entry) = listing.read() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            found(name, entry.file_type())?;
        }
    }
    Ok(())
}

fn kind_of(kind: FileType) -> Option<Kind> {
    match kind {
        FileType::RegularFile => Some(Kind::File),
        FileType::Directory => Some(Kind::Dir),
        FileType::Symlink => Some(Kind::Link),
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => {
            Some(Kind::Other)
        }
        FileType::Unknown => None,
    }
}

/// The width of the numbers differs between systems.
fn stat_of<S, N>(kind: Kind, size: i64, (seconds, nanoseconds): (S, N)) -> Stat
where
    i128: From<S> + From<N>,
{
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let bounded = nanoseconds.clamp(i64::MIN.into(), i64::MAX.into());
    Stat {
        kind,
        length: if kind == Kind::File { size.unsigned_abs() } else { 0 },
        mtime_ns: i64::try_from(bounded).unwrap_or(0),
    }
}

/// Moves a name where the other is free.
pub(super) fn rename_new(dir: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> io::Result<()> {
    rename_with(dir, name, to, to_name, Renaming::New)
}

/// Lets two names change what they name.
pub(super) fn swap(dir: &Dir, name: &OsStr, to: &Dir, to_name: &OsStr) -> io::Result<()> {
    rename_with(dir, name, to, to_name, Renaming::Swap)
}

#[derive(Clone, Copy)]
enum Renaming {
    New,
    Swap,
}

/// <https://man7.org/linux/man-pages/man2/rename.2.html>, and `renameatx_np` of macOS. Either says in its own way that
/// a file system cannot.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_with(
    dir: &Dir,
    name: &OsStr,
    to: &Dir,
    to_name: &OsStr,
    renaming: Renaming,
) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    let flags = match renaming {
        Renaming::New => RenameFlags::NOREPLACE,
        Renaming::Swap => RenameFlags::EXCHANGE,
    };
    renameat_with(dir, name, to, to_name, flags).map_err(|e| match e {
        Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => io::ErrorKind::Unsupported.into(),
        e => e.into(),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_with(_: &Dir, _: &OsStr, _: &Dir, _: &OsStr, _: Renaming) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes a file that shares the blocks of another until one of them is written
/// (<https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html>).
#[cfg(target_os = "linux")]
pub(super) fn clone(from: &File, dir: &Dir, name: &OsStr) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let to = dir.open_with(name, options.write(true).create_new(true))?;
    rustix::fs::ioctl_ficlone(to, from).map_err(|e| {
        // Nothing is in it.
        let _ = dir.remove_file(name);
        e.into()
    })
}

#[cfg(target_os = "macos")]
pub(super) fn clone(from: &File, dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(rustix::fs::fclonefileat(from, dir, name, rustix::fs::CloneFlags::NOOWNERCOPY)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn clone(_: &File, _: &Dir, _: &OsStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Folders cannot be synced on some file systems of servers and of other systems' making: names are as durable there as
/// they make them.
pub(super) fn sync_dir(dir: &Dir) -> io::Result<()> {
    let cannot =
        |e: &io::Error| [ErrorKind::InvalidInput, ErrorKind::Unsupported].contains(&e.kind());
    match sync_file(&open_to_sync(dir)?.into_std()) {
        Err(e) if cannot(&e) => Ok(()),
        synced => synced,
    }
}

/// Has the disk write what it was given.
pub(super) fn sync_file(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(e) if cfg!(target_vendor = "apple") && cannot_be_flushed(&e) => {
            Ok(rustix::fs::fsync(file)?)
        }
        synced => synced,
    }
}

/// Whether a disk does not know `F_FULLFSYNC`, which is how macOS has one empty its own memory: such as exFAT, and those
/// of servers (<https://developer.apple.com/library/archive/documentation/System/Conceptual/ManPages_iPhoneOS/man2/fsync.2.html>).
fn cannot_be_flushed(e: &io::Error) -> bool {
    use rustix::io::Errno;
    let errors = [Errno::NOTTY, Errno::NOTSUP, Errno::INVAL];
    errors.iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

/// A folder's own handle may be open for walking only, so it is opened anew for this.
pub(super) type Disk = cap_std::fs::File;

pub(super) fn open_to_sync(dir: &Dir) -> io::Result<Disk> {
    dir.open(".")
}

/// <https://man7.org/linux/man-pages/man2/syncfs.2.html>: it returns when all is written, and tells of what failed since
/// the handle was opened. Linux before 5.8 tells of nothing, and what serves the files of some file systems is not
/// asked.
#[cfg(target_os = "linux")]
pub(super) fn sync_disk(disk: &Disk) -> io::Result<bool> {
    let tells = linux_version() >= Some((5, 8)) && !is_served(disk)?;
    if tells {
        rustix::fs::syncfs(disk)?;
    }
    Ok(tells)
}

/// FUSE (as NTFS-3G), SMB and 9P: <https://man7.org/linux/man-pages/man2/statfs.2.html>
#[cfg(target_os = "linux")]
fn is_served(disk: &Disk) -> io::Result<bool> {
    const SERVED: [i128; 5] = [0x6573_5546, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];
    // The width and the sign of the number differ between processors.
    let kind = i128::from(rustix::fs::fstatfs(disk)?.f_type) & 0xffff_ffff;
    Ok(SERVED.contains(&kind))
}

#[cfg(target_os = "linux")]
pub(super) fn linux_version() -> Option<(u32, u32)> {
    let uname = rustix::system::uname();
    let mut numbers = uname.release().to_str().ok()?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn sync_disk(_: &Disk) -> io::Result<bool> {
    Ok(false)
}

/// <https://man7.org/linux/man-pages/man2/posix_fadvise.2.html>
#[cfg(target_os = "linux")]
pub(super) fn forget(file: &File) {
    // Where it fails, the system keeps what it likes.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forget(_: &File) {}

/// Has the disk begin to write what was just written, instead of all of it at the end: who waits for that waits less
/// (<https://man7.org/linux/man-pages/man2/sync_file_range.2.html>).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "only the C library can be asked for it")]
pub(super) fn begin_sync(file: &File, offset: u64, length: usize) {
    use std::os::fd::AsRawFd;
    let (Ok(offset), Ok(length)) = (offset.try_into(), length.try_into()) else { return };
    // SAFETY: the file is open, and no memory is passed. That it fails is told by the sync at the end.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn begin_sync(_: &File, _: u64, _: usize) {}

/// The same file once more, for whole pages of memory that the disk takes past the system's. `None` where the file system
/// does not say that it can do that (`STATX_DIOALIGN`, <https://man7.org/linux/man-pages/man2/statx.2.html>).
#[cfg(target_os = "linux")]
pub(super) fn open_direct(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};

    let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
    let (memory, place) = (stat.stx_dio_mem_align, stat.stx_dio_offset_align);
    let takes_pages = [memory, place].iter().all(|&to| to > 0 && PAGE.is_multiple_of(to as usize));
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    takes_pages.then(|| open(again, flags, Mode::empty()).ok()).flatten().map(File::from)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_direct(_: &File) -> Option<File> {
    None
}

/// Writes all of `parts`, one behind the other, at `offset`, and has memory forget them when the disk has them. What fills a
/// page in part stays: the rest of it is still to come, and would have to wait until the page was read again.
#[cfg(target_os = "linux")]
pub(super) fn write_through(file: &File, parts: &[&[u8]], offset: u64) -> io::Result<()> {
    super::straight::write_around(file, parts, offset, |pages, at| write_pages(file, pages, at))
}

/// Tells Linux 6.14 and later not to keep what is written (`RWF_DONTCACHE`,
/// <https://man7.org/linux/man-pages/man2/pwritev2.2.html>), and others to have the disk begin with it.
#[cfg(target_os = "linux")]
fn write_pages(file: &File, parts: &[&[u8]], offset: u64) -> io::Result<()> {
    use rustix::io::{ReadWriteFlags, pwritev2};
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
    let mut pages: Vec<_> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
    let written = slices::write_all(&mut pages, |pages, written| {
        Ok(pwritev2(file, pages, offset + written, DONTCACHE)?)
    });
    match written {
        Err(e) if matches!(e.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
            slices::each(parts, offset, |bytes, at| write_all_at(file, bytes, at))?;
            begin_sync(file, offset, slices::size_of(parts));
            Ok(())
        }
        written => written,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn write_through(file: &File, parts: &[&[u8]], offset: u64) -> io::Result<()> {
    slices::each(parts, offset, |bytes, at| write_all_at(file, bytes, at))
}

pub(super) fn check_writable(dir: &Dir) -> io::Result<()> {
    let modes = AccessModes { readable: true, writable: true, executable: true };
    dir.access(".", AccessType::Access(modes))
}

/// A file that is open can be replaced: who has it open keeps the old one. In a sticky folder that is for the owners of
/// the file and of the folder alone (<https://man7.org/linux/man-pages/man7/inode.7.html>).
pub(super) fn check_replaceable(root: &Root, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, Mode, fstat, statat};
    let user = rustix::process::geteuid();
    root.at(path, |dir, name| {
        let folder = fstat(dir)?;
        let is_free = !Mode::from_raw_mode(folder.st_mode).contains(Mode::SVTX) || user.is_root();
        let is_owner = |owner| owner == user.as_raw();
        if is_free
            || is_owner(folder.st_uid)
            || is_owner(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid)
        {
            return Ok(());
        }
        Err(io::ErrorKind::PermissionDenied.into())
    })
}

/// Nobody keeps us here who lets us a moment later.
pub(super) fn patiently<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    attempt()
}

/// A pipe in the place of a file must not make us wait for its other end.
pub(super) fn do_not_wait(options: &mut OpenOptions) {
    /// `O_NONBLOCK`, which differs between Linux and the BSDs.
    const O_NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0x4 };
    options.custom_flags(O_NONBLOCK);
}

/// For the user's own eyes.
pub(super) fn keep_private(options: &mut OpenOptions) {
    options.mode(0o600);
}

/// `EPERM`, unlike `EACCES`, is what an immutable file answers: somebody locked it on purpose.
pub(super) fn is_in_use(e: &io::Error) -> bool {
    const EPERM: i32 = 1;
    e.raw_os_error() == Some(EPERM)
}
