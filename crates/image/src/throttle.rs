//! Moving no more bytes in a second than is allowed.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Time that was not used is made up for at most so far: the longest burst.
const BURST: Duration = Duration::from_millis(100);

/// A year; it can be added to any instant.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// Holds an average rate over all threads that share it.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Rate {
    bytes_per_second: NonZeroU64,
    /// When all that was taken so far may have been moved.
    paid_until: Mutex<Instant>,
}

impl Throttle {
    /// So many bytes in a second, or without a limit.
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        let paid_until = || Mutex::new(Instant::now());
        Self { rate: bytes_per_second.map(|bytes_per_second| Rate { bytes_per_second, paid_until: paid_until() }) }
    }

    /// Waits until these bytes may be moved. Call it before they are.
    pub(crate) fn take(&self, bytes: u64) {
        if let Some(rate) = &self.rate {
            thread::sleep(rate.wait_for(bytes, Instant::now()));
        }
    }
}

impl Rate {
    /// How long to wait from `now` on.
    fn wait_for(&self, bytes: u64, now: Instant) -> Duration {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid_until = (*paid_until).max(earliest) + self.duration_of(bytes);
        paid_until.saturating_duration_since(now)
    }

    fn duration_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        u64::try_from(nanos).map_or(FOREVER, |nanos| Duration::from_nanos(nanos).min(FOREVER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_all_threads() {
        let throttle = Throttle::new(NonZeroU64::new(10_000_000));
        let start = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| throttle.take(100_000)));
            }
        });
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(390), "four million bytes took {taken:?}");
        assert!(taken < Duration::from_secs(2), "four million bytes took {taken:?}");
    }

    #[test]
    fn idle_time_is_saved_for_a_short_burst_alone() {
        let rate =
            Rate { bytes_per_second: NonZeroU64::new(1000).expect("not zero"), paid_until: Mutex::new(Instant::now()) };
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(rate.wait_for(100, later), Duration::ZERO);
        assert_eq!(rate.wait_for(1000, later), Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_nobody_waits_and_no_number_is_too_large() {
        Throttle::new(None).take(u64::MAX);
        let rate = Rate { bytes_per_second: NonZeroU64::MIN, paid_until: Mutex::new(Instant::now()) };
        assert!(rate.wait_for(u64::MAX, Instant::now()) > Duration::from_secs(1 << 24));
    }
}
