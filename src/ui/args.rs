//! The command line's words.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps a folder equal to what a remote .torrent URL describes. Without a command: in the tray.
#[derive(Debug, Parser)]
#[command(name = "modsync", version)]
pub(super) struct Cli {
    /// The settings' file, instead of the usual place
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for our own state, instead of the usual place
    #[arg(long, global = true, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
    /// Started by the login: let the desktop come up first
    #[arg(long, hide = true)]
    pub at_login: bool,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Follow all packs until stopped: check, seed, and install updates where `auto_apply` is on
    Run,
    /// Follow a new pack
    Add {
        /// Where the .torrent is published
        url: String,
        /// The folder to keep equal to it
        folder: PathBuf,
        /// What to call it
        #[arg(long)]
        name: Option<String>,
        /// For programs to read
        #[arg(long)]
        json: bool,
    },
    /// Stop following a pack; its files stay
    Remove {
        #[command(flatten)]
        asked: Asked,
    },
    /// Name the packs
    List {
        /// For programs to read
        #[arg(long)]
        json: bool,
    },
    /// Ask whether there is an update
    Check(Asked),
    /// Show what an update would do, before anything is touched
    Plan(Asked),
    /// Apply the newest known release
    Apply {
        #[command(flatten)]
        asked: Asked,
        /// Approve the plan that was last shown
        #[arg(long)]
        approve: bool,
    },
    /// Check, then apply
    Sync(Asked),
    /// Compare every byte with the installed release
    Verify {
        #[command(flatten)]
        asked: Asked,
        /// Fetch what is not right
        #[arg(long)]
        repair: bool,
    },
    /// Move files that no release names to the trash
    Clean {
        #[command(flatten)]
        asked: Asked,
        /// Only say what would be moved
        #[arg(long)]
        dry_run: bool,
    },
    /// Put the previous release back
    Rollback(Asked),
    /// List what was replaced or removed, or put it back
    Trash {
        #[command(flatten)]
        asked: Asked,
        /// Put the files of this entry back where nothing stands in their place
        #[arg(long, value_name = "ENTRY")]
        restore: Option<String>,
    },
    /// Have ModSync do nothing by itself, until resumed
    Pause(Asked),
    /// Go on after a pause
    Resume(Asked),
    /// Show what every pack is doing
    Status {
        #[command(flatten)]
        asked: Asked,
        /// Go on showing it
        #[arg(long)]
        watch: bool,
    },
    /// Wait for a running ModSync, in a script
    Wait {
        #[command(flatten)]
        asked: Asked,
        /// What to wait for; all packs when none is named
        #[arg(long, value_enum)]
        until: Until,
        /// How long, such as "10m"; without it for ever
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        timeout: Option<Duration>,
    },
    /// Read a .torrent by ModSync's rules
    Inspect {
        /// The .torrent
        file: PathBuf,
        /// For programs to read
        #[arg(long)]
        json: bool,
    },
    /// Launch at login, or not
    Autostart {
        /// What to do about it, or how it is
        #[arg(value_enum)]
        wish: Switch,
        /// For programs to read
        #[arg(long)]
        json: bool,
    },
    /// Show the whole story in a temporary folder, without the internet
    Demo,
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

/// A switch, or a look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
    Status,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// The newest known release is installed
    Current,
    /// There is something to apply
    UpdateAvailable,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Asked {
    /// Which pack; may be left out when there is only one
    pub pack: Option<String>,
    /// For programs to read
    #[arg(long)]
    pub json: bool,
}

impl Cli {
    /// Whether a program reads the answer.
    pub fn wants_json(&self) -> bool {
        let Some(verb) = &self.verb else { return false };
        match verb {
            Verb::Check(asked)
            | Verb::Plan(asked)
            | Verb::Sync(asked)
            | Verb::Rollback(asked)
            | Verb::Pause(asked)
            | Verb::Resume(asked)
            | Verb::Apply { asked, .. }
            | Verb::Verify { asked, .. }
            | Verb::Clean { asked, .. }
            | Verb::Trash { asked, .. }
            | Verb::Remove { asked }
            | Verb::Wait { asked, .. }
            | Verb::Status { asked, .. } => asked.json,
            Verb::Add { json, .. }
            | Verb::List { json }
            | Verb::Inspect { json, .. }
            | Verb::Autostart { json, .. } => *json,
            Verb::Run | Verb::Demo | Verb::Completions { .. } => false,
        }
    }
}
