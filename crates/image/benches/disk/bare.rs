//! The least that rewriting a file in place can cost: a loop that reads and writes back the same bytes with direct I/O.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use cadenas_image::{Access, File, Storage, storage::aligned::AlignedBuf};

const BARE_LOOP: &str = "--bare-loop";
/// As the engine does it.
const REQUEST: usize = 2 << 20;

/// The command that runs the loop over a file, in a process of its own.
pub(crate) fn command(path: &Path) -> Vec<OsString> {
    let this = env::current_exe().expect("this program");
    vec![this.into(), BARE_LOOP.into(), path.into()]
}

/// If this process was started for the loop: runs it.
pub(crate) fn run_if_told() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != BARE_LOOP {
        return None;
    }
    let file = File::open(Path::new(&arguments.next()?), Access::Write).expect("opened");
    let (len, next) = (file.len().expect("there"), AtomicU64::new(0));
    let jobs = thread::available_parallelism().map_or(2, usize::from) + 2;
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| rewrite(&file, &next, len));
        }
    });
    file.sync().expect("flushed");
    Some(ExitCode::SUCCESS)
}

fn rewrite(file: &File, next: &AtomicU64, len: u64) {
    let mut buffer = AlignedBuf::zeroed(REQUEST);
    let request = u64::try_from(REQUEST).expect("small");
    loop {
        let at = next.fetch_add(request, Ordering::Relaxed);
        if at >= len {
            return;
        }
        buffer.resize(usize::try_from(request.min(len - at)).expect("small"));
        file.read_at(at, &mut buffer).expect("read");
        file.write_at(at, &buffer).expect("written");
    }
}
