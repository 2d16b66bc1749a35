//! The first five minutes: what to do with a server that was started without a configuration.

use crate::config::{Address, Config, Dialect, Listener, search_path};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How to try the app that was made for this run; `None` if there is none. The one text that names a secret: nobody else knows
/// it, it is good for this run, and without it nothing could be tried.
pub(super) fn text(config: &Config) -> Option<String> {
    let key = config.made.as_ref()?;
    let app = config.apps.first()?;
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
    if let Some(url) = url(config, Dialect::Console) {
        let _ = write!(text, "Try it in a browser:  {url}/\n\n");
    }
    if let Some(url) = url(config, Dialect::Pusher) {
        let _ = write!(
            text,
            "\
Try it in two terminals, each with
  export TIDINGS_URL={url} TIDINGS_APP={id} TIDINGS_KEY={key} TIDINGS_SECRET={secret}
the first with
  tidings subscribe news
and the second with
  tidings publish news hello '{{\"text\":\"Hello\"}}'

",
            id = app.id,
            key = key.key,
            secret = key.secret,
        );
    }
    text.push_str("To keep an app, write it into tidings.toml: `tidings check --reference` lists every setting.\n\n");
    Some(text)
}

/// Where this machine reaches the first TCP listener that speaks `dialect`.
fn url(config: &Config, dialect: Dialect) -> Option<String> {
    let spoken = config.listeners.iter().filter(|listener| listener.dialects.contains(&dialect));
    spoken.filter_map(url_of).next()
}

fn url_of(listener: &Listener) -> Option<String> {
    let Address::Tcp(mut address) = listener.address else { return None };
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{address}{}", listener.path_prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Surroundings, read};
    use std::ffi::OsString;
    use std::io;
    use std::path::PathBuf;
    use tidings_hub::Key;

    fn welcome(file: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let surroundings = Surroundings {
            directory: PathBuf::new(),
            cores: 1,
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
            make_key: &|| Key { key: "made-key".to_owned(), secret: "made-secret".to_owned() },
        };
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let (config, _) = read(file.map(|text| Document { name: "t.toml", text }), variables, &surroundings).unwrap();
        text(&config)
    }

    #[test]
    fn a_made_app_can_be_tried_at_once() {
        let text = welcome(None, &[]).unwrap();
        for part in [
            "  id      1\n  key     made-key\n  secret  made-secret\n",
            "Try it in a browser:  http://127.0.0.1:6001/\n",
            "export TIDINGS_URL=http://127.0.0.1:6001 TIDINGS_APP=1 TIDINGS_KEY=made-key TIDINGS_SECRET=made-secret\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let text = welcome(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "[::]:80"), ("TIDINGS__LISTENERS__0__PATH_PREFIX", "/x")]).unwrap();
        assert!(text.contains("TIDINGS_URL=http://[::1]:80/x ") && !text.contains("browser"), "{text}");
        let text = welcome(None, &[("TIDINGS__LISTENERS__0__ADDRESS", "unix:/run/t.sock")]).unwrap();
        assert!(text.contains("made-secret") && !text.contains("http"), "{text}");
    }

    #[test]
    fn an_app_of_the_configuration_is_not_told() {
        assert_eq!(welcome(Some("[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n"), &[]), None);
    }
}
