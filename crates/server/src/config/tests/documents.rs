//! The documents: what they show as configuration is right, what they link to exists, and the versions they name are those tested.

use super::*;
use std::fs;

/// The repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every document that is kept in the repository's root, in `docs` or in `tests`, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("tests/transcripts")];
    let mut take = |path: PathBuf| {
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    };
    for entry in fs::read_dir(root()).unwrap() {
        take(entry.unwrap().path());
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { take(path) }
        }
    }
    assert!(found.iter().any(|(path, _)| path.ends_with("README.md")) && found.iter().any(|(path, _)| path.ends_with("install.md")));
    found
}

/// The blocks of `text` that are fenced as `language`.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("\n```{language}\n");
    text.split(fence.as_str()).skip(1).map(|block| block.split("```").next().unwrap_or_default()).collect()
}

/// A certificate, its key, or a secret, by the name of the file.
fn any_file(path: &Path) -> io::Result<Vec<u8>> {
    Ok(if path.extension().is_some_and(|extension| extension == "pem") { pem().into_bytes() } else { b"long-enough-secret".to_vec() })
}

/// Each block stands for a file; one that shows no app is given one.
#[test]
fn what_documents_show_as_configuration_is_right() {
    let mut seen = 0;
    for (path, text) in documents() {
        for block in blocks(&text, "toml") {
            let whole = if block.contains("[[apps]]") { block.to_owned() } else { format!("{block}\n{APP}") };
            let surroundings = Surroundings {
                directory: PathBuf::from("/etc/tidings"),
                cores: 3,
                read_file: &any_file,
                make_key: &|| unreachable!("there is an app"),
            };
            match read(Some(Document { name: "t.toml", text: &whole }), [], &surroundings) {
                Ok((config, _)) => assert_eq!(config.warnings, [], "{}:\n{block}", path.display()),
                Err(broken) => panic!("{}:\n{block}\n{broken}", path.display()),
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} blocks were found");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut seen = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}", path.display());
            if let Some(heading) = heading {
                let text = fs::read_to_string(&target).unwrap();
                let found = text
                    .lines()
                    .any(|line| line.starts_with('#') && line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == heading);
                assert!(found, "{} links to {link}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} links were found");
}

#[test]
fn the_versions_of_clients_are_those_tested() {
    let page = fs::read_to_string(root().join("docs/operating/clients.md")).unwrap();
    let package = fs::read_to_string(root().join("tests/node/package.json")).unwrap();
    let requirements = fs::read_to_string(root().join("tests/python/requirements.txt")).unwrap();
    let package: serde_json::Value = serde_json::from_str(&package).unwrap();
    for (name, version) in package["devDependencies"].as_object().unwrap() {
        let name = match name.as_str() {
            "pusher" => "`pusher` for Node".to_owned(),
            // What the tests themselves need.
            "playwright-core" | "tweetnacl" | "typescript" | "@types/node" => continue,
            name => format!("`{name}`"),
        };
        let row = format!("| {name} | {} |", version.as_str().unwrap());
        assert!(page.contains(&row), "{row}");
    }
    for name in ["pusher", "pushi"] {
        let version = requirements.lines().find_map(|line| line.strip_prefix(&format!("{name}=="))).unwrap();
        assert!(page.contains(&format!("| `{name}` for Python | {version} |")), "{version}");
    }
}
