//! Puts the commit into the binary, for `tidings --version`. `TIDINGS_COMMIT` in the environment stands above what git says.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=TIDINGS_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let given = std::env::var("TIDINGS_COMMIT").ok().filter(|commit| is_plain(commit));
    let commit = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env=TIDINGS_COMMIT={commit}");
    // The log of HEAD grows with every commit and every checkout; a source tree without one is not watched.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// The answer of git; `None` without git, and in a source tree that is not under it.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned()).filter(|text| is_plain(text))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}
