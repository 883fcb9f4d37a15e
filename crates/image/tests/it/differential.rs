//! Random images, read and written by us and by `qemu-img convert`: the bytes are the same both ways.
//!
//! `CADENAS_DIFFERENTIAL_IMAGES` says how many images there are, `CADENAS_DIFFERENTIAL_SEED` the number of the first. Each follows
//! from its number alone, which a failure names.

mod images;

use std::{
    env, fs,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use cadenas_image::{
    Access, File, Format, NewKey, NoProgress, Source, Storage, Target, Tuning, check, convert, open_chain,
};
use uuid::Uuid;

use crate::common::{Bench, assert_same, passphrase, rounds, run, text};
use images::{Chain, Random};

#[test]
fn random_images_are_read_and_written_as_qemu_does() {
    const FEW: u64 = 40;
    let (count, first) = (number("CADENAS_DIFFERENTIAL_IMAGES", FEW), number("CADENAS_DIFFERENTIAL_SEED", 0));
    let (next, templates) = (AtomicU64::new(first), Templates::make());
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    compare(seed, &templates);
                }
            });
        }
    });
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn compare(seed: u64, templates: &Templates) {
    let (bench, mut random) = (Bench::new(), Random::new(seed));
    let chain = Chain::make(&bench, &mut random);
    let compared = catch_unwind(AssertUnwindSafe(|| {
        theirs_read_by_us(&bench, &mut random, &chain);
        ours_read_by_them(&bench, &mut random, &chain);
        their_copy_read_by_us(&bench, &mut random, templates);
    }));
    if let Err(panic) = compared {
        println!("image {seed} was made by:\n  {}", chain.story.join("\n  "));
        resume_unwind(panic);
    }
}

/// What QEMU says the disk is, in `expected.raw`, is what we read; and our check finds nothing wrong with QEMU's image.
fn theirs_read_by_us(bench: &Bench, random: &mut Random, chain: &Chain) {
    let expected = bench.path("expected.raw");
    convert_by_qemu(bench, &chain.top().options(), &["-O", "raw", text(&expected)]);
    let top = File::open(&chain.top().path, Access::Read).expect("opened");
    let secret = passphrase();
    if chain.top().format == Format::Qcow2 {
        let report = check(&top, chain.top().is_encrypted.then_some(&secret)).expect("checked");
        assert!(report.is_whole(), "{report:?}");
    }
    let target = if random.one_in(2) {
        Target::Raw { len: None }
    } else {
        Target::Qcow2 { cluster_size: any_cluster_size(random) }
    };
    let ours = bench.path("ours.plain");
    convert_by_us(chain, &ours, target);
    assert_qemu_finds_it_whole(bench, &ours, target);
    assert_same_disk(bench, &format!("driver={},file.filename={}", target.format(), ours.display()), &expected);
    fs::remove_file(ours).expect("removed");
}

fn ours_read_by_them(bench: &Bench, random: &mut Random, chain: &Chain) {
    let target =
        if random.one_in(3) { Target::Luks } else { Target::Qcow2Luks { cluster_size: any_cluster_size(random) } };
    let ours = bench.path("ours.encrypted");
    convert_by_us(chain, &ours, target);
    assert_qemu_finds_it_whole(bench, &ours, target);
    assert_same_disk(bench, &encrypted(&ours, target.format()), &bench.path("expected.raw"));
    fs::remove_file(ours).expect("removed");
}

/// The disk, encrypted by `qemu-img convert`, comes back from us.
fn their_copy_read_by_us(bench: &Bench, random: &mut Random, templates: &Templates) {
    let (expected, back) = (bench.path("expected.raw"), bench.path("back.raw"));
    let len = fs::metadata(&expected).expect("there").len();
    let (theirs, format) = templates.any(bench, random, len);
    let (source, target) = (format!("driver=raw,file.filename={}", expected.display()), encrypted(&theirs, format));
    let secret = bench.secret();
    run("qemu-img", &["convert", "-n", "--object", &secret, "--image-opts", &source, "--target-image-opts", &target]);
    let file = File::open(&theirs, Access::Read).expect("opened");
    let source = open_chain((&file, format), &[], Some(&passphrase())).expect("opened");
    write_new(&source, &back, Target::Raw { len: None });
    // The template may be larger than the disk.
    fs::File::options().write(true).open(&back).and_then(|file| file.set_len(len)).expect("cut");
    assert_same(&back, &expected);
}

/// Empty images that QEMU encrypted, made once: it takes seconds to measure how fast it derives keys.
struct Templates {
    bench: Bench,
}

impl Templates {
    const QCOW2: [&str; 3] = ["cluster_size=64k", "cluster_size=64k,extended_l2=on", "cluster_size=4k,refcount_bits=8"];

    fn make() -> Self {
        let bench = Bench::new();
        let (secret, luks) = (bench.secret(), bench.path("luks"));
        run(
            "qemu-img",
            &["create", "-q", "-f", "luks", "--object", &secret, "-o", "key-secret=s,iter-time=10", text(&luks), "0"],
        );
        for (number, options) in Self::QCOW2.iter().enumerate() {
            let options = format!("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,{options}");
            let path = bench.path(&number.to_string());
            run("qemu-img", &["create", "-q", "-f", "qcow2", "--object", &secret, "-o", &options, text(&path), "64M"]);
        }
        Self { bench }
    }

    /// A copy of any one, with room for a disk of `len` bytes.
    fn any(&self, bench: &Bench, random: &mut Random, len: u64) -> (PathBuf, Format) {
        let copy = bench.path("theirs.encrypted");
        let number = random.below(4);
        if number < 3 {
            fs::copy(self.bench.path(&number.to_string()), &copy).expect("copied");
            return (copy, Format::Qcow2);
        }
        let header = fs::copy(self.bench.path("luks"), &copy).expect("copied");
        let file = fs::File::options().write(true).open(&copy).expect("opened");
        file.set_len(header + len.next_multiple_of(512)).expect("grown");
        (copy, Format::Luks)
    }
}

fn encrypted(image: &Path, format: Format) -> String {
    match format {
        Format::Luks => Bench::luks_options(image),
        _ => Bench::qcow2_options(image),
    }
}

fn any_cluster_size(random: &mut Random) -> u64 {
    1 << (9 + random.below(13))
}

fn convert_by_us(chain: &Chain, to: &Path, target: Target) {
    let files: Vec<File> =
        chain.layers.iter().map(|layer| File::open(&layer.path, Access::Read).expect("opened")).collect();
    let layers: Vec<(&dyn Storage, Format)> =
        files.iter().zip(&chain.layers).map(|(file, layer)| (file as &dyn Storage, layer.format)).collect();
    let secret = passphrase();
    let source = open_chain(layers[0], &layers[1..], chain.top().is_encrypted.then_some(&secret)).expect("opened");
    write_new(&source, to, target);
}

fn write_new(source: &Source<'_>, to: &Path, target: Target) {
    let out = File::create_new(to).expect("created");
    let secret = passphrase();
    let key = NewKey { passphrase: &secret, rounds: rounds(), uuid: Uuid::new_v4() };
    convert(source, &out, &target, target.is_encrypted().then_some(key), &Tuning::default(), &NoProgress)
        .expect("converted");
}

fn convert_by_qemu(bench: &Bench, source: &str, to: &[&str]) {
    run("qemu-img", &[&["convert", "--object", &bench.secret(), "--image-opts", source], to].concat());
}

fn assert_qemu_finds_it_whole(bench: &Bench, image: &Path, target: Target) {
    let options = match target {
        Target::Raw { .. } | Target::Luks => return,
        Target::Qcow2 { .. } => format!("driver=qcow2,file.filename={}", image.display()),
        Target::Qcow2Luks { .. } => Bench::qcow2_options(image),
    };
    // Leaks are an error of their own to it.
    run("qemu-img", &["check", "-q", "--object", &bench.secret(), "--image-opts", &options]);
}

fn assert_same_disk(bench: &Bench, options: &str, expected: &Path) {
    let read = bench.path("read-by-qemu.raw");
    convert_by_qemu(bench, options, &["-O", "raw", text(&read)]);
    assert_same(&read, expected);
    fs::remove_file(read).expect("removed");
}
