//! Random images, made by QEMU's tools from a number.

use std::{
    fs,
    path::{Path, PathBuf},
};

use cadenas_image::Format;

use crate::common::{Bench, noise, run, text, try_run};

/// Numbers that follow from a seed: `SplitMix64`.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(u64::try_from(from.len()).expect("short"))).expect("short")]
    }

    /// From `least` to `most`, each order of magnitude as likely as another.
    fn of_any_magnitude(&mut self, least: u64, most: u64) -> u64 {
        let bits = u64::from(least.ilog2()) + self.below(u64::from(most.ilog2() - least.ilog2()) + 1);
        ((1 << bits) + self.below(1 << bits)).clamp(least, most)
    }
}

/// One image of a chain.
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) is_encrypted: bool,
    cluster: u64,
    size: u64,
}

/// An image and the files that it stands on, from the top down.
pub(super) struct Chain {
    pub(super) layers: Vec<Layer>,
    /// The commands that made it.
    pub(super) story: Vec<String>,
}

impl Chain {
    pub(super) fn make(bench: &Bench, random: &mut Random) -> Self {
        const LONGEST: u64 = 3;
        fs::write(bench.path("noise"), noise(random.below(1 << 40), 70_000)).expect("written");
        let depth = if random.one_in(2) { 0 } else { random.below(LONGEST) };
        let mut chain = Self { layers: Vec::new(), story: Vec::new() };
        for below in 0..=depth {
            let layer = chain.create(bench, random, below, below == depth);
            chain.fill(bench, random, &layer);
            // A snapshot makes the image below the top share clusters with it.
            if below < depth && layer.format == Format::Qcow2 && random.one_in(3) {
                // Where too many compressed clusters share one, it cannot be counted once more, and there is no snapshot.
                let snapshot = ["snapshot", "-c", "before", text(&layer.path)];
                chain.story.push(format!("qemu-img {}", snapshot.join(" ")));
                try_run("qemu-img", &snapshot);
                chain.fill(bench, random, &layer);
            }
            chain.layers.insert(0, layer);
        }
        chain
    }

    pub(super) fn top(&self) -> &Layer {
        &self.layers[0]
    }

    fn create(&mut self, bench: &Bench, random: &mut Random, number: u64, is_top: bool) -> Layer {
        let size = random.of_any_magnitude(512, 64 << 20);
        let path = bench.path(&format!("layer{number}"));
        if number == 0 && random.one_in(4) {
            // Some end inside a sector.
            let size = if random.one_in(2) { size } else { size / 512 * 512 };
            fs::File::create(&path).and_then(|file| file.set_len(size)).expect("created");
            self.story.push(format!("truncate -s {size} {}", path.display()));
            let size = size / 512 * 512;
            return Layer { path, format: Format::Raw, is_encrypted: false, cluster: 512, size };
        }
        let size = size / 512 * 512;
        let is_encrypted = is_top && random.one_in(8);
        let (cluster, options) = options(random, is_encrypted, self.layers.is_empty());
        let base = self.layers.first().map(|base| (text(&base.path).to_owned(), base.format.to_string()));
        let (size_text, secret) = (size.to_string(), bench.secret());
        let mut arguments = vec!["create", "-q", "-f", "qcow2", "-o", &options];
        if let Some((base, format)) = &base {
            arguments.extend(["-b", base, "-F", format]);
        }
        if is_encrypted {
            arguments.extend(["--object", &secret]);
        }
        arguments.extend([text(&path), &size_text]);
        self.run("qemu-img", &arguments);
        Layer { path, format: Format::Qcow2, is_encrypted, cluster, size }
    }

    /// Writes, zeroes, discards and compresses here and there.
    fn fill(&mut self, bench: &Bench, random: &mut Random, layer: &Layer) {
        let commands: Vec<String> =
            (0..random.below(12)).filter_map(|_| command(random, layer, &bench.path("noise"))).collect();
        if commands.is_empty() {
            return;
        }
        let (options, secret) = (layer.options(), bench.secret());
        let mut arguments = vec!["--object", &secret, "--image-opts", &options];
        arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
        self.story.push(format!("qemu-io {}", arguments.join(" ")));
        // It refuses to compress over what is there uncompressed, and goes on: whatever comes of it is an image.
        let ended = try_run("qemu-io", &arguments);
        assert!(matches!(ended.status.code(), Some(0 | 1)) && ended.stderr.is_empty(), "{ended:?}");
    }

    fn run(&mut self, program: &str, arguments: &[&str]) {
        self.story.push(format!("{program} {}", arguments.join(" ")));
        run(program, arguments);
    }
}

impl Layer {
    /// QEMU's way to name it.
    pub(super) fn options(&self) -> String {
        match (self.format, self.is_encrypted) {
            (_, true) => Bench::qcow2_options(&self.path),
            (format, false) => format!("driver={format},file.filename={}", self.path.display()),
        }
    }
}

/// Options of a new qcow2 image, and its cluster size.
fn options(random: &mut Random, is_encrypted: bool, stands_alone: bool) -> (u64, String) {
    let cluster = 1 << (9 + random.below(13));
    let mut options = vec![format!("cluster_size={cluster}")];
    if random.one_in(4) {
        options.push("compat=0.10".to_owned());
    } else {
        options.push("compat=1.1".to_owned());
        options.push(format!("refcount_bits={}", random.pick(&[1_u64, 2, 4, 8, 16, 16, 16, 32, 64])));
        options.push(format!("compression_type={}", random.pick(&["zlib", "zstd"])));
        options.push(format!("lazy_refcounts={}", random.pick(&["on", "off"])));
        if cluster >= 16 << 10 && random.one_in(2) {
            options.push("extended_l2=on".to_owned());
        }
    }
    if stands_alone && random.one_in(5) {
        options.push(format!("preallocation={}", random.pick(&["metadata", "falloc"])));
    }
    if is_encrypted {
        options.push("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10".to_owned());
    }
    (cluster, options.join(","))
}

/// One command of `qemu-io`; none if the place that was drawn has no room for it.
fn command(random: &mut Random, layer: &Layer, noise: &Path) -> Option<String> {
    const LONGEST: u64 = 1 << 20;
    let compresses = layer.format == Format::Qcow2 && !layer.is_encrypted && random.one_in(3);
    let unit = if compresses { layer.cluster } else { 512 };
    let start = random.below(layer.size / unit + 1) * unit;
    let room = (layer.size - start).min(LONGEST.max(unit)) / unit;
    if room == 0 {
        return None;
    }
    let len = random.of_any_magnitude(1, room) * unit;
    let source = if random.one_in(2) { format!("-s {}", noise.display()) } else { format!("-P {}", random.below(256)) };
    Some(match random.below(6) {
        _ if compresses => format!("write -c {source} {start} {len}"),
        0 => format!("write -z {start} {len}"),
        1 => format!("write -z -u {start} {len}"),
        2 => format!("discard {start} {len}"),
        _ => format!("write {source} {start} {len}"),
    })
}
