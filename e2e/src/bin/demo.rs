//! `make demo`: a real VM is encrypted with a native key provider, started, given another key while it runs, and shown.
//!
//! The libvirt is a private one in a temporary folder; the machine's own is not touched, and nothing is left behind.

use std::{
    io::{IsTerminal, stdout},
    time::{Duration, Instant},
};

use cadenas_e2e::{BACKUP_PASSWORD, Cadenas, DiskFormat, Guest, PrivateLibvirt, files_with, try_run};

const BOOT: Duration = Duration::from_mins(2);

fn main() {
    let began = Instant::now();
    title("A private libvirt, and a VM with a disk that bears marks");
    let libvirt = PrivateLibvirt::start();
    let datastore = libvirt.datastore();
    let guest = Guest::builder("web01", &datastore).disk(DiskFormat::Qcow2, 256 << 20).steps("marks,tick").create();
    libvirt.virsh(&["define", &guest.xml_file().display().to_string()]);
    libvirt.virsh(&["start", "web01"]);
    guest.wait_for_console("TICK vda 2", BOOT);
    libvirt.virsh(&["destroy", "web01"]);
    say(&format!(
        "Files of the VM that hold its marks in clear: {}",
        files_with(&datastore, &Guest::MARK_PREFIXES).len()
    ));

    let show = Show { cadenas: Cadenas::start(&libvirt.uri()) };
    title("A native key provider, and its password-protected backup");
    show.run(&["provider", "create", "nkp"]);
    let backup = datastore.join("nkp.p12").display().to_string();
    show.run_with(&["provider", "backup", "nkp", "--out", &backup, "--password-file", "-"], BACKUP_PASSWORD);
    show.run(&["provider", "ls"]);

    title("The VM Encryption Policy");
    show.run(&["vm", "ls"]);
    show.run(&["vm", "encrypt", "web01"]);
    let home = datastore.join("web01");
    tool("ls", &["-l", &home.display().to_string()]);
    say(&format!("Files of the VM home that hold a mark in clear: {}", files_with(&home, &Guest::MARK_PREFIXES).len()));

    title("It runs from its encrypted disk, and finds every mark");
    show.run(&["vm", "start", "web01"]);
    guest.wait_until_marks_are_read(BOOT);
    show.run(&["vm", "ls"]);

    title("Another key while it runs");
    show.run(&["provider", "rotate", "nkp"]);
    show.run_with(&["provider", "backup", "nkp", "--force", "--out", &backup, "--password-file", "-"], BACKUP_PASSWORD);
    show.run(&["vm", "recrypt", "web01"]);
    show.run(&["vm", "show", "web01"]);
    show.run(&["vm", "verify", "web01"]);

    title("Nobody is locked in: QEMU opens the disk with what the backup gives");
    show.run(&["vm", "shutdown", "web01"]);
    let descriptor = home.join("web01.cadenas").display().to_string();
    let recovered = datastore.join("recovered").display().to_string();
    let recover = ["recover", "--backup", &backup, "--vm", &descriptor, "--out", &recovered, "--password-file", "-"];
    show.run_with(&recover, BACKUP_PASSWORD);
    let secret = format!("secret,id=s,file={recovered}/vda.passphrase");
    let image = format!("driver=qcow2,encrypt.key-secret=s,file.filename={}", home.join("vda.qcow2").display());
    tool("qemu-img", &["check", "--object", &secret, "--image-opts", &image]);
    title(&format!("Done, in {:.0} s", began.elapsed().as_secs_f64()));
}

/// Shows commands and what they print.
struct Show {
    cadenas: Cadenas,
}

impl Show {
    fn run(&self, args: &[&str]) {
        self.run_with(args, "");
    }

    fn run_with(&self, args: &[&str], input: &str) {
        command("cadenas", args);
        let began = Instant::now();
        let finished = self.cadenas.try_cadenas_with(args, input.as_bytes());
        print(&finished.stdout);
        print(&finished.stderr);
        assert_eq!(finished.code, Some(0), "the demo stops here:\n{}", self.cadenas.log());
        say(&format!("({} ms)", began.elapsed().as_millis()));
    }
}

/// Shows another program and what it prints.
fn tool(program: &str, args: &[&str]) {
    command(program, args);
    print(&try_run(program, args).ok());
}

fn title(text: &str) {
    println!("\n{}", styled("1", &format!("== {text}")));
}

fn say(text: &str) {
    println!("{}", styled("2", text));
}

fn command(program: &str, args: &[&str]) {
    let quoted: Vec<String> =
        args.iter().map(|arg| if arg.contains([' ', ',']) { format!("'{arg}'") } else { (*arg).to_owned() }).collect();
    println!("\n{}", styled("36", &format!("$ {program} {}", quoted.join(" "))));
}

fn print(text: &str) {
    if !text.trim().is_empty() {
        println!("{}", text.trim_end());
    }
}

/// With an ANSI style on a terminal (ECMA-48, SGR).
fn styled(style: &str, text: &str) -> String {
    if stdout().is_terminal() { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
}
