//! [`Numbered`]: a file of ours that has a number for a name, as new content and what lies in the trash have.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The path of such a file, `folder/number`. Many lie in one folder, so they share its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Numbered {
    folder: Arc<str>,
    number: usize,
}

impl Numbered {
    pub fn new(folder: &Arc<str>, number: usize) -> Self {
        Self { folder: Arc::clone(folder), number }
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder, self.number)
    }
}

impl From<Numbered> for String {
    fn from(path: Numbered) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for Numbered {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let parts = path.rsplit_once('/').and_then(|(folder, name)| {
            Some(Self { folder: folder.into(), number: number_of(name)? })
        });
        parts.ok_or_else(|| format!("`{path}` does not end with a number"))
    }
}

/// The number that a name is, in the one way it is written.
pub(super) fn number_of(name: &str) -> Option<usize> {
    name.parse().ok().filter(|number: &usize| number.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_as_it_was_written_or_is_refused() {
        let read = |path: &str| Numbered::try_from(path.to_owned()).map(String::from);
        assert_eq!(read("a/b/0"), Ok("a/b/0".to_owned()));
        assert_eq!(read("a/4000000000"), Ok("a/4000000000".to_owned()));
        for path in ["", "7", "a/", "a/b", "a/+1", "a/01", "a/1.new1", "a/-1"] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
