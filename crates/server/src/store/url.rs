//! Where the store is.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where the store is. `Display` hides the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// In memory, gone with the process: for tests and trials.
    Memory,
    /// A file, made if it is missing.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`. TLS is spoken if it says `sslmode=require` or `sslmode=prefer`, else not. The server's
    /// certificate must be one that browsers trust, or one signed by a certificate of the file that `sslrootcert` names, with its whole path.
    Postgres(String),
}

impl StoreUrl {
    /// Reads `memory:`, `sqlite:PATH`, `postgres://…` or `postgresql://…`. A relative path is one from `base`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub(crate) fn parse(text: &str, base: &Path) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            return file(path).map(|path| Self::Sqlite(base.join(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return match without_root(text).0.parse::<tokio_postgres::Config>() {
                Ok(_) => Ok(Self::Postgres(text.to_owned())),
                Err(error) => Err(format!("not a URL of PostgreSQL ({error}); one looks like `postgres://user:password@host/database`")),
            };
        }
        Err("the store is one of `sqlite:PATH`, `memory:` and `postgres://user:password@host/database`".to_owned())
    }
}

/// A URL of PostgreSQL without `sslrootcert`, which the driver does not know, and the file that it names.
pub(super) fn without_root(url: &str) -> (String, Option<PathBuf>) {
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let root = |pair: &&str| pair.starts_with("sslrootcert=");
    let pairs: Vec<&str> = query.split('&').filter(|pair| !root(pair)).collect();
    let named = query.split('&').find(root).and_then(|pair| pair.split_once('='));
    let path = named.map(|(_, path)| PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned()));
    let mark = if pairs.is_empty() { "" } else { "?" };
    (format!("{front}{mark}{}", pairs.join("&")), path)
}

fn file(path: &str) -> Result<&Path, String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" | "." | ".." => Err("`sqlite:` needs the path of a file, as in `sqlite:tidings.db`".to_owned()),
        path if path.ends_with('/') => Err("`sqlite:` needs the path of a file, not of a directory".to_owned()),
        path if path.contains('\0') => Err("the path of a file must not hold a NUL".to_owned()),
        path => Ok(Path::new(path)),
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&masked(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// The URL without its password, wherever that stands. What follows `?` may hold one too, so only what is known to be harmless is shown.
fn masked(url: &str) -> String {
    let (front, query) = url.split_once('?').map_or((url, None), |(front, query)| (front, Some(query)));
    let (scheme, rest) = front.split_once("://").unwrap_or(("postgres", front));
    // The last one: a password may hold an @ that was not escaped.
    let shown = match rest.rsplit_once('@') {
        Some((user, place)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:***@{place}"),
            None => format!("{user}@{place}"),
        },
        None => rest.to_owned(),
    };
    let harmless = ["host", "port", "user", "dbname", "sslmode", "sslrootcert", "options", "application_name", "connect_timeout"];
    let pairs: Vec<&str> = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| harmless.contains(&pair.split('=').next().unwrap_or_default()))
        .collect();
    let mark = if pairs.is_empty() { "" } else { "?" };
    format!("{scheme}://{shown}{mark}{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let base = Path::new("/etc/tidings");
        for (text, url) in [
            ("memory:", StoreUrl::Memory),
            ("sqlite:tidings.db", StoreUrl::Sqlite("/etc/tidings/tidings.db".into())),
            ("sqlite:../var/a b.db", StoreUrl::Sqlite("/etc/tidings/../var/a b.db".into())),
            ("sqlite:/var/lib/t.db", StoreUrl::Sqlite("/var/lib/t.db".into())),
            ("sqlite:///var/lib/t.db", StoreUrl::Sqlite("/var/lib/t.db".into())),
            ("postgres://u:p@h/d", StoreUrl::Postgres("postgres://u:p@h/d".into())),
            ("postgresql:///d?host=/run/x", StoreUrl::Postgres("postgresql:///d?host=/run/x".into())),
            ("postgres://h/d?sslrootcert=ca.pem", StoreUrl::Postgres("postgres://h/d?sslrootcert=ca.pem".into())),
        ] {
            assert_eq!(StoreUrl::parse(text, base), Ok(url), "{text}");
        }
        for text in
            ["", "tidings.db", "sqlite:", "sqlite:x/", "sqlite:a\0b", "mysql://h/d", "postgres://h:port/d", "postgres://h/d?nonsense=1"]
        {
            let error = StoreUrl::parse(text, base).unwrap_err();
            assert!(error.contains("file") || error.contains("postgres://user"), "{text}: {error}");
        }
    }

    #[test]
    fn the_root_is_taken_from_the_url() {
        for (url, rest, root) in [
            ("postgres://h/d", "postgres://h/d", None),
            ("postgres://h/d?sslrootcert=/a%20b.pem", "postgres://h/d", Some("/a b.pem")),
            ("postgres://h/d?sslmode=require&sslrootcert=x&port=1", "postgres://h/d?sslmode=require&port=1", Some("x")),
        ] {
            assert_eq!(without_root(url), (rest.to_owned(), root.map(PathBuf::from)));
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://u:geheim@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:geh@eim@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d?sslmode=require", "postgres://u@h/d?sslmode=require"),
            ("postgres://h/d?user=u&password=geheim&sslmode=prefer", "postgres://h/d?user=u&sslmode=prefer"),
            ("postgresql://h/d?password=geheim", "postgresql://h/d"),
        ] {
            let url = StoreUrl::Postgres(text.to_owned());
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("geheim"));
        }
    }
}
