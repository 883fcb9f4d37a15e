//! Images that stand on others: read as one disk, but only from the files that the caller hands over.

use std::{fs, os::unix::fs::FileExt, path::Path};

use cadenas_image::{
    Access, File, Format, ImageError, MAX_BACKING_FILES, NoProgress, Source, Storage, Target, Tuning, convert, inspect,
    open_chain, open_source,
};

use crate::common::{Bench, assert_same, noise, passphrase, run, text};

const MIB: u64 = 1 << 20;

#[test]
fn a_chain_reads_as_qemu_reads_it() {
    let bench = Bench::new();
    // The base ends inside a sector and before the images on it.
    let base = bench.raw_disk(3 * MIB + 77);
    let middle = overlay(&bench, "middle.qcow2", &base, "raw", "4M", &["cluster_size=4096"]);
    let top = overlay(&bench, "top.qcow2", &middle, "qcow2", "6M", &["extended_l2=on"]);
    let write = |image: &Path, commands: &[&str]| {
        let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
        run("qemu-io", &[&commands[..], &["-f", "qcow2", text(image)]].concat());
    };
    write(&middle, &["write -P 1 100k 300k", "write -z 1M 128k", "write -P 2 3900k 100k"]);
    write(&top, &["write -P 3 102k 2k", "write -z 110k 6k", "discard 1200k 64k", "write -P 4 5M 70k"]);
    let paths = [(&top, Format::Qcow2), (&middle, Format::Qcow2), (&base, Format::Raw)];
    assert_read_as_qemu_does(&bench, &paths);
}

#[test]
fn the_files_of_a_chain_may_be_encrypted_each_by_itself() {
    let bench = Bench::new();
    let plain = bench.raw_disk(2 * MIB);
    let (base, top) = (bench.path("base.qcow2"), bench.path("top.qcow2"));
    Bench::ours(&plain, &base, Target::Qcow2Luks { cluster_size: 65536 });
    fs::copy(&plain, bench.path("expected.raw")).expect("copied");
    let options = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    run(
        "qemu-img",
        &[
            &["create", "-q", "-u", "--object", &bench.secret(), "-f", "qcow2", "-o", options],
            &["-b"][..],
            &[text(&base), "-F", "qcow2", text(&top), "2M"],
        ]
        .concat(),
    );
    let opened = format!(
        "driver=qcow2,encrypt.key-secret=s,file.filename={},backing.driver=qcow2,backing.encrypt.key-secret=s,\
         backing.file.filename={}",
        text(&top),
        text(&base)
    );
    run("qemu-io", &["--object", &bench.secret(), "--image-opts", &opened, "-c", "write -P 7 300k 100k"]);
    let expected = fs::OpenOptions::new().write(true).open(bench.path("expected.raw")).expect("opened");
    expected.write_all_at(&vec![7; 100 << 10], 300 << 10).expect("written");
    let files = [&top, &base].map(|path| File::open(path, Access::Read).expect("opened"));
    let (top, below): (&dyn Storage, &dyn Storage) = (&files[0], &files[1]);
    let refused = open_chain((top, Format::Qcow2), &[(below, Format::Qcow2)], None);
    assert!(matches!(refused.err(), Some(ImageError::PassphraseNeeded { .. })));
    let source = open_chain((top, Format::Qcow2), &[(below, Format::Qcow2)], Some(&passphrase())).expect("opened");
    write_raw(&source, &bench.path("out.raw"));
    assert_same(&bench.path("out.raw"), &bench.path("expected.raw"));
}

#[test]
fn a_chain_is_whole_or_refused() {
    let bench = Bench::new();
    let base = bench.raw_disk(MIB);
    let top = overlay(&bench, "top.qcow2", &base, "raw", "1M", &[]);
    let files = [&top, &base].map(|path| File::open(path, Access::Read).expect("opened"));
    let (top, base): (&dyn Storage, &dyn Storage) = (&files[0], &files[1]);
    let info = inspect(top).expect("inspected");
    assert!(info.backing_file.is_some_and(|name| name.ends_with("plain.raw")));
    assert_eq!(info.backing_format.as_deref(), Some("raw"));
    assert!(matches!(open_source(top, None).err(), Some(ImageError::BackingFile { .. })));
    let open = |top, backing: &[(&'static str, &dyn Storage, Format)]| {
        let backing: Vec<_> = backing.iter().map(|(_, storage, format)| (*storage, *format)).collect();
        open_chain(top, &backing, None).err()
    };
    assert!(open((top, Format::Qcow2), &[("base", base, Format::Raw)]).is_none());
    let too_many = open((base, Format::Raw), &[("base", base, Format::Raw)]);
    assert!(matches!(too_many, Some(ImageError::NoBackingFile { .. })));
    let unfinished = open((top, Format::Qcow2), &[("itself", top, Format::Qcow2)]);
    assert!(matches!(unfinished, Some(ImageError::BackingFile { .. })));
    let deep = vec![("itself", top, Format::Qcow2); MAX_BACKING_FILES + 1];
    assert!(matches!(open((top, Format::Qcow2), &deep), Some(ImageError::ChainTooLong { .. })));
    let passphrase = passphrase();
    let refused = open_chain((top, Format::Qcow2), &[(base, Format::Raw)], Some(&passphrase));
    assert!(matches!(refused.err(), Some(ImageError::NotEncrypted { .. })));
}

#[test]
fn snapshots_below_the_top_are_no_hindrance() {
    let bench = Bench::new();
    let (plain, base) = (bench.raw_disk(2 * MIB), bench.path("base.qcow2"));
    run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", text(&plain), text(&base)]);
    run("qemu-img", &["snapshot", "-c", "before", text(&base)]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 0 128k", text(&base)]);
    let top = overlay(&bench, "top.qcow2", &base, "qcow2", "2M", &[]);
    assert_read_as_qemu_does(&bench, &[(&top, Format::Qcow2), (&base, Format::Qcow2)]);
}

#[test]
fn what_a_chain_stores_is_counted_once() {
    let bench = Bench::new();
    let base = bench.path("base.raw");
    fs::write(&base, noise(1, 256 << 10)).expect("written");
    let top = overlay(&bench, "top.qcow2", &base, "raw", "16M", &[]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 9 0 128k", "-c", "write -P 9 8M 64k", text(&top)]);
    let files = [&top, &base].map(|path| File::open(path, Access::Read).expect("opened"));
    let source = open_chain((&files[0], Format::Qcow2), &[(&files[1], Format::Raw)], None).expect("opened");
    let usage = source.usage().expect("counted");
    assert_eq!((usage.allocated, usage.has_holes), ((256 << 10) + (64 << 10), true));
}

fn overlay(bench: &Bench, name: &str, base: &Path, format: &str, size: &str, options: &[&str]) -> std::path::PathBuf {
    let path = bench.path(name);
    let options: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    let make = ["create", "-q", "-f", "qcow2", "-b", text(base), "-F", format];
    run("qemu-img", &[&make[..], &options, &[text(&path), size]].concat());
    path
}

fn assert_read_as_qemu_does(bench: &Bench, chain: &[(&std::path::PathBuf, Format)]) {
    let files: Vec<_> = chain.iter().map(|(path, _)| File::open(path, Access::Read).expect("opened")).collect();
    let layers: Vec<(&dyn Storage, Format)> =
        files.iter().zip(chain).map(|(file, (_, format))| (file as &dyn Storage, *format)).collect();
    let source = open_chain(layers[0], &layers[1..], None).expect("opened");
    let (ours, theirs) = (bench.path("ours.raw"), bench.path("theirs.raw"));
    write_raw(&source, &ours);
    run("qemu-img", &["convert", "-f", "qcow2", "-O", "raw", text(chain[0].0), text(&theirs)]);
    assert_same(&ours, &theirs);
}

fn write_raw(source: &Source<'_>, to: &Path) {
    let out = File::create_new(to).expect("created");
    convert(source, &out, &Target::Raw { len: None }, None, &Tuning::default(), &NoProgress).expect("converted");
}
