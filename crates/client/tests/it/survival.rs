//! What a client must live through: servers that go and come back, that close with every code, that are silent, that talk nonsense or more
//! than anybody can read; and endpoints that do all this too.

mod close_codes;
mod endpoints;
mod half_open;
mod hostile;
mod loads;
mod restarts;
