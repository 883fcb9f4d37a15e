//! What a program costs: time, processor, memory.
//!
//! Each program is started by a process of its own, this bench once more, whose only child it is: the system tells the peak of memory
//! over all children together.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Tells this bench to measure the program that follows.
const MEASURE: &str = "--measure";

/// What one run of a program took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system.
    pub(crate) cpu: Duration,
    /// The most memory that it had, in bytes.
    pub(crate) peak: u64,
}

impl Cost {
    /// Of each cost the median.
    pub(crate) fn median(costs: &[Self]) -> Self {
        fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
            let mut values: Vec<T> = values.collect();
            values.sort_unstable();
            values[values.len() / 2]
        }
        Self {
            wall: middle(costs.iter().map(|cost| cost.wall)),
            cpu: middle(costs.iter().map(|cost| cost.cpu)),
            peak: middle(costs.iter().map(|cost| cost.peak)),
        }
    }
}

/// Runs a program that must succeed. QEMU now and then fails to measure key derivation on virtual machines: then again, after `clean`.
pub(crate) fn cost_of(program: &[OsString], clean: impl Fn()) -> Cost {
    for _ in 0..20 {
        clean();
        let this = env::current_exe().expect("this program");
        let output = Command::new(this).arg(MEASURE).args(program).output().expect("it starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return parsed(&String::from_utf8_lossy(&output.stdout));
        }
        assert!(complaint.contains("accurate CPU usage"), "{program:?}: {complaint}");
    }
    panic!("{program:?} never succeeded");
}

/// If this process was started to measure a program: does so, and tells its exit code.
pub(crate) fn measure_if_told() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != MEASURE {
        return None;
    }
    let program = arguments.next()?;
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let wall = start.elapsed();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system counts");
    println!("{} {} {}", wall.as_nanos(), cpu_nanos(&used), used.max_rss());
    Some(if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cpu_nanos(used: &Usage) -> i64 {
    used.user_time().num_nanoseconds() + used.system_time().num_nanoseconds()
}

fn parsed(line: &str) -> Cost {
    let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [wall, cpu, peak_kib] = numbers[..] else { panic!("not three numbers: {line}") };
    Cost { wall: Duration::from_nanos(wall), cpu: Duration::from_nanos(cpu), peak: peak_kib << 10 }
}
