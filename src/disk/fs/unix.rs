//! What Unix does its own way.

// What cannot fail here can fail elsewhere.
#![allow(clippy::unnecessary_wraps)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cap_fs_ext::DirExt;
use cap_primitives::fs::{AccessModes, AccessType};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};

use super::Root;

/// Fills `buf` from `offset`; the file's own position does not matter.
pub fn read_exact_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buf, offset)
}

/// Writes all of `buf` at `offset`; the file's own position does not matter.
pub fn write_all_at(file: &File, buf: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(buf, offset)
}

/// A folder's own handle may be open for walking only, so it is opened anew for this.
pub(super) fn sync_dir(dir: &Dir) -> io::Result<()> {
    dir.open(".")?.sync_all()
}

pub(super) fn check_writable(dir: &Dir) -> io::Result<()> {
    let modes = AccessModes { readable: true, writable: true, executable: true };
    dir.access(".", AccessType::Access(modes))
}

/// A file that is open can be replaced: who has it open keeps the old one.
pub(super) fn check_replaceable(_: &Root, _: &Path) -> io::Result<()> {
    Ok(())
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
