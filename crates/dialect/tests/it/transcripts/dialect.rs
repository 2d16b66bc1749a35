//! What a dialogue takes for granted in each dialect.

use serde_json::{Value, json};
use tidings_hub::{App, Dialects};

/// The secret of every key.
pub(super) const SECRET: &str = "tidings-secret";

#[derive(Clone, Copy)]
pub(super) enum Dialect {
    Pusher,
    Pushi,
}

impl Dialect {
    /// Where its dialogues are, under `tests/transcripts`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Pusher => "pusher",
            Self::Pushi => "pushi",
        }
    }

    /// What the numbers of its rules begin with.
    pub(super) fn rules(self) -> &'static str {
        match self {
            Self::Pusher => "P-",
            Self::Pushi => "I-",
        }
    }

    /// An app that speaks it and nothing else.
    pub(super) fn app(self) -> App {
        let (key, pusher, pushi) = match self {
            Self::Pusher => ("tidings-key", true, false),
            Self::Pushi => ("71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a", false, true),
        };
        App { dialects: Dialects { pusher, pushi, ..Dialects::default() }, ..App::new("app", key, SECRET) }
    }

    /// How its JavaScript client connects.
    pub(super) fn url(self) -> &'static str {
        match self {
            Self::Pusher => "/app/tidings-key?protocol=7&client=js",
            Self::Pushi => "/71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a71d1265a",
        }
    }

    /// The frame that tells whoever is not let in of an error.
    pub(super) fn refusal(self, code: &str) -> Value {
        let code = code.parse::<u16>().unwrap_or_default();
        match self {
            Self::Pusher => json!({"event": "pusher:error", "data": {"code": code, "message": "*"}}),
            Self::Pushi => {
                let data = json!({"$json": {"code": code, "message": "*", "event": ""}});
                json!({"event": "pusher:error", "channel": "", "data": data})
            }
        }
    }
}
