//! Images that each made the parser answer in another way: found by the harnesses, kept in `fuzz/corpus/image`.
//!
//! With `CADENAS_FUZZ_KEEP=1` every harness adds the smallest image that it finds for an answer that is not there yet. The files are
//! named for that answer and compressed.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::PathBuf,
    sync::{LazyLock, Mutex, PoisonError},
};

use cadenas_fuzz::in_time;
use cadenas_image::{ImageError, NoProgress, Target, Tuning, check, convert, open_source};

use crate::{examine, memory::Memory};

/// Larger ones are left out: their noise does not compress.
const LARGEST: usize = 8 << 10;

#[test]
fn every_kept_image_is_examined() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).expect("the corpus") {
        let file = fs::File::open(entry.expect("listed").path()).expect("opened");
        let bytes = zstd::decode_all(file).expect("compressed");
        in_time(|| examine(&bytes, None));
        seen += 1;
    }
    assert!(seen > 20, "only {seen}");
}

/// Keeps an image whose answer is new, if that is wanted.
pub(crate) fn keep(bytes: &[u8], image: &Memory) {
    static KNOWN: LazyLock<Option<Mutex<BTreeSet<String>>>> =
        LazyLock::new(|| env::var_os("CADENAS_FUZZ_KEEP").map(|_| Mutex::default()));
    let Some(known) = &*KNOWN else { return };
    let answer = answer(image);
    if known.lock().unwrap_or_else(PoisonError::into_inner).insert(answer.clone()) {
        store(&answer, bytes).expect("the corpus can be written");
    }
}

fn store(answer: &str, bytes: &[u8]) -> io::Result<()> {
    let (path, packed) = (folder().join(format!("{answer}.zst")), zstd::encode_all(bytes, 19)?);
    if packed.len() > LARGEST || path.exists() { Ok(()) } else { fs::write(path, packed) }
}

/// What the check and a conversion say, without numbers and names.
fn answer(image: &Memory) -> String {
    let checked = match check(image, None) {
        Ok(report) if report.is_whole() => "whole".to_owned(),
        Ok(report) => report.problems[0].clone(),
        Err(error) => error.to_string(),
    };
    let read = match read(image) {
        Ok(()) => "read".to_owned(),
        // Which of several threads comes first to its broken cluster is chance.
        Err(error) => error.to_string().split_inclusive("not unpack").next().unwrap_or_default().to_owned(),
    };
    let both = if checked == read { read } else { format!("{checked} - {read}") };
    let words: Vec<&str> = both
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && !word.contains(|c: char| c.is_ascii_digit()))
        .collect();
    let name = words.join("-").to_lowercase().replace("the-image-", "").replace("-try-a-copy-or-qemu-img-check", "");
    name[..name.len().min(120)].to_owned()
}

fn read(image: &Memory) -> Result<(), ImageError> {
    let (source, out) = (open_source(image, None)?, Memory::of(Vec::new()));
    convert(&source, &out, &Target::Raw { len: None }, None, &Tuning::default(), &NoProgress).map(drop)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/image")
}
