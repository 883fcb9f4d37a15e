//! The thread that owns the connection.

use std::{
    io,
    sync::mpsc::{self, Receiver, Sender},
    thread::{Builder, JoinHandle},
};

use tokio::sync::{oneshot, watch};

use super::database::Database;
use crate::{CommitOutcome, Revision, StoreError, Txn};

/// Most transactions that share one flush.
const MAX_GROUP: usize = 64;

/// The running thread; dropping it lets the thread finish the queue and waits for it.
pub(super) struct Worker {
    requests: Requests,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(super) fn start(database: Database) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let (announce, revisions) = watch::channel(database.revision());
        let store = database.name();
        let thread = Builder::new().name("store".to_owned()).spawn(move || run(database, &queue, &announce))?;
        Ok(Self { requests: Requests { jobs, revisions, store }, thread: Some(thread) })
    }

    pub(super) fn requests(&self) -> &Requests {
        &self.requests
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Watches may outlive the store and hold senders, so the thread is told to end. That it has ended already, or
        // panicked, is told by the requests that it does not answer.
        let _ = self.requests.jobs.send(Job::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A handle through which the thread is asked.
#[derive(Clone)]
pub(super) struct Requests {
    // Unbounded, and yet bounded by its users: each awaits its answer.
    jobs: Sender<Job>,
    revisions: watch::Receiver<Revision>,
    store: String,
}

impl Requests {
    /// Runs `work` on the connection.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write(move |database| work(database)).await
    }

    /// As [`Self::read`], for work that changes something else than entries.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        // Whoever asked may have gone: then nobody needs the answer.
        let job = Job::Run(Box::new(move |database| drop(reply.send(work(database)))));
        self.ask(job, answer).await
    }

    pub(super) async fn commit(&self, txn: Txn) -> Result<CommitOutcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Job::Commit(Commit { txn, reply }), answer).await
    }

    /// Follows the store's revision.
    pub(super) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revisions.clone()
    }

    pub(super) fn closed(&self) -> StoreError {
        StoreError::Closed { store: self.store.clone() }
    }

    async fn ask<T>(&self, job: Job, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        self.jobs.send(job).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }
}

enum Job {
    Run(Box<dyn FnOnce(&mut Database) + Send>),
    Commit(Commit),
    Stop,
}

struct Commit {
    txn: Txn,
    reply: oneshot::Sender<Result<CommitOutcome, StoreError>>,
}

fn run(mut database: Database, queue: &Receiver<Job>, announce: &watch::Sender<Revision>) {
    let mut next = queue.recv().ok();
    while let Some(job) = next.take() {
        match job {
            Job::Run(work) => work(&mut database),
            Job::Commit(first) => {
                let (group, follower) = gather(first, queue);
                commit(&mut database, group, announce);
                next = follower;
            }
            Job::Stop => return,
        }
        next = next.or_else(|| queue.recv().ok());
    }
}

/// The transactions that wait already, up to the first job of another kind, which is returned too.
fn gather(first: Commit, queue: &Receiver<Job>) -> (Vec<Commit>, Option<Job>) {
    let mut group = vec![first];
    while group.len() < MAX_GROUP {
        match queue.try_recv() {
            Ok(Job::Commit(commit)) => group.push(commit),
            Ok(other) => return (group, Some(other)),
            Err(_) => break,
        }
    }
    (group, None)
}

fn commit(database: &mut Database, group: Vec<Commit>, announce: &watch::Sender<Revision>) {
    let (txns, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|commit| (commit.txn, commit.reply)).unzip();
    let outcomes = database.commit(&txns);
    announce.send_if_modified(|revision| std::mem::replace(revision, database.revision()) != *revision);
    for (outcome, reply) in outcomes.into_iter().zip(replies) {
        // Whoever asked may have gone.
        let _ = reply.send(outcome);
    }
}
