//! The same to many things, on all cores.

use std::{num::NonZeroUsize, panic::resume_unwind, thread};

/// Fewer than these are not worth a thread.
const FEW: usize = 256;

/// Does `each` to every item and gives the results in the order of the items.
pub(crate) fn on_all_cores<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let share = items.len().div_ceil(cores).max(FEW);
    let work = |share: &[T]| share.iter().map(&each).collect::<Vec<R>>();
    if items.len() <= share {
        return work(items);
    }
    let mut results = Vec::with_capacity(items.len());
    thread::scope(|scope| {
        let threads: Vec<_> = items.chunks(share).map(|share| scope.spawn(move || work(share))).collect();
        for thread in threads {
            results.append(&mut thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
    });
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once_and_results_keep_their_order() {
        for count in [0, 1, FEW, FEW + 1, 10 * FEW + 7] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(on_all_cores(&items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
