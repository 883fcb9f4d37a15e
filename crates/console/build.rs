//! Builds the web console in `web/` with its own tools, and writes what came out as a table of files.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, exit},
};

use flate2::{Compression, write::GzEncoder};

/// What Vite 8 asks for.
const NODE: (u32, u32) = (20, 19);
/// What the page is made of, below `web/`.
const SOURCES: [&str; 8] = [
    "index.html",
    "package-lock.json",
    "package.json",
    "public",
    "src",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];

type Result<T = (), E = String> = std::result::Result<T, E>;

fn main() {
    if let Err(why) = build() {
        eprintln!("\nThe web console cannot be built: {why}\n");
        exit(1);
    }
}

fn build() -> Result {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let web = root.join("web");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    // The types of the page's requests are made from it.
    println!("cargo::rerun-if-changed={}", root.join("crates/api/openapi.json").display());
    check_node()?;
    install_libraries(&web)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no folder for it")?);
    let page = out.join("console");
    npm(&web, &["run", "build"], Some(&page))?;
    write_table(&page, &out).map_err(|error| format!("{}: {error}", out.display()))
}

fn check_node() -> Result {
    let (major, minor) = NODE;
    let advice = format!("install Node.js {major}.{minor} or newer with npm, or run `make setup`");
    let output = Command::new("node").arg("--version").output().map_err(|error| format!("node: {error}; {advice}"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let mut parts = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    match (parts.next(), parts.next()) {
        (Some(found), Some(of)) if (found, of) >= NODE => Ok(()),
        _ => Err(format!("node is {}; {advice}", version.trim())),
    }
}

/// Installs what `package-lock.json` names, unless that was done.
fn install_libraries(web: &Path) -> Result {
    let lock = fs::read(web.join("package-lock.json")).map_err(|error| format!("package-lock.json: {error}"))?;
    let installed = web.join("node_modules/.installed-lock.json");
    if fs::read(&installed).is_ok_and(|there| there == lock) {
        return Ok(());
    }
    npm(web, &["ci", "--no-audit", "--no-fund"], None)?;
    fs::write(&installed, lock).map_err(|error| format!("{}: {error}", installed.display()))
}

fn npm(web: &Path, arguments: &[&str], out: Option<&Path>) -> Result {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(web).envs(out.map(|out| ("CADENAS_CONSOLE_OUT", out)));
    let output = command.output().map_err(|error| format!("npm: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("`npm {}` failed\n{}", arguments.join(" "), String::from_utf8_lossy(&said)))
}

/// Writes `files.rs`: every file of the page, as it is and compressed.
fn write_table(page: &Path, out: &Path) -> io::Result<()> {
    let mut table = String::from("/// Every file of the web console.\npub const FILES: &[ConsoleFile] = &[\n");
    for (number, file) in files_below(page)?.iter().enumerate() {
        let compressed = out.join(format!("{number}.gz"));
        fs::write(&compressed, gzip(&fs::read(file)?)?)?;
        let path = file.strip_prefix(page).map_err(io::Error::other)?;
        let [path, file, compressed] = [path, file, &compressed].map(literal);
        writeln!(
            table,
            "    ConsoleFile {{ path: {path}, bytes: include_bytes!({file}), gzip: include_bytes!({compressed}) }},"
        )
        .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    fs::write(out.join("files.rs"), table)
}

/// A path as source code.
fn literal(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

/// In the order of their paths, so that equal sources make equal programs.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
