//! The house has floors: a module uses only what stands below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// From the ground up. Modules of one floor do not use each other.
const FLOORS: &[&[&str]] = &[
    &["heap", "model"],
    &["origin"],
    &["disk"],
    &["net"],
    &["config", "paths", "logging", "publish"],
    &["engine"],
    &["control"],
    &["demo"],
    &["ui"],
    &["main", "modsyncw", "lib"],
];

/// Doors: what only these modules may name.
const DOORS: &[(&str, &[&str])] = &[
    ("std::fs", &["disk", "config", "paths", "logging", "publish", "demo"]),
    ("reqwest::", &["net"]),
    ("librqbit::", &["net"]),
    ("tokio::spawn(", &["engine", "control", "demo"]),
    ("walkdir::", &["publish", "demo"]),
];

#[test]
fn a_module_uses_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        for used in used_modules(&text) {
            if used != module && floor(&used) >= floor(&module) {
                wrong.push(format!("{path}: `{module}` uses `{used}`"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_door_is_used_by_its_keepers_alone() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        for (door, keepers) in DOORS {
            let used = text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(door));
            if used && !keepers.contains(&module.as_str()) {
                wrong.push(format!("{path}: `{door}`"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Every source file: the module it belongs to, its path and its text without its unit tests.
fn sources() -> Vec<(String, String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    walkdir::WalkDir::new(&src)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| {
            let below = path.strip_prefix(&src).unwrap();
            let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\n").next().unwrap().to_owned();
            (first.trim_end_matches(".rs").to_owned(), below.display().to_string(), code)
        })
        .collect()
}

/// The modules of ours that a text names.
fn used_modules(text: &str) -> BTreeSet<String> {
    text.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .collect()
}

fn floor(module: &str) -> usize {
    let floor = FLOORS.iter().position(|modules| modules.contains(&module));
    floor.unwrap_or_else(|| panic!("`{module}` stands on no floor"))
}
