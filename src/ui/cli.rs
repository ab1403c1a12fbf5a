//! Every subcommand: start an engine or find the running one, send, show the answer.
//!
//! Results go to standard output, the way there to standard error, and the exit code says how it went
//! ([`Exit`]).

use std::ffi::OsString;
use std::io::{self, Write, stdout};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Asked, Cli, Verb};
use super::meter::Meter;
use super::text;
use crate::config::{self, NewPack};
use crate::demo;
use crate::engine::{self, Handle, Mode, StartError};
use crate::logging::{self, Audience};
use crate::model::command::{Answer, Command};
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::report::PlanReport;
use crate::model::snapshot::{Phase, Snapshot};
use crate::paths::Paths;

/// How often the status of a running engine is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How long another command is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

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
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let is_wrong = error.use_stderr();
            let _ = error.print();
            return if is_wrong { Exit::WrongUse } else { Exit::Done };
        }
    };
    let json = cli.wants_json();
    match run(cli) {
        Ok(exit) => exit,
        Err(error) if json => {
            say_json(&json!({ "ok": false, "error": in_words(&error) }));
            Exit::Failed
        }
        Err(error) => {
            say(&mut io::stderr(), &format!("modsync: {}\n", in_words(&error)));
            Exit::Failed
        }
    }
}

/// An error with its causes; most of ours name theirs already, and none is said twice.
fn in_words(error: &anyhow::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    causes.fold(String::new(), |words, cause| match words.as_str() {
        "" => cause,
        said if said.contains(&cause) => words,
        said => format!("{said}: {cause}"),
    })
}

fn run(cli: Cli) -> Result<Exit> {
    if let Verb::Inspect { file, json } = &cli.verb {
        return Ok(inspect(file, *json));
    }
    if let Verb::Completions { shell } = &cli.verb {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "modsync", &mut script);
        say(&mut stdout(), &String::from_utf8_lossy(&script));
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start")?;
    let exit = runtime.block_on(async {
        if matches!(cli.verb, Verb::Demo) {
            logging::start(Audience::Command, None)?;
            demo::run(&mut |scene| say(&mut stdout(), &text::scene(&scene))).await?;
            return Ok(Exit::Done);
        }
        on_packs(cli).await
    });
    // What still runs is either cancelled or safe to cut off: nobody waits for it.
    runtime.shutdown_background();
    exit
}

async fn on_packs(cli: Cli) -> Result<Exit> {
    let paths = Paths::find(cli.config, cli.state)?;
    match cli.verb {
        Verb::Run => {
            logging::start(Audience::Service, Some(&paths.logs()))?;
            follow(&paths).await
        }
        Verb::Add { url, folder, name } => add(&paths, url, &folder, name),
        Verb::Remove { pack } => remove(&paths, pack),
        Verb::List { json } => list(&paths, json),
        Verb::Status { asked, watch } => status(&paths, &asked, watch).await,
        Verb::Check(asked) => ask(&paths, asked, Command::Check).await,
        Verb::Plan(asked) => ask(&paths, asked, Command::Plan).await,
        Verb::Apply { asked, approve } => ask(&paths, asked, Command::Apply { approve }).await,
        Verb::Sync(asked) => ask(&paths, asked, Command::Sync).await,
        Verb::Verify { asked, repair } => ask(&paths, asked, Command::Verify { repair }).await,
        Verb::Clean { asked, dry_run } => ask(&paths, asked, Command::Clean { dry_run }).await,
        Verb::Rollback(asked) => ask(&paths, asked, Command::Rollback).await,
        Verb::Trash { asked, restore } => {
            let command = restore.map_or(Command::Trash, |entry| Command::Restore { entry });
            ask(&paths, asked, command).await
        }
        Verb::Pause(asked) => ask(&paths, asked, Command::Pause).await,
        Verb::Resume(asked) => ask(&paths, asked, Command::Resume).await,
        Verb::Inspect { .. } | Verb::Completions { .. } | Verb::Demo => Ok(Exit::WrongUse),
    }
}

/// `run`: the engine until a signal.
async fn follow(paths: &Paths) -> Result<Exit> {
    let handle = match start(paths, Mode::Follow).await {
        Ok(handle) => handle,
        Err(error) => return Ok(cannot_start(&error, false)),
    };
    tracing::info!(settings = %paths.config.display(), state = %paths.state.display(), "running");
    stop_signal().await;
    tracing::info!("stopping");
    handle.shutdown().await;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// Asks one pack for one thing, in an engine of our own.
async fn ask(paths: &Paths, asked: Asked, command: Command) -> Result<Exit> {
    logging::start(Audience::Command, None)?;
    let pack = match choose(paths, asked.pack.as_deref())? {
        Ok(pack) => pack,
        Err(why) => return Ok(wrong_use(&why, asked.json)),
    };
    let handle = match start(paths, Mode::Once).await {
        Ok(handle) => handle,
        Err(error) => return Ok(cannot_start(&error, asked.json)),
    };
    let answer = tokio::select! {
        answer = send_and_show(&handle, &pack, command) => answer,
        () = stop_signal() => Err(Fault::new(FaultKind::Cancelled, "stopped", "It goes on where it was the next time.")),
    };
    let snapshot = handle.snapshot();
    handle.shutdown().await;
    Ok(show(&pack, &snapshot, answer, asked.json))
}

async fn send_and_show(handle: &Handle, pack: &str, command: Command) -> Result<Answer, Fault> {
    let mut meter = Meter::new(pack);
    let mut snapshots = handle.watch();
    let answer = handle.send(pack, command);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            Ok(()) = snapshots.changed() => meter.show(&snapshots.borrow_and_update().clone()),
        }
    }
}

fn show(pack: &str, snapshot: &Snapshot, answer: Result<Answer, Fault>, json: bool) -> Exit {
    match answer {
        Ok(answer) => {
            if json {
                say_json(&answer_value(&answer));
            } else {
                say(&mut stdout(), &text::answer(&answer));
            }
            exit_of(&answer)
        }
        Err(fault) => {
            let plan = question(snapshot, pack).filter(|_| fault.kind.next() == Next::Ask);
            if json {
                let mut value = fault_value(&fault);
                value["plan"] = json!(plan);
                say_json(&value);
            } else {
                if let Some(plan) = plan {
                    say(&mut stdout(), &text::plan(plan));
                }
                say(&mut io::stderr(), &format!("modsync: {}\n", text::fault(&fault)));
            }
            if fault.kind.next() == Next::Ask { Exit::Decide } else { Exit::Failed }
        }
    }
}

/// The plan a pack asks a person about.
fn question<'a>(snapshot: &'a Snapshot, pack: &str) -> Option<&'a PlanReport> {
    let pack = snapshot.packs.iter().find(|p| p.name == pack)?;
    let Phase::Blocked { plan, .. } = &pack.phase else { return None };
    plan.as_deref()
}

fn exit_of(answer: &Answer) -> Exit {
    let (update, problems) = match answer {
        Answer::Checked(report) => (report.offered.is_some() && !report.held, false),
        Answer::Planned(report) => (!report.is_empty(), false),
        Answer::Verified(report) => {
            (false, !report.problems.is_empty() && report.repaired.is_none())
        }
        Answer::Done
        | Answer::UpToDate { .. }
        | Answer::Applied(_)
        | Answer::Cleaned(_)
        | Answer::Trash { .. }
        | Answer::Restored(_)
        | Answer::RolledBack(_) => (false, false),
    };
    match (update, problems) {
        (true, _) => Exit::UpdateAvailable,
        (_, true) => Exit::ProblemsFound,
        (false, false) => Exit::Done,
    }
}

fn add(paths: &Paths, url: String, folder: &Path, name: Option<String>) -> Result<Exit> {
    // `~` is for the settings to understand; a shell may have left it as it is.
    let folder = if folder.starts_with("~") {
        folder.to_owned()
    } else {
        std::path::absolute(folder).context("could not make the folder's path absolute")?
    };
    let new = NewPack { url, folder, name };
    match config::add_pack(&paths.config, &paths.state, &new) {
        Ok(name) => {
            let packs = config::load(&paths.config, &paths.state)?.packs;
            if let Some(pack) = packs.iter().find(|pack| pack.name == name) {
                engine::forget(paths, &pack.url, &pack.folder);
            }
            let line = format!("following `{name}`; `modsync sync {name}` installs it now\n");
            say(&mut stdout(), &line);
            Ok(Exit::Done)
        }
        Err(error) => Ok(wrong_use(&error.to_string(), false)),
    }
}

fn remove(paths: &Paths, pack: Option<String>) -> Result<Exit> {
    let pack = match choose(paths, pack.as_deref())? {
        Ok(pack) => pack,
        Err(why) => return Ok(wrong_use(&why, false)),
    };
    config::remove_pack(&paths.config, &paths.state, &pack)?;
    say(&mut stdout(), &format!("no longer following `{pack}`; its files stay\n"));
    Ok(Exit::Done)
}

fn list(paths: &Paths, json: bool) -> Result<Exit> {
    let config = config::load(&paths.config, &paths.state)?;
    if json {
        let packs: Vec<Value> = config
            .packs
            .iter()
            .map(|p| json!({ "name": p.name, "url": p.url, "folder": p.folder }))
            .collect();
        say_json(&json!({ "ok": true, "packs": packs }));
        return Ok(Exit::Done);
    }
    for pack in &config.packs {
        let line = format!("{}  {}  {}\n", pack.name, pack.folder.display(), pack.url);
        say(&mut stdout(), &line);
    }
    if config.packs.is_empty() {
        say(&mut stdout(), "no packs yet; `modsync add URL FOLDER` follows one\n");
    }
    Ok(Exit::Done)
}

async fn status(paths: &Paths, asked: &Asked, watch: bool) -> Result<Exit> {
    logging::start(Audience::Command, None)?;
    let mut asked = asked.clone();
    if let Some(pack) = &asked.pack {
        asked.pack = match choose(paths, Some(pack))? {
            Ok(pack) => Some(pack),
            Err(why) => return Ok(wrong_use(&why, asked.json)),
        };
    }
    let mut snapshot = match look(paths).await {
        Ok(snapshot) => snapshot,
        Err(error) => return Ok(cannot_start(&error, asked.json)),
    };
    let mut ran = engine::left_snapshot(paths).is_some();
    let mut shown = String::new();
    loop {
        let lines = status_lines(&snapshot, &asked);
        if lines != shown {
            say(&mut stdout(), &lines);
            shown = lines;
        }
        if !watch {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop_signal() => return Ok(Exit::Done),
        }
        // Only an engine that follows the packs changes anything; nobody is kept from starting one.
        let runs = engine::left_snapshot(paths).is_some();
        if runs || ran {
            snapshot = look(paths).await.unwrap_or(snapshot);
        }
        ran = runs;
    }
}

/// What the running engine shows, or what an engine of our own finds.
async fn look(paths: &Paths) -> Result<Snapshot, StartError> {
    if let Some(snapshot) = engine::left_snapshot(paths).filter(|_| engine::is_running(paths)) {
        return Ok(snapshot);
    }
    let handle = match start(paths, Mode::Once).await {
        Ok(handle) => handle,
        Err(error) => return engine::left_snapshot(paths).ok_or(error),
    };
    let snapshot = settled(&handle).await;
    handle.shutdown().await;
    Ok(snapshot)
}

/// Starts an engine. Another command that is about to end is waited for; one that stays is not.
async fn start(paths: &Paths, mode: Mode) -> Result<Handle, StartError> {
    let patience = Instant::now() + PATIENCE;
    loop {
        match engine::start(paths, mode) {
            Err(StartError::Running(_))
                if engine::left_snapshot(paths).is_none() && Instant::now() < patience =>
            {
                tokio::time::sleep(LOOK / 10).await;
            }
            result => return result,
        }
    }
}

/// The first snapshot in which no pack is still starting.
async fn settled(handle: &Handle) -> Snapshot {
    let starting = |s: &Snapshot| s.packs.iter().any(|p| matches!(p.phase, Phase::Starting));
    let mut snapshots = handle.watch();
    let settled = snapshots.wait_for(|snapshot| !starting(snapshot)).await;
    settled.map(|snapshot| Snapshot::clone(&snapshot)).unwrap_or_default()
}

fn status_lines(snapshot: &Snapshot, asked: &Asked) -> String {
    let wanted = |name: &str| asked.pack.as_deref().is_none_or(|pack| pack == name);
    let mut snapshot = snapshot.clone();
    snapshot.packs.retain(|pack| wanted(&pack.name));
    if asked.json {
        return format!("{}\n", with_ok(&snapshot));
    }
    let mut lines: String =
        snapshot.packs.iter().map(|pack| text::status(pack, SystemTime::now())).collect();
    if let Some(fault) = &snapshot.config_fault {
        lines.push_str(&text::fault(fault));
        lines.push('\n');
    }
    if snapshot.packs.is_empty() {
        lines.push_str("no packs yet; `modsync add URL FOLDER` follows one\n");
    }
    lines
}

fn inspect(file: &Path, json: bool) -> Exit {
    match crate::publish::inspect(file) {
        Ok(manifest) if json => {
            let files: Vec<Value> = manifest
                .files()
                .map(|(_, path, length)| json!({ "path": path, "length": length }))
                .collect();
            say_json(&json!({
                "ok": true,
                "name": manifest.name,
                "info_hash": manifest.info_hash,
                "piece_length": manifest.piece_length,
                "pieces": manifest.pieces.len(),
                "total": manifest.content_length(),
                "files": files,
            }));
            Exit::Done
        }
        Ok(manifest) => {
            say(&mut stdout(), &text::manifest(&manifest));
            Exit::Done
        }
        Err(error) if json => {
            say_json(&json!({ "ok": false, "error": error.to_string() }));
            Exit::Failed
        }
        Err(error) => {
            say(&mut io::stderr(), &format!("modsync: {error}\n"));
            Exit::Failed
        }
    }
}

/// The pack a command means: the named one, or the only one. The inner error is a wrong use.
fn choose(paths: &Paths, name: Option<&str>) -> Result<Result<String, String>> {
    let config = config::load(&paths.config, &paths.state)?;
    let names: Vec<&str> = config.packs.iter().map(|pack| pack.name.as_str()).collect();
    Ok(match (name, names.as_slice()) {
        (_, []) => Err("there is no pack yet; `modsync add URL FOLDER` follows one".to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => Err(format!("which pack? One of: {}", names.join(", "))),
        (Some(name), _) => match names.iter().find(|known| known.eq_ignore_ascii_case(name)) {
            Some(known) => Ok((*known).to_owned()),
            None => Err(format!("there is no pack `{name}`; there are: {}", names.join(", "))),
        },
    })
}

fn cannot_start(error: &StartError, json: bool) -> Exit {
    let hint = if matches!(error, StartError::Running(_)) {
        "Stop it first, or let it do the work: `modsync status` shows what it does."
    } else {
        ""
    };
    let fault = Fault::new(FaultKind::Refused, error, hint);
    if json {
        say_json(&fault_value(&fault));
    } else {
        say(&mut io::stderr(), &format!("modsync: {}\n", text::fault(&fault)));
    }
    Exit::Failed
}

fn wrong_use(why: &str, json: bool) -> Exit {
    if json {
        say_json(&json!({ "ok": false, "error": why }));
    } else {
        say(&mut io::stderr(), &format!("modsync: {why}\n"));
    }
    Exit::WrongUse
}

fn answer_value(answer: &Answer) -> Value {
    with_ok(answer)
}

fn with_ok(value: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    value["ok"] = Value::Bool(true);
    value
}

fn fault_value(fault: &Fault) -> Value {
    json!({ "ok": false, "error": fault.what, "kind": fault.kind, "hint": fault.hint })
}

fn say_json(value: &Value) {
    say(&mut stdout(), &format!("{value}\n"));
}

/// Writes, and does not mind when nobody reads any more.
fn say(out: &mut impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Waits for Ctrl-C or the system's request to end.
async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    interrupt.await;
}
