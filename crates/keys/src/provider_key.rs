//! What a provider gives a host: a KDK, or the KEK of one VM.

use crate::{
    Fingerprint, Kdk, Kek, KmsKeyId,
    keysafe::{Origin, Place},
};

/// A provider's key, as a host holds it.
#[derive(Debug)]
pub enum ProviderKey {
    /// A native provider's: every VM's KEK is derived from it.
    Kdk(Kdk),
    /// A standard provider's: the KEK of one VM, which its key server keeps.
    Kek {
        /// The key.
        kek: Kek,
        /// How the key server names it.
        kms_key: KmsKeyId,
    },
}

impl ProviderKey {
    /// Which key this is.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Kdk(kdk) => kdk.fingerprint(),
            Self::Kek { kek, .. } => kek.fingerprint(),
        }
    }

    /// Whether both are the same key from the same place.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Kdk(one), Self::Kdk(other)) => one.expose().equals(other.expose().expose()),
            (Self::Kek { kek: one, kms_key }, Self::Kek { kek: other, kms_key: named }) => {
                kms_key == named && one.key().equals(other.key().expose())
            }
            _ => false,
        }
    }

    /// Where the KEK of a new entry comes from; `salt` must be fresh.
    pub(crate) fn origin(&self, salt: [u8; Kek::SALT_BYTES]) -> Origin {
        match self {
            Self::Kdk(_) => Origin::Derived { salt },
            Self::Kek { kms_key, .. } => Origin::KeyServer { kms_key: kms_key.clone() },
        }
    }

    /// Works with the KEK of an entry; `None` if the entry's KEK does not come from a key like this one.
    pub(crate) fn with_kek<T>(&self, origin: &Origin, place: Place<'_>, work: impl FnOnce(&Kek) -> T) -> Option<T> {
        match (self, origin) {
            (Self::Kdk(kdk), Origin::Derived { salt }) => {
                Some(work(&kdk.kek(salt, place.provider, place.key, place.vm)))
            }
            (Self::Kek { kek, kms_key }, Origin::KeyServer { kms_key: named }) if kms_key == named => Some(work(kek)),
            _ => None,
        }
    }
}

impl From<Kdk> for ProviderKey {
    fn from(kdk: Kdk) -> Self {
        Self::Kdk(kdk)
    }
}
