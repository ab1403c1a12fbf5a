//! What Windows does its own way.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::windows::fs::FileExt;

use cap_std::fs::{Dir, OpenOptions};

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

/// NTFS journals its names by itself, and a folder's handle cannot be flushed without rights we lack.
pub(super) fn sync_dir(_: &Dir) -> io::Result<()> {
    Ok(())
}

/// Rights are lists here that only a try can judge.
pub(super) fn check_writable(_: &Dir) -> io::Result<()> {
    Ok(())
}

pub(super) fn do_not_wait(_: &mut OpenOptions) {}

/// What lies below a user's own folder is for that user alone here.
pub(super) fn keep_private(_: &mut OpenOptions) {}

/// `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION`, `ERROR_USER_MAPPED_FILE`.
pub(super) fn is_in_use(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(32 | 33 | 1224))
}
