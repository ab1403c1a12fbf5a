//! Launch at login: on, off, or as it is. auto-launch does it; what it leaves to us is the path: the
//! right one, and quoted.
//!
//! On Linux the entry is in `~/.config/autostart`, wherever `XDG_CONFIG_HOME` points: auto-launch knows
//! no other place and cannot be told.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::LazyLock;

use anyhow::{Context, Result, anyhow};
use auto_launch::{AutoLaunch, AutoLaunchBuilder, WindowsEnableMode};

#[cfg(not(windows))]
use crate::disk::fs::Root;
use crate::paths::Paths;

/// Tells a start at login from one by hand.
pub const AT_LOGIN: &str = "--at-login";

/// The name of a file, of a registry value, of a launch agent.
const NAME: &str = if cfg!(target_os = "macos") { "org.modsync.ModSync" } else { "ModSync" };

/// What a login shall start: an `AppImage` itself rather than where it is mounted just now, and on
/// Windows the program without a console. It is looked for once: Linux gives the path of a program that
/// was replaced, as by an update, another ending.
static PROGRAM: LazyLock<io::Result<PathBuf>> = LazyLock::new(|| {
    if let Some(image) = env::var_os("APPIMAGE") {
        return Ok(image.into());
    }
    let own = env::current_exe()?;
    let windowless = own.with_file_name("modsyncw.exe");
    Ok(if cfg!(windows) && windowless.is_file() { windowless } else { own })
});

/// Finds our own program while it is certain to be there.
pub fn prepare() {
    LazyLock::force(&PROGRAM);
}

/// Whether the user's login starts us.
pub fn is_on() -> Result<bool> {
    let entry = Entry::with(Vec::new())?.auto_launch()?;
    let is_there = entry.is_enabled();
    let is_there = is_there.context("could not tell whether ModSync is launched at login")?;
    Ok(is_there && !written().is_some_and(|text| is_switched_off(&text)))
}

/// Has the user's login start us with these places, or not any more. Nobody else's login is touched.
pub fn set(on: bool, paths: &Paths) -> Result<()> {
    let entry = Entry::with(arguments(paths))?.auto_launch()?;
    let (done, word) = if on { (entry.enable(), "on") } else { (entry.disable(), "off") };
    done.with_context(|| format!("could not turn launch at login {word}"))?;
    tracing::info!("launch at login is {word}");
    Ok(())
}

/// Has a login that starts us start this program, with these places. A program that was moved would not
/// be found any more. What the user has switched off stays so.
pub fn renew(paths: &Paths) -> Result<()> {
    let entry = Entry::with(arguments(paths))?;
    let differs = written().is_some_and(|text| !entry.is_as_in(&text));
    if differs && is_on()? {
        entry.auto_launch()?.enable().context("could not renew launch at login")?;
        tracing::info!("launch at login was of another program and is of this one now");
    }
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

/// What a login starts, in the words of the platform's entry.
struct Entry {
    program: String,
    arguments: Vec<String>,
    /// What a launch agent has besides.
    extra: String,
}

impl Entry {
    fn with(arguments: Vec<String>) -> Result<Self> {
        let program = PROGRAM.as_ref();
        let program = program.map_err(|e| anyhow!("could not find our own program: {e}"))?;
        let (raw, program) = (program.to_string_lossy(), quoted(program));
        if cfg!(target_os = "macos") && raw != program {
            // auto-launch wants a program that exists under the name that it writes. launchd starts
            // `Program` whatever the command is.
            let extra = format!("<key>Program</key><string>{program}</string>");
            return Ok(Self { program: "/".to_owned(), arguments, extra });
        }
        Ok(Self { program, arguments, extra: String::new() })
    }

    fn auto_launch(&self) -> Result<AutoLaunch> {
        AutoLaunchBuilder::new()
            .set_app_name(NAME)
            .set_app_path(&self.program)
            .set_args(&self.arguments)
            .set_agent_extra_config(&self.extra)
            // The usual mode would write for all users where it may.
            .set_windows_enable_mode(WindowsEnableMode::CurrentUser)
            .build()
            .context("could not prepare launch at login")
    }

    /// Whether this is what a login starts by the entry with this text.
    fn is_as_in(&self, text: &str) -> bool {
        let words = [slice::from_ref(&self.program), &self.arguments].concat();
        if cfg!(windows) {
            text == words.join(" ")
        } else if cfg!(target_os = "macos") {
            let words = words.iter().map(|word| format!("<string>{word}</string>"));
            text.contains(&format!("<array>{}</array>", words.collect::<String>()))
                && text.contains(&self.extra)
        } else {
            let command = words.join(" ");
            text.lines().any(|line| line.strip_prefix("Exec=") == Some(&command))
        }
    }
}

/// The text of the entry, if there is one and it can be read.
#[cfg(windows)]
fn written() -> Option<String> {
    const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
    windows_registry::CURRENT_USER.open(RUN).ok()?.get_string(NAME).ok()
}

/// The text of the entry, if there is one and it can be read.
#[cfg(not(windows))]
fn written() -> Option<String> {
    const MOST: u64 = 1 << 16;
    let (folder, ending) = if cfg!(target_os = "macos") {
        ("Library/LaunchAgents", "plist")
    } else {
        (".config/autostart", "desktop")
    };
    let folder = directories::BaseDirs::new()?.home_dir().join(folder);
    let text = Root::open(&folder).ok()?.read(format!("{NAME}.{ending}"), MOST).ok()??;
    String::from_utf8(text).ok()
}

/// Whether a desktop's own settings have switched this desktop entry off, and left it there.
fn is_switched_off(text: &str) -> bool {
    let group = text.lines().map(str::trim).skip_while(|line| *line != "[Desktop Entry]").skip(1);
    group.take_while(|line| !line.starts_with('[')).any(|line| {
        let (key, value) = line.split_once('=').unwrap_or_default();
        let is_off = [("Hidden", "true"), ("X-GNOME-Autostart-enabled", "false")];
        is_off.contains(&(key.trim_end(), value.trim_start()))
    })
}

/// The path as the platform's entry takes it.
fn quoted(program: &Path) -> String {
    let path = program.to_string_lossy();
    if cfg!(windows) {
        format!("\"{path}\"")
    } else if cfg!(target_os = "macos") {
        xml_escaped(&path)
    } else {
        exec_quoted(&path)
    }
}

fn xml_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
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
    use super::*;

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

    #[test]
    fn a_path_is_escaped_for_a_launch_agent() {
        assert_eq!(xml_escaped("/R&D/<1>/é"), "/R&amp;D/&lt;1&gt;/é");
    }

    #[test]
    fn a_desktop_entry_can_be_switched_off_and_stay() {
        for (lines, is_off) in [
            ("Hidden=false\nX-GNOME-Autostart-enabled=true", false),
            ("Hidden=true", true),
            ("X-GNOME-Autostart-enabled = false", true),
            ("#Hidden=true\nName=Hidden=true", false),
            ("[Desktop Action x]\nHidden=true", false),
        ] {
            let entry = format!("[Desktop Entry]\nType=Application\n{lines}\nExec=modsync\n");
            assert_eq!(is_switched_off(&entry), is_off, "{entry}");
        }
    }

    #[test]
    #[cfg(not(any(windows, target_os = "macos")))]
    fn an_entry_is_as_it_was_only_with_the_same_program_and_arguments() {
        let entry = |program: &str, arguments: &[&str]| Entry {
            program: program.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            extra: String::new(),
        };
        let text =
            "[Desktop Entry]\nExec=\"/a/modsync\" --at-login --config \"/c\"\nTerminal=false";
        let here = entry("\"/a/modsync\"", &["--at-login", "--config", "\"/c\""]);
        let moved = entry("\"/b/modsync\"", &["--at-login", "--config", "\"/c\""]);
        let elsewhere = entry("\"/a/modsync\"", &["--at-login"]);
        assert_eq!(
            [here, moved, elsewhere].map(|entry| entry.is_as_in(text)),
            [true, false, false]
        );
    }
}
