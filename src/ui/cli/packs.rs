//! Which packs are followed: `add`, `remove`, `list`. They change the settings and nothing else.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::output::{Failure, Output};
use super::{Exit, connect};
use crate::config::{self, NewPack};
use crate::control::api::{Request, with_ok};
use crate::control::client::Client;
use crate::engine;
use crate::model::fault::{Fault, FaultKind};
use crate::model::pack::PackConfig;
use crate::paths::Paths;
use crate::ui::args::Asked;
use crate::ui::text;

pub(super) async fn add(
    paths: &Paths,
    url: String,
    folder: &Path,
    name: Option<String>,
    output: Output,
) -> Result<Exit, Failure> {
    // `~` is for the settings to understand; a shell may have left it as it is.
    let folder = if folder.starts_with("~") {
        folder.to_owned()
    } else {
        std::path::absolute(folder).context("could not make the folder's path absolute")?
    };
    let new = NewPack { url, folder, name };
    let name = match running(paths).await.filter(|_| new.folder.to_str().is_some()) {
        Some(client) => {
            let added: Value = client.ask(Request::Add(new)).await.map_err(wrong_use)?;
            added["name"].as_str().unwrap_or_default().to_owned()
        }
        None => engine::add(paths, &new)?.name,
    };
    let config = config::load(&paths.config, &paths.state)?;
    let pack = config.pack(&name).context("another program changed the settings meanwhile")?;
    let next = format!("`modsync sync {}` installs it now", text::argument(&name));
    output.say(|| format!("following `{name}`; {next}\n"), || with_ok(value_of(pack)))?;
    Ok(Exit::Done)
}

pub(super) async fn remove(paths: &Paths, asked: &Asked, output: Output) -> Result<Exit, Failure> {
    let name = connect::choose(paths, asked.pack.as_deref())?;
    match running(paths).await {
        Some(client) => {
            let request = Request::Remove { pack: name.clone() };
            client.ask::<Value>(request).await.map_err(wrong_use)?;
        }
        None => config::remove_pack(&paths.config, &paths.state, &name)?,
    }
    let words = || format!("no longer following `{name}`; its files stay\n");
    output.say(words, || with_ok(json!({ "name": name })))?;
    Ok(Exit::Done)
}

/// The engine that stays, if one runs: it alone changes the settings then.
async fn running(paths: &Paths) -> Option<Client> {
    Client::connect(paths).await.ok().flatten().filter(Client::follows)
}

/// What the settings do not take is a wrong use.
fn wrong_use(fault: Fault) -> Failure {
    if fault.kind == FaultKind::Refused {
        Failure::wrong_use(&fault.what, &fault.hint)
    } else {
        fault.into()
    }
}

pub(super) fn list(paths: &Paths, output: Output) -> Result<Exit, Failure> {
    let packs = config::load(&paths.config, &paths.state)?.packs;
    let line = |p: &PackConfig| format!("{}  {}  {}\n", p.name, p.folder.display(), p.url);
    let words = || match packs.as_slice() {
        [] => text::NO_PACKS.to_owned(),
        packs => packs.iter().map(line).collect(),
    };
    let values = || packs.iter().map(value_of).collect::<Vec<Value>>();
    output.say(words, || with_ok(json!({ "packs": values() })))?;
    Ok(Exit::Done)
}

fn value_of(pack: &PackConfig) -> Value {
    json!({ "name": pack.name, "url": pack.url, "folder": pack.folder.display().to_string() })
}
