//! What the log never shows: secrets, signatures, query strings, event data. A server that logs all it can is told secrets in every
//! place that takes one; then its log is searched.

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tidings_dialect::auth;
use tidings_dialect::pusher::api::sign;
use tidings_hub::{Key, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes as Payload, Message};

/// Part of everything that must not be logged.
const WHISPER: &str = "whisper-6b1f";
const SECRET: &str = "whisper-6b1f-of-the-app";
const PATIENCE: Duration = Duration::from_secs(20);

/// The server's process, killed if a test ends early.
struct Server {
    process: Child,
    lines: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn start(directory: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidings"))
            .arg("--config")
            .arg(directory.join("tidings.toml"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = mpsc::channel();
        let log = Arc::<Mutex<String>>::default();
        let (stderr, kept) = (BufReader::new(process.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
                // Nobody listens once the test has seen what it waited for.
                let _ = tell.send(line);
            }
        });
        Self { process, lines, log }
    }

    /// The next line with that message.
    fn line(&self, message: &str) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {message} in\n{}", self.log.lock().unwrap()));
            let line: serde_json::Value = serde_json::from_str(&line)
                .unwrap_or_else(|_| panic!("no line of the log: {line}\n{:?}", self.lines.iter().collect::<Vec<_>>()));
            if line["message"] == message {
                return line;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn config(level: &str) -> String {
    format!(
        r#"
listeners = [
  {{ address = "127.0.0.1:0", dialects = ["pusher", "console"], trusted_proxies = ["127.0.0.1"] }},
  {{ address = "127.0.0.1:0", tls = {{ certificate = "certificate.pem", key = "key.pem" }} }},
]
limits = {{ shards = 2 }}
log = {{ level = "{level}", format = "json", access = true }}
drain = {{ drain = "0 s", webhooks = "0 s" }}
[[apps]]
id = "1"
key = "key"
secret = "{SECRET}"
client_events = true
webhook_private_targets = true
[apps.limits]
body_bytes = "16 KiB"
[[apps.webhooks]]
url = "http://127.0.0.1:1/hook?token={WHISPER}"
headers = {{ Authorization = "{WHISPER}" }}
"#
    )
}

/// Every place of the handshake and of the messages that takes a text.
async fn over_websocket(address: &str, signatures: &mut Vec<String>) {
    let url = format!("ws://{address}/app/key?protocol=7&client={WHISPER}&version={WHISPER}&token={WHISPER}");
    let mut request = url.into_client_request().unwrap();
    for name in ["authorization", "cookie", "origin", "user-agent", "x-forwarded-for", "x-pusher-library"] {
        request.headers_mut().insert(name, WHISPER.parse().unwrap());
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let established = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let (_, rest) = established.split_once("socket_id\\\":\\\"").unwrap();
    let (socket_id, _) = rest.split_once('\\').unwrap();
    let mut sign = |channel: &str| {
        let signature = auth::sign(SECRET, &[socket_id.as_bytes(), b":", channel.as_bytes()]).as_str().to_owned();
        signatures.push(signature.clone());
        format!("key:{signature}")
    };
    let subscribe = |channel: &str, auth: &str, data: Option<&str>| {
        serde_json::json!({ "event": "pusher:subscribe", "data": { "channel": channel, "auth": auth, "channel_data": data } }).to_string()
    };
    let user = format!(r#"{{"user_id":"u","user_info":{{"name":"{WHISPER}"}}}}"#);
    let presence = sign(&format!("presence-open:{user}"));
    for text in [
        subscribe("private-open", &sign("private-open"), None),
        subscribe("presence-open", &presence, Some(&user)),
        subscribe("private-shut", &format!("key:{WHISPER}"), Some(WHISPER)),
        subscribe("private-shut", &format!("{WHISPER}:{WHISPER}"), Some(WHISPER)),
        format!(r#"{{"event":"pusher:signin","data":{{"auth":"key:{WHISPER}","user_data":"{{\"id\":\"{WHISPER}\"}}"}}}}"#),
        format!(r#"{{"event":"client-said","channel":"private-open","data":"{WHISPER}"}}"#),
        format!(r#"{{"event":"client-said","channel":"private-shut","data":"{WHISPER}"}}"#),
        format!(r#"{{"event":"pusher:{WHISPER}","data":"{WHISPER}"}}"#),
        format!(r#"{{"{WHISPER}"#),
        WHISPER.to_owned(),
    ] {
        socket.send(Message::text(text)).await.unwrap();
    }
    socket.send(Message::Ping(Payload::from_static(WHISPER.as_bytes()))).await.unwrap();
    let mut told = Vec::new();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        told.push(text.to_string());
    }
    for part in [r#"subscription_succeeded","channel":"private-open""#, r#"subscription_succeeded","channel":"presence-open""#] {
        assert!(told.iter().any(|text| text.contains(part)), "no {part} in {told:#?}");
    }
    let close = CloseFrame { code: 4321.into(), reason: WHISPER.into() };
    socket.close(Some(close)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    for message in [Message::binary(WHISPER), Message::text(format!("\u{0}{WHISPER}"))] {
        let url = format!("ws://{address}/app/{WHISPER}?protocol={WHISPER}");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        // It may be closed already: the key is none.
        let _ = socket.send(message).await;
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// The target of a request of the API, signed.
fn signed(method: &str, path: &str, body: &str, signatures: &mut Vec<String>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = UnixTime::from_millis(u64::try_from(now).unwrap());
    let key = Key { key: "key".to_owned(), secret: SECRET.to_owned() };
    let query = sign(method, path, &[("token", WHISPER)], body.as_bytes(), &key, now);
    signatures.push(query.split_once("auth_signature=").unwrap().1.to_owned());
    format!("{path}?{query}")
}

/// Sends bytes, and reads until the server closes.
async fn told(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // A server that has seen enough may reset what it did not read.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, target: &str, body: &str) -> String {
    let headers = ["authorization", "cookie", "x-forwarded-for", "user-agent"].map(|name| format!("{name}: {WHISPER}\r\n")).concat();
    let len = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-pusher-library: auth_signature={WHISPER}\r\n\
         x-tidings-console: {WHISPER}\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
    )
}

/// Every place of a request, with the status that is expected.
async fn over_http(address: &str, signatures: &mut Vec<String>) {
    let event = format!(r#"{{"name":"said","channels":["news"],"data":"{WHISPER}"}}"#);
    let long = format!("{{\"data\":\"{}\"}}", WHISPER.repeat(2000));
    let good = signed("POST", "/apps/1/events", &event, signatures);
    let channels = signed("GET", "/apps/1/channels", "", signatures);
    let query = good.split_once('?').unwrap().1.to_owned();
    for (status, method, target, body) in [
        ("200", "POST", good.as_str(), event.as_str()),
        ("200", "GET", &channels, ""),
        ("401", "POST", &format!("/apps/1/events?auth_key=key&auth_signature={WHISPER}"), &event),
        ("401", "GET", &format!("/apps/1/channels?auth_key={WHISPER}&auth_signature={WHISPER}"), ""),
        ("404", "POST", &format!("/apps/1/events&{query}"), &event),
        ("404", "POST", &format!("/apps/1/events%3F{query}"), &event),
        ("405", WHISPER, &good, &event),
        ("413", "POST", &good, &long),
        ("404", "GET", &format!("/{WHISPER}?{WHISPER}"), ""),
        ("400", "POST", "/console/publish", &format!("{{{WHISPER}")),
        ("400", "POST", "/console/auth", &format!("socket_id={WHISPER}&channel_name={WHISPER}")),
    ] {
        let answer = told(address, request(method, target, body).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {target}: {answer}");
    }
    for bytes in [
        format!("{WHISPER} / HTTP/9\r\n\r\n"),
        format!("GET /app/key?{WHISPER} HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: {WHISPER}\r\n\r\n"),
    ] {
        assert!(told(address, bytes.as_bytes()).await.starts_with("HTTP/1.1 4"));
    }
}

/// The same over HTTP/2, whose library has a log of its own.
async fn over_http2(address: &str, certificate: &rcgen::Certificate, signatures: &mut Vec<String>) {
    told(address, WHISPER.as_bytes()).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let stream = connector.connect("localhost".try_into().unwrap(), TcpStream::connect(address).await.unwrap()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let event = format!(r#"{{"name":"said","channel":"news","data":"{WHISPER}"}}"#);
    let target = signed("POST", "/apps/1/events", &event, signatures);
    let request = http::Request::post(format!("https://localhost{target}"))
        .header("authorization", WHISPER)
        .header("x-pusher-library", "pusher-http-test 1.0")
        .body(Full::from(event))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    answer.into_body().collect().await.unwrap();
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[test]
fn the_log_shows_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    write("certificate.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    write("tidings.toml", &config("trace"));
    let mut server = Server::start(directory.path());
    let [plain, tls] = [(); 2].map(|()| server.line("listening")["address"].as_str().unwrap().to_owned());

    let mut signatures = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clients = async {
        over_websocket(&plain, &mut signatures).await;
        over_http(&plain, &mut signatures).await;
        over_http2(&tls, &made.cert, &mut signatures).await;
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, clients).await }).unwrap();
    server.line("webhook attempt failed");

    for broken in [format!("secret = \"{WHISPER}"), config("info").replace("client_events = true", &format!("client_events = \"{WHISPER}"))]
    {
        write("tidings.toml", &broken);
        server.signal(rustix::process::Signal::HUP);
        server.line("the configuration is broken and changes nothing");
    }
    write("key.pem", WHISPER);
    write("tidings.toml", &config("trace"));
    server.signal(rustix::process::Signal::HUP);
    server.signal(rustix::process::Signal::TERM);
    server.line("stopped");
    assert!(server.process.wait().unwrap().success());

    let log = server.log.lock().unwrap();
    assert!(signatures.len() > 4);
    for secret in signatures.iter().map(String::as_str).chain([WHISPER, "auth_signature", "auth_key", "token="]) {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret} is in the log:\n{}", lines.join("\n"));
    }
    // It did log, and what it should.
    let access: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["message"] == "api request")
        .collect();
    for (method, path, status) in [
        ("POST", "/apps/1/events", 200),
        ("GET", "/apps/1/channels", 200),
        ("POST", "/apps/1/events", 401),
        ("other", "/apps/1/events", 405),
    ] {
        let found = access.iter().find(|line| line["method"] == method && line["path"] == path && line["status"] == status);
        let line = found.unwrap_or_else(|| panic!("no {method} {path} {status} in {access:#?}"));
        assert!(line["address"] == "127.0.0.1" && line["took_us"].is_u64() && line["bytes"].is_u64(), "{line}");
        assert_eq!(line["app"].as_str(), (status == 200).then_some("1"), "{line}");
    }
    assert!(access.iter().any(|line| line["library"] == "pusher-http-test 1.0"), "{access:#?}");
}
