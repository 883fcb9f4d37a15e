//! A server with its folder, host and client.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cadenas_api::{
    BackupRequest, Client, ClientError, ConfirmBackup, CreateProvider, P12, Password, Problem, ProblemCode, Provider,
    SetPolicy, Task, TaskQuery, VM_ENCRYPTION_POLICY,
};
use cadenas_keys::{ProviderId, VmId};
use cadenas_secret::SecretBytes;
use cadenas_server::{ConsoleOptions, Options, Running, SealChoice, Server, StartError};
use cadenas_store::{CommitOutcome, Key, SqliteStore, Store, Txn};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::host::MemoryHost;

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) host: Arc<MemoryHost>,
    pub(crate) client: Client,
    console: Option<ConsoleOptions>,
    running: Option<Running>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One with a web console.
    pub(crate) async fn start_with(console: Option<ConsoleOptions>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let client = Client::new(folder.path().join("s"));
        let mut rig = Self { folder, host: Arc::default(), client, console, running: None };
        rig.go().await.expect("a fresh folder");
        rig
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn options(&self) -> Options {
        let host: Arc<MemoryHost> = Arc::clone(&self.host);
        let (data, socket) = (self.data(), self.client.socket().to_owned());
        let (kms_check, console) = (Duration::from_secs(1), self.console.clone());
        Options { data, socket, seal: SealChoice::KeyFile, host, kms_check, console }
    }

    /// Starts the server that was stopped.
    pub(crate) async fn go(&mut self) -> Result<(), StartError> {
        self.running = Some(Server::start(self.options()).await?);
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Stops, and starts with a host that has the same VMs and no key.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.host = Arc::new(self.host.restarted());
        self.go().await.expect("a folder of ours");
    }

    /// Stops, has a provider be made and, if ever, rotated in 2020, and starts again.
    pub(crate) async fn restart_years_after(&mut self, provider: ProviderId) {
        self.stop().await;
        let store = SqliteStore::open(&self.data().join("cadenas.db")).expect("nobody else has it");
        let key: Key = format!("provider/id/{provider}").parse().expect("a key");
        let stored = store.get(&key).await.expect("readable").expect("there");
        let mut record: Value = serde_json::from_slice(&stored.value).expect("JSON");
        for moment in ["/value/created", "/value/rotation/last"] {
            let moment = record.pointer_mut(moment).expect("a field of the record");
            if moment.is_string() {
                *moment = "2020-01-01T00:00:00Z".into();
            }
        }
        let done = store.commit(Txn::new().put(key, record.to_string())).await.expect("writable");
        assert!(matches!(done, CommitOutcome::Committed { .. }));
        drop(store);
        self.go().await.expect("a folder of ours");
    }

    pub(crate) async fn create(&self, name: &str) -> Provider {
        let request = CreateProvider { name: name.to_owned(), ..CreateProvider::default() };
        self.client.create_provider(&request).await.expect("a free name")
    }

    /// Makes a backup with [`PASSWORD`], as it would be kept.
    pub(crate) async fn back_up(&self, name: &str) -> P12 {
        let request = BackupRequest { password: Some(password(PASSWORD)), no_password: false };
        self.client.backup_provider(name, &request).await.expect("can be backed up").p12
    }

    pub(crate) async fn confirm(&self, name: &str, p12: P12) -> Result<Provider, ClientError> {
        self.client.confirm_backup(name, &ConfirmBackup { p12, password: Some(password(PASSWORD)) }).await
    }

    /// A provider that encrypts, and its backup.
    pub(crate) async fn active(&self, name: &str) -> (Provider, P12) {
        self.create(name).await;
        let p12 = self.back_up(name).await;
        (self.confirm(name, p12.clone()).await.expect("a good backup"), p12)
    }

    pub(crate) async fn encrypt(&self, vm: VmId, provider: Option<&str>) -> Result<Task, ClientError> {
        self.client.set_policy(&vm.to_string(), &encryption(provider)).await
    }

    /// A task when it has ended.
    pub(crate) async fn ended(&self, task: Task) -> Task {
        self.client.task(task.id, &TaskQuery { wait: Some(30) }).await.expect("it is kept")
    }

    /// Waits until something is so.
    pub(crate) async fn eventually<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        for _ in 0..600 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not within 30 s: {what}; events: {:?}", self.event_kinds().await);
    }

    /// The kinds of all events so far.
    pub(crate) async fn event_kinds(&self) -> Vec<String> {
        let events = self.client.events(&cadenas_api::EventQuery::default()).await.expect("events");
        events.into_iter().map(|event| event.kind).collect()
    }

    /// Sends a request as it stands; gives the status, the head and the body.
    pub(crate) async fn raw(&self, request: &str) -> (u16, String, String) {
        let mut stream = UnixStream::connect(self.client.socket()).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the server answers and closes");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_lowercase(), body.to_owned())
    }
}

pub(crate) fn encryption(provider: Option<&str>) -> SetPolicy {
    let provider = provider.map(ToOwned::to_owned);
    SetPolicy { policy: VM_ENCRYPTION_POLICY.to_owned(), provider, ..SetPolicy::default() }
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(SecretBytes::take_from(text.as_bytes().to_vec()))
}

/// The problem that a call was refused with.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>, code: ProblemCode) -> Problem {
    match answer.expect_err("a refusal") {
        ClientError::Refused(problem) => {
            assert_eq!(problem.code, code, "{problem}");
            assert!(!problem.detail.is_empty() && problem.type_uri.ends_with(code.as_str()));
            *problem
        }
        other => panic!("not a refusal: {other}"),
    }
}
