//! Images that QEMU and cryptsetup made are read by us, byte for byte.

use std::path::Path;

use crate::common::{Bench, assert_same, passphrase, run, text, try_run};
use cadenas_image::{Access, File, Format, Target, check, inspect};

/// Not a number of sectors, nor of clusters of any size.
const ODD: u64 = 5 * (1 << 20) + 12_345;

#[test]
fn qcow2_of_every_make() {
    let makes: &[&[&str]] = &[
        &["-o", "compat=1.1"],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=4096,refcount_bits=1"],
        &["-o", "cluster_size=2M,refcount_bits=64"],
        &["-o", "lazy_refcounts=on"],
        &["-o", "preallocation=metadata"],
        &["-o", "preallocation=falloc"],
        &["-o", "preallocation=full"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "cluster_size=512"],
        &["-c", "-o", "cluster_size=2M,compression_type=zstd"],
        &["-c", "-o", "compat=0.10"],
        // Zeros are stored as such.
        &["-S", "0"],
        &["-o", "extended_l2=on"],
        &["-o", "extended_l2=on,cluster_size=16k"],
        &["-o", "extended_l2=on,cluster_size=2M"],
        &["-o", "extended_l2=on,preallocation=metadata"],
        &["-c", "-o", "extended_l2=on,compression_type=zstd"],
    ];
    for make in makes {
        let bench = Bench::new();
        let (plain, image, out) = (bench.raw_disk(ODD), bench.path("theirs.qcow2"), bench.path("out.raw"));
        run("qemu-img", &[&["convert", "-f", "raw", "-O", "qcow2"], *make, &[text(&plain), text(&image)]].concat());
        assert_whole(&image, None);
        Bench::ours(&image, &out, Target::Raw { len: None });
        println!("{make:?}");
        assert_same(&out, &plain);
    }
}

#[test]
fn qcow2_with_luks_of_every_make() {
    for more in [
        "",
        ",cluster_size=512",
        ",cluster_size=2M",
        ",preallocation=metadata",
        ",extended_l2=on",
        ",encrypt.hash-alg=sha1",
        ",encrypt.hash-alg=sha512",
    ] {
        let bench = Bench::new();
        let (plain, image, out) = (bench.raw_disk(ODD), bench.path("theirs.qcow2"), bench.path("out.raw"));
        let options = format!("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10{more}");
        let arguments =
            ["convert", "--object", &bench.secret(), "-O", "qcow2", "-o", &options, text(&plain), text(&image)];
        run("qemu-img", &arguments);
        assert_whole(&image, Some(0));
        println!("{more:?}");
        Bench::ours(&image, &out, Target::Raw { len: None });
        assert_same(&out, &plain);
    }
}

#[test]
fn raw_luks_by_qemu() {
    let bench = Bench::new();
    let (plain, image, out) = (bench.raw_disk(ODD), bench.path("theirs.luks"), bench.path("out.raw"));
    let options = "key-secret=s,iter-time=10";
    run("qemu-img", &["convert", "--object", &bench.secret(), "-O", "luks", "-o", options, text(&plain), text(&image)]);
    assert_whole(&image, Some(0));
    Bench::ours(&image, &out, Target::Raw { len: Some(ODD) });
    assert_same(&out, &plain);
    assert_eq!(std::fs::metadata(&out).expect("there").len(), ODD);
}

#[test]
fn raw_luks_by_cryptsetup_written_by_qemu() {
    let bench = Bench::new();
    let (image, out) = (bench.path("theirs.luks"), bench.path("out.raw"));
    std::fs::File::create(&image).expect("created").set_len((2 << 20) + (1 << 20) + 512).expect("grown");
    let format =
        "luksFormat --batch-mode --type luks1 --cipher aes-xts-plain64 --key-size 512 --pbkdf-force-iterations 1000";
    let key_file = bench.path("passphrase");
    run(
        "cryptsetup",
        &[&format.split(' ').collect::<Vec<_>>()[..], &["--key-file", text(&key_file), text(&image)]].concat(),
    );
    let (whole, end) = ("write -P 0x5a 0 1M", "write -P 0xa5 1M 512");
    let options = Bench::luks_options(&image);
    run("qemu-io", &["--object", &bench.secret(), "--image-opts", &options, "-c", whole, "-c", end]);
    assert_whole(&image, Some(0));
    Bench::ours(&image, &out, Target::Raw { len: None });
    let mut expected = vec![0x5a; 1 << 20];
    expected.extend_from_slice(&[0xa5; 512]);
    assert!(std::fs::read(out).expect("read") == expected);
}

#[test]
fn what_cannot_be_converted_is_refused_and_says_what_it_is() {
    let bench = Bench::new();
    let base = bench.path("base.qcow2");
    run("qemu-img", &["create", "-f", "qcow2", text(&base), "1M"]);
    let cases: &[(&str, &[&str])] = &[
        ("backing file", &["-b", text(&base), "-F", "qcow2"]),
        ("external file", &["-o", "data_file=data.bin"]),
        ("old AES", &["-o", "encrypt.format=aes,encrypt.key-secret=s", "--object", &bench.secret()]),
    ];
    for (number, (word, make)) in cases.iter().enumerate() {
        let image = bench.path(&format!("{number}.qcow2"));
        let options: Vec<String> =
            make.iter().map(|option| option.replace("data.bin", text(&bench.path("data.bin")))).collect();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        run("qemu-img", &[&["create", "-q", "-f", "qcow2"], &options[..], &[text(&image), "1M"]].concat());
        let file = File::open(&image, Access::Read).expect("opened");
        let refusal = cadenas_image::open_source(&file, None).err().expect("refused").to_string();
        assert!(refusal.contains(word), "{refusal}");
    }
}

#[test]
fn internal_snapshots_and_unclosed_images_are_refused() {
    let bench = Bench::new();
    let image = bench.path("theirs.qcow2");
    run("qemu-img", &["create", "-f", "qcow2", "-o", "lazy_refcounts=on", text(&image), "1M"]);
    // Ended while it is open: QEMU leaves the dirty bit.
    try_run("qemu-io", &["-c", "write 0 64k", "-c", "abort", text(&image)]);
    let file = File::open(&image, Access::Read).expect("opened");
    assert!(inspect(&file).expect_err("dirty").to_string().contains("dirty"));
    run("qemu-img", &["check", "-r", "all", text(&image)]);
    run("qemu-img", &["snapshot", "-c", "before", text(&image)]);
    assert_eq!(inspect(&file).expect("clean").snapshots, 1);
    assert!(cadenas_image::open_source(&file, None).err().expect("refused").to_string().contains("snapshot"));
}

fn assert_whole(image: &Path, slot: Option<u8>) {
    let file = File::open(image, Access::Read).expect("opened");
    let passphrase = passphrase();
    let report = check(&file, slot.is_some().then_some(&passphrase)).expect("checked");
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.leaked_clusters, report.opened_slot), (0, slot));
    assert!(matches!(report.info.format, Format::Qcow2 | Format::Luks));
}
