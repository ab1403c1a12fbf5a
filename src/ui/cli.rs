//! Every subcommand: start an engine or find the running one, send, show the answer.
//!
//! Results go to standard output, the way there and failures to standard error, and the exit code says
//! how it went ([`Exit`]).

mod ask;
mod connect;
mod inspect;
mod output;
mod packs;
mod status;
mod wait;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use serde_json::json;
use tokio::runtime::Runtime;

use self::inspect::inspect;
use self::output::{Failure, Output};
use super::args::{Cli, Switch, Verb};
use super::desktop::{self, End};
use super::signal::stop_signal;
use super::start::start_to_stay;
use super::{autostart, text};
use crate::control::api::with_ok;
use crate::control::server::{self, Server, Wish};
use crate::demo::{self, Ending, Scene};
use crate::engine::Mode;
use crate::logging::{self, Audience};
use crate::model::command::{Approval, Command};
use crate::model::fault::{Fault, FaultKind};
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
    crate::heap::share();
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
    let makes_settings = matches!(cli.verb, Some(Verb::Add { .. }));
    let paths = find_paths(cli.config, cli.state, makes_settings);
    match cli.verb {
        None => live(&paths?, if cli.at_login { Mode::AtLogin } else { Mode::Follow }),
        Some(verb) => with_runtime(|runtime| runtime.block_on(carry_out(verb, paths, output))),
    }
}

/// The places of settings and state. Settings that were named must be there, unless they are made now.
fn find_paths(
    config: Option<PathBuf>,
    state: Option<PathBuf>,
    makes_settings: bool,
) -> Result<Paths, Failure> {
    let is_named = config.is_some();
    let paths = Paths::find(config, state).map_err(anyhow::Error::from)?;
    if is_named && !makes_settings && !paths.config.exists() {
        let what = format!("there are no settings at `{}`", paths.config.display());
        let hint = "Name the file that `modsync add` has made, or leave `--config` out.";
        return Err(Failure::wrong_use(&what, hint));
    }
    Ok(paths)
}

fn with_runtime<T>(work: impl FnOnce(&Runtime) -> Result<T, Failure>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    let done = work(&runtime);
    // What still runs is either cancelled or safe to cut off: nobody waits for it.
    runtime.shutdown_background();
    done
}

/// `modsync` alone: the desktop app.
fn live(paths: &Paths, mode: Mode) -> Result<Exit, Failure> {
    logging::start(Audience::Service, Some(&paths.logs()))?;
    let ended = with_runtime(|runtime| Ok(desktop::run(runtime, paths, mode)));
    match ended?.inspect_err(|error| tracing::error!("{error}"))? {
        End::Quit => Ok(Exit::Done),
        End::Shown => {
            output::print("ModSync is running already, and shows itself\n")?;
            Ok(Exit::Done)
        }
        End::Hidden => {
            let what = "ModSync is running already, and has no tray there (`modsync run`)";
            let hint =
                "End that one to have a tray, or use the other commands: it carries them out.";
            Err(Fault::new(FaultKind::Refused, what, hint).into())
        }
        End::Strange(fault) => Err(fault.into()),
        End::NoDesktop(why) => {
            let what = format!("there is no desktop here: {why}");
            Err(Failure::wrong_use(&what, "`modsync run` follows the packs without one."))
        }
    }
}

fn launch_at_login(wish: Switch, paths: &Paths, output: Output) -> Result<Exit, Failure> {
    match wish {
        Switch::On => autostart::set(true, paths)?,
        Switch::Off => autostart::set(false, paths)?,
        Switch::Status => {}
    }
    let is_on = autostart::is_on()?;
    let words = || format!("launch at login is {}\n", if is_on { "on" } else { "off" });
    output.say(words, || with_ok(json!({ "on": is_on })))?;
    Ok(Exit::Done)
}

/// `demo`: the story, and one failure to tell it that counts.
async fn tell() -> Result<Exit, Failure> {
    let mut told = Ok(());
    let mut tell = |scene: Scene<'_>| {
        if told.is_ok() {
            told = output::print(&text::scene(&scene)).map(drop);
        }
    };
    match demo::run(&mut tell, stop_signal()).await? {
        Ending::Told => told.map(|()| Exit::Done),
        Ending::Stopped => Err(Fault::new(FaultKind::Cancelled, "stopped", "").into()),
    }
}

async fn carry_out(
    verb: Verb,
    paths: Result<Paths, Failure>,
    output: Output,
) -> Result<Exit, Failure> {
    if !matches!(verb, Verb::Run) {
        logging::start(Audience::Command, None)?;
    }
    let (asked, command) = match verb {
        Verb::Run => return follow(&paths?).await,
        Verb::Demo => return tell().await,
        Verb::Inspect { file, .. } => return inspect(&file, output),
        Verb::Completions { shell } => return completions(shell),
        Verb::Autostart { wish, .. } => return launch_at_login(wish, &paths?, output),
        Verb::Add { url, folder, name, .. } => {
            return packs::add(&paths?, url, &folder, name, output).await;
        }
        Verb::Remove { asked } => return packs::remove(&paths?, &asked, output).await,
        Verb::List { .. } => return packs::list(&paths?, output),
        Verb::Status { asked, watch } => {
            return status::status(&paths?, &asked, watch, output).await;
        }
        Verb::Wait { asked, until, timeout } => {
            return wait::wait(&paths?, &asked, until, timeout, output).await;
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
    };
    ask::ask(&paths?, asked, command, output).await
}

fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "modsync", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// How long a command that is at work is waited for, by somebody who looks on.
const PATIENCE: Duration = Duration::from_secs(10);

/// `run`: the engine until a signal, or until another process wishes it to end.
async fn follow(paths: &Paths) -> Result<Exit, Failure> {
    logging::start(Audience::Service, Some(&paths.logs()))?;
    let handle = start_to_stay(paths, Mode::Follow, Some(PATIENCE), || {}).await?;
    let mut server = server::start(paths, handle.clone(), Mode::Follow).await;
    if let Err(error) = &server {
        tracing::error!("no other program can ask for anything: {error}");
    }
    let until_asked = async {
        tracing::info!(settings = %paths.config.display(), state = %paths.state.display(), "running");
        asked_to_quit(server.as_mut().ok()).await;
    };
    tokio::select! {
        // Who reads that it runs may end it: by then the signal is waited for.
        biased;
        () = stop_signal() => {}
        () = until_asked => {}
    }
    tracing::info!("stopping");
    let clients = server.ok().map(Server::stop);
    handle.shutdown().await;
    if let Some(clients) = clients {
        clients.leave().await;
    }
    tracing::info!("stopped");
    Ok(Exit::Done)
}

async fn asked_to_quit(server: Option<&mut Server>) {
    if let Some(server) = server {
        while let Some((wish, granted)) = server.wishes.recv().await {
            // There is nothing to show here.
            let _ = granted.send(wish == Wish::Quit);
            if wish == Wish::Quit {
                return;
            }
        }
    }
    std::future::pending::<()>().await;
}
