//! The page at `/` for trying things out.

use crate::http::response::Answer;
use crate::listener::Listener;
use crate::node::Node;
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;

/// What the page sends and no other site can.
pub(crate) const HEADER: &str = "x-tidings-console";
/// What the page may post.
pub(crate) const BODY_MAX: usize = 64 * 1024;

pub(crate) fn get(_: &Node, _: &Listener, _: bool, _: &str, _: &Method) -> Option<Response<Full<Bytes>>> {
    None
}

pub(crate) fn post(_: &Node, _: &str, _: bool, _: &[u8]) -> Option<Answer> {
    None
}
