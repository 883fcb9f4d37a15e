//! Other formats are read through QEMU's tools, byte for byte, and name no file behind our back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_image::{
    Access, File, Format, ImageError, NoProgress, Storage, Target, Tuning, convert,
    foreign::{Foreign, ForeignFormat, Parts},
    open_source_as,
};

use crate::common::{Bench, assert_same, run, text};

const LEN: u64 = 6 << 20;

#[test]
fn every_make_of_every_format() {
    let makes: &[(ForeignFormat, &str)] = &[
        (ForeignFormat::Vmdk, "subformat=monolithicSparse"),
        (ForeignFormat::Vmdk, "subformat=streamOptimized"),
        (ForeignFormat::Vhdx, "subformat=dynamic"),
        (ForeignFormat::Vhdx, "subformat=fixed"),
        (ForeignFormat::Vdi, "static=off"),
        (ForeignFormat::Vdi, "static=on"),
        (ForeignFormat::Vpc, "subformat=dynamic,force_size=on"),
        (ForeignFormat::Vpc, "subformat=fixed,force_size=on"),
        (ForeignFormat::Parallels, ""),
        (ForeignFormat::Qcow, ""),
        (ForeignFormat::Qed, ""),
    ];
    let bench = Bench::new();
    let plain = bench.raw_disk(LEN);
    for (number, (format, options)) in makes.iter().enumerate() {
        // QEMU must not take the name for a protocol or a list.
        let image = made(&bench, &plain, &format!("nbd:{number},x"), *format, options);
        let out = bench.path(&format!("{number}.raw"));
        println!("{format} {options}");
        copied(&Foreign::open(&image, *format, Parts::Refused).expect("opened"), &out);
        assert_same(&out, &plain);
    }
}

#[test]
fn holes_are_known_and_the_formats_told_by_their_first_bytes() {
    let bench = Bench::new();
    let plain = bench.raw_disk(64 << 20);
    for format in [ForeignFormat::Vmdk, ForeignFormat::Vdi, ForeignFormat::Vpc, ForeignFormat::Qed] {
        let image = made(&bench, &plain, &format.to_string(), format, "");
        let disk = Foreign::open(&image, format, Parts::Refused).expect("opened");
        let source = open_source_as(&disk, Format::Raw, None).expect("raw");
        let usage = source.usage().expect("counted");
        assert!(usage.has_holes && usage.allocated < 16 << 20, "{format} {usage:?}");
        let file = File::open(&image, Access::Read).expect("opened");
        assert_eq!(ForeignFormat::hint(&file).expect("read"), Some(format));
    }
    let raw = File::open(&plain, Access::Read).expect("opened");
    assert_eq!(ForeignFormat::hint(&raw).expect("read"), None);
}

#[test]
fn a_disk_in_several_files_is_opened_only_with_consent() {
    let bench = Bench::new();
    let plain = bench.raw_disk(LEN);
    for (number, kind) in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"].iter().enumerate() {
        let image = made(&bench, &plain, &format!("{number}.vmdk"), ForeignFormat::Vmdk, &format!("subformat={kind}"));
        let refused = Foreign::open(&image, ForeignFormat::Vmdk, Parts::Refused).err();
        assert!(matches!(refused, Some(ImageError::OtherFiles { .. })), "{kind} {refused:?}");
        let disk = Foreign::open(&image, ForeignFormat::Vmdk, Parts::Opened).expect("opened");
        assert_eq!(disk.parts().len(), 1, "{:?}", disk.parts());
        let out = bench.path(&format!("{number}.raw"));
        copied(&disk, &out);
        assert_same(&out, &plain);
    }
    // One extent of a split disk is not the disk.
    assert!(Foreign::open(&bench.path("1-s001.vmdk"), ForeignFormat::Vmdk, Parts::Opened).is_err());
}

#[test]
fn a_forged_descriptor_opens_no_file() {
    let bench = Bench::new();
    let (plain, secret) = (bench.raw_disk(LEN), bench.path("secret"));
    fs::write(&secret, [7; 4096]).expect("written");
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW 8 FLAT \"{}\" 0\n",
        secret.display()
    );
    let as_text = bench.path("text.vmdk");
    fs::write(&as_text, &descriptor).expect("written");
    // A sparse file of no capacity, whose embedded descriptor QEMU follows.
    let embedded = made(&bench, &plain, "embedded.vmdk", ForeignFormat::Vmdk, "");
    let mut bytes = fs::read(&embedded).expect("read");
    bytes[12..20].fill(0);
    bytes[512..512 + descriptor.len()].copy_from_slice(descriptor.as_bytes());
    fs::write(&embedded, bytes).expect("written");
    for image in [as_text, embedded] {
        let refused = Foreign::open(&image, ForeignFormat::Vmdk, Parts::Refused).err();
        assert!(matches!(refused, Some(ImageError::OtherFiles { .. })), "{refused:?}");
    }
}

#[test]
fn an_image_on_a_parent_and_one_of_another_format_are_refused() {
    let bench = Bench::new();
    let plain = bench.raw_disk(LEN);
    for format in [ForeignFormat::Vmdk, ForeignFormat::Qed, ForeignFormat::Qcow] {
        let base = made(&bench, &plain, &format!("base.{format}"), format, "");
        let child = bench.path(&format!("child.{format}"));
        let name = format.to_string();
        run("qemu-img", &["create", "-q", "-f", &name, "-b", text(&base), "-F", &name, text(&child)]);
        let refused = Foreign::open(&child, format, Parts::Opened).err();
        assert!(matches!(refused, Some(ImageError::BackingFile { .. })), "{refused:?}");
        let other = Foreign::open(&plain, format, Parts::Opened).err();
        assert!(matches!(other, Some(ImageError::ToolRefused { .. })), "{other:?}");
    }
}

#[test]
fn nothing_is_written_and_nothing_runs_on() {
    let bench = Bench::new();
    let plain = bench.raw_disk(LEN);
    let image = made(&bench, &plain, "disk.vdi", ForeignFormat::Vdi, "");
    let before = fs::read(&image).expect("read");
    let disk = Foreign::open(&image, ForeignFormat::Vdi, Parts::Refused).expect("opened");
    disk.write_at(0, b"x").expect_err("read-only");
    disk.set_len(0).expect_err("read-only");
    disk.read_at(LEN, &mut [0; 512]).expect_err("behind the end");
    disk.read_at(0, &mut [0; 512]).expect("an error before does no harm");
    assert!(served(&image));
    drop(disk);
    assert!(!served(&image));
    assert_eq!(fs::read(&image).expect("read"), before);
}

#[test]
fn reads_from_many_threads_get_their_own_bytes() {
    let bench = Bench::new();
    let plain = bench.raw_disk(LEN);
    let image = made(&bench, &plain, "disk.vhdx", ForeignFormat::Vhdx, "");
    let (disk, expected) =
        (Foreign::open(&image, ForeignFormat::Vhdx, Parts::Refused).expect("opened"), fs::read(&plain).expect("read"));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (disk, expected) = (&disk, &expected);
            scope.spawn(move || {
                for step in 0..40 {
                    let at = (thread * 700_001 + step * 131_071) % (expected.len() - 70_000);
                    let mut found = vec![0; 70_000];
                    disk.read_at(u64::try_from(at).expect("small"), &mut found).expect("read");
                    assert!(found == expected[at..at + 70_000]);
                }
            });
        }
    });
}

fn made(bench: &Bench, plain: &Path, name: &str, format: ForeignFormat, options: &str) -> PathBuf {
    let image = bench.path(name);
    let options: &[&str] = if options.is_empty() { &[] } else { &["-o", options] };
    let format = format.to_string();
    run("qemu-img", &[&["convert", "-f", "raw", "-O", &format], options, &[text(plain), text(&image)]].concat());
    image
}

fn copied(disk: &Foreign, out: &Path) {
    let source = open_source_as(disk, Format::Raw, None).expect("raw");
    let out = File::create_new(out).expect("created");
    convert(&source, &out, &Target::Raw { len: None }, None, &Tuning::default(), &NoProgress).expect("converted");
}

/// Whether a `qemu-nbd` has this image.
fn served(image: &Path) -> bool {
    let processes = fs::read_dir("/proc").expect("listed").filter_map(Result::ok);
    let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let name = text(image).as_bytes();
    commands
        .filter(|command| command.starts_with(b"qemu-nbd"))
        .any(|command| command.windows(name.len()).any(|at| at == name))
}
