//! The dialects from outside: the published vectors, and dialogues with a small world around the sessions.

#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod world;
