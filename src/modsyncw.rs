//! Windows: starts `modsync.exe`, which lies beside it, without a console, and leaves. What the login and the
//! Start menu point at.

#![cfg_attr(windows, windows_subsystem = "windows")]

use std::env;
use std::io;
use std::process::{Command, Stdio};

fn main() -> io::Result<()> {
    let mut modsync = Command::new(env::current_exe()?.with_file_name("modsync"));
    modsync.args(env::args_os().skip(1));
    modsync.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(&mut modsync, CREATE_NO_WINDOW);
    modsync.spawn().map(drop)
}

/// <https://learn.microsoft.com/windows/win32/procthread/process-creation-flags>
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;
