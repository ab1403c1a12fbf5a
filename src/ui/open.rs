//! Opens files and folders for the user. No path ever reaches a shell.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// Opens a folder with what the user opens such with.
pub fn open_folder(path: &Path) -> Result<()> {
    opener::open(path).with_context(|| in_vain(path))
}

/// Opens a text file with what the user opens such with, or with the system's own editor: a fresh system
/// knows no program for settings and logs.
pub fn open_text(path: &Path) -> Result<()> {
    let opened = opener::open(path).with_context(|| in_vain(path));
    match editor(std::env::consts::OS) {
        Some([program, flags @ ..]) if opened.is_err() && path.is_file() => {
            let started = Command::new(program).args(flags).arg(path).spawn();
            started.map(drop).with_context(|| in_vain(path))
        }
        _ => opened,
    }
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
        assert_eq!(error, Err("could not open `/nowhere/modsync.log`".to_owned()));
    }
}
