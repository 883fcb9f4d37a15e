//! Wrong answers.

use std::time::Duration;

use crate::{CryptographicAlgorithm, KmipOperation, ResultReason};

/// How an operation is answered wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not done, with this reason and message.
    Refuse(ResultReason, &'static str),
    /// Done, and answered after this long.
    Late(Duration),
    /// Done, and answered a byte at a time with this long between them.
    Drip(Duration),
    /// Done, and the connection is closed after half the answer.
    Cut,
    /// Done, and the connection is closed without an answer.
    HangUp,
    /// Not done, and the connection is closed without an answer.
    HangUpBefore,
    /// An answer that claims to have 4 GiB.
    OverLong,
    /// An answer nested a thousand levels deep.
    Deep,
    /// An answer without a batch item.
    NoBatchItem,
    /// An answer with two batch items.
    TwoBatchItems,
    /// An answer to another operation.
    OtherOperation,
    /// An answer with another batch item ID.
    OtherBatchId,
    /// An answer that is about another key.
    OtherKey,
    /// An answer in a version that was not asked in.
    OtherVersion,
    /// An answer whose type bytes do not exist.
    Garbled,
    /// An answer without what the operation brings.
    NoPayload,
    /// What a web server says.
    Web,
    /// A key of 128 bits.
    ShortKey,
    /// A key for something else.
    OtherAlgorithm(CryptographicAlgorithm),
}

/// When a fault shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once.
    Next,
    /// Until it is mended.
    Always,
}

/// The faults that a server has at the moment.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(KmipOperation, Fault, When)>);

impl Faults {
    pub(super) fn add(&mut self, operation: KmipOperation, fault: Fault, when: When) {
        self.0.push((operation, fault, when));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault to show now, if there is one.
    pub(super) fn take(&mut self, operation: KmipOperation) -> Option<Fault> {
        let at = self.0.iter().position(|(of, ..)| *of == operation)?;
        match self.0[at].2 {
            When::Next => Some(self.0.remove(at).1),
            When::Always => Some(self.0[at].1.clone()),
        }
    }
}
