//! The first five minutes: what to do with a server that was started without a configuration.

use crate::config::{Config, search_path};

/// How to try the app that was made for this run; `None` if there is none. The one text that names a secret: nobody else knows
/// it, it is good for this run, and without it nothing could be tried.
pub(super) fn text(config: &Config) -> Option<String> {
    let key = config.made.as_ref()?;
    let app = config.apps.first()?;
    let listener = config.listeners.first()?;
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", listener.address, listener.path_prefix);
    let files: Vec<_> = search_path().iter().map(|path| path.display().to_string()).collect();
    Some(format!(
        "\
No configuration file was found ({files}), so here is an app for this run:

  id      {id}
  key     {key}
  secret  {secret}

Try it in a browser:  {url}/

Or in two terminals, each with
  export TIDINGS_URL={url} TIDINGS_APP={id} TIDINGS_KEY={key} TIDINGS_SECRET={secret}
the first with
  tidings subscribe news
and the second with
  tidings publish news hello '{{\"text\":\"Hello\"}}'

To keep an app, write it into tidings.toml: `tidings check --reference` lists every setting.

",
        files = files.join(", "),
        id = app.id,
        key = key.key,
        secret = key.secret,
    ))
}
