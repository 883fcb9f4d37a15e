//! Verify: what of a VM home really is encrypted, and under which key. It reads only, at any power state.

use std::str;

use cadenas_image::{Access, File, SampleReport, inspect, sample};
use cadenas_keys::{Fingerprint, KeyRing, NeededKey, ObjectName};
use cadenas_secret::SecretBytes;

use crate::{
    descriptor::DiskEntry,
    disk::{OpenDisk, open_in_home},
    home::VmHome,
    sealed::DiskConfiguration,
};

/// What a verification found, object by object: the configuration first, then the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// One for each object.
    pub objects: Vec<ObjectVerdict>,
}

impl VerifyReport {
    /// Whether every object is encrypted and nothing is wrong with any.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.objects.iter().all(|object| object.encrypted && object.problem.is_none())
    }
}

/// What a verification found about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVerdict {
    /// Which.
    pub object: ObjectName,
    /// Whether what was read of it is encrypted.
    pub encrypted: bool,
    /// The key …
    pub key: NeededKey,
    /// … and its fingerprint, as the key safe names them.
    pub fingerprint: Fingerprint,
    /// What was read to know it.
    pub detail: String,
    /// What is wrong, with its causes.
    pub problem: Option<String>,
}

/// What was seen of one object.
struct Seen {
    encrypted: bool,
    detail: String,
    problem: Option<String>,
}

impl VmHome {
    /// Opens what the keys that are here open, compares every disk's headers, and looks at `samples` sectors of each.
    #[must_use]
    pub fn verify(&self, keyring: &KeyRing, samples: usize) -> VerifyReport {
        let configuration = self.configuration(keyring);
        let sealed = configuration.as_ref().ok().map(|configuration| configuration.disks.as_slice());
        let disks = self.disks().iter().enumerate().map(|(at, disk)| {
            let sealed = sealed.map(|disks| &disks[at]);
            self.verdict(disk.dek.clone(), self.verify_disk(keyring, disk, sealed, samples))
        });
        let disks: Vec<_> = disks.collect();
        let seen = self.seen_configuration(keyring, configuration.err());
        let first = self.verdict(ObjectName::configuration(), seen);
        VerifyReport { objects: [first].into_iter().chain(disks).collect() }
    }

    fn verdict(&self, object: ObjectName, seen: Seen) -> ObjectVerdict {
        let entry = self.key_safe().entry(&object).expect("the descriptor was checked to have one for each object");
        ObjectVerdict {
            key: entry.needs(),
            fingerprint: entry.fingerprint,
            encrypted: seen.encrypted,
            detail: seen.detail,
            problem: seen.problem,
            object,
        }
    }

    fn seen_configuration(&self, keyring: &KeyRing, error: Option<crate::UnlockError>) -> Seen {
        let ciphertext = &self.descriptor().configuration().ciphertext;
        // A plain XML text is UTF-8; hundreds of random bytes are not.
        let encrypted = str::from_utf8(ciphertext).is_err();
        let what = format!("{} bytes of AES-256-GCM", ciphertext.len());
        match error {
            None => Seen { encrypted, detail: format!("{what}: opens and is authentic"), problem: None },
            Some(_) if !self.has_key(keyring, &ObjectName::configuration()) => {
                Seen { encrypted, detail: format!("{what}: {KEY_NOT_HERE}"), problem: None }
            }
            Some(error) => Seen { encrypted, detail: what, problem: Some(chain(&error)) },
        }
    }

    fn has_key(&self, keyring: &KeyRing, object: &ObjectName) -> bool {
        self.key_safe().entry(object).is_some_and(|entry| keyring.has(entry.provider, entry.key))
    }

    fn verify_disk(
        &self,
        keyring: &KeyRing,
        entry: &DiskEntry,
        sealed: Option<&DiskConfiguration>,
        samples: usize,
    ) -> Seen {
        let file = match open_in_home(entry, self.disk_path(entry), Access::Read) {
            Ok(file) => file,
            Err(error) => return unseen(&error),
        };
        if !self.has_key(keyring, &entry.dek) {
            return verify_headers(entry, &file, samples, KEY_NOT_HERE);
        }
        let dek = match self.dek(keyring, &entry.dek) {
            Ok(dek) => dek,
            Err(error) => return Seen { problem: Some(chain(&error)), ..verify_headers(entry, &file, samples, "") },
        };
        let Some(sealed) = sealed else {
            return verify_headers(entry, &file, samples, "what must be in its header is sealed and does not open");
        };
        let disk = OpenDisk { entry: entry.clone(), path: self.disk_path(entry), sealed: sealed.clone(), dek };
        verify_open_disk(&disk, &file, samples)
    }
}

const KEY_NOT_HERE: &str = "its key is not here, so it was not opened";

/// With the key: the header must be the sealed one, the DEK must open it, the data must look like ciphertext.
fn verify_open_disk(disk: &OpenDisk, file: &File, samples: usize) -> Seen {
    if let Err(error) = disk.check(file) {
        return Seen { problem: Some(chain(&error)), ..verify_headers(&disk.entry, file, samples, "") };
    }
    let passphrase = disk.dek.luks_passphrase();
    let what = format!("{}: as sealed, opens with its key", disk.sealed.must_say.cipher);
    look_at_data(file, Some(&passphrase), samples, &what)
}

/// Without the key: what the image tells everybody.
fn verify_headers(entry: &DiskEntry, file: &File, samples: usize, note: &str) -> Seen {
    let encryption = match inspect(file) {
        Ok(info) => info.encryption,
        Err(error) => return unseen(&error),
    };
    match encryption {
        None => Seen {
            encrypted: false,
            detail: "its header names no encryption".to_owned(),
            problem: Some("the disk is not encrypted".to_owned()),
        },
        Some(found) if found.uuid != entry.luks_uuid => Seen {
            encrypted: true,
            detail: format!("LUKS {}", found.cipher),
            problem: Some(format!("another disk: LUKS UUID {} instead of {}", found.uuid, entry.luks_uuid)),
        },
        Some(found) => look_at_data(file, None, samples, &join(&found.cipher, note)),
    }
}

fn look_at_data(file: &File, passphrase: Option<&SecretBytes>, samples: usize, what: &str) -> Seen {
    match sample(file, passphrase, samples) {
        Ok(report) => judge(&report, what),
        Err(error) => unseen(&error),
    }
}

fn judge(report: &SampleReport, what: &str) -> Seen {
    let SampleReport { sectors_read, empty, looks_encrypted, suspicious, .. } = report;
    let detail =
        format!("{what}; of {sectors_read} sectors read {looks_encrypted} look encrypted, {empty} were never written");
    let problem = suspicious.first().map(|offset| {
        format!("{} of the sectors read are not encrypted, the first at byte {offset} of the file", suspicious.len())
    });
    Seen { encrypted: problem.is_none(), detail, problem }
}

fn unseen<E: std::error::Error + 'static>(error: &E) -> Seen {
    Seen { encrypted: false, detail: "not read".to_owned(), problem: Some(chain(error)) }
}

fn join(cipher: &str, note: &str) -> String {
    if note.is_empty() { format!("LUKS {cipher}") } else { format!("LUKS {cipher}: {note}") }
}

/// An error and its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
