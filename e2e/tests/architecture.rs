//! What the documents say of the code is so: the crates use each other only as `docs/crates.txt` says, and every test that a
//! document names is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root");
    let allowed = allowed(&std::fs::read_to_string(root.join("docs/crates.txt")).expect("docs/crates.txt"));
    for (name, uses) in used(root) {
        let may = allowed.get(&name).unwrap_or_else(|| panic!("docs/crates.txt does not name {name}"));
        let more: Vec<_> = uses.difference(may).collect();
        assert!(
            more.is_empty(),
            "{name} uses {more:?}; change the design (ARCHITECTURE.md, docs/crates.txt) or the code"
        );
    }
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root");
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root).output().expect("git runs");
    let sources: String = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .map(|file| std::fs::read_to_string(root.join(file)).unwrap_or_default())
        .collect();
    for document in ["SECURITY.md", "docs/formats.md", "docs/kmip.md", "docs/recovery.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        for name in test_names(&text) {
            assert!(sources.contains(&format!("fn {name}(")), "{document} names the test {name}, which is not there");
        }
    }
}

/// The names of tests are sentences: in backticks, with three underscores or more.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split('`').filter(is_name).filter(|word| word.bytes().any(|byte| byte.is_ascii_lowercase()))
}

fn allowed(text: &str) -> Graph {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, uses)| (name.to_owned(), uses.split_whitespace().map(str::to_owned).collect()))
        .collect()
}

/// What the crates under `crates/` really use, tests and benchmarks left out.
fn used(root: &Path) -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = |package: &&serde_json::Value| {
        package["manifest_path"].as_str().is_some_and(|path| path.starts_with(&*root.join("crates").to_string_lossy()))
    };
    packages.iter().filter(ours).map(|package| (short(&package["name"]), uses_of(package))).collect()
}

fn uses_of(package: &serde_json::Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies");
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .filter(|dependency| dependency["name"].as_str().is_some_and(|name| name.starts_with("cadenas-")))
        .map(|dependency| short(&dependency["name"]))
        .collect()
}

fn short(name: &serde_json::Value) -> String {
    name.as_str().expect("a name").trim_start_matches("cadenas-").to_owned()
}
