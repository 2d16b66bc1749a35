//! Reads what `lib/options.js` writes.

use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use tidings_client::{Auth, Connection, MasterKey, Options, ProxyChoice, Tls};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    key: String,
    host: String,
    ws_port: u16,
    wss_port: u16,
    encrypted: bool,
    path: String,
    secret: Option<String>,
    channel_data: String,
    user_data: Option<String>,
    encryption_master_key: Option<String>,
    auth_endpoint: Option<String>,
    user_auth_endpoint: Option<String>,
    auth: GivenAuth,
    activity_timeout: u64,
    pong_timeout: u64,
    unavailable_timeout: u64,
    use_proxy: bool,
    ca: Option<PathBuf>,
}

#[derive(Deserialize)]
struct GivenAuth {
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    username: Option<String>,
    password: Option<String>,
}

/// A connection as `options` want it, not yet opened.
///
/// # Errors
/// A sentence for the program that made the client.
pub(crate) fn connection(options: &str) -> Result<Connection, String> {
    let given: Given = serde_json::from_str(options).map_err(|error| format!("the options cannot be read: {error}"))?;
    let options = given.complete()?;
    Connection::new(options).map_err(|error| error.to_string())
}

impl Given {
    fn complete(self) -> Result<Options, String> {
        let GivenAuth { params, headers, username, password } = self.auth;
        let master_key = self.encryption_master_key.as_deref().map(MasterKey::from_base64).transpose();
        Ok(Options {
            host: self.host,
            ws_port: self.ws_port,
            wss_port: self.wss_port,
            encrypted: self.encrypted,
            path: self.path,
            secret: self.secret,
            channel_data: Some(self.channel_data),
            user_data: self.user_data,
            encryption_master_key: master_key.map_err(|error| format!("encryptionMasterKey: {error}"))?,
            auth_endpoint: self.auth_endpoint,
            user_auth_endpoint: self.user_auth_endpoint,
            auth: Auth { params, headers, username, password },
            activity_timeout: Duration::from_millis(self.activity_timeout),
            pong_timeout: Duration::from_millis(self.pong_timeout),
            unavailable_timeout: Duration::from_millis(self.unavailable_timeout),
            proxy: if self.use_proxy { ProxyChoice::Environment } else { ProxyChoice::Direct },
            tls: match &self.ca {
                Some(path) => Tls::with_authorities_of(path).map_err(|error| format!("ca: {error}"))?,
                None => Tls::new(),
            },
            ..Options::new(&self.key)
        })
    }
}
