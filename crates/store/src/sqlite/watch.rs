//! A watch reads the kept changes and sleeps when it has read them all. It queues nothing: a slow watcher costs nothing,
//! and one that is slower than the history is long is told so.

use std::collections::VecDeque;

use async_trait::async_trait;
use tokio::sync::watch::Receiver;

use super::worker::Requests;
use crate::{Changes, Prefix, Revision, StoreError, Watch};

pub(super) struct SqliteWatch {
    requests: Requests,
    revisions: Receiver<Revision>,
    prefix: Prefix,
    /// All changes up to here were read.
    after: Revision,
    /// Read, and not told yet.
    ready: VecDeque<Changes>,
}

impl SqliteWatch {
    pub(super) fn new(requests: Requests, prefix: Prefix, after: Revision) -> Self {
        let revisions = requests.revisions();
        Self { requests, revisions, prefix, after, ready: VecDeque::new() }
    }

    /// Sleeps until the store is beyond what was read.
    async fn wait(&mut self) -> Result<(), StoreError> {
        let after = self.after;
        match self.revisions.wait_for(|revision| *revision > after).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.requests.closed()),
        }
    }
}

#[async_trait]
impl Watch for SqliteWatch {
    async fn next(&mut self) -> Result<Changes, StoreError> {
        loop {
            if let Some(changes) = self.ready.pop_front() {
                return Ok(changes);
            }
            self.wait().await?;
            let (prefix, after) = (self.prefix.clone(), self.after);
            let read = self.requests.read(move |database| database.changes(&prefix, after)).await?;
            // No await from here on: a cancelled `next` either read nothing or keeps what it read.
            self.after = read.through;
            self.ready = read.changes.into();
        }
    }
}
