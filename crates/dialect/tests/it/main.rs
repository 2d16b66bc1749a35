//! The dialects from outside: the published vectors, and dialogues with a small world around the sessions.

#[cfg(test)]
mod pushy_transcripts;
#[cfg(test)]
mod pushy_vectors;
#[cfg(test)]
mod pushy_world;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod world;
