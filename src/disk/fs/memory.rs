//! [`InMemory`]: a file that lies in memory for as long as it is open, with names in a [`Root`] that lead to it.
//!
//! It is for what a library insists on writing to a file by its name, and having made durable, and nobody needs once
//! this process has ended. Linux has such files.

use std::fs::File;
use std::io;

use super::{Result, Root};

#[derive(Debug)]
pub struct InMemory(#[cfg_attr(not(target_os = "linux"), expect(dead_code))] File);

impl InMemory {
    /// <https://man7.org/linux/man-pages/man2/memfd_create.2.html>
    #[cfg(target_os = "linux")]
    pub fn with(bytes: &[u8]) -> io::Result<Self> {
        use std::io::Write;

        use rustix::fs::{MemfdFlags, memfd_create};

        let mut file = File::from(memfd_create("modsync", MemfdFlags::CLOEXEC)?);
        file.write_all(bytes)?;
        Ok(Self(file))
    }

    #[cfg(not(target_os = "linux"))]
    pub fn with(_: &[u8]) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Root {
    /// Has a new name lead to a file in memory, for this process alone. It tells the system the file's number, which is
    /// another file's soon after this one is closed: by then the name must be gone.
    #[cfg(target_os = "linux")]
    pub fn lead_to(&self, name: &str, InMemory(file): &InMemory) -> Result<()> {
        use std::os::fd::AsRawFd;

        let place = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.change(name.as_ref(), |dir, name| dir.symlink_contents(place, name))
            // As who follows it will. It leads nowhere where `/proc` is not there, or something forbids it.
            .and_then(|()| File::options().read(true).write(true).open(self.path.join(name)))
            .map_err(|e| self.error("make", name.as_ref(), e))?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    pub fn lead_to(&self, name: &str, _: &InMemory) -> Result<()> {
        Err(self.error("make", name.as_ref(), io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_to_nothing_that_can_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let folder = InMemory(File::open(dir.path()).unwrap());
        assert!(root.lead_to("name", &folder).is_err());
        root.lead_to("another", &InMemory::with(b"bytes").unwrap()).unwrap();
    }
}
