//! `make playground`: two sites with real VMs and a key server, to click through the web console.
//!
//! `playground --vms N` adds N VMs that have a configuration and no disk, encrypted under the provider `many`.
//!
//! Everything is in temporary folders and ends with standard input. To a program it tells in one line of JSON what there is, and
//! takes `kms stop`, `kms start`, `libvirt stop` and `libvirt start`, each answered by its own line.

use std::{
    env,
    io::{BufRead, IsTerminal, stdin},
    path::Path,
};

use cadenas_e2e::{Cadenas, DiskFormat, Guest, ManyHomes, PyKmip, World};
use serde_json::{Value, json};

fn main() {
    let mut playground = Playground::open();
    if let Some(count) = many_vms() {
        let backup = playground.paris.active_provider("many");
        drop(ManyHomes::make(&playground.paris, &backup, count));
    }
    if stdin().is_terminal() {
        playground.welcome();
    } else {
        println!("{}", playground.contents());
    }
    for line in stdin().lock().lines().map_while(Result::ok) {
        println!("{}", if playground.carry_out(&line) { line.as_str() } else { "what?" });
    }
}

/// What `--vms` says.
fn many_vms() -> Option<usize> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => None,
        [option, count] if option == "--vms" => Some(count.parse().expect("a number of VMs")),
        _ => panic!("usage: playground [--vms N]"),
    }
}

struct Playground {
    /// Where the VMs are.
    paris: World,
    /// Where they can be restored.
    lyon: World,
    kms: PyKmip,
    guests: Vec<Guest>,
}

impl Playground {
    fn open() -> Self {
        let (paris, lyon, kms) = (World::empty(), World::empty(), PyKmip::start());
        let datastore = paris.libvirt.datastore();
        let guests = [
            Guest::builder("web01", &datastore).disk(DiskFormat::Qcow2, 64 << 20).disk(DiskFormat::Raw, 16 << 20),
            Guest::builder("db01", &datastore).disk(DiskFormat::Raw, 32 << 20),
            Guest::builder("mail01", &datastore).disk(DiskFormat::Qcow2, 256 << 20),
        ];
        let guests = guests.map(|guest| guest.steps("marks,tick").create());
        paris.mark(&guests);
        Self { paris, lyon, kms, guests: guests.into() }
    }

    fn contents(&self) -> Value {
        let client = self.kms.client("cadenas");
        let guest = |guest: &Guest| json!({"name": guest.name, "console": guest.console_path()});
        json!({
            "program": Cadenas::program(),
            "sites": { "paris": site(&self.paris), "lyon": site(&self.lyon) },
            "kms": {
                "address": self.kms.address(),
                "ca": self.kms.ca(),
                "certificate": client.certificate,
                "key": client.key,
            },
            "guests": self.guests.iter().map(guest).collect::<Vec<_>>(),
        })
    }

    fn welcome(&self) {
        let client = self.kms.client("cadenas");
        let link = |world: &World| world.cadenas.cadenas(&["console", "--no-browser", "--quiet"]);
        print!("Paris, with three VMs:  {}", link(&self.paris));
        print!("Lyon, with none:        {}", link(&self.lyon));
        println!("A key server:           {}, CA {}", self.kms.address(), self.kms.ca().display());
        println!("  takes the client      {} with key {}", client.certificate.display(), client.key.display());
        for (name, world) in [("Paris", &self.paris), ("Lyon", &self.lyon)] {
            println!("{name} on the command line: cadenas --socket {}", world.cadenas.socket().display());
        }
        println!("Ctrl-D ends it all and leaves nothing.");
    }

    fn carry_out(&mut self, command: &str) -> bool {
        match command {
            "kms stop" => self.kms.stop(),
            "kms start" => self.kms.restart(),
            "libvirt stop" => self.paris.libvirt.stop(),
            "libvirt start" => self.paris.libvirt.begin(),
            _ => return false,
        }
        true
    }
}

fn site(world: &World) -> Value {
    let path = |path: &Path| path.display().to_string();
    json!({
        "server": world.cadenas.pid(),
        "socket": path(&world.cadenas.socket()),
        "data": path(world.cadenas.data_dir()),
        "libvirt": world.libvirt.uri(),
        "datastore": path(&world.libvirt.datastore()),
    })
}
