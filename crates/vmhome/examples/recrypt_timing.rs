//! How long a shallow recrypt takes in the host: `cargo run --release -p cadenas-vmhome --example recrypt_timing [FOLDER]`.
//!
//! A VM with four disks (five key safe entries), recrypted 200 times between two keys, file and folder flushed each time.
//! The folder decides which disk is measured; it is the system's temporary one by default.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use cadenas_image::{NoProgress, Tuning};
use cadenas_keys::{Kdk, KeyId, KeyRing, ProviderId, VmId};
use cadenas_vmhome::{
    Context, Definition, DefinitionError, EncryptPlan, Journal, Method, NoSteps, PlainDisk, PlainFormat, Rewrap, Wipe,
    encrypt, recrypt,
};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("recrypt-timing-{}", VmId::random()));
    fs::create_dir(&folder)?;
    let done = measure(&folder);
    fs::remove_dir_all(&folder)?;
    done
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    let (keyring, provider, keys) = (KeyRing::new(), ProviderId::random(), [KeyId::random(), KeyId::random()]);
    for key in keys {
        keyring.insert(provider, key, Kdk::generate())?;
    }
    let (vm, journal) = (VmId::random(), Journal::open(&folder.join("journal"))?);
    let home = encrypted_vm(folder, vm, &keyring, &journal, (provider, keys[0]))?;
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let begin = Instant::now();
        let rewrap = Rewrap { vm, home: home.clone(), from: None, provider, key: keys[(round + 1) % 2] };
        recrypt(&rewrap, &keyring, &journal, &NoSteps)?;
        times.push(begin.elapsed());
    }
    times.sort();
    let flushes = flush_times(folder)?;
    println!("shallow recrypt, 4 disks and the configuration, {ROUNDS} times, file and folder flushed:");
    println!("  median {:?}, fastest {:?}, slowest {:?}", times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
    println!("of which writing, flushing and renaming alone, on this disk: median {:?}", flushes[ROUNDS / 2]);
    Ok(())
}

fn encrypted_vm(
    folder: &Path,
    vm: VmId,
    keyring: &KeyRing,
    journal: &Journal,
    (provider, key): (ProviderId, KeyId),
) -> Result<PathBuf, Box<dyn Error>> {
    let disk = |target: &str| -> std::io::Result<PlainDisk> {
        let path = folder.join(format!("{target}.img"));
        fs::write(&path, vec![1; 1 << 20])?;
        Ok(PlainDisk { target: target.to_owned(), path, format: PlainFormat::Raw, into: None })
    };
    let plan = EncryptPlan {
        vm,
        name: "web01".parse()?,
        policy: "VM Encryption Policy".to_owned(),
        created: "2026-11-24T00:00:00Z".to_owned(),
        home: folder.join("web01"),
        // As long as what libvirt gives for a VM with four disks.
        domain_xml: format!("<domain>{}</domain>", "<device/>".repeat(700)),
        autostart: false,
        disks: ["vda", "vdb", "vdc", "vdd"].into_iter().map(disk).collect::<Result<_, _>>()?,
        provider,
        key,
        method: Method::Copy,
        wipe: Wipe::None,
    };
    let context = Context {
        keyring,
        journal,
        definition: &NoHypervisor,
        steps: &NoSteps,
        progress: &NoProgress,
        tuning: Tuning::default(),
    };
    Ok(encrypt(&plan, context)?.home.path().to_owned())
}

/// What the disk itself takes for a small file: written, flushed, renamed, its folder flushed.
fn flush_times(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let (staged, path, bytes) = (folder.join("staged"), folder.join("file"), vec![7; 12 << 10]);
    let opened = fs::File::open(folder)?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let mut file = fs::File::create_new(&staged)?;
        std::io::Write::write_all(&mut file, &bytes)?;
        file.sync_all()?;
        fs::rename(&staged, &path)?;
        opened.sync_all()?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times)
}

struct NoHypervisor;

impl Definition for NoHypervisor {
    fn define(&self, _: VmId, _: &str, _: bool) -> Result<(), DefinitionError> {
        Ok(())
    }

    fn undefine(&self, _: VmId) -> Result<(), DefinitionError> {
        Ok(())
    }
}
