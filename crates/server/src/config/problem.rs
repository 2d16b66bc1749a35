//! What is wrong with a configuration, all of it together, in words that say what to change and never show a secret.

use std::fmt;

/// One thing that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as in `apps[0].limits.event_bytes`; empty if no single one is meant.
    pub path: String,
    /// Where it was written: `tidings.toml:12` or the name of a variable.
    pub place: Option<String>,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// All that is wrong with a configuration: one line each. Nothing of it has taken effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Broken(Vec<Problem>);

impl Broken {
    /// Every problem, in the order of the settings.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem")?,
            n => write!(f, "the configuration has {n} problems")?,
        }
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// Collects problems.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

/// A file can be wrong in every line; nobody reads more than this.
const PROBLEMS_MAX: usize = 100;

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        if self.0.len() < PROBLEMS_MAX && !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_broken(self) -> Broken {
        Broken(self.0)
    }
}

/// At most 60 characters of `text`, none of which can play tricks on a terminal.
pub(super) fn printable(text: &str) -> String {
    let rest = if text.chars().nth(60).is_some() { "…" } else { "" };
    text.chars().take(60).flat_map(|c| c.escape_debug()).chain(rest.chars()).collect()
}

/// As [`printable`], in quotes: for problems.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

/// The candidate most like `wrong`, if any is like it.
pub(super) fn nearest<'c>(wrong: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wrong: String = wrong.chars().take(100).collect();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wrong, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
