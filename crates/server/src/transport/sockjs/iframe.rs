//! The page that other sites embed so that its script can talk to this server.

use super::settings::ScriptUrl;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use std::fmt::Write as _;

/// The page and its tag, made once.
#[derive(Clone, Debug)]
pub(super) struct Iframe {
    pub(super) body: Bytes,
    /// With its quotes.
    pub(super) etag: Box<str>,
}

impl Iframe {
    /// The page with that script (S-4.4).
    pub(super) fn new(script: &ScriptUrl) -> Self {
        let mut body = String::from(concat!(
            "<!DOCTYPE html>\n",
            "<html>\n",
            "<head>\n",
            "  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n",
            "  <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n",
            "  <script src=\"",
        ));
        escape_into(script.as_str(), &mut body);
        body.push_str(concat!(
            "\"></script>\n",
            "  <script>\n",
            "    document.domain = document.domain;\n",
            "    SockJS.bootstrap_iframe();\n",
            "  </script>\n",
            "</head>\n",
            "<body>\n",
            "  <h2>Don't panic!</h2>\n",
            "  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n",
            "</body>\n",
            "</html>",
        ));
        let mut etag = String::from("\"");
        for byte in Md5::digest(&body) {
            let _infallible = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Self { body: body.into(), etag: etag.into() }
    }

    /// Whether who asks has the page already: one of the tags of `If-None-Match` is ours, weak or not, or any will do.
    pub(super) fn is_known(&self, if_none_match: &str) -> bool {
        if_none_match.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == &*self.etag)
    }
}

/// Appends `text` so that it can stand in an attribute.
fn escape_into(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str) -> Iframe {
        Iframe::new(&ScriptUrl::parse(url).unwrap())
    }

    /// S-4.4.
    #[test]
    fn the_page_is_exact() {
        let Iframe { body, etag } = page("/sockjs.js");
        assert_eq!(
            body,
            r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/sockjs.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"#
        );
        assert!(etag.len() == 34 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        assert_ne!(etag, page("/other.js").etag);
    }

    /// S-4.5.
    #[test]
    fn the_script_cannot_leave_its_attribute() {
        let body = page("/a?b&c\"><script>'</script>").body;
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("src=\"/a?b&amp;c&quot;&gt;&lt;script&gt;&#39;&lt;/script&gt;\""), "{body}");
    }

    /// S-4.4.
    #[test]
    fn tags_are_compared() {
        let page = page("/x");
        let tag = page.etag.to_string();
        for (given, known) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"a\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"a\"".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(page.is_known(&given), known, "{given}");
        }
    }
}
