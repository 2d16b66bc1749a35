//! What a connection is told when it is made.

use crate::authorize::{Endpoint, without_secrets};
use crate::http::HttpClient;
use crate::{BadOptions, BadUrl, MasterKey, ProxyChoice, ServerUrl, Tls};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;
use tidings_dialect::pusher::member::{self, BadMember};
use tidings_hub::{Limits, Member};

/// Longer than anything here lives. Nothing waits for longer, so that no time plus another overflows.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a connection is told when it is made. The fields that nobody sets keep the values of [`Options::new`]:
///
/// ```
/// use tidings_client::Options;
///
/// let options = Options { host: "127.0.0.1".into(), ws_port: 6001, ..Options::new("app-key") };
/// ```
///
/// It holds secrets; its `Debug` form does not show them.
#[derive(Clone)]
pub struct Options {
    /// The app's key. It is public.
    pub key: String,
    /// The server's name or address, an IPv6 address in brackets. Pusher's own by default.
    pub host: String,
    /// The port for plain connections, 80 by default.
    pub ws_port: u16,
    /// The port for connections through TLS, 443 by default.
    pub wss_port: u16,
    /// Whether to speak TLS: on [`wss_port`](Self::wss_port) then, else on [`ws_port`](Self::ws_port). False by default, as it is in
    /// `pusher-client`.
    pub encrypted: bool,
    /// What stands before `/app/` in the server's paths (P-2.9): empty, or with a slash before it.
    pub path: String,
    /// The app's secret. With it, private and presence channels and users are signed here, and no endpoint is asked (P-6.3, P-20.8).
    /// Only for programs whose users may not read it.
    pub secret: Option<String>,
    /// Whom presence channels show when they are signed here: a JSON object with `user_id` and maybe `user_info` (P-7.1).
    /// By default the user id is `process-` and the number of the process.
    pub channel_data: Option<String>,
    /// Whom [`sign_in`](crate::Connection::sign_in) signs in when that is signed here: a JSON object with a string `id`, and maybe
    /// `user_info` and `watchlist` (P-15.1, P-15.4).
    pub user_data: Option<String>,
    /// From which the secrets of encrypted channels are made when they are signed here (P-9.2). Without it their data arrives as it was
    /// sent.
    pub encryption_master_key: Option<MasterKey>,
    /// Where to ask for the signature of a channel: an `http` or `https` URL (P-6.6). Not used with a [`secret`](Self::secret).
    pub auth_endpoint: Option<String>,
    /// Where to ask for the signature of a user. Not used with a [`secret`](Self::secret).
    pub user_auth_endpoint: Option<String>,
    /// What goes with the requests to both endpoints.
    pub auth: Auth,
    /// How long an endpoint may take to answer, from looking for it to the end of its answer. 10 s by default.
    pub auth_timeout: Duration,
    /// After how much silence the server is pinged, unless it asks for less (P-16.9). 120 s by default.
    pub activity_timeout: Duration,
    /// How long the server may take to answer a ping, 30 s by default (P-16.9).
    pub pong_timeout: Duration,
    /// How long to be without a connection until that is told as [`Notice::Unavailable`](crate::Notice::Unavailable), 10 s by default.
    /// It is tried on all the same.
    pub unavailable_timeout: Duration,
    /// How long an attempt to connect may take, up to the server's confirmation. 10 s by default.
    pub connect_timeout: Duration,
    /// How many events may wait for one reader of a [`Client`](crate::Client): a stream, or the callbacks of one channel. The oldest of
    /// more go, and that is told ([`Missed`](crate::Missed)). 65,536 by default. One event has room always.
    pub queue_events: usize,
    /// How many bytes of channels, names and data of events may wait for one reader. 32 MiB by default.
    pub queue_bytes: usize,
    /// What to do when the connection ends.
    pub reconnect: Reconnect,
    /// Whether to go through a proxy.
    pub proxy: ProxyChoice,
    /// Whom to believe, of the server and of the endpoints.
    pub tls: Tls,
}

/// What goes with requests to the endpoints that sign (P-6.6). Its `Debug` form does not show values.
#[derive(Clone, Default)]
pub struct Auth {
    /// Members of the form that is posted, in this order, after `socket_id` and `channel_name`.
    pub params: Vec<(String, String)>,
    /// Headers. Those of the connection itself, such as `Content-Length`, are refused as [`BadOptions::Header`].
    pub headers: Vec<(String, String)>,
    /// For HTTP Basic, if a password is given too, and no header `Authorization`.
    pub username: Option<String>,
    /// For HTTP Basic, if a user name is given too.
    pub password: Option<String>,
}

/// What to do when a connection ends, or does not come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again as the server's close code asks (P-17.3), for ever unless the code says that it is of no use.
    #[default]
    Always,
    /// The same, but a server that could never be reached is given up at once: its address is probably wrong.
    OnceConnected,
    /// Give up.
    Never,
}

impl Options {
    /// The usual options for the app with this key, on Pusher's default cluster, without TLS.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            host: "ws.pusherapp.com".to_owned(),
            ws_port: 80,
            wss_port: 443,
            encrypted: false,
            path: String::new(),
            secret: None,
            channel_data: None,
            user_data: None,
            encryption_master_key: None,
            auth_endpoint: None,
            user_auth_endpoint: None,
            auth: Auth::default(),
            auth_timeout: Duration::from_secs(10),
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            unavailable_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            queue_events: 65_536,
            queue_bytes: 32 << 20,
            reconnect: Reconnect::Always,
            proxy: ProxyChoice::default(),
            tls: Tls::new(),
        }
    }

    /// The usual options, on the cluster of Pusher's that is called `cluster`, such as `eu`. Set [`encrypted`](Self::encrypted) for TLS.
    #[must_use]
    pub fn cluster(key: &str, cluster: &str) -> Self {
        Self { host: format!("ws-{cluster}.pusher.com"), ..Self::new(key) }
    }

    /// The usual options, at the server with this address; through TLS if it begins with `https` or `wss`.
    ///
    /// ```
    /// use tidings_client::Options;
    ///
    /// # fn main() -> Result<(), tidings_client::BadUrl> {
    /// let options = Options::at(&"https://push.example:8443/realtime".parse()?, "app-key");
    /// assert_eq!((&*options.host, options.wss_port, options.encrypted, &*options.path), ("push.example", 8443, true, "/realtime"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn at(url: &ServerUrl, key: &str) -> Self {
        Self {
            host: url.host().to_owned(),
            ws_port: url.port(),
            wss_port: url.port(),
            encrypted: url.is_secure(),
            path: url.prefix().to_owned(),
            ..Self::new(key)
        }
    }

    /// The address of the server that these options lead to.
    ///
    /// # Errors
    /// [`BadUrl`] if host or path are none.
    pub fn server(&self) -> Result<ServerUrl, BadUrl> {
        let (scheme, port) = if self.encrypted { ("wss", self.wss_port) } else { ("ws", self.ws_port) };
        format!("{scheme}://{}:{port}{}", self.host, self.path).parse()
    }

    /// Checks all that can be checked before anybody is asked.
    pub(crate) fn check(&self) -> Result<(), BadOptions> {
        if self.key.is_empty() {
            return Err(BadOptions::NoKey);
        }
        if let Some(data) = &self.channel_data {
            presence_member(data).map_err(|reason| BadOptions::ChannelData { reason })?;
        }
        if let Some(data) = &self.user_data
            && user_id(data).is_none()
        {
            return Err(BadOptions::UserData);
        }
        Ok(())
    }

    /// The same, with times that can be added to others.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [&mut self.activity_timeout, &mut self.pong_timeout, &mut self.unavailable_timeout] {
            *time = (*time).min(FOREVER);
        }
        self
    }

    /// Where channels and users are signed, if not here.
    pub(crate) fn endpoints(&self) -> Result<(Option<Endpoint>, Option<Endpoint>), BadOptions> {
        if self.secret.is_some() || (self.auth_endpoint.is_none() && self.user_auth_endpoint.is_none()) {
            return Ok((None, None));
        }
        let http = HttpClient::new(&self.tls, self.proxy);
        let endpoint = |url: &Option<String>| url.as_deref().map(|url| Endpoint::new(url, self, http.clone())).transpose();
        Ok((endpoint(&self.auth_endpoint)?, endpoint(&self.user_auth_endpoint)?))
    }
}

/// The member that `channel_data` describes (P-7.2). How long what in it may be is the server's to say.
pub(crate) fn presence_member(channel_data: &str) -> Result<Member, BadMember> {
    let limits = Limits { presence_user_id_chars: usize::MAX, presence_user_info_bytes: usize::MAX, ..Limits::default() };
    member::parse(channel_data, &limits)
}

/// The id in the data of a user (P-15.1).
pub(crate) fn user_id(user_data: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct UserData {
        id: String,
    }
    serde_json::from_str::<UserData>(user_data).ok().map(|data| data.id).filter(|id| !id.is_empty())
}

/// So that no log line shows a secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("key", &self.key)
            .field("host", &self.host)
            .field("ws_port", &self.ws_port)
            .field("wss_port", &self.wss_port)
            .field("encrypted", &self.encrypted)
            .field("path", &self.path)
            .field("auth_endpoint", &self.auth_endpoint.as_deref().map(without_secrets))
            .field("user_auth_endpoint", &self.user_auth_endpoint.as_deref().map(without_secrets))
            .field("reconnect", &self.reconnect)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// So that no log line shows a password or a token.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn names(pairs: &[(String, String)]) -> Vec<&str> {
            pairs.iter().map(|(name, _)| name.as_str()).collect()
        }
        f.debug_struct("Auth")
            .field("params", &names(&self.params))
            .field("headers", &names(&self.headers))
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
