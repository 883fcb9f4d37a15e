//! Several disks at once.

use std::{
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use cadenas_image::{Progress, Tuning};

/// One disk rarely fills the queue of its medium or all cores; more than a few stand in each other's way.
const AT_ONCE: usize = 2;

/// Does `each` to every item, a few at a time, and gives the results in the order of the items. `ended` hears of every item
/// that is done, in the caller's thread. After a failure the others are cancelled, and the first failure is the one to tell.
pub(crate) fn concurrently<T: Sync, R: Send, E: Send>(
    items: &[T],
    progress: &dyn Progress,
    each: impl Fn(&T, &dyn Progress) -> Result<R, E> + Sync,
    mut ended: impl FnMut(),
) -> Result<Vec<R>, E> {
    let (next, part) = (AtomicUsize::new(0), Part { progress, stopped: AtomicBool::new(false) });
    let failure = Mutex::new(None);
    let (sender, receiver) = mpsc::channel();
    let work = |sender: mpsc::Sender<(usize, R)>| {
        while let Some((at, item)) = at(items, next.fetch_add(1, Ordering::Relaxed)) {
            match each(item, &part) {
                // The receiver is gone when its thread panics: then nobody wants the result.
                Ok(result) => drop(sender.send((at, result))),
                Err(error) => {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    part.stopped.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    };
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..AT_ONCE.min(items.len()))
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(move || work(sender))
            })
            .collect();
        drop(sender);
        for (at, result) in receiver {
            results[at] = Some(result);
            ended();
        }
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(results.into_iter().map(|result| result.expect("no item failed")).collect()),
    }
}

/// What each of `disks` disks may take of what was granted for all, so many being worked on at a time.
pub(crate) fn share(tuning: Tuning, disks: usize) -> Tuning {
    let parts = AT_ONCE.min(disks).max(1);
    Tuning {
        jobs: tuning.jobs.map(|jobs| (jobs.get() / parts).try_into().unwrap_or(std::num::NonZeroUsize::MIN)),
        rate_limit: tuning.rate_limit.map(|rate| {
            let parts = u64::try_from(parts).expect("a few");
            (rate.get() / parts).try_into().unwrap_or(std::num::NonZeroU64::MIN)
        }),
    }
}

fn at<T>(items: &[T], at: usize) -> Option<(usize, &T)> {
    items.get(at).map(|item| (at, item))
}

/// The progress of one item among several: the total was told for all of them, unless an item tells its own.
struct Part<'a> {
    progress: &'a dyn Progress,
    stopped: AtomicBool,
}

impl Progress for Part<'_> {
    fn begin(&self, total_bytes: u64) {
        self.progress.begin(total_bytes);
    }

    fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.progress.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use cadenas_image::NoProgress;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_and_every_end_is_told() {
        let mut ends = 0;
        let doubled = concurrently(&[1, 2, 3, 4, 5], &NoProgress, |item, _| Ok::<_, ()>(item * 2), || ends += 1);
        assert_eq!(doubled, Ok(vec![2, 4, 6, 8, 10]));
        assert_eq!(ends, 5);
    }

    #[test]
    fn a_failure_cancels_the_others_and_is_the_one_that_is_told() {
        let wait_until_cancelled = |item: &i32, progress: &dyn Progress| {
            if *item == 1 {
                return Err("the first");
            }
            while !progress.cancelled() {
                thread::yield_now();
            }
            Err::<(), _>("cancelled")
        };
        assert_eq!(concurrently(&[0, 1, 2, 3], &NoProgress, wait_until_cancelled, || {}), Err("the first"));
    }

    #[test]
    fn what_is_granted_is_shared_by_those_that_work_at_a_time() {
        let granted = Tuning { jobs: 4.try_into().ok(), rate_limit: 1000.try_into().ok() };
        assert_eq!(share(granted, 1), granted);
        assert_eq!(share(granted, 9), Tuning { jobs: 2.try_into().ok(), rate_limit: 500.try_into().ok() });
        let least = Tuning { jobs: 1.try_into().ok(), rate_limit: 1.try_into().ok() };
        assert_eq!(share(least, 2), least);
    }
}
