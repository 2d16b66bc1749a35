//! Finds and reads the file, takes the environment, and hands both to [`read`](super::read). The one place that looks at `std::env`.

use super::drop_in::DropIn;
use super::drop_in::wspush::{Flags, Unread};
use super::problem::{Broken, Problem, Problems};
use super::{Config, Document, Setting, Surroundings, read};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use tidings_hub::Key;

/// A configuration of thousands of apps is smaller.
const CONFIG_BYTES_MAX: u64 = 16 << 20;
/// A secret or a chain of certificates is smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads `file`, or else the first file of [`search_path`] that exists, or else no file; then the environment.
///
/// # Errors
/// [`Broken`] with all problems.
pub fn load(file: Option<&Path>) -> Result<Config, Broken> {
    load_with_settings(file).map(|(config, _)| config)
}

/// As [`load`], with every setting and its value in effect.
///
/// # Errors
/// [`Broken`] with all problems.
pub fn load_with_settings(file: Option<&Path>) -> Result<(Config, Vec<Setting>), Broken> {
    let found = file.map(Path::to_owned).or_else(|| search_path().into_iter().find(|path| path.exists()));
    load_from(found, &made_key)
}

/// Reads the environment of Pushi (I-6), and ours above it. Also gives the document that it amounts to.
///
/// # Errors
/// [`Broken`] with all problems.
pub fn load_pushi(store: &str, open_apps: bool) -> Result<(Config, String), Broken> {
    let document = super::drop_in::pushi::document(&|name| std::env::var(name).ok(), store, open_apps)?;
    let config = load_document(&document)?;
    Ok((config, document.text))
}

/// Reads a configuration file of Pushy (Y-2.1), and our variables above it. Also gives the document that it amounts to.
///
/// # Errors
/// [`Broken`] with all problems.
pub fn load_pushy(file: &Path) -> Result<(Config, String), Broken> {
    let name = file.display().to_string();
    let json = text_of(file).map_err(|error| unreadable(&name, &error))?;
    let mut document = super::drop_in::pushy::document(&name, &json)?;
    document.file = Some(file.to_owned());
    let config = load_document(&document)?;
    Ok((config, document.text))
}

/// Reads the flags of wspush (W-1.1), and its variables where a flag is not given (W-1.2).
///
/// # Errors
/// [`Unread`] with what to say if there is nothing to serve.
pub fn read_wspush(arguments: &[String]) -> Result<Flags, Unread> {
    Flags::parse(arguments, &|name| std::env::var(name).ok())
}

/// Reads what flags of wspush amount to, with an app that is made for this run, and our variables above it. Also gives the document.
///
/// # Errors
/// [`Broken`] with all problems.
pub fn load_wspush(flags: &Flags) -> Result<(Config, String), Broken> {
    let document = super::drop_in::wspush::document(flags, &made_key())?;
    let config = load_document(&document)?;
    Ok((config, document.text))
}

/// Reads a document that stands in no file; its paths are those of this process.
fn load_document(document: &DropIn) -> Result<Config, Broken> {
    let surroundings = Surroundings {
        directory: PathBuf::new(),
        cores: available_parallelism().map_or(1, usize::from),
        read_file: &|path| bytes_of(path, FILE_BYTES_MAX),
        make_key: &made_key,
    };
    let text = Document { name: &document.name, text: &document.text };
    let (mut config, _) = read(Some(text), std::env::vars_os(), &surroundings).map_err(|broken| document.explained(&broken))?;
    config.warnings.splice(..0, document.warnings.iter().cloned());
    config.document = Some(document.clone());
    Ok(config)
}

/// Reads the same file again, and keeps a made app as it is.
///
/// # Errors
/// [`Broken`] with all problems; `config` still holds then.
pub fn reload(config: &Config) -> Result<Config, Broken> {
    match &config.document {
        Some(DropIn { file: Some(file), .. }) => return load_pushy(file).map(|(config, _)| config),
        Some(document) => return load_document(document),
        None => {}
    }
    let make_key = || config.made.clone().unwrap_or_else(made_key);
    load_from(config.file.clone(), &make_key).map(|(config, _)| config)
}

/// Where a file is looked for when none is named, the first first.
#[must_use]
pub fn search_path() -> Vec<PathBuf> {
    candidates(std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from), std::env::var_os("HOME").map(PathBuf::from))
}

fn candidates(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Vec<PathBuf> {
    // A relative XDG_CONFIG_HOME is to be ignored, says its specification.
    let config_home = config_home.filter(|path| path.is_absolute()).or_else(|| home.map(|home| home.join(".config")));
    let own = config_home.map(|path| path.join("tidings/tidings.toml"));
    [Some(PathBuf::from("tidings.toml")), own, Some(PathBuf::from("/etc/tidings/tidings.toml"))].into_iter().flatten().collect()
}

fn load_from(file: Option<PathBuf>, make_key: &dyn Fn() -> Key) -> Result<(Config, Vec<Setting>), Broken> {
    let name = file.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let text = file.as_ref().map(|path| text_of(path).map_err(|error| unreadable(&name, &error))).transpose()?;
    let surroundings = Surroundings {
        directory: file.as_ref().and_then(|path| path.parent()).map(Path::to_owned).unwrap_or_default(),
        cores: available_parallelism().map_or(1, usize::from),
        read_file: &|path| bytes_of(path, FILE_BYTES_MAX),
        make_key,
    };
    let document = text.as_deref().map(|text| Document { name: &name, text });
    let (mut config, settings) = read(document, std::env::vars_os(), &surroundings)?;
    if config.store.is_none() {
        // Somebody has made it, and the apps in it are wanted.
        let standing = super::store::default(&surroundings.directory);
        config.store = surroundings.directory.join("tidings.db").exists().then_some(standing);
    }
    config.file = file;
    Ok((config, settings))
}

fn text_of(path: &Path) -> io::Result<String> {
    let bytes = bytes_of(path, CONFIG_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}

fn bytes_of(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}

fn unreadable(name: &str, error: &io::Error) -> Broken {
    let mut problems = Problems::default();
    problems.add(Problem { path: String::new(), place: Some(name.to_owned()), text: format!("cannot read it: {error}") });
    problems.into_broken()
}

/// 64 hex digits each.
fn made_key() -> Key {
    let digits = || {
        let mut chance = [0; 32];
        getrandom::fill(&mut chance).expect("the kernel gives random bytes");
        chance.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Key { key: digits(), secret: digits() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_path_follows_xdg() {
        let path = |config_home: Option<&str>, home: Option<&str>| {
            let found = candidates(config_home.map(PathBuf::from), home.map(PathBuf::from));
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(path(Some("/x"), Some("/home/u")), "tidings.toml /x/tidings/tidings.toml /etc/tidings/tidings.toml");
        assert_eq!(path(None, Some("/home/u")), "tidings.toml /home/u/.config/tidings/tidings.toml /etc/tidings/tidings.toml");
        assert_eq!(path(Some("relative"), None), "tidings.toml /etc/tidings/tidings.toml");
    }

    #[test]
    fn a_made_key_is_64_hex_digits_and_never_the_same() {
        let (one, other) = (made_key(), made_key());
        for text in [&one.key, &one.secret, &other.key, &other.secret] {
            assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert!(one.key != other.key && one.secret != other.secret && one.key != one.secret);
    }

    #[test]
    fn files_are_bounded_and_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.toml");
        std::fs::write(&path, b"[log]\nlevel = \"\xff\"\n").unwrap();
        let broken = load(Some(&path)).unwrap_err().to_string();
        assert!(broken.contains("tidings.toml: cannot read it: line 2 is not UTF-8 text"), "{broken}");
        std::fs::write(&path, "12345").unwrap();
        assert!(bytes_of(&path, 4).unwrap_err().to_string().contains("larger than 4 bytes"));
        assert_eq!(bytes_of(&path, 5).unwrap(), b"12345");
        let broken = load(Some(&directory.path().join("none.toml"))).unwrap_err().to_string();
        assert!(broken.contains("none.toml: cannot read it"), "{broken}");
    }

    #[test]
    fn a_file_is_read_again_with_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tidings.toml");
        std::fs::write(&path, "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret_file = \"secret\"\n").unwrap();
        std::fs::write(directory.path().join("secret"), "first-secret\n").unwrap();
        let config = load(Some(&path)).unwrap();
        assert_eq!(config.apps[0].secret("k"), Some("first-secret"));
        std::fs::write(directory.path().join("secret"), "second-secret\r\n").unwrap();
        assert_eq!(reload(&config).unwrap().apps[0].secret("k"), Some("second-secret"));
        std::fs::remove_file(directory.path().join("secret")).unwrap();
        let broken = reload(&config).unwrap_err().to_string();
        assert!(broken.contains(":4: apps[0].secret_file: cannot read "), "{broken}");
    }
}
