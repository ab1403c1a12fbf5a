//! The words of the API. A request is a `POST` of its fields to `/v1/` and its name; `GET /v1/snapshot`
//! and `GET /v1/events` show what is.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::NewPack;
use crate::model::command::{Approval, Command};
use crate::model::fault::{Fault, FaultKind};

/// What every path begins with.
pub const ROOT: &str = "/v1/";
/// Bytes of a request, head and body each.
pub const LARGEST_REQUEST: usize = 64 << 10;

/// What another process may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Check {
        pack: String,
    },
    Plan {
        pack: String,
    },
    Sync {
        pack: String,
    },
    Apply {
        pack: String,
    },
    /// Applies the plan that was shown. `plan` names it, so that no other is approved by mistake.
    Approve {
        pack: String,
        plan: Option<String>,
    },
    Verify {
        pack: String,
    },
    Repair {
        pack: String,
    },
    Clean {
        pack: String,
        #[serde(default)]
        dry_run: bool,
    },
    Rollback {
        pack: String,
    },
    Trash {
        pack: String,
    },
    Restore {
        pack: String,
        entry: String,
    },
    Pause {
        pack: String,
    },
    Resume {
        pack: String,
    },
    Add(NewPack),
    Remove {
        pack: String,
    },
    /// Read the settings again.
    Reload,
    /// Show yourself to the user.
    Show,
    /// End the engine.
    Quit,
}

impl Request {
    /// A command to a pack, as a request.
    pub fn of(pack: &str, command: Command) -> Self {
        let pack = pack.to_owned();
        match command {
            Command::Check => Self::Check { pack },
            Command::Plan => Self::Plan { pack },
            Command::Sync => Self::Sync { pack },
            Command::Apply { approve: Approval::None } => Self::Apply { pack },
            Command::Apply { approve: Approval::Shown } => Self::Approve { pack, plan: None },
            Command::Apply { approve: Approval::Plan(plan) } => {
                Self::Approve { pack, plan: Some(plan) }
            }
            Command::Verify { repair: false } => Self::Verify { pack },
            Command::Verify { repair: true } => Self::Repair { pack },
            Command::Clean { dry_run } => Self::Clean { pack, dry_run },
            Command::Rollback => Self::Rollback { pack },
            Command::Trash => Self::Trash { pack },
            Command::Restore { entry } => Self::Restore { pack, entry },
            Command::Pause => Self::Pause { pack },
            Command::Resume => Self::Resume { pack },
        }
    }

    /// The name and the fields, as they go over the wire.
    pub fn parts(&self) -> (String, Value) {
        // A folder that is not Unicode has no JSON, and the settings take none.
        let mut fields = serde_json::to_value(self).unwrap_or_default();
        let name = fields.as_object_mut().and_then(|fields| fields.remove("request"));
        (name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(), fields)
    }

    /// The inverse of [`Request::parts`]; an error in words.
    pub fn of_parts(name: &str, body: &[u8]) -> Result<Self, String> {
        let fields = if body.is_empty() { Ok(json!({})) } else { serde_json::from_slice(body) };
        let mut fields: Value = fields.map_err(|e| format!("the body is not JSON: {e}"))?;
        let map = fields.as_object_mut().ok_or("the body is not a JSON object")?;
        map.insert("request".to_owned(), json!(name));
        serde_json::from_value(fields).map_err(|e| e.to_string())
    }
}

/// Why a request is not even looked into.
pub fn refused(why: &str) -> Fault {
    Fault::new(FaultKind::Refused, why, "")
}

/// Whoever asks may be newer than we are.
pub fn misunderstood(why: &str) -> Fault {
    let hint = format!(
        "This is ModSync {}, whose API is below {ROOT}. A program that is newer needs it to be started again.",
        env!("CARGO_PKG_VERSION")
    );
    Fault::new(FaultKind::Refused, why, hint)
}

/// A failure, as every program reads it.
pub fn failure(fault: &Fault) -> Value {
    json!({ "ok": false, "error": fault.what, "kind": fault.kind, "hint": fault.hint })
}

/// The inverse of [`failure`].
pub fn fault_of(value: &Value) -> Fault {
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let kind = serde_json::from_value(value["kind"].clone()).unwrap_or(FaultKind::Refused);
    Fault::new(kind, text("error"), text("hint"))
}

/// A value that says that all went well, beside what it says by itself.
#[derive(Debug, Serialize)]
pub struct WithOk<T> {
    ok: bool,
    #[serde(flatten)]
    value: T,
}

pub fn with_ok<T: Serialize>(value: T) -> WithOk<T> {
    WithOk { ok: true, value }
}

/// JSON on one line. What we say is made of keys and values that JSON has.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
