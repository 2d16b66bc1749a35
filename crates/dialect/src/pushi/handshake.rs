//! How a connection comes in: which WebSocket requests are Pushi's (I-0.4), and the checks they must pass (I-1.1).

use super::close::Reason;
use tidings_hub::App;

/// The length of a key, in bytes.
const KEY_BYTES: usize = 64;

/// The key in a request to connect, from its path, already without a configured prefix, and its query. `None` if the request is not one of this
/// protocol: its last segment has another length, or it names another protocol.
#[must_use]
pub fn key<'p>(path: &'p str, query: &str) -> Option<&'p str> {
    let names_protocol = query.split('&').any(|pair| pair.split('=').next() == Some("protocol"));
    path.rsplit('/').next().filter(|key| key.len() == KEY_BYTES && !names_protocol)
}

/// What the server knows of a connection that wants in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load<'a> {
    /// The server is shutting down.
    pub draining: bool,
    /// The connection is TLS, seen from the client.
    pub tls: bool,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
    /// The app or the node has all the connections it may have.
    pub full: bool,
}

/// Checks a request against `app`, the one that has the key.
///
/// # Errors
/// The first reason not to let it in: it is upgraded, told, and closed.
pub fn admit(app: Option<&App>, load: Load<'_>) -> Result<(), Reason> {
    if load.draining {
        return Err(Reason::Draining);
    }
    let app = app.filter(|app| app.enabled && app.dialects.pushi).ok_or(Reason::UnknownApp)?;
    if app.force_tls && !load.tls {
        return Err(Reason::TlsRequired);
    }
    let allowed = |origins: &Vec<String>| load.origin.is_some_and(|origin| origins.iter().any(|allowed| allowed == origin));
    if app.origins.as_ref().is_some_and(|origins| !allowed(origins)) {
        return Err(Reason::OriginRefused);
    }
    if load.full { Err(Reason::Full) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_hub::Dialects;

    const KEY: &str = "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5";

    /// I-0.4, I-1.1
    #[test]
    fn the_last_segment_is_the_key() {
        for (path, query, expected) in [
            (format!("/{KEY}"), "", Some(KEY)),
            (format!("/app/{KEY}"), "", Some(KEY)),
            (format!("/a/b/{KEY}"), "x=1&client=js", Some(KEY)),
            (format!("/app/{KEY}"), "client=js&protocol=7", None),
            (format!("/app/{KEY}"), "protocol", None),
            (format!("/{KEY}/"), "", None),
            ("/".to_owned(), "", None),
            (format!("/{KEY}x"), "", None),
        ] {
            assert_eq!(key(&path, query), expected, "{path}?{query}");
        }
    }

    /// I-1.1, I-1.11
    #[test]
    fn whoever_may_not_come_in_is_told_why() {
        let app = |change: fn(&mut App)| {
            let mut app = App { dialects: Dialects { pushi: true, ..Dialects::default() }, ..App::new("1", KEY, "s") };
            change(&mut app);
            app
        };
        let plain = app(|_| {});
        assert_eq!(admit(Some(&plain), Load::default()), Ok(()));
        assert_eq!(admit(None, Load::default()), Err(Reason::UnknownApp));
        assert_eq!(admit(Some(&app(|app| app.enabled = false)), Load::default()), Err(Reason::UnknownApp));
        assert_eq!(admit(Some(&app(|app| app.dialects.pushi = false)), Load::default()), Err(Reason::UnknownApp));
        assert_eq!(admit(Some(&app(|app| app.force_tls = true)), Load::default()), Err(Reason::TlsRequired));
        let listed = app(|app| app.origins = Some(vec!["https://example.com".to_owned()]));
        assert_eq!(admit(Some(&listed), Load::default()), Err(Reason::OriginRefused));
        assert_eq!(admit(Some(&listed), Load { origin: Some("https://example.com"), ..Load::default() }), Ok(()));
        assert_eq!(admit(Some(&plain), Load { full: true, ..Load::default() }), Err(Reason::Full));
        assert_eq!(admit(Some(&plain), Load { draining: true, full: true, ..Load::default() }), Err(Reason::Draining));
    }
}
