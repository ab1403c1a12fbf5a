//! The points where a test can have a [`Root`] fail. Release builds have nothing there.

use std::io;

use super::Root;

#[cfg(debug_assertions)]
impl Root {
    /// Where a change can fail.
    pub(super) fn strike(&self) -> io::Result<()> {
        self.faults.strike()
    }

    /// The same for what is written into files, of which `half` may be there all the same.
    pub(super) fn strike_at_write(&self, half: impl FnOnce()) -> io::Result<()> {
        self.faults.strike_at_write(half)
    }

    /// Where the file system can be one that neither exchanges names nor tells in one step whether one is free.
    pub(super) fn check_not_plain(&self) -> io::Result<()> {
        let is_plain = self.faults.are_on_a_plain_disk();
        if is_plain { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }
}

#[cfg(not(debug_assertions))]
#[allow(clippy::unnecessary_wraps, clippy::unused_self)]
impl Root {
    pub(super) fn strike(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn strike_at_write(&self, _: impl FnOnce()) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn check_not_plain(&self) -> io::Result<()> {
        Ok(())
    }
}
