//! A connection to PostgreSQL: how it is made, what its errors mean, and the tables brought up to date.

use crate::store::error::{Fault, StoreError};
use crate::store::migration::{self, Migration};
use crate::store::url::without_root;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

const MIGRATIONS: [Migration; 3] = [
    Migration { version: 1, sql: include_str!("0001.sql") },
    Migration { version: 2, sql: include_str!("0002.sql") },
    Migration { version: 3, sql: include_str!("0003.sql") },
];
/// One process at a time brings tables up to date.
const MIGRATION_LOCK: &str = "8370011704";
/// How long it may take to connect.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// After how long without a word a connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Where the server is, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Target {
    /// What the URL says, with what it leaves open filled in.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let (url, root) = without_root(url);
        let mut config: Config = url.parse().map_err(|error: Error| StoreError::Unavailable(text(&error)))?;
        if !url.contains("sslmode=") {
            config.ssl_mode(SslMode::Disable);
        }
        if config.get_application_name().is_none() {
            config.application_name("tidings");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        config.tcp_user_timeout(SILENCE_MAX).keepalives_idle(SILENCE_MAX);
        Ok(Self { config, tls: tls(root.as_deref())? })
    }
}

/// Trusts the roots of the file, or else those that browsers trust.
fn tls(root: Option<&Path>) -> Result<MakeRustlsConnect, StoreError> {
    let roots = match root {
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        Some(path) => read_roots(path).map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))?,
    };
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the versions that are built in")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read_roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

/// A connection that a task of this runtime carries.
pub(super) async fn connect(target: &Target) -> Result<Client, StoreError> {
    let (client, connection) = target.config.connect(target.tls.clone()).await.map_err(|error| StoreError::Unavailable(text(&error)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %text(&error), "a connection to PostgreSQL ended");
        }
    });
    Ok(client)
}

/// Brings the tables up to date.
pub(super) async fn migrate(client: &Client) -> Result<(), StoreError> {
    let failed = |error: Error| match fault(&error) {
        Fault::Job(error) => StoreError::Broken(format!("its tables could not be made ({error})")),
        fault => fault.error(),
    };
    let begin = format!(
        "BEGIN; SELECT pg_advisory_xact_lock({MIGRATION_LOCK}); CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)"
    );
    client.batch_execute(&begin).await.map_err(failed)?;
    let found: i64 = client.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[]).await.map_err(failed)?.get(0);
    for migration in migration::missing(&MIGRATIONS, found)? {
        client.batch_execute(migration.sql).await.map_err(failed)?;
        client.execute("INSERT INTO schema_version VALUES ($1)", &[&migration.version]).await.map_err(failed)?;
    }
    client.batch_execute("COMMIT").await.map_err(failed)
}

/// How far a failure reaches.
pub(super) fn fault(error: &Error) -> Fault {
    let lost = error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>());
    let Some(code) = error.code() else {
        return if lost { Fault::Connection(StoreError::Unavailable(text(error))) } else { Fault::Job(StoreError::Broken(text(error))) };
    };
    let unavailable = || StoreError::Unavailable(text(error));
    match code.code().get(..2) {
        _ if *code == SqlState::DISK_FULL => Fault::Group(StoreError::DiskFull),
        // Not enough of something; interrupted or put off.
        Some("53" | "40" | "55") => Fault::Group(unavailable()),
        _ if *code == SqlState::QUERY_CANCELED => Fault::Group(unavailable()),
        // The connection, the server's end, a server that became a stand-by.
        Some("08" | "57") => Fault::Connection(unavailable()),
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Fault::Connection(unavailable()),
        _ => Fault::Job(StoreError::Broken(text(error))),
    }
}

/// What the server said, or what happened instead. Never what was sent.
pub(super) fn text(error: &Error) -> String {
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
