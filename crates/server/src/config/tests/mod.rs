//! The configuration as a whole: what is read, what is refused and in which words, and that no secret is ever told.

mod documents;
mod problems;
mod pushi;
mod redis;
mod reference;
mod reload;
mod safety;
mod store;
mod values;
mod variables;
mod wspush;

use super::*;
use std::time::Duration;
use tidings_hub::AppId;

const EXAMPLE: &str = include_str!("../../../../../docs/operating/tidings.example.toml");
const MANUAL: &str = include_str!("../../../../../docs/operating/configuration.md");
const APP: &str = "[[apps]]\nid = \"1\"\nkey = \"k\"\nsecret = \"long-enough-secret\"\n";

fn files(path: &Path) -> io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/etc/t/secret") => Ok(b"secret-of-the-file\n".to_vec()),
        Some("/etc/t/wspush-key") => Ok(b"b3RoZXI\n".to_vec()),
        Some("/etc/t/redis-url") => Ok(b"redis://:in-a-file@h\n".to_vec()),
        Some("/run/limit") => Ok(b"77\n".to_vec()),
        Some("/etc/t/pem.pem" | "/etc/t/certificate.pem" | "/etc/t/key.pem" | "/etc/t/secret-2") => Ok(pem().into_bytes()),
        Some("/etc/t/text.pem") => Ok(b"not a certificate".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

/// A certificate and its key.
fn pem() -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem())
}

fn read_with(text: Option<&str>, variables: &[(&str, &str)]) -> Result<(Config, Vec<Setting>), Broken> {
    let surroundings = Surroundings {
        directory: PathBuf::from("/etc/t"),
        cores: 3,
        read_file: &files,
        make_key: &|| Key { key: "made-key".to_owned(), secret: "made-secret".to_owned() },
    };
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    read(text.map(|text| Document { name: "t.toml", text }), variables, &surroundings)
}

fn right(text: &str, variables: &[(&str, &str)]) -> Config {
    match read_with(Some(text), variables) {
        Ok((config, _)) => config,
        Err(broken) => panic!("{text}\n{broken}"),
    }
}

/// The problems, one a line.
fn wrong(text: &str, variables: &[(&str, &str)]) -> String {
    let broken = read_with(Some(text), variables).err().unwrap_or_else(|| panic!("this should be refused:\n{text}\n{variables:?}"));
    broken.problems().iter().map(|problem| format!("{problem}\n")).collect()
}

/// The example with its settings switched on: what begins with `#` and no space.
fn uncommented(example: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    example.lines().map(line).collect()
}
