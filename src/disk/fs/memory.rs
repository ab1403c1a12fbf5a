//! Files that lie in memory, for as long as they are open, with names in a [`Root`] that lead to them.
//!
//! They are for what a library insists on writing to a file by its name, and having made durable, and nobody needs once
//! this process has ended. Linux has them.

use std::fs::File;
use std::io;

use super::{Result, Root};

/// Makes such a file.
#[cfg(target_os = "linux")]
pub fn in_memory(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write;

    use rustix::fs::{MemfdFlags, memfd_create};

    // <https://man7.org/linux/man-pages/man2/memfd_create.2.html>
    let mut file = File::from(memfd_create("modsync", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
pub fn in_memory(_: &[u8]) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Root {
    /// Has a new name lead to an open file, for this process alone. It tells the system the file's number, which is
    /// another file's soon after this one is closed: by then the name must be gone.
    #[cfg(target_os = "linux")]
    pub fn lead_to(&self, name: &str, file: &File) -> Result<()> {
        use std::os::fd::AsRawFd;

        let place = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.change(name.as_ref(), |dir, name| dir.symlink_contents(place, name))
            // Where `/proc` is not there, or something forbids it, it leads nowhere.
            .and_then(|()| File::options().read(true).write(true).open(self.path.join(name)))
            .map_err(|e| self.error("make", name.as_ref(), e))?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub fn lead_to(&self, name: &str, _: &File) -> Result<()> {
        Err(self.error("make", name.as_ref(), io::ErrorKind::Unsupported.into()))
    }
}
