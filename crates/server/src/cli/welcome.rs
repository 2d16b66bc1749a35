//! The first five minutes: what to do with a server that was started without a configuration.

use crate::config::{Address, Config, Dialect, Listener, search_path};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tidings_hub::{AppId, Key};

/// How to try the app that was made for this run, with lines that can be copied; `None` if there is none. `program` is what the server
/// itself was started as. The one text that names a secret: nobody else knows it, it is good for this run, and without it nothing
/// could be tried.
pub(super) fn text(config: &Config, program: &str) -> Option<String> {
    let key = config.made.as_ref()?;
    let (app, program) = (config.apps.first()?, &quoted(program));
    let files: Vec<_> = search_path().iter().map(|path| path.display().to_string()).collect();
    let mut text = format!(
        "\
No configuration file was found ({files}), so here is an app for this run:

  id      {id}
  key     {key}
  secret  {secret}

",
        files = files.join(", "),
        id = app.id,
        key = key.key,
        secret = key.secret,
    );
    if let Some(place) = place(config, Dialect::Console) {
        let _ = write!(text, "Try it in a browser:  {}/\n\n", place.url());
    }
    if let Some(place) = place(config, Dialect::Pusher) {
        text.push_str(&in_terminals(&place, &app.id, key, program));
        text.push_str(&in_a_page(&place, key));
        text.push_str(&in_laravel(&place, &app.id, key));
    }
    if let Some(place) = place(config, Dialect::Sse) {
        text.push_str(&as_a_stream(&place, &app.id, key));
    }
    let _ = write!(
        text,
        "\
To keep an app, write it into tidings.toml; this lists every setting:
  {program} check --reference
To take the place of a Pushi server, with the settings of its environment: {program} pushi
What follows is the log. Ctrl-C stops the server in peace, a second one at once.

"
    );
    Some(text)
}

fn in_terminals(place: &Place, id: &AppId, key: &Key, program: &str) -> String {
    format!(
        "\
Try it in two terminals, each with
  export TIDINGS_URL={url} TIDINGS_APP={id} TIDINGS_KEY={key} TIDINGS_SECRET={secret}
the first with
  {program} subscribe news
and the second with
  {program} publish news hello '{{\"text\":\"Hello\"}}'

",
        url = place.url(),
        key = key.key,
        secret = key.secret,
    )
}

/// Nothing needs to be installed for it.
fn as_a_stream(place: &Place, id: &AppId, key: &Key) -> String {
    format!(
        "\
With curl, or with EventSource in a web page:
  curl -N '{url}/apps/{id}/sse?key={key}&channel=news'

",
        url = place.url(),
        key = key.key,
    )
}

/// P-19.1: an application that sets `wsHost` alone falls back to Pusher's own servers.
fn in_a_page(place: &Place, key: &Key) -> String {
    let prefix = if place.prefix.is_empty() { String::new() } else { format!("\n    wsPath: \"{}\",", place.prefix) };
    format!(
        "\
In a web page, with pusher-js:
  new Pusher(\"{key}\", {{
    cluster: \"\",
    wsHost: \"{host}\",
    wsPort: {port},
    wssPort: {port},{prefix}
    forceTLS: {tls},
    enabledTransports: [\"ws\", \"wss\"],
  }});
Keep enabledTransports: without it pusher-js may turn to Pusher's own servers, which do not know this key, and give up.

",
        key = key.key,
        host = place.host(),
        port = place.address.port(),
        tls = place.tls,
    )
}

/// The variables that the broadcasting configuration and the Echo setup of a new Laravel project read.
fn in_laravel(place: &Place, id: &AppId, key: &Key) -> String {
    let prefix = if place.prefix.is_empty() {
        String::new()
    } else {
        format!(
            "and, since no variable says it, 'path' => '{0}' among the options in config/broadcasting.php, wsPath: \"{0}\" for Echo\n",
            place.prefix
        )
    };
    format!(
        "\
In Laravel, in .env:
  BROADCAST_CONNECTION=pusher
  PUSHER_APP_ID={id}
  PUSHER_APP_KEY={key}
  PUSHER_APP_SECRET={secret}
  PUSHER_APP_CLUSTER=mt1
  PUSHER_HOST=\"{host}\"
  PUSHER_PORT={port}
  PUSHER_SCHEME={scheme}
  VITE_PUSHER_APP_KEY=\"${{PUSHER_APP_KEY}}\"
  VITE_PUSHER_APP_CLUSTER=\"${{PUSHER_APP_CLUSTER}}\"
  VITE_PUSHER_HOST=\"${{PUSHER_HOST}}\"
  VITE_PUSHER_PORT=\"${{PUSHER_PORT}}\"
  VITE_PUSHER_SCHEME=\"${{PUSHER_SCHEME}}\"
{prefix}Echo needs enabledTransports: [\"ws\", \"wss\"] too, for the same reason. The cluster means nothing here; the libraries want one.

",
        key = key.key,
        secret = key.secret,
        host = place.host(),
        port = place.address.port(),
        scheme = place.scheme(),
    )
}

/// Where this machine reaches a listener.
struct Place {
    address: SocketAddr,
    tls: bool,
    prefix: String,
}

impl Place {
    /// `None` for a unix socket, and for a port that the kernel will choose.
    fn of(listener: &Listener) -> Option<Self> {
        let Address::Tcp(mut address) = listener.address else { return None };
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        (address.port() != 0).then(|| Self { address, tls: listener.tls.is_some(), prefix: listener.path_prefix.clone() })
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The address as it stands in a URL.
    fn host(&self) -> String {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }

    fn url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.address, self.prefix)
    }
}

/// The first listener that speaks `dialect` and can be reached over TCP.
fn place(config: &Config, dialect: Dialect) -> Option<Place> {
    config.listeners.iter().filter(|listener| listener.dialects.contains(&dialect)).find_map(Place::of)
}

/// `program` as a shell takes it for one word.
fn quoted(program: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if !program.is_empty() && program.chars().all(is_plain) { program.to_owned() } else { format!("'{}'", program.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Surroundings, Tls, read};
    use std::ffi::OsString;
    use std::io;
    use std::path::PathBuf;

    fn welcome(file: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let surroundings = Surroundings {
            directory: PathBuf::new(),
            cores: 1,
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
            make_key: &|| Key { key: "made-key".to_owned(), secret: "made-secret".to_owned() },
        };
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (config, _) = read(file.map(|text| Document { name: "t.toml", text }), variables, &surroundings).unwrap();
        text(&config, "target/release/tidings")
    }

    #[test]
    fn a_made_app_can_be_tried_at_once() {
        let text = welcome(None, &[]).unwrap();
        for part in [
            "  id      1\n  key     made-key\n  secret  made-secret\n",
            "Try it in a browser:  http://127.0.0.1:6001/\n",
            "export TIDINGS_URL=http://127.0.0.1:6001 TIDINGS_APP=1 TIDINGS_KEY=made-key TIDINGS_SECRET=made-secret\n",
            "\n  target/release/tidings subscribe news\n",
            "\n  target/release/tidings publish news hello '{\"text\":\"Hello\"}'\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = welcome(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "[::]:80"), ("TIDINGS__LISTENERS__0__PATH_PREFIX", "/x")]).unwrap();
        assert!(text.contains("TIDINGS_URL=http://[::1]:80/x ") && !text.contains("browser"), "{text}");
        for unreachable in ["unix:/run/t.sock", "127.0.0.1:0"] {
            let text = welcome(None, &[("TIDINGS__LISTENERS__0__ADDRESS", unreachable)]).unwrap();
            assert!(text.contains("made-secret") && !text.contains("http") && !text.contains("Pusher"), "{text}");
        }
    }

    /// P-19.1: what is to be copied keeps pusher-js from turning to Pusher's own servers.
    #[test]
    fn clients_are_told_how_to_find_this_server() {
        let text = welcome(None, &[]).unwrap();
        for part in [
            "  new Pusher(\"made-key\", {\n    cluster: \"\",\n    wsHost: \"127.0.0.1\",\n    wsPort: 6001,\n    wssPort: 6001,\n    \
             forceTLS: false,\n    enabledTransports: [\"ws\", \"wss\"],\n  });\nKeep enabledTransports: ",
            "  PUSHER_APP_ID=1\n  PUSHER_APP_KEY=made-key\n  PUSHER_APP_SECRET=made-secret\n",
            "  PUSHER_HOST=\"127.0.0.1\"\n  PUSHER_PORT=6001\n  PUSHER_SCHEME=http\n",
            "  VITE_PUSHER_HOST=\"${PUSHER_HOST}\"\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("wsPath") && !text.contains("'path'"), "{text}");
        let text = welcome(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "[::]:80"), ("TIDINGS__LISTENERS__0__PATH_PREFIX", "/x")]).unwrap();
        for part in ["wsHost: \"[::1]\"", "wsPort: 80,", "wsPath: \"/x\",\n", "PUSHER_HOST=\"[::1]\"", "'path' => '/x'"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn tls_is_told_as_the_scheme() {
        let listener = Listener {
            address: Address::Tcp("0.0.0.0:443".parse().unwrap()),
            dialects: vec![Dialect::Pusher],
            path_prefix: String::new(),
            tls: Some(Tls { certificate: PathBuf::new(), key: PathBuf::new() }),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        };
        let (place, key) = (Place::of(&listener).unwrap(), Key { key: "k".to_owned(), secret: "s".to_owned() });
        assert_eq!(place.url(), "https://127.0.0.1:443");
        assert!(in_a_page(&place, &key).contains("forceTLS: true"));
        assert!(in_laravel(&place, &AppId::new("1"), &key).contains("PUSHER_SCHEME=https\n"));
    }

    #[test]
    fn a_program_is_one_word() {
        for (program, expected) in [("tidings", "tidings"), ("/opt/a b/tidings", "'/opt/a b/tidings'"), ("it's", r"'it'\''s'"), ("", "''")]
        {
            assert_eq!(quoted(program), expected);
        }
    }

    #[test]
    fn an_app_of_the_configuration_is_not_told() {
        assert_eq!(welcome(Some("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n"), &[]), None);
    }
}
