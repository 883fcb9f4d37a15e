//! Keys as a server keeps them.

use std::fmt;

use cadenas_secret::SecretBytes;

use crate::codes::closed_codes;

/// Length of the keys that we make and read: AES-256.
pub const KEY_BYTES: usize = 32;

closed_codes! {
    /// Where a key is in its life (1.4, 3.22). Only the server and its administrators move it.
    KeyState {
        PreActive = 1 "Pre-Active";
        Active = 2 "Active";
        Deactivated = 3 "Deactivated";
        Compromised = 4 "Compromised";
        Destroyed = 5 "Destroyed";
        DestroyedCompromised = 6 "Destroyed Compromised";
    }
}

closed_codes! {
    /// Why a key is taken out of use (1.4, 9.1.3.2.19). A compromise makes it [`KeyState::Compromised`], anything else
    /// [`KeyState::Deactivated`].
    RevocationReason {
        Unspecified = 1 "Unspecified";
        KeyCompromise = 2 "Key Compromise";
        CaCompromise = 3 "CA Compromise";
        AffiliationChanged = 4 "Affiliation Changed";
        Superseded = 5 "Superseded";
        CessationOfOperation = 6 "Cessation of Operation";
        PrivilegeWithdrawn = 7 "Privilege Withdrawn";
    }
}

/// What a server tells about a key without giving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Where it is in its life.
    pub state: KeyState,
    /// Its names. We give one.
    pub names: Vec<String>,
    /// When it was made or registered, in seconds since 1970.
    pub created: Option<i64>,
    /// When it became active, in seconds since 1970.
    pub activated: Option<i64>,
}

/// A key, read from a server. Its state is told, not judged: whether a deactivated key may still open something is for the
/// caller to decide.
pub struct FetchedKey {
    /// The 32 bytes.
    pub material: SecretBytes,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made or registered, in seconds since 1970.
    pub created: Option<i64>,
    /// Its names.
    pub names: Vec<String>,
}

impl fmt::Debug for FetchedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedKey")
            .field("state", &self.state)
            .field("created", &self.created)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for state in KeyState::ALL {
            assert_eq!(KeyState::from_code(state.code()), Some(*state));
        }
        assert_eq!(KeyState::from_code(0), None);
        assert_eq!(KeyState::from_code(7), None);
    }

    #[test]
    fn a_key_is_not_shown() {
        let material = SecretBytes::take_from(vec![0xab; KEY_BYTES]);
        let key = FetchedKey { material, state: KeyState::Active, created: Some(1), names: vec!["web01".into()] };
        assert_eq!(format!("{key:?}"), r#"FetchedKey { state: Active, created: Some(1), names: ["web01"], .. }"#);
    }
}
