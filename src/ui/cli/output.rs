//! What a command says, and where: results on standard output, failures on standard error, or one
//! JSON value on standard output for either.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::Exit;
use crate::config::ConfigError;
use crate::control::api::{failure as failure_value, json};
use crate::engine::StartError;
use crate::model::fault::{Fault, FaultKind, Next};
use crate::model::report::PlanReport;
use crate::ui::text;

/// How a command speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub json: bool,
}

/// Whether somebody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    fault: Box<Fault>,
    /// The pack it is about, if it is known.
    pack: Option<String>,
    /// The plan a person must decide about.
    plan: Option<Box<PlanReport>>,
}

impl Output {
    /// Says a result, to a person or to a program.
    pub fn say<V: Serialize>(
        self,
        words: impl FnOnce() -> String,
        value: impl FnOnce() -> V,
    ) -> Result<Reader, Failure> {
        print(&if self.json { line(&value()) } else { words() })
    }

    /// Says why a command failed. What cannot be said is in the exit code.
    pub fn failed(self, failure: &Failure) -> Exit {
        let Failure { exit, fault, pack, plan } = failure;
        if self.json {
            let mut value = failure_value(fault);
            if plan.is_some() || *exit == Exit::Decide {
                value["plan"] = serde_json::json!(plan);
            }
            if print(&line(&value)).is_ok() {
                return *exit;
            }
        } else if let Some(plan) = plan {
            let _ = print(&text::plan(plan, pack.as_deref()));
        }
        let mut words = format!("modsync: {}\n", text::fault(fault));
        if let Some(pack) = pack.as_deref().filter(|_| plan.is_none() && *exit == Exit::Decide) {
            words.push_str(&text::decision(pack));
        }
        let _ = io::stderr().write_all(words.as_bytes());
        *exit
    }
}

/// Writes to standard output. A reader that has gone is no failure; a disk that takes no more is.
pub(super) fn print(text: &str) -> Result<Reader, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => {
            let what = format!("could not write to standard output: {error}");
            let hint = "What was asked for may have been done all the same.";
            Err(Fault::new(FaultKind::Io, what, hint).into())
        }
    }
}

/// A value for a program, on one line.
pub(super) fn line(value: &impl Serialize) -> String {
    let mut line = json(value);
    line.push('\n');
    line
}

impl Failure {
    pub fn wrong_use(what: &str, hint: &str) -> Self {
        Self { exit: Exit::WrongUse, ..Fault::new(FaultKind::Refused, what, hint).into() }
    }

    /// The same, about a pack and what a person must decide there.
    pub fn about(self, pack: &str, plan: Option<PlanReport>) -> Self {
        Self { pack: Some(pack.to_owned()), plan: plan.map(Box::new), ..self }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let exit = if fault.kind.next() == Next::Ask { Exit::Decide } else { Exit::Failed };
        Self { exit, fault: Box::new(fault), pack: None, plan: None }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let exit = match error {
            ConfigError::NotAdded { .. } | ConfigError::NoSuchPack { .. } => Exit::WrongUse,
            ConfigError::Io { .. } | ConfigError::Wrong { .. } => Exit::Failed,
        };
        Self { exit, ..error.fault().into() }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Fs(error) => Fault::from(error).into(),
            StartError::Running(_) => {
                let hint =
                    "If `modsync status` cannot show what it does, end it and start it again.";
                Fault::new(FaultKind::Refused, error, hint).into()
            }
            StartError::Http(_) => {
                let hint = "Look at `network.proxy` in the settings.";
                Fault::new(FaultKind::Refused, error, hint).into()
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Fault::new(FaultKind::Io, in_words(&error), "").into()
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
