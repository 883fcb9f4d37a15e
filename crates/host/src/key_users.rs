//! Which keys the VMs of this host need, whatever state they are in.

use cadenas_api::{KeyUser, Problem, ProblemCode, chain};
use cadenas_vmhome::{JournalError, Record, VmHome, flush};

use crate::{
    local::Inner,
    locate::{Located, open, unreadable},
    problem::from_inventory,
};

impl Inner {
    /// What is told is durable: a VM that was wrapped anew a moment ago needs its old key until that is flushed.
    pub(crate) fn key_users(&self) -> Result<Vec<KeyUser>, Problem> {
        let entries = self.inventory.entries().map_err(|error| from_inventory(&error))?;
        let located: Vec<_> = entries.into_iter().map(|entry| open(entry.vm, entry)).collect();
        flush(located.iter().filter_map(home))
            .map_err(|error| Problem::new(ProblemCode::DatastoreFailed, chain(&error)))?;
        let records = self.journal.pending().map_err(|error| unknown_record(&error))?;
        let of_homes = located.iter().filter_map(|located| self.key_user(located));
        Ok(of_homes.chain(records.into_iter().map(key_user_of_record)).collect())
    }

    /// `None` for a plain VM that an encryption which was undone left in the inventory.
    fn key_user(&self, located: &Located) -> Option<KeyUser> {
        match located {
            Located::Home(home) => {
                Some(KeyUser { name: home.name().to_string(), keys: Ok(home.key_safe().keys_used()) })
            }
            Located::Unreadable(entry, _) if located.is_gone() && self.is_settled_and_plain(entry.vm) => None,
            Located::Unreadable(entry, error) => {
                Some(KeyUser { name: entry.name.clone(), keys: Err(unreadable(entry, error)) })
            }
            Located::Domain(_) => None,
        }
    }
}

fn home(located: &Located) -> Option<&VmHome> {
    match located {
        Located::Home(home) => Some(home),
        Located::Unreadable(..) | Located::Domain(_) => None,
    }
}

/// Disks that are half rewritten open with keys that no descriptor in place names.
fn key_user_of_record(record: Result<Record, JournalError>) -> KeyUser {
    match record {
        Ok(record) => KeyUser { name: record.name().to_string(), keys: Ok(record.keys().iter().copied().collect()) },
        Err(error) => {
            KeyUser { name: "a VM whose change was interrupted".to_owned(), keys: Err(unknown_record(&error)) }
        }
    }
}

fn unknown_record(error: &JournalError) -> Problem {
    Problem::new(ProblemCode::NeedsRepair, chain(error))
}
