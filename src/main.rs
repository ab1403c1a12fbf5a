//! Arguments → front end → exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(modsync::ui::cli::main(std::env::args_os()) as u8)
}
