//! When to leave a server alone.

use std::time::{Duration, Instant};

use cadenas_secret::random;

use crate::{KmipError, Timeouts};

/// What is known of a server from the last attempts. It asks no clock: the caller says when now is.
#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    /// Failures in a row.
    failures: u32,
    /// When the last one was noticed.
    noticed: Instant,
    /// Until when the server is left alone.
    until: Instant,
    error: KmipError,
}

impl Health {
    /// Whether the server may be asked now. When its time alone is over, one caller at a time may try, and no other for
    /// `patience`: they need not all wait for a server that is probably still away.
    pub(super) fn may_ask(&mut self, now: Instant, patience: Duration) -> bool {
        match &mut self.trouble {
            None => true,
            Some(trouble) if trouble.until <= now => {
                trouble.until = now + patience;
                true
            }
            Some(_) => false,
        }
    }

    /// The server answered.
    pub(super) fn answered(&mut self) {
        self.trouble = None;
    }

    /// An attempt that began at `began` failed. Several that were under way together count as one.
    pub(super) fn failed(&mut self, began: Instant, now: Instant, error: KmipError, timeouts: &Timeouts) {
        let failures = match &self.trouble {
            Some(trouble) if began < trouble.noticed => return,
            Some(trouble) => trouble.failures.saturating_add(1),
            None => 1,
        };
        let until = now + jittered(backoff(failures, timeouts));
        self.trouble = Some(Trouble { failures, noticed: now, until, error });
    }

    /// How long the server is still left alone, and why.
    pub(super) fn trouble(&self, now: Instant) -> Option<(Duration, KmipError)> {
        let trouble = self.trouble.as_ref()?;
        Some((trouble.until.saturating_duration_since(now), trouble.error.clone()))
    }
}

/// Doubles with every failure in a row.
fn backoff(failures: u32, timeouts: &Timeouts) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    timeouts.first_backoff.saturating_mul(doubled).min(timeouts.longest_backoff)
}

/// Between half of it and all of it, so that the hosts of a cluster do not come back at the same moment.
fn jittered(backoff: Duration) -> Duration {
    let half = backoff / 2;
    half + half * u32::from(random::array::<1>()[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KmipErrorKind, Operation};

    const SECOND: Duration = Duration::from_secs(1);

    fn error() -> KmipError {
        KmipError::new(&"kms1".parse().expect("an address"), Operation::Connect, KmipErrorKind::ConnectionRefused)
    }

    fn fail(health: &mut Health, began: Instant, now: Instant) {
        health.failed(began, now, error(), &Timeouts::default());
    }

    /// The time alone after each failure lies between half the backoff and all of it.
    #[test]
    fn the_time_alone_doubles_up_to_a_minute() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(health.may_ask(now, SECOND));
            fail(&mut health, now, now);
            let (left, told) = health.trouble(now).expect("in trouble");
            assert!(left >= SECOND * seconds / 2 && left <= SECOND * seconds, "{left:?} of {seconds} s");
            assert_eq!(told, error());
            assert!(!health.may_ask(now + left.mul_f32(0.99), SECOND));
            now += left;
        }
    }

    #[test]
    fn hosts_do_not_come_back_together() {
        let now = Instant::now();
        let waits = std::iter::repeat_with(|| {
            let mut health = Health::default();
            fail(&mut health, now, now);
            health.trouble(now).expect("in trouble").0
        });
        let waits: std::collections::BTreeSet<_> = waits.take(50).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }

    #[test]
    fn an_answer_forgets_the_trouble() {
        let (mut health, now) = (Health::default(), Instant::now());
        fail(&mut health, now, now);
        health.answered();
        assert!(health.may_ask(now, SECOND) && health.trouble(now).is_none());
    }

    #[test]
    fn calls_that_fail_together_count_once() {
        let (mut health, began) = (Health::default(), Instant::now());
        for call in 1..=100 {
            fail(&mut health, began, began + SECOND + Duration::from_millis(call));
        }
        let (left, _) = health.trouble(began + SECOND).expect("in trouble");
        assert!(left <= SECOND + Duration::from_millis(1), "{left:?}");
    }

    #[test]
    fn when_the_time_is_over_one_caller_tries_and_the_others_wait_no_longer_than_its_patience() {
        let (mut health, now) = (Health::default(), Instant::now());
        fail(&mut health, now, now);
        let later = now + SECOND * 2;
        assert!(health.may_ask(later, SECOND * 8));
        assert!(!health.may_ask(later, SECOND * 8));
        assert!(!health.may_ask(later + SECOND * 7, SECOND * 8));
        assert!(health.may_ask(later + SECOND * 8, SECOND * 8), "the one that tried never came back");
    }

    #[test]
    fn no_number_of_failures_overflows() {
        assert_eq!(backoff(u32::MAX, &Timeouts::default()), Duration::from_mins(1));
        assert_eq!(backoff(0, &Timeouts::default()), SECOND);
    }
}
