//! The log: where lines go, which are written, and what a panic says. What is written is decided where it happens.

use crate::api;
use crate::config::{Log, LogFormat};
use std::any::Any;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::prelude::*;

/// What libraries say of single frames and connections, some with words of the peer's. Our own lines tell what matters of it.
const QUIET: &str = "h2=off,hyper_util=off";

/// Writes to standard error from now on, panics included.
pub(crate) fn start(log: &Log) {
    let access = if log.access { "info" } else { "off" };
    let filter = EnvFilter::builder().parse_lossy(format!("{QUIET},{},{}={access}", log.level, api::ACCESS_TARGET));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // A test may have set one already.
    let _ = match log.format {
        LogFormat::Human => registry.with(layer.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    std::panic::set_hook(Box::new(panicked));
}

/// Tells where a thread panicked.
fn panicked(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = thread.name().unwrap_or_default(),
        location = panic.location().map(tracing::field::display),
        error = own_words(panic.payload()),
        "a thread panicked"
    );
}

/// The message, if it stands in the source as it is. One that was put together may show the data that the panic is about.
fn own_words(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("see the location")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_panic_tells_only_what_the_source_says() {
        let told = |panicking: fn()| own_words(&*catch_unwind(panicking).unwrap_err()).to_owned();
        assert_eq!(told(|| panic!("nobody can come here")), "nobody can come here");
        assert_eq!(told(|| panic!("{} is no number", "a secret".repeat(2))), "see the location");
        assert_eq!(told(|| assert!("a secret".parse::<u8>().unwrap() > 0)), "see the location");
    }
}
