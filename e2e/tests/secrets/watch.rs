//! Every command line and environment on the machine while something goes on.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Short enough that a command which asks a server is seen.
const PERIOD: Duration = Duration::from_millis(4);

/// Looks at all processes, over and over, until it is told to stop.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: JoinHandle<Seen>,
}

/// What stood in `/proc/PID/cmdline` and `/proc/PID/environ` of any process.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) command_lines: BTreeSet<Vec<u8>>,
    pub(crate) environments: BTreeSet<Vec<u8>>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let seen = thread::spawn(move || {
            let mut seen = Seen::default();
            while !asked.load(Ordering::Relaxed) {
                seen.look();
                thread::sleep(PERIOD);
            }
            seen
        });
        Self { stop, seen }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.seen.join().expect("looking does not panic")
    }
}

impl Seen {
    fn look(&mut self) {
        let processes = fs::read_dir("/proc").expect("Linux").filter_map(|entry| Some(entry.ok()?.path()));
        // One that has ended meanwhile, or a thread of the kernel, has nothing to read.
        for process in processes.filter(|path| path.join("cmdline").exists()) {
            self.command_lines.extend(fs::read(process.join("cmdline")));
            self.environments.extend(fs::read(process.join("environ")));
        }
    }

    /// Whether there was a process with all these among its arguments.
    pub(crate) fn ran(&self, arguments: &[&str]) -> bool {
        self.command_lines.iter().any(|line| {
            let given: BTreeSet<&[u8]> = line.split(|&byte| byte == 0).collect();
            arguments.iter().all(|argument| given.contains(argument.as_bytes()))
        })
    }
}
