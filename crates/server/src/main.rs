//! The binary `tidings`.
use std::process::ExitCode;
fn main() -> ExitCode {
    let file = std::env::args().nth(1).map(std::path::PathBuf::from);
    let config = tidings_server::config::load(file.as_deref()).unwrap();
    tidings_server::run::serve(config).unwrap()
}
