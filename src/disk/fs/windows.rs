//! What Windows does its own way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::windows::fs::FileExt;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};

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

/// Whoever opened a file, a game say, seldom lets others delete it meanwhile. A second name it may still
/// get, so only this tells beforehand. Asking for the right to delete does not delete.
pub(super) fn check_replaceable(dir: &Dir, name: &OsStr) -> io::Result<()> {
    const DELETE: u32 = 0x0001_0000;
    /// To read, to write, to delete: we keep nobody from anything.
    const SHARE_ALL: u32 = 7;
    let mut options = OpenOptions::new();
    options.access_mode(DELETE).share_mode(SHARE_ALL).follow(FollowSymlinks::No);
    dir.open_with(name, &options).map(drop)
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
