//! Every subcommand: start an engine or find the running one, send, show the answer.
//!
//! Results go to standard output, the way there and failures to standard error, and the exit code says
//! how it went ([`Exit`]).

mod ask;
mod connect;
mod output;
mod packs;
#[cfg(unix)]
#[path = "cli/unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "cli/windows.rs"]
mod platform;
mod status;
mod wait;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};

use self::output::{Failure, Output};
use super::args::{Cli, Verb};
use super::text;
use crate::control::api::with_ok;
use crate::control::server::{self, Server, Wish};
use crate::demo;
use crate::engine::{self, Mode};
use crate::logging::{self, Audience};
use crate::model::command::{Approval, Command};
use crate::model::manifest::Manifest;
use crate::model::path::RelPath;
use crate::paths::Paths;

/// How a command ended, as a process says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or up to date.
    Done = 0,
    Failed = 1,
    WrongUse = 2,
    /// A person must decide.
    Decide = 4,
    /// `check` and `plan`: there is something to apply.
    UpdateAvailable = 10,
    /// `verify`: files are not as they should be.
    ProblemsFound = 11,
}

/// Runs the program with its arguments.
pub fn main(arguments: impl Iterator<Item = OsString>) -> Exit {
    let arguments: Vec<OsString> = arguments.collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, &arguments),
    };
    let output = Output { json: cli.wants_json() };
    run(cli, output).unwrap_or_else(|failure| output.failed(&failure))
}

/// A wrong use, or a call for help.
fn not_understood(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if !error.use_stderr() {
        return if error.print().is_ok() { Exit::Done } else { Exit::Failed };
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let words = error.to_string();
        let words = words.strip_prefix("error: ").unwrap_or(&words).trim_end();
        return Output { json: true }.failed(&Failure::wrong_use(words, "See `modsync --help`."));
    }
    // A wrong use stays one when nobody can be told.
    let _ = error.print();
    Exit::WrongUse
}

fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    if let Verb::Inspect { file, .. } = &cli.verb {
        return inspect(file, output);
    }
    if let Verb::Completions { shell } = &cli.verb {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "modsync", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    let exit = runtime.block_on(async {
        if matches!(cli.verb, Verb::Demo) { tell().await } else { on_packs(cli, output).await }
    });
    // What still runs is either cancelled or safe to cut off: nobody waits for it.
    runtime.shutdown_background();
    exit
}

/// `demo`: the story, and one failure to tell it that counts.
async fn tell() -> Result<Exit, Failure> {
    logging::start(Audience::Command, None)?;
    let mut told = Ok(());
    demo::run(&mut |scene| {
        if told.is_ok() {
            told = output::print(&text::scene(&scene)).map(drop);
        }
    })
    .await?;
    told.map(|()| Exit::Done)
}

async fn on_packs(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let paths = Paths::find(cli.config, cli.state).map_err(anyhow::Error::from)?;
    let audience =
        if matches!(cli.verb, Verb::Run) { Audience::Service } else { Audience::Command };
    logging::start(audience, matches!(cli.verb, Verb::Run).then(|| paths.logs()).as_deref())?;
    let (asked, command) = match cli.verb {
        Verb::Run => return follow(&paths).await,
        Verb::Add { url, folder, name, .. } => {
            return packs::add(&paths, url, &folder, name, output).await;
        }
        Verb::Remove { asked } => return packs::remove(&paths, &asked, output).await,
        Verb::List { .. } => return packs::list(&paths, output),
        Verb::Status { asked, watch } => {
            return status::status(&paths, &asked, watch, output).await;
        }
        Verb::Wait { asked, until, timeout } => {
            return wait::wait(&paths, &asked, until, timeout, output).await;
        }
        Verb::Check(asked) => (asked, Command::Check),
        Verb::Plan(asked) => (asked, Command::Plan),
        Verb::Apply { asked, approve } => {
            let approve = if approve { Approval::Shown } else { Approval::None };
            (asked, Command::Apply { approve })
        }
        Verb::Sync(asked) => (asked, Command::Sync),
        Verb::Verify { asked, repair } => (asked, Command::Verify { repair }),
        Verb::Clean { asked, dry_run } => (asked, Command::Clean { dry_run }),
        Verb::Rollback(asked) => (asked, Command::Rollback),
        Verb::Trash { asked, restore: Some(entry) } => (asked, Command::Restore { entry }),
        Verb::Trash { asked, restore: None } => (asked, Command::Trash),
        Verb::Pause(asked) => (asked, Command::Pause),
        Verb::Resume(asked) => (asked, Command::Resume),
        Verb::Inspect { .. } | Verb::Completions { .. } | Verb::Demo => return Ok(Exit::WrongUse),
    };
    ask::ask(&paths, asked, command, output).await
}

/// `run`: the engine until a signal, or until another process wishes it to end.
async fn follow(paths: &Paths) -> Result<Exit, Failure> {
    let handle = engine::start(paths, Mode::Follow)?;
    let mut server = server::start(paths, handle.clone(), Mode::Follow).await;
    if let Err(error) = &server {
        tracing::error!("no other program can ask for anything: {error}");
    }
    tracing::info!(settings = %paths.config.display(), state = %paths.state.display(), "running");
    tokio::select! {
        () = connect::stop_signal() => {}
        () = asked_to_quit(server.as_mut().ok()) => {}
    }
    tracing::info!("stopping");
    drop(server);
    handle.shutdown().await;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

async fn asked_to_quit(server: Option<&mut Server>) {
    if let Some(server) = server {
        while let Some(wish) = server.wishes.recv().await {
            if wish == Wish::Quit {
                return;
            }
        }
    }
    std::future::pending::<()>().await;
}

fn inspect(file: &Path, output: Output) -> Result<Exit, Failure> {
    let manifest = match crate::publish::inspect(file) {
        Ok(manifest) => manifest,
        // Programs that read torrents expect these two keys and no others.
        Err(error) if output.json => {
            let value = json!({ "ok": false, "error": error.to_string() });
            output::print(&output::line(&value))?;
            return Ok(Exit::Failed);
        }
        Err(error) => return Err(anyhow::Error::from(error).into()),
    };
    output.say(|| text::manifest(&manifest), || with_ok(&manifest_value(&manifest)))?;
    Ok(Exit::Done)
}

fn manifest_value(manifest: &Manifest) -> Value {
    let file = |(_, path, length): (_, &RelPath, u64)| json!({ "path": path, "length": length });
    json!({
        "name": manifest.name,
        "info_hash": manifest.info_hash,
        "piece_length": manifest.piece_length,
        "pieces": manifest.pieces.len(),
        "total": manifest.content_length(),
        "files": manifest.files().map(file).collect::<Vec<Value>>(),
    })
}
