//! `kill -9` at random instants of in-place rewrites of an image of 1 GiB: each goes on or back, and no byte is lost.
//!
//! `KILLS` says how many there shall be; the default is for everyday use, 300 were done once (see CONTRIBUTING.md).

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use cadenas_e2e::{Cadenas, run, try_run};
use cadenas_secret::random;

const IMAGE_BYTES: u64 = 1 << 30;
/// A rewrite of the image takes about two seconds.
const LATEST_KILL: u64 = 2_500;

#[test]
fn killed_rewrites_of_a_raw_image_go_on_or_back() {
    let scene = Scene::new();
    let disk = scene.folder.path().join("disk.raw");
    scene.write_plain(&disk);
    scene.torture(&disk, "luks");
}

#[test]
fn killed_rewrites_of_a_qcow2_image_go_on_or_back() {
    let scene = Scene::new();
    let (raw, disk) = (scene.folder.path().join("disk.raw"), scene.folder.path().join("disk.qcow2"));
    scene.write_plain(&raw);
    run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", text(&raw), text(&disk)]);
    fs::remove_file(raw).expect("it was there");
    scene.torture(&disk, "qcow2");
}

/// What an image is between two rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    Plain,
    /// With the passphrase of this number.
    Encrypted(usize),
}

struct Scene {
    folder: tempfile::TempDir,
    content: PathBuf,
    passphrases: [PathBuf; 2],
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let passphrases = ["one", "two"].map(|name| {
            let path = folder.path().join(name);
            fs::write(&path, format!("correct horse battery staple {name}")).expect("written");
            path
        });
        Self { content: folder.path().join("content"), folder, passphrases }
    }

    /// Random data, with a part that is a hole.
    fn write_plain(&self, disk: &Path) {
        let file = fs::File::create(&self.content).expect("made");
        file.set_len(IMAGE_BYTES).expect("grown");
        let mut bytes = vec![0; 16 << 20];
        for at in (0..IMAGE_BYTES / 4 * 3).step_by(bytes.len()) {
            random::fill(&mut bytes);
            file.write_all_at(&bytes, at).expect("written");
        }
        fs::copy(&self.content, disk).expect("copied");
    }

    /// Rewrites and kills until there were enough kills, and looks at every byte whenever a rewrite has ended.
    fn torture(&self, disk: &Path, into: &str) {
        let kills: u32 = std::env::var("KILLS").map_or(6, |text| text.parse().expect("a number"));
        let (mut now, mut killed) = (Now::Plain, 0);
        while killed < kills {
            let (arguments, then) = self.begin(now, disk, into);
            killed += u32::from(killed_midway(&arguments));
            now = self.settle(disk, now, then, &mut killed, kills);
            self.expect_content(disk, now);
        }
    }

    /// A rewrite that can begin now, and what it leads to.
    fn begin(&self, now: Now, disk: &Path, into: &str) -> (Vec<String>, Now) {
        let arguments = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let disk = text(disk);
        match now {
            Now::Plain => {
                let passphrase = text(&self.passphrases[0]);
                let words = ["disk", "encrypt", "--in-place", "-O", into, disk, "--iter-time", "1"];
                let mut all: Vec<String> = arguments(&words);
                all.extend(arguments(&["--passphrase-file", passphrase]));
                (all, Now::Encrypted(0))
            }
            Now::Encrypted(which) if chance(2) => {
                let (old, new) = (text(&self.passphrases[which]), text(&self.passphrases[1 - which]));
                let words = ["disk", "recrypt", "--in-place", disk, "--iter-time", "1", "--passphrase-file", old];
                let mut all: Vec<String> = arguments(&words);
                all.extend(arguments(&["--new-passphrase-file", new]));
                (all, Now::Encrypted(1 - which))
            }
            Now::Encrypted(which) => {
                let passphrase = text(&self.passphrases[which]);
                (arguments(&["disk", "decrypt", "--in-place", disk, "--passphrase-file", passphrase]), Now::Plain)
            }
        }
    }

    /// Goes on, or back, until the image is whole, being killed now and then.
    fn settle(&self, disk: &Path, before: Now, then: Now, killed: &mut u32, kills: u32) -> Now {
        let journal = PathBuf::from(format!("{}.cadenas-journal", disk.display()));
        let mut back = false;
        while journal.exists() {
            back |= chance(4);
            // Either side's passphrase opens the journal.
            let which = [before, then].into_iter().find_map(|now| match now {
                Now::Encrypted(which) => Some(which),
                Now::Plain => None,
            });
            let passphrase = text(&self.passphrases[which.expect("one side is encrypted")]);
            let verb = if back { "cancel" } else { "resume" };
            let words = ["disk", verb, text(disk), "--passphrase-file", passphrase];
            let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            if *killed < kills {
                *killed += u32::from(killed_midway(&arguments));
            } else {
                let ended = try_run(text(&Cadenas::program()), &arguments);
                assert_eq!(ended.code, Some(0), "{ended}");
            }
        }
        if is_encrypted(disk) == matches!(then, Now::Encrypted(_)) && !both_encrypted(before, then) {
            return then;
        }
        if both_encrypted(before, then) { self.whichever_opens(disk) } else { before }
    }

    fn whichever_opens(&self, disk: &Path) -> Now {
        let opens = |which: &usize| {
            let words = ["disk", "check", text(disk), "--passphrase-file", text(&self.passphrases[*which])];
            try_run(text(&Cadenas::program()), words).code == Some(0)
        };
        Now::Encrypted((0..2).find(opens).expect("one passphrase opens it"))
    }

    /// As `qemu-img` sees it, byte for byte.
    fn expect_content(&self, disk: &Path, now: Now) {
        let format = if disk.extension().is_some_and(|name| name == "qcow2") { "qcow2" } else { "raw" };
        let content = text(&self.content);
        match now {
            Now::Plain => {
                run("qemu-img", ["compare", "-f", "raw", "-F", format, content, text(disk)]);
            }
            Now::Encrypted(which) => {
                let secret = format!("secret,id=s,file={}", self.passphrases[which].display());
                let image = match format {
                    "qcow2" => format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", disk.display()),
                    _ => format!("driver=luks,key-secret=s,file.filename={}", disk.display()),
                };
                let plain = format!("driver=raw,file.filename={content}");
                run("qemu-img", ["compare", "--object", &secret, "--image-opts", &plain, &image]);
            }
        }
        if format == "qcow2" {
            run(
                "qemu-img",
                ["check", "-q", "--image-opts", &check_options(disk, now)]
                    .into_iter()
                    .map(str::to_owned)
                    .chain(self.check_secret(now)),
            );
        }
    }

    fn check_secret(&self, now: Now) -> Vec<String> {
        match now {
            Now::Plain => vec![],
            Now::Encrypted(which) => {
                vec!["--object".to_owned(), format!("secret,id=s,file={}", self.passphrases[which].display())]
            }
        }
    }
}

fn check_options(disk: &Path, now: Now) -> String {
    let key = if now == Now::Plain { "" } else { ",encrypt.key-secret=s" };
    format!("driver=qcow2,file.filename={}{key}", disk.display())
}

/// Starts it, kills it after a random time, and tells whether it was still at work.
fn killed_midway(arguments: &[String]) -> bool {
    let mut child = start(arguments);
    thread::sleep(Duration::from_millis(below(LATEST_KILL)));
    drop(child.kill());
    let ended = child.wait_with_output().expect("waited for");
    let code = ended.status.code();
    assert!(code.is_none_or(|code| code == 0), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
    code.is_none()
}

fn start(arguments: &[String]) -> Child {
    let mut command = Command::new(Cadenas::program());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

fn is_encrypted(disk: &Path) -> bool {
    let info = run(text(&Cadenas::program()), ["disk", "info", text(disk), "-o", "json"]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    !info["encryption"].is_null()
}

fn both_encrypted(one: Now, other: Now) -> bool {
    one != Now::Plain && other != Now::Plain
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn below(bound: u64) -> u64 {
    u64::from_le_bytes(random::array()) % bound
}

fn chance(one_in: u64) -> bool {
    below(one_in) == 0
}
