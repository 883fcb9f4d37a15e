//! Images that we made open in plain QEMU and cryptsetup, byte for byte.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use cadenas_image::{Access, File, Target, Usage, check, inspect, sample, space_needed, usage};

use crate::common::{Bench, assert_same, passphrase, run, text, try_run};

const CLUSTERS: [u64; 4] = [512, 4096, 64 << 10, 2 << 20];
/// Not a number of sectors, nor of clusters of any size.
const ODD: u64 = 5 * (1 << 20) + 12_345;

#[test]
fn qcow2_with_luks_of_every_cluster_size() {
    for (cluster_size, len) in CLUSTERS.into_iter().zip([ODD, 512, 1 << 20, ODD]) {
        let bench = Bench::new();
        let (plain, image) = (bench.raw_disk(len), bench.path("ours.qcow2"));
        let info = Bench::ours(&plain, &image, Target::Qcow2Luks { cluster_size });
        assert_eq!(info.cluster_size, Some(cluster_size));
        assert_check_is_clean(&bench, &image);
        bench.assert_qemu_reads(&Bench::qcow2_options(&image), &plain);
        assert_eq!(fs::metadata(&image).expect("there").len() % cluster_size, 0);
    }
}

#[test]
fn plain_qcow2_of_every_cluster_size() {
    for (cluster_size, len) in CLUSTERS.into_iter().zip([ODD, ODD, 0, 3 << 20]) {
        let bench = Bench::new();
        let (plain, image) = (bench.raw_disk(len), bench.path("ours.qcow2"));
        Bench::ours(&plain, &image, Target::Qcow2 { cluster_size });
        assert_check_is_clean(&bench, &image);
        assert!(
            try_run("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", text(&plain), text(&image)]).status.success()
        );
    }
}

#[test]
fn raw_luks_opens_in_cryptsetup_and_qemu() {
    let bench = Bench::new();
    let (plain, image) = (bench.raw_disk(ODD), bench.path("ours.luks"));
    let info = Bench::ours(&plain, &image, Target::Luks);
    let dump = run("cryptsetup", &["luksDump", text(&image)]);
    let uuid = info.encryption.expect("encrypted").uuid.to_string();
    for line in [
        "Version:       \t1",
        "Payload offset:\t4096",
        "xts-plain64",
        &uuid,
        "Key Slot 0: ENABLED",
        "Key Slot 1: DISABLED",
    ] {
        assert!(dump.contains(line), "{line:?} is missing in {dump}");
    }
    let key_file = bench.path("passphrase");
    run("cryptsetup", &["open", "--test-passphrase", "--key-file", text(&key_file), text(&image)]);
    bench.assert_qemu_reads(&Bench::luks_options(&image), &plain);
}

#[test]
fn every_target_decrypts_to_the_disk_it_was_made_of() {
    let targets = [
        Target::Luks,
        Target::Qcow2Luks { cluster_size: 4096 },
        Target::Qcow2 { cluster_size: 64 << 10 },
        Target::Qcow2Luks { cluster_size: 2 << 20 },
        Target::Raw { len: Some(ODD) },
    ];
    let bench = Bench::new();
    let plain = bench.raw_disk(ODD);
    let mut from = plain.clone();
    for (number, target) in targets.into_iter().enumerate() {
        let to = bench.path(&number.to_string());
        Bench::ours(&from, &to, target);
        from = to;
    }
    assert_same(&from, &plain);
    assert_eq!(fs::metadata(&from).expect("there").len(), ODD);
}

#[test]
fn holes_and_zeros_stay_unallocated_and_the_room_needed_is_an_upper_bound() {
    let bench = Bench::new();
    let plain = bench.path("sparse.raw");
    let file = fs::File::create(&plain).expect("created");
    // 1 TiB: what is not there must cost nothing.
    file.set_len(1 << 40).expect("grown");
    std::os::unix::fs::FileExt::write_all_at(&file, &[7; 100], 700 << 30).expect("written");
    let opened = File::open(&plain, Access::Read).expect("opened");
    let source = inspect(&opened).expect("inspected");
    let stored = usage(&opened, &source).expect("counted");
    assert_eq!(stored, Usage { has_holes: true, allocated: 64 << 10 });
    let targets = [
        Target::Qcow2Luks { cluster_size: 64 << 10 },
        Target::Qcow2 { cluster_size: 2 << 20 },
        Target::Raw { len: None },
    ];
    for (number, target) in targets.into_iter().enumerate() {
        let image = bench.path(&number.to_string());
        let info = Bench::ours(&plain, &image, target);
        let taken = fs::metadata(&image).expect("there").blocks() * 512;
        let needed = space_needed(&source, &stored, &target);
        assert!(taken <= needed && needed < 32 << 20, "{target:?} took {taken} of {needed}");
        let made = usage(&File::open(&image, Access::Read).expect("opened"), &info).expect("counted");
        assert!(made.allocated <= 2 << 20, "{made:?}");
        if target.format().to_string() == "qcow2" {
            assert_check_is_clean(&bench, &image);
        }
    }
    let map = run("qemu-img", &["map", "--output=json", text(&bench.path("1"))]);
    let data: Vec<&str> = map.lines().filter(|line| line.contains("\"data\": true")).collect();
    assert!(matches!(data[..], [line] if line.contains("\"start\": 751619276800")), "{map}");
}

#[test]
fn qemu_writes_on_in_our_image_and_we_read_that() {
    let bench = Bench::new();
    let (plain, image, back) = (bench.raw_disk(ODD), bench.path("ours.qcow2"), bench.path("back.raw"));
    Bench::ours(&plain, &image, Target::Qcow2Luks { cluster_size: 64 << 10 });
    let options = Bench::qcow2_options(&image);
    // In a cluster that is there, in one that is not, across two, and away again.
    let writes = ["write -P 1 4k 4k", "write -P 2 4M 70k", "write -P 3 600k 100k", "write -z 0 64k"];
    for write in writes {
        run("qemu-io", &["--object", &bench.secret(), "--image-opts", &options, "-c", write]);
        run("qemu-io", &["-f", "raw", "-c", write, text(&plain)]);
    }
    assert_check_is_clean(&bench, &image);
    Bench::ours(&image, &back, Target::Raw { len: None });
    assert_same(&back, &plain);
}

#[test]
fn a_file_that_ended_inside_a_sector_grows_only_if_the_guest_wrote_there() {
    let bench = Bench::new();
    let (plain, image) = (bench.raw_disk(1000), bench.path("ours.qcow2"));
    Bench::ours(&plain, &image, Target::Qcow2Luks { cluster_size: 512 });
    let target = Target::Raw { len: Some(1000) };
    Bench::ours(&image, &bench.path("untouched"), target);
    assert_eq!(fs::read(bench.path("untouched")).expect("read"), fs::read(&plain).expect("read"));
    let write = ["-c", "write -P 9 512 512"];
    run(
        "qemu-io",
        &[&["--object", &bench.secret(), "--image-opts", &Bench::qcow2_options(&image)], &write[..]].concat(),
    );
    Bench::ours(&image, &bench.path("written"), target);
    assert_eq!(fs::read(bench.path("written")).expect("read")[512..], [9; 512]);
}

#[test]
fn a_sample_tells_ciphertext_from_text() {
    let bench = Bench::new();
    let plain = bench.path("text.raw");
    fs::write(&plain, b"Nothing to see here, said the guard. ".repeat(60_000)).expect("written");
    for target in [Target::Luks, Target::Qcow2Luks { cluster_size: 4096 }] {
        let image = bench.path(&format!("{:?}", target.format()));
        Bench::ours(&plain, &image, target);
        let file = File::open(&image, Access::Read).expect("opened");
        let without = sample(&file, None, 500).expect("sampled");
        assert!(without.suspicious.is_empty() && without.looks_encrypted > 400, "{without:?}");
        assert_eq!(without.proven, 0);
        let with = sample(&file, Some(&passphrase()), 500).expect("sampled");
        // All but the zeros after the text.
        assert!(with.proven + 8 >= with.sectors_read, "{with:?}");
    }
    let file = File::open(&plain, Access::Read).expect("opened");
    let report = sample(&file, None, 500).expect("sampled");
    assert_eq!(report.suspicious.len() + report.empty, report.sectors_read, "{report:?}");
    assert!(report.suspicious.len() > 400);
}

fn assert_check_is_clean(bench: &Bench, image: &Path) {
    let file = File::open(image, Access::Read).expect("opened");
    let report = check(&file, None).expect("checked");
    assert!(report.is_whole() && report.leaked_clusters == 0, "{report:?}");
    let plain = format!("driver=qcow2,file.filename={}", text(image));
    let options = if report.info.encryption.is_some() { Bench::qcow2_options(image) } else { plain };
    let said = run("qemu-img", &["check", "--output=json", "--object", &bench.secret(), "--image-opts", &options]);
    for trouble in ["corruptions\"", "leaks\"", "check-errors\": 1"] {
        assert!(!said.contains(trouble), "{said}");
    }
}
