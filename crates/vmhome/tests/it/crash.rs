//! A process that ends at any step leaves the VM whole: the old one or the new one, never neither, never half of each.

use std::collections::{BTreeMap, BTreeSet};

use cadenas_image::NoProgress;

use crate::common::{Bed, CancelAt, KillAt, as_process, full_bytes};
use cadenas_vmhome::{Method, NoSteps, Step, Steps, VmHome, encrypt};

/// What leads to the steps of one transition.
struct Scenario {
    prepare: fn() -> Bed,
    run: fn(&Bed, &dyn Steps),
    /// The first step at which the new VM is the one that stays.
    commit: Option<Step>,
    /// The first step after that at which the old VM is again the one that stays.
    retreat: Option<Step>,
    is_old: fn(&Bed) -> bool,
    is_new: fn(&Bed) -> bool,
}

/// There is one for each word before the slash of a step's label; a new transition fails here until it has its own.
fn scenario(transition: &str) -> Scenario {
    match transition {
        "encrypt" => Scenario {
            prepare: Bed::small,
            run: |bed, steps| drop(bed.encrypt_with(steps).expect("encrypted")),
            commit: Some(Step::EncryptCommitted),
            retreat: None,
            is_old: Bed::is_plain,
            is_new: Bed::is_encrypted,
        },
        "decrypt" => Scenario {
            prepare: encrypted,
            run: |bed, steps| drop(bed.decrypt_with(steps).expect("decrypted")),
            commit: Some(Step::DecryptCommitted),
            retreat: None,
            is_old: Bed::is_encrypted,
            is_new: Bed::is_plain,
        },
        "encrypt-in-place" => Scenario {
            prepare: Bed::small,
            run: |bed, steps| drop(bed.encrypt_in_place_with(steps, &NoProgress).expect("encrypted")),
            // Nothing is half of both that does not go on.
            commit: Some(Step::EncryptInPlaceAnnounced),
            retreat: None,
            is_old: Bed::is_plain,
            is_new: Bed::is_encrypted,
        },
        "decrypt-in-place" => Scenario {
            prepare: full_encrypted,
            run: |bed, steps| drop(bed.decrypt_by(Method::InPlace, steps).expect("decrypted")),
            commit: Some(Step::DecryptInPlaceAnnounced),
            retreat: None,
            is_old: Bed::is_encrypted,
            is_new: Bed::is_plain,
        },
        "deep-recrypt-in-place" => Scenario {
            prepare: encrypted,
            run: |bed, steps| drop(bed.deep_recrypt_by(Method::InPlace, steps).expect("recrypted")),
            commit: Some(Step::DeepRecryptInPlaceAnnounced),
            retreat: None,
            is_old: |bed| is_under(bed, bed.key) && bed.is_encrypted(),
            is_new: |bed| is_under(bed, bed.next_key) && bed.is_encrypted(),
        },
        "rollback-in-place" => Scenario {
            prepare: Bed::small,
            run: |bed, steps| {
                let cancel = CancelAt::new(steps, Step::EncryptInPlaceProved);
                bed.encrypt_in_place_with(&cancel, &cancel).expect_err("cancelled");
            },
            commit: Some(Step::EncryptInPlaceAnnounced),
            retreat: Some(Step::RollbackInPlaceRecorded),
            is_old: Bed::is_plain,
            is_new: Bed::is_encrypted,
        },
        "recrypt" => Scenario {
            prepare: encrypted,
            run: |bed, steps| {
                bed.recrypt(bed.provider, bed.next_key, steps).expect("recrypted");
            },
            commit: Some(Step::RecryptCommitted),
            retreat: None,
            is_old: |bed| is_under(bed, bed.key) && rewritten_is_encrypted(bed),
            is_new: |bed| is_under(bed, bed.next_key) && bed.is_encrypted(),
        },
        "deep-recrypt" => Scenario {
            prepare: encrypted,
            run: |bed, steps| drop(bed.deep_recrypt_with(steps).expect("recrypted")),
            commit: Some(Step::DeepRecryptCommitted),
            retreat: None,
            is_old: |bed| is_under(bed, bed.key) && bed.is_encrypted(),
            is_new: |bed| is_under(bed, bed.next_key) && bed.is_encrypted(),
        },
        "start" => Scenario {
            prepare: encrypted,
            run: |bed, steps| {
                let unlocked = bed.unlocked();
                let keys = unlocked.one_time_keys(steps).expect("written");
                unlocked.erase_one_time_keys(&keys, steps).expect("erased");
            },
            commit: None,
            retreat: None,
            is_old: |bed| {
                bed.unlocked().erase_leftover_slots(&NoSteps).expect("erased");
                bed.unlocked().erase_leftover_slots(&NoSteps).expect("erased") == 0 && bed.is_encrypted()
            },
            is_new: |_| false,
        },
        "rollback" => Scenario {
            prepare: Bed::small,
            run: |bed, steps| {
                let cancel = CancelAt::new(steps, Step::EncryptDescriptorStaged);
                encrypt(&bed.plan(), bed.context(&cancel, &cancel)).expect_err("cancelled");
            },
            commit: None,
            retreat: None,
            is_old: Bed::is_plain,
            is_new: Bed::is_encrypted,
        },
        other => panic!("no crash test for the transition {other:?}: write its scenario"),
    }
}

fn encrypted() -> Bed {
    let bed = Bed::small();
    bed.encrypt();
    bed
}

/// Raw disks without holes, which are LUKS volumes when they are encrypted, and come back as raw disks.
fn full() -> Bed {
    let mut bed = Bed::without_disks();
    bed.add_raw("vda", &full_bytes(256 << 10));
    bed.add_raw("vdb", &full_bytes((128 << 10) + 100));
    bed
}

fn full_encrypted() -> Bed {
    let bed = full();
    bed.encrypt();
    bed
}

fn is_under(bed: &Bed, key: cadenas_keys::KeyId) -> bool {
    let home = VmHome::open(&bed.home()).expect("a home");
    home.key_safe().keys_used().into_iter().eq([(bed.provider, key)])
}

/// A shallow recrypt that was killed may leave its hidden file; the next one replaces it.
fn rewritten_is_encrypted(bed: &Bed) -> bool {
    bed.recrypt(bed.provider, bed.next_key, &NoSteps).expect("recrypted");
    bed.is_encrypted()
}

fn transitions() -> BTreeSet<&'static str> {
    Step::ALL.iter().map(|step| step.transition()).collect()
}

/// The steps that a run reaches when nothing ends it.
fn steps_of(scenario: &Scenario) -> Vec<Step> {
    let (bed, steps) = ((scenario.prepare)(), KillAt::never());
    (scenario.run)(&bed, &steps);
    steps.seen()
}

#[test]
fn every_step_is_really_reached_by_its_transition() {
    let mut reached: BTreeMap<&str, BTreeSet<Step>> = BTreeMap::new();
    for transition in transitions() {
        for step in steps_of(&scenario(transition)) {
            reached.entry(step.transition()).or_default().insert(step);
        }
    }
    let missing: Vec<_> =
        Step::ALL.iter().filter(|step| !reached[step.transition()].contains(step)).map(|step| step.label()).collect();
    assert!(missing.is_empty(), "no run reaches {missing:?}");
}

/// Ends the run when it reaches its n-th step, for every n, and repairs.
fn crash_everywhere(transition: &str) {
    let scenario = scenario(transition);
    let steps = steps_of(&scenario);
    for (nth, step) in steps.iter().enumerate() {
        let bed = crashed_at(&scenario, nth);
        bed.repair(&NoSteps);
        assert_whole(&scenario, &bed, &steps[..=nth], &format!("killed at step {nth}, {step}"));
    }
}

/// Ends the run at each step, then the repair at each of its own, then repairs again.
fn crash_the_repair_everywhere(transition: &str) {
    let scenario = scenario(transition);
    let steps = steps_of(&scenario);
    for (nth, step) in steps.iter().enumerate() {
        for repair_nth in 0.. {
            let bed = crashed_at(&scenario, nth);
            let killer = KillAt::nth(repair_nth);
            let done = as_process(|| bed.repair(&killer)).is_some();
            bed.repair(&NoSteps);
            let what = format!("killed at step {nth}, {step}, its repair at its {:?}", killer.seen().last());
            assert_whole(&scenario, &bed, &steps[..=nth], &what);
            if done {
                break;
            }
        }
    }
}

fn crashed_at(scenario: &Scenario, nth: usize) -> Bed {
    let bed = (scenario.prepare)();
    assert!(as_process(|| (scenario.run)(&bed, &KillAt::nth(nth))).is_none(), "step {nth} is not reached");
    bed
}

fn assert_whole(scenario: &Scenario, bed: &Bed, reached: &[Step], what: &str) {
    let has = |step: Option<Step>| step.is_some_and(|step| reached.contains(&step));
    let committed = has(scenario.commit) && !has(scenario.retreat);
    if committed {
        assert!((scenario.is_new)(bed), "not the new VM, whole: {what}: {:?}", bed.names());
    } else {
        assert!((scenario.is_old)(bed), "not the old VM, whole: {what}: {:?}", bed.names());
    }
}

macro_rules! crash_tests {
    ($($name:ident: $transition:literal,)+) => {
        $(mod $name {
            #[test]
            fn a_crash_at_any_step_leaves_one_whole_vm() {
                super::crash_everywhere($transition);
            }

            #[test]
            fn a_crash_at_any_step_of_its_repair_does_too() {
                super::crash_the_repair_everywhere($transition);
            }
        })+

        #[test]
        fn every_transition_has_its_crash_tests() {
            assert_eq!(BTreeSet::from([$($transition,)+]), transitions());
        }
    };
}

crash_tests! {
    encrypt: "encrypt",
    decrypt: "decrypt",
    recrypt: "recrypt",
    deep_recrypt: "deep-recrypt",
    encrypt_in_place: "encrypt-in-place",
    decrypt_in_place: "decrypt-in-place",
    deep_recrypt_in_place: "deep-recrypt-in-place",
    start: "start",
    rollback: "rollback",
    rollback_in_place: "rollback-in-place",
}
