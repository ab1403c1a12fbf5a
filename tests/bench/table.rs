//! [`Table`]: numbers in rows and columns, for a terminal or for the README.

use std::fs;
use std::time::Duration;

use crate::Options;
use crate::peers;

/// Rows of cells, the heading first.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        Self { rows: vec![heading.into_iter().map(Into::into).collect()], notes: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A line below the table.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// A cell of what was measured. Why there is nothing becomes a note.
    pub fn cell<T>(
        &mut self,
        who: &str,
        result: &Result<T, String>,
        show: fn(&T) -> String,
    ) -> String {
        match result {
            Ok(cost) => show(cost),
            Err(why) => {
                let note = format!("{who} fails: {why}");
                if !self.notes.contains(&note) {
                    self.note(note);
                }
                "fails".to_owned()
            }
        }
    }

    pub fn print(&self, options: Options) {
        let columns = 0..self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = columns.map(|column| width(column).unwrap_or_default()).collect();
        let edge = if options.markdown { "|" } else { "" };
        for (nth, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!(" {cell:<width$} ") } else { format!(" {cell:>width$} ") }
            });
            println!("{edge}{}{edge}", cells.collect::<Vec<_>>().join(edge));
            if nth == 0 && options.markdown {
                println!("| :-- {}|", "| --: ".repeat(row.len() - 1));
            }
        }
        println!();
        self.notes.iter().for_each(|note| println!("{note}\n"));
    }
}

pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

pub fn kilobytes(bytes: u64) -> String {
    format!("{:.1} kB", bytes as f64 / 1e3)
}

/// How many times `less` fits into `more`.
pub fn ratio(more: Duration, less: Duration) -> String {
    format!("{:.2} ×", more.as_secs_f64() / less.as_secs_f64().max(0.001))
}

/// Where the numbers come from, and how to make them again.
pub fn origin(names: &[&String]) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
    format!(
        "Measured on {cores} cores of {}, warm cache, medians, with {}. Again: \
         `cargo bench --bench cost -- --markdown {}`.",
        cpu.trim_matches(|c: char| c == ':' || c.is_whitespace()),
        peers::versions().join(", "),
        names.join(" ")
    )
}
