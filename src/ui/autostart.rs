//! Launch at login: on, off, or as it is. auto-launch does it; what it leaves to us is the path: the
//! right one, and quoted.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use auto_launch::{AutoLaunch, AutoLaunchBuilder, WindowsEnableMode};

use crate::paths::Paths;

/// Tells a start at login from one by hand.
pub const AT_LOGIN: &str = "--at-login";

/// Whether the user's login starts us.
pub fn is_on() -> Result<bool> {
    entry(&[])?.is_enabled().context("could not tell whether ModSync is launched at login")
}

/// Has the user's login start us with these places, or not any more. Nobody else's login is touched.
pub fn set(on: bool, paths: &Paths) -> Result<()> {
    let entry = entry(&arguments(paths))?;
    let (done, word) = if on { (entry.enable(), "on") } else { (entry.disable(), "off") };
    done.with_context(|| format!("could not turn launch at login {word}"))?;
    tracing::info!("launch at login is {word}");
    Ok(())
}

/// The places, where they are not the usual ones.
fn arguments(paths: &Paths) -> Vec<String> {
    let mut arguments = vec![AT_LOGIN.to_owned()];
    // A login has no variables of ours.
    if Paths::usual().ok().as_ref() != Some(paths) {
        arguments.extend(["--config".to_owned(), quoted(&paths.config)]);
        arguments.extend(["--state".to_owned(), quoted(&paths.state)]);
    }
    arguments
}

fn entry(arguments: &[String]) -> Result<AutoLaunch> {
    let program = program().context("could not find our own program")?;
    AutoLaunchBuilder::new()
        // The name of a file, of a registry value, of a launch agent.
        .set_app_name(if cfg!(target_os = "macos") { "org.modsync.ModSync" } else { "ModSync" })
        .set_app_path(&quoted(&program))
        .set_args(arguments)
        // The usual mode would write for all users where it may.
        .set_windows_enable_mode(WindowsEnableMode::CurrentUser)
        .build()
        .context("could not prepare launch at login")
}

/// What a login shall start: an `AppImage` itself rather than where it is mounted just now, and on
/// Windows the program without a console.
fn program() -> Result<PathBuf> {
    if let Some(image) = env::var_os("APPIMAGE") {
        return Ok(image.into());
    }
    let own = env::current_exe()?;
    let windowless = own.with_file_name("modsyncw.exe");
    Ok(if cfg!(windows) && windowless.is_file() { windowless } else { own })
}

/// The path as the platform's entry takes it.
fn quoted(program: &Path) -> String {
    let path = program.to_string_lossy();
    if cfg!(windows) {
        format!("\"{path}\"")
    } else if cfg!(target_os = "macos") {
        path.into_owned()
    } else {
        exec_quoted(&path)
    }
}

/// By the rules for the `Exec` key, applied after those for strings
/// (<https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html>).
fn exec_quoted(path: &str) -> String {
    let mut out = String::from("\"");
    for c in path.chars() {
        match c {
            '\\' => out.push_str(r"\\\\"),
            '"' | '`' | '$' => out.extend([r"\\", c.encode_utf8(&mut [0; 4])]),
            '%' => out.push_str("%%"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::exec_quoted;

    #[test]
    fn a_path_is_quoted_for_a_desktop_entry() {
        for (path, quoted) in [
            ("/opt/Mod Sync/modsync", r#""/opt/Mod Sync/modsync""#),
            (r#"/a"b/$HOME/`x`"#, r#""/a\\"b/\\$HOME/\\`x\\`""#),
            (r"/back\slash", r#""/back\\\\slash""#),
            ("/100%/é", r#""/100%%/é""#),
        ] {
            assert_eq!(exec_quoted(path), quoted);
        }
    }
}
