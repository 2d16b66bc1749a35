//! To come.

pub mod output;
pub mod publish;
pub mod subscribe;
pub mod target;
