//! What only a server can do: go away.

use super::{Bench, app, data, store, trigger};
use crate::store::{Store, StoreError, StoreUrl};
use rustls::pki_types::PrivateKeyDer;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};
use tokio_rustls::TlsAcceptor;

/// What would take this long never happens.
const FAILSAFE: Duration = Duration::from_secs(60);

fn config(bench: &Bench) -> Config {
    match &bench.url {
        StoreUrl::Postgres(url) => url.parse().unwrap(),
        other => panic!("{other} is no server"),
    }
}

/// Tries until it is stored; each attempt is answered.
async fn store_at_last(db: &Store, text: &str) {
    let tries = async {
        while let Err(error) = store(db, trigger(&["news"], text)).await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FAILSAFE, tries).await.expect("it is connected again");
}

async fn stored(db: &Store) -> Vec<String> {
    let found = db.channel_events(&app(), Some("news"), 0, 99).await.unwrap();
    data(&found).into_iter().map(str::to_owned).collect()
}

pub(super) async fn a_lost_connection_is_made_again(bench: Bench) {
    let db = bench.open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    assert_eq!(stored(&db).await, ["1"]);
    let mut config = config(&bench);
    let name = config.get_application_name().unwrap().to_owned();
    let (client, connection) = config.application_name("another").connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let ended = client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", &[&name]).await.unwrap();
    assert!(ended.len() >= 2, "who writes and who reads");
    store_at_last(&db, "2").await;
    assert_eq!(stored(&db).await, ["2", "1"]);
    db.durability().await.unwrap();
}

const PASS: u8 = 0;
/// What the server answers is lost, and the connection with it.
const LOSE_ANSWER: u8 = 1;
/// What the server is told is lost, and the connection with it.
const LOSE_QUESTION: u8 = 2;
/// Nobody gets through.
const REFUSE: u8 = 3;

/// Stands between a store and its server. A loss strikes once.
struct Middle {
    mode: Arc<AtomicU8>,
}

impl Middle {
    /// The bench as seen from the other side.
    async fn before(bench: Bench) -> (Self, Bench) {
        Self::speaking(bench, None).await
    }

    /// The same, with TLS between the store and here.
    async fn speaking(bench: Bench, tls: Option<TlsAcceptor>) -> (Self, Bench) {
        let config = config(&bench);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let password = config.get_password().map(|password| format!(":{}", std::str::from_utf8(password).unwrap())).unwrap_or_default();
        let options = config.get_options().unwrap().replace('=', "%3D");
        let (user, database) = (config.get_user().unwrap(), config.get_dbname().unwrap_or("postgres"));
        let url = format!("postgres://{user}{password}@127.0.0.1:{port}/{database}?options={options}");
        let mode = Arc::new(AtomicU8::new(PASS));
        let own = Arc::clone(&mode);
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if own.load(Ordering::SeqCst) != REFUSE {
                    tokio::spawn(carry(near, tls.clone(), config.clone(), Arc::clone(&own)));
                }
            }
        });
        (Self { mode }, Bench { url: StoreUrl::Postgres(url), ..bench })
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

async fn carry(mut near: TcpStream, tls: Option<TlsAcceptor>, config: Config, mode: Arc<AtomicU8>) {
    let Some(tls) = tls else { return pass(near, &config, &mode).await };
    // The client asks whether TLS is spoken, in eight bytes.
    near.read_exact(&mut [0; 8]).await.unwrap();
    near.write_all(b"S").await.unwrap();
    if let Ok(near) = tls.accept(near).await {
        pass(near, &config, &mode).await;
    }
}

async fn pass(near: impl AsyncRead + AsyncWrite, config: &Config, mode: &AtomicU8) {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match &config.get_hosts()[0] {
        Host::Tcp(name) => pump(near, TcpStream::connect((name.as_str(), port)).await.unwrap(), mode).await,
        Host::Unix(path) => pump(near, UnixStream::connect(socket(path, port)).await.unwrap(), mode).await,
    }
}

fn socket(directory: &Path, port: u16) -> std::path::PathBuf {
    directory.join(format!(".s.PGSQL.{port}"))
}

async fn pump(near: impl AsyncRead + AsyncWrite, far: impl AsyncRead + AsyncWrite, mode: &AtomicU8) {
    let (near_in, near_out) = split(near);
    let (far_in, far_out) = split(far);
    // Either way's end is the end.
    tokio::select! {
        () = one_way(near_in, far_out, mode, LOSE_QUESTION) => {}
        () = one_way(far_in, near_out, mode, LOSE_ANSWER) => {}
    }
}

async fn one_way(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mode: &AtomicU8, loss: u8) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut bytes).await {
        let lost = mode.compare_exchange(loss, PASS, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let refused = mode.load(Ordering::SeqCst) == REFUSE;
        if count == 0 || lost || refused || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

pub(super) async fn a_commit_whose_answer_is_lost_counts(bench: Bench) {
    let (middle, bench) = Middle::before(bench).await;
    let db = bench.open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    middle.set(LOSE_ANSWER);
    assert_eq!(store(&db, trigger(&["news"], "2")).await, Ok(()));
    assert_eq!(stored(&db).await, ["2", "1"], "once");
}

pub(super) async fn a_commit_that_never_arrived_does_not_count(bench: Bench) {
    let (middle, bench) = Middle::before(bench).await;
    let db = bench.open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    middle.set(LOSE_QUESTION);
    assert!(matches!(store(&db, trigger(&["news"], "2")).await, Err(StoreError::Unavailable(_))));
    store(&db, trigger(&["news"], "3")).await.unwrap();
    assert_eq!(stored(&db).await, ["3", "1"]);
}

pub(super) async fn without_a_server_nobody_waits_for_long(bench: Bench) {
    let (middle, bench) = Middle::before(bench).await;
    let db = bench.open();
    middle.set(REFUSE);
    // The first notices, the next waits for a little while, all others are told at once.
    let told = async {
        for _ in 0..100 {
            assert!(matches!(store(&db, trigger(&["news"], "lost")).await, Err(StoreError::Unavailable(_))));
        }
        db.settled().await;
    };
    tokio::time::timeout(FAILSAFE, told).await.expect("nobody waits for long");
    assert!(matches!(db.ping().await, Err(StoreError::Unavailable(_))));
    middle.set(PASS);
    store_at_last(&db, "1").await;
    assert_eq!(stored(&db).await, ["1"]);
}

pub(super) async fn a_url_that_wants_tls_gets_nothing_less(bench: Bench) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let (_middle, bench) = Middle::speaking(bench, Some(TlsAcceptor::from(Arc::new(server)))).await;
    let StoreUrl::Postgres(url) = &bench.url else { panic!("no server") };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root.pem");
    std::fs::write(&root, certified.cert.pem()).unwrap();
    let trusting = format!("{url}&sslmode=require&sslrootcert={}", root.display());
    let doubting = [format!("{url}&sslmode=require"), format!("{trusting}.missing"), format!("{url}&sslmode=prefer")];
    let db = Bench::at(StoreUrl::Postgres(trusting), None).open();
    store(&db, trigger(&["news"], "1")).await.unwrap();
    assert_eq!(stored(&db).await, ["1"]);
    for url in doubting.map(StoreUrl::Postgres) {
        let bench = Bench::at(url, None);
        assert!(matches!(bench.try_open(), Err(StoreError::Unavailable(_))), "{}", bench.url);
    }
}

pub(super) async fn there_is_a_tool_for_copies(bench: Bench) {
    let error = Store::backup(&bench.url, Path::new("/nowhere/copy")).unwrap_err().to_string();
    assert!(error.contains("pg_dump"), "{error}");
}
