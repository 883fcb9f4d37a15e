//! A shallow recrypt is a matter of microseconds. Alone in its file, so that no other test runs in the same process.

use std::time::{Duration, Instant};

use cadenas_keys::{Dek, Kdk, KeyId, KeyRing, KeySafe, ObjectName, ProviderId, VmId};

#[test]
fn rewrapping_the_key_safe_of_a_vm_with_four_disks_takes_under_a_millisecond() {
    let (ring, vm) = (KeyRing::new(), VmId::random());
    let [old, new] = [(); 2].map(|()| {
        let ids = (ProviderId::random(), KeyId::random());
        ring.insert(ids.0, ids.1, Kdk::generate()).expect("a new ID");
        ids
    });
    let objects = [ObjectName::configuration()]
        .into_iter()
        .chain(["vda", "vdb", "vdc", "vdd"].map(|target| ObjectName::disk(target).expect("a target")));
    let entries =
        objects.map(|object| ring.wrap(old.0, old.1, vm, &object, &Dek::generate()).expect("the key is there"));
    let safe = KeySafe::new(entries.collect()).expect("unique");

    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            for entry in safe.entries() {
                ring.rewrap(vm, entry, new.0, new.1).expect("both keys are there");
            }
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("rewrap of 5 entries: best {:?}, median {:?}, worst of 200 {:?}", times[0], times[100], times[199]);
    // Other tests keep the machine busy; the fastest run is the least disturbed.
    assert!(times[0] < Duration::from_millis(1), "{:?}", times[0]);
}
