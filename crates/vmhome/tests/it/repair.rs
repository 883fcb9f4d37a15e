//! What a repair cannot settle, it leaves alone, says why, and settles later.

use std::fs;

use cadenas_image::{Access, File, Locking, NoProgress};
use cadenas_keys::KeyRing;
use cadenas_vmhome::{
    Context, JournalError, Method, NoSteps, Record, RecryptError, Refusal, RepairError, Repaired, Step,
    TransitionError, UnlockError, VmHome, encrypt, repair,
};

use crate::common::{Bed, KillAt, as_process, chain, full_bytes};

fn killed_encryption(step: Step) -> Bed {
    let bed = Bed::small();
    assert!(as_process(|| bed.encrypt_with(&KillAt::first(step))).is_none());
    bed
}

fn killed_decryption(step: Step) -> Bed {
    let bed = Bed::small();
    bed.encrypt();
    assert!(as_process(|| bed.decrypt_with(&KillAt::first(step))).is_none());
    bed
}

fn record(bed: &Bed) -> Record {
    bed.journal.find(bed.vm).expect("readable").expect("interrupted")
}

fn repaired(bed: &Bed) -> Result<Repaired, RepairError> {
    repair(&record(bed), bed.context(&NoSteps, &NoProgress))
}

#[test]
fn a_plain_disk_that_was_used_after_the_commit_is_not_removed() {
    let bed = killed_encryption(Step::EncryptCommitted);
    let plain = bed.guests[0].plain.path.clone();
    fs::write(&plain, "written by the old VM").expect("written");
    let error = repaired(&bed).expect_err("changed");
    assert!(matches!(&error, RepairError::PlainDiskChanged { path, .. } if *path == plain), "{error}");
    assert!(bed.twin.defined().is_some() && bed.guests.iter().all(|guest| guest.plain.path.exists()));
    // The one way out: keep the encrypted VM.
    fs::remove_file(plain).expect("moved away");
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}

#[test]
fn or_the_old_vm_is_kept_by_moving_the_descriptor_away() {
    let bed = killed_encryption(Step::EncryptCommitted);
    let plain = bed.guests[0].plain.path.clone();
    fs::write(&plain, "written by the old VM").expect("written");
    repaired(&bed).expect_err("changed");
    fs::rename(bed.descriptor(), bed.folder.path().join("away")).expect("moved away");
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledBack)));
    assert_eq!(fs::read(plain).expect("kept"), b"written by the old VM");
    assert!(bed.twin.defined().is_some() && !bed.home().exists());
}

#[test]
fn a_rollback_never_removes_the_only_copy_of_a_disk() {
    let bed = killed_encryption(Step::EncryptPlainRemoved);
    fs::rename(bed.descriptor(), bed.folder.path().join("away")).expect("moved away");
    let error = repaired(&bed).expect_err("the plain disk is gone already");
    assert!(matches!(error, RepairError::Gone { .. }), "{error}");
    assert!(bed.home().join("vda.qcow2").exists());
    fs::rename(bed.folder.path().join("away"), bed.descriptor()).expect("moved back");
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}

#[test]
fn nor_does_a_rollforward_when_an_encrypted_disk_is_gone() {
    let bed = killed_encryption(Step::EncryptCommitted);
    let disk = bed.home().join("vda.qcow2");
    fs::rename(&disk, bed.folder.path().join("away")).expect("moved away");
    assert!(matches!(repaired(&bed), Err(RepairError::Gone { .. })));
    assert!(bed.guests.iter().all(|guest| guest.plain.path.exists()));
    fs::rename(bed.folder.path().join("away"), disk).expect("moved back");
    bed.repair(&NoSteps);
    assert!(bed.is_encrypted());
}

#[test]
fn a_running_old_vm_is_neither_undefined_nor_robbed_of_its_disks() {
    let bed = killed_encryption(Step::EncryptCommitted);
    let disk = File::open(&bed.guests[1].plain.path, Access::Write).expect("opened");
    let running = disk.lock(Locking::Exclusive).expect("locked");
    assert!(matches!(repaired(&bed), Err(RepairError::Claim(_))));
    assert!(bed.twin.defined().is_some() && bed.guests.iter().all(|guest| guest.plain.path.exists()));
    drop(running);
    bed.repair(&NoSteps);
    assert!(bed.is_encrypted());
}

#[test]
fn without_libvirt_the_record_stays_and_a_later_repair_finishes() {
    let bed = Bed::small();
    bed.twin.set_reachable(false);
    let error = bed.encrypt_with(&NoSteps).expect_err("undefining fails");
    assert!(matches!(error, TransitionError::Unfinished { .. }), "{error}");
    assert!(chain(&error).contains("no answer"), "{}", chain(&error));
    assert!(matches!(repaired(&bed), Err(RepairError::Definition { .. })));
    assert!(bed.guests.iter().all(|guest| guest.plain.path.exists()));
    bed.twin.set_reachable(true);
    bed.repair(&NoSteps);
    assert!(bed.is_encrypted());

    bed.twin.set_reachable(false);
    assert!(matches!(bed.decrypt_with(&NoSteps), Err(TransitionError::Unfinished { .. })));
    bed.twin.set_reachable(true);
    bed.repair(&NoSteps);
    assert!(bed.is_plain());
}

#[test]
fn a_second_transition_waits_for_the_repair() {
    let bed = killed_encryption(Step::EncryptDiskStaged);
    let error = bed.encrypt_with(&NoSteps).expect_err("interrupted");
    assert!(matches!(error, TransitionError::Refused(Refusal::Journal(JournalError::Pending { .. }))), "{error}");
    bed.repair(&NoSteps);
    bed.encrypt();
    assert!(bed.is_encrypted());
}

#[test]
fn a_shallow_recrypt_before_the_repair_is_refused() {
    let pending = |bed: &Bed| bed.recrypt(bed.provider, bed.next_key, &NoSteps).expect_err("something is interrupted");
    let bed = killed_encryption(Step::EncryptCommitted);
    assert!(matches!(pending(&bed), RecryptError::Journal(JournalError::Pending { .. })));
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());

    // Half-rewritten disks open with what is in the staged descriptor alone.
    let rewritten = KillAt::first(Step::DeepRecryptInPlaceDiskRewritten);
    assert!(as_process(|| bed.deep_recrypt_by(Method::InPlace, &rewritten)).is_none());
    let staged = bed.home().join(".web01.cadenas.new");
    let before = fs::read(&staged).expect("staged");
    assert!(matches!(pending(&bed), RecryptError::Journal(JournalError::Pending { .. })));
    assert!(fs::read(&staged).expect("it is there still") == before);
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}

#[test]
fn something_in_the_way_of_a_decrypted_disk_is_not_overwritten() {
    let bed = killed_decryption(Step::DecryptCommitted);
    let path = bed.guests[0].plain.path.clone();
    fs::write(&path, "somebody else's").expect("written");
    let error = repaired(&bed).expect_err("in the way");
    assert!(matches!(error, RepairError::InTheWay { .. }), "{error}");
    assert_eq!(fs::read(&path).expect("read"), b"somebody else's");
    fs::remove_file(path).expect("moved away");
    bed.repair(&NoSteps);
    assert!(bed.is_plain());
}

#[test]
fn an_unknown_descriptor_is_left_alone_and_so_is_everything_else() {
    let (bed, other) = (killed_encryption(Step::EncryptAnnounced), Bed::small());
    other.encrypt();
    fs::copy(other.descriptor(), bed.descriptor()).expect("copied");
    assert!(matches!(repaired(&bed), Err(RepairError::Unclear { .. })));
    fs::write(bed.descriptor(), "{}").expect("damaged");
    assert!(matches!(repaired(&bed), Err(RepairError::Home(_))));
    assert!(bed.home().join("vda.qcow2").exists());
    fs::remove_file(bed.descriptor()).expect("removed");
    assert_eq!(repaired(&bed).expect("undone"), Repaired::RolledBack);
    assert!(bed.is_plain());
}

#[test]
fn a_datastore_that_is_missing_decides_nothing() {
    for step in [Step::EncryptAnnounced, Step::EncryptCommitted] {
        let bed = killed_encryption(step);
        let away = bed.folder.path().join("unmounted");
        fs::rename(bed.home(), &away).expect("moved");
        assert!(matches!(repaired(&bed), Err(RepairError::Gone { .. })));
        fs::rename(away, bed.home()).expect("moved back");
        bed.repair(&NoSteps);
        assert!(if step == Step::EncryptCommitted { bed.is_encrypted() } else { bed.is_plain() });
    }
}

#[test]
fn a_record_that_is_gone_is_nothing_to_do() {
    let bed = killed_encryption(Step::EncryptDiskStaged);
    let record = record(&bed);
    bed.repair(&NoSteps);
    assert_eq!(repair(&record, bed.context(&NoSteps, &NoProgress)).expect("nothing"), Repaired::NothingToDo);
}

#[test]
fn a_plain_disk_that_is_written_while_it_is_copied_undoes_the_encryption() {
    struct Scribbler(std::path::PathBuf);
    impl cadenas_vmhome::Steps for Scribbler {
        fn reached(&self, step: Step) {
            if step == Step::EncryptStagedVerified {
                fs::write(&self.0, "by a program that takes no locks").expect("written");
            }
        }
    }
    let bed = Bed::small();
    let scribbler = Scribbler(bed.guests[0].plain.path.clone());
    let error = encrypt(&bed.plan(), bed.context(&scribbler, &NoProgress)).expect_err("changed");
    assert!(chain(&error).contains("was changed while it was copied"), "{}", chain(&error));
    assert!(!bed.home().exists() && bed.twin.defined().is_some());
    assert!(VmHome::open(&bed.home()).is_err());
}

/// A VM whose in-place encryption was killed when its first disk was new.
fn killed_in_place(step: Step) -> Bed {
    let mut bed = Bed::without_disks();
    bed.add_raw("vda", &full_bytes(256 << 10));
    bed.add_raw("vdb", &full_bytes(64 << 10));
    assert!(as_process(|| bed.encrypt_in_place_with(&KillAt::first(step), &NoProgress)).is_none());
    bed
}

#[test]
fn half_rewritten_disks_wait_for_their_key_and_go_on_when_it_comes() {
    let bed = killed_in_place(Step::EncryptInPlaceDiskRewritten);
    let elsewhere = KeyRing::new();
    let context = Context { keyring: &elsewhere, ..bed.context(&NoSteps, &NoProgress) };
    assert_eq!(record(&bed).keys(), [(bed.provider, bed.key)]);
    let error = repair(&record(&bed), context).expect_err("no key");
    assert!(matches!(error, RepairError::Unlock(UnlockError::Locked { .. })), "{}", chain(&error));
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}

#[test]
fn disks_that_were_not_begun_go_back_without_any_key() {
    let bed = killed_in_place(Step::EncryptInPlaceDescriptorStaged);
    let elsewhere = KeyRing::new();
    let context = Context { keyring: &elsewhere, ..bed.context(&NoSteps, &NoProgress) };
    assert_eq!(repair(&record(&bed), context).expect("undone"), Repaired::RolledBack);
    assert!(bed.is_plain());
}

#[test]
fn a_half_rewritten_disk_or_a_journal_that_is_gone_stops_the_repair_until_it_is_back() {
    let bed = killed_in_place(Step::EncryptInPlaceDiskRewritten);
    for name in ["vda.luks", "vdb.luks.cadenas-journal", ".web01.cadenas.new"] {
        let (path, away) = (bed.home().join(name), bed.image("away"));
        fs::rename(&path, &away).expect("moved away");
        repaired(&bed).expect_err(name);
        fs::rename(away, path).expect("back");
    }
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}

#[test]
fn a_wiped_disk_is_no_changed_disk() {
    let bed = killed_encryption(Step::EncryptPlainWiped);
    let plain = fs::read(&bed.guests[0].plain.path).expect("not removed yet");
    assert!(plain.iter().all(|byte| *byte == 0));
    assert!(matches!(repaired(&bed), Ok(Repaired::RolledForward { .. })));
    assert!(bed.is_encrypted());
}
