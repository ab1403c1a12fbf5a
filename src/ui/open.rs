//! Opens files and folders for the user. No path ever reaches a shell.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How long the program is waited for that finds another one.
const FINDER: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended.
const TRY: Duration = Duration::from_millis(50);

/// Opens a folder with what the user opens such with.
pub fn open_folder(path: &Path) -> Result<()> {
    open(path)
}

/// Opens a text file with what the user opens such with, or with the system's own editor: a fresh system
/// knows no program for settings and logs.
pub fn open_text(path: &Path) -> Result<()> {
    let opened = open(path);
    match editor(std::env::consts::OS) {
        Some([program, flags @ ..]) if opened.is_err() && path.is_file() => {
            let started = Command::new(program).args(flags).arg(path).spawn();
            started.map(drop).with_context(|| in_vain(path))
        }
        _ => opened,
    }
}

/// Opens it with what the system knows for it. On Linux a program finds out, and tells by how it ends.
fn open(path: &Path) -> Result<()> {
    ensure!(path.exists(), "{}: it is not there", in_vain(path));
    if !cfg!(target_os = "linux") {
        return opener::open(path).with_context(|| in_vain(path));
    }
    let mut finder = Command::new("xdg-open");
    finder.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut finder = finder.spawn().with_context(|| format!("{}: `xdg-open`", in_vain(path)))?;
    let begun = Instant::now();
    while begun.elapsed() < FINDER {
        if let Some(status) = finder.try_wait()? {
            ensure!(status.success(), "{}: no program is known for it", in_vain(path));
            return Ok(());
        }
        sleep(TRY);
    }
    // Some stay until the window is closed.
    Ok(())
}

fn in_vain(path: &Path) -> String {
    format!("could not open `{}`", path.display())
}

/// The command that opens any text file, where the system always has one.
fn editor(system: &str) -> Option<&'static [&'static str]> {
    match system {
        "windows" => Some(&["notepad.exe"]),
        "macos" => Some(&["open", "-t"]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_system_has_an_editor_it_opens_what_nobody_else_does() {
        let editors = ["windows", "macos", "linux"].map(editor);
        let expected: [Option<&[&str]>; 3] = [Some(&["notepad.exe"]), Some(&["open", "-t"]), None];
        assert_eq!(editors, expected);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_and_no_new_file() {
        let error = open_text(Path::new("/nowhere/modsync.log")).map_err(|e| e.to_string());
        assert_eq!(error, Err("could not open `/nowhere/modsync.log`: it is not there".to_owned()));
    }
}
