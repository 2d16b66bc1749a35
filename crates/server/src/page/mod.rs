//! The try-it page of a loopback listener: its files, compiled in. What it asks the server for is answered in
//! `console.rs`.

mod console;

pub(crate) use console::{BODY_MAX, HEADER, get, is_own_host, post};

/// The `Content-Security-Policy` that every answer with an [`Asset`] carries: nothing but the page's own files, no inline code, no
/// framing. Sockets may go to any host, because the page may be opened under another name than the one clients use.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// The value of `Content-Type`.
    pub(crate) content_type: &'static str,
    /// The whole file.
    pub(crate) body: &'static [u8],
}

/// The file behind `path`, as it stands in the request after the listener's prefix, without the query. Only exact paths are known.
#[must_use]
pub(crate) fn asset(path: &str) -> Option<Asset> {
    const HTML: &str = "text/html; charset=utf-8";
    const CSS: &str = "text/css; charset=utf-8";
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    const SVG: &str = "image/svg+xml";
    const TEXT: &str = "text/plain; charset=utf-8";
    let (content_type, body): (_, &[u8]) = match path {
        "/" => (HTML, include_bytes!("index.html")),
        "/page/page.css" => (CSS, include_bytes!("page.css")),
        "/page/page.js" => (SCRIPT, include_bytes!("page.js")),
        "/page/icon.svg" => (SVG, include_bytes!("icon.svg")),
        "/page/vendor/pusher.min.js" => (SCRIPT, include_bytes!("vendor/pusher.min.js")),
        "/page/vendor/pusher.LICENCE.txt" => (TEXT, include_bytes!("vendor/pusher.LICENCE.txt")),
        _ => return None,
    };
    Some(Asset { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_page_links_to_is_served() {
        let page = std::str::from_utf8(asset("/").expect("the page").body).expect("text");
        let links: Vec<&str> = page.split('"').filter(|text| text.starts_with("page/")).collect();
        assert!(links.len() >= 4, "{links:?}");
        for link in links {
            assert!(asset(&format!("/{link}")).is_some(), "{link} is linked to and not served");
        }
    }

    #[test]
    fn the_page_obeys_its_own_policy() {
        let page = std::str::from_utf8(asset("/").expect("the page").body).expect("text");
        for forbidden in ["style=\"", "<style", "onclick", "onload", "javascript:", "http://", "https://"] {
            assert!(!page.contains(forbidden), "the page contains {forbidden}");
        }
        assert!(page.matches("<script").count() == page.matches("<script src=").count(), "a script without a source");
    }

    #[test]
    fn other_paths_are_nobodys() {
        for path in ["", "/page", "/page/", "/page/mod.rs", "/page/../page/page.js", "//", "/index.html"] {
            assert_eq!(asset(path), None, "{path}");
        }
    }
}
