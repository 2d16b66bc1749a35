//! Configurations of the servers whose place this one takes, read as they are.

pub(super) mod pushi;
pub(super) mod pushy;
pub(super) mod wspush;

use super::problem::{Broken, Problem, Problems};
use std::fmt;
use std::path::PathBuf;

/// A configuration that stands in no file. `Debug` hides it: the store's URL in it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DropIn {
    /// The TOML that it amounts to.
    pub text: String,
    /// Where it comes from, for problems.
    pub(super) name: String,
    /// The file to read again; `None` if that cannot change while this process runs.
    pub(super) file: Option<PathBuf>,
    /// Settings in it, and what they were given as.
    given_as: Vec<(String, String)>,
    /// What was understood otherwise than it was written, or not at all.
    pub(super) warnings: Vec<Problem>,
}

impl fmt::Debug for DropIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DropIn").finish_non_exhaustive()
    }
}

impl DropIn {
    /// The problems of the document in the words of whoever has never seen it.
    pub(super) fn explained(&self, broken: &Broken) -> Broken {
        let mut problems = Problems::default();
        for problem in broken.problems() {
            let mut problem = problem.clone();
            if let Some((_, name)) = self.given_as.iter().find(|(path, _)| *path == problem.path) {
                problem.path.clear();
                problem.place = Some(name.clone());
            }
            // Two listeners at one address.
            if let Some((_, name)) = self.given_as.iter().find(|(path, _)| path == "listeners[0].address") {
                problem.text = problem.text.replace("listeners[0] is on", &format!("{name} is on"));
            }
            problems.add(problem);
        }
        problems.into_broken()
    }
}
