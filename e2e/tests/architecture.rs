//! The crates use each other only as `docs/crates.txt` says.

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
