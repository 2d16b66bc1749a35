//! Channel names.
