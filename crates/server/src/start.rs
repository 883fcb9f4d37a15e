//! Start and stop.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use cadenas_api::{Host, Problem};
use cadenas_store::{OpenError, SqliteStore, Store};
use tokio::task::JoinHandle;

use crate::{
    console::{self, ConsoleError, ConsoleFile, ConsoleListener, ConsoleOptions},
    core::{Core, off_thread, to_its_end},
    data_folder::{DataFolder, DataFolderError},
    http, kms, providers, repair, rotation,
    seal::{RootSealError, SealChoice, open_root},
    settle,
    socket::{Socket, SocketError, SocketFile},
    tasks,
};

const DATABASE_NAME: &str = "cadenas.db";
/// How long tasks have to undo themselves when the server stops.
const TASKS_STOP: Duration = Duration::from_secs(5);
/// How long open requests have to be answered when the server stops.
const REQUESTS_STOP: Duration = Duration::from_secs(2);

/// What a server needs.
pub struct Options {
    /// The data folder; made if it is missing.
    pub data: PathBuf,
    /// Where to listen.
    pub socket: PathBuf,
    /// How the root key is kept. The first start of a data folder decides.
    pub seal: SealChoice,
    /// The host it works with.
    pub host: Arc<dyn Host>,
    /// How often the states of the keys in key servers are looked at.
    pub kms_check: Duration,
    /// The web console, if it is to have one.
    pub console: Option<ConsoleOptions>,
}

impl Options {
    /// How often states of keys are looked at unless somebody says otherwise.
    pub const KMS_CHECK: Duration = Duration::from_mins(3);
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    /// The socket cannot be used.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The database does not open.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The root seal cannot be used.
    #[error(transparent)]
    RootSeal(#[from] RootSealError),
    /// The web console cannot be served.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// What the last process left could not be read or settled.
    #[error("could not take up what the last server left: {0}")]
    TakeUp(Box<Problem>),
}

/// The server's role.
pub struct Server;

impl Server {
    /// Starts a server: locks the data folder, gives the host the keys, has interrupted changes repaired, settles the
    /// tasks of the last process, and listens.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let folder = DataFolder::open(&options.data)?;
        let socket = Socket::listen(&options.socket)?;
        let store: Arc<dyn Store> = Arc::new(open_store(folder.path()).await?);
        let seal = open_root(folder.path(), &*store, &options.seal).await?;
        let core = Arc::new(Core::new(store, seal, options.host));
        let console = Console::open(options.console, &core, folder.path()).await?;
        let listening = tokio::spawn(repair::keep_listening(Arc::clone(&core), core.host.events()));
        if let Err(problem) = take_up(&core).await {
            listening.abort();
            return Err(StartError::TakeUp(Box::new(problem)));
        }
        let console = console.map(|console| console.serve(&core, folder.path()));
        Ok(serve(core, folder, socket, listening, console, options.kms_check))
    }

    /// Runs a server until `shutdown` is ready. One that has not started by then does not.
    pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let mut shutdown = pin!(shutdown);
        let running = tokio::select! {
            started = Self::start(options) => started?,
            () = &mut shutdown => return Ok(()),
        };
        shutdown.await;
        running.stop().await;
        Ok(())
    }
}

/// A server that listens. Dropping it without [`Self::stop`] is as a crash to its tasks.
pub struct Running {
    core: Arc<Core>,
    serving: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
    path: PathBuf,
    // Dropped in this order: the socket goes while the folder is still locked.
    _file: SocketFile,
    _folder: DataFolder,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// Stops: takes no more requests, has running tasks undo themselves, and waits a few seconds for both.
    pub async fn stop(mut self) {
        tracing::info!("the server is stopping");
        self.core.stopping.send_replace(true);
        tasks::stop_all(&self.core, TASKS_STOP).await;
        if tokio::time::timeout(REQUESTS_STOP, &mut self.serving).await.is_err() {
            tracing::warn!("some requests were not answered in time");
            self.serving.abort();
        }
        for helper in &mut self.helpers {
            helper.abort();
            // The store closes with its last user.
            let _ = helper.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
        self.helpers.iter().for_each(JoinHandle::abort);
    }
}

async fn open_store(folder: &Path) -> Result<SqliteStore, StartError> {
    let path = folder.join(DATABASE_NAME);
    let opened = off_thread(move || Ok(SqliteStore::open(&path))).await;
    Ok(opened.map_err(|problem| StartError::TakeUp(Box::new(problem)))??)
}

async fn take_up(core: &Arc<Core>) -> Result<(), Problem> {
    let core = Arc::clone(core);
    to_its_end(async move {
        providers::give_all(&core).await?;
        let repaired = repair::repair(&core).await;
        settle::settle(&core, &repaired).await
    })
    .await
}

/// A web console that has its address and waits until the server is ready.
struct Console {
    listener: ConsoleListener,
    files: Vec<ConsoleFile>,
}

impl Console {
    /// Takes the address early: one that is taken is told before anything is begun.
    async fn open(options: Option<ConsoleOptions>, core: &Core, data: &Path) -> Result<Option<Self>, ConsoleError> {
        let Some(options) = options else { return Ok(None) };
        let (listener, address) = console::listen(&options, data).await?;
        tracing::info!(address, "the web console listens; `cadenas console` prints a link into it");
        core.console.listens_at(address);
        Ok(Some(Self { listener, files: options.files }))
    }

    fn serve(self, core: &Arc<Core>, data: &Path) -> JoinHandle<()> {
        tokio::spawn(http::serve_console(Arc::clone(core), data.to_owned(), self.files, self.listener))
    }
}

fn serve(
    core: Arc<Core>,
    folder: DataFolder,
    socket: Socket,
    listening: JoinHandle<()>,
    console: Option<JoinHandle<()>>,
    kms_check: Duration,
) -> Running {
    let path = socket.path().to_owned();
    let (listener, file) = socket.into_parts();
    let serving = tokio::spawn(http::serve(Arc::clone(&core), folder.path().to_owned(), listener));
    let repairing = tokio::spawn(repair::keep_repairing(Arc::clone(&core)));
    let watching = tokio::spawn(kms::keep_watching(Arc::clone(&core), kms_check));
    let rotating = tokio::spawn(rotation::keep_rotating(Arc::clone(&core)));
    let helpers = [listening, repairing, watching, rotating].into_iter().chain(console).collect();
    tracing::info!(socket = %path.display(), data = %folder.path().display(), host = core.host.name(), "the server listens");
    Running { core, serving, helpers, path, _file: file, _folder: folder }
}
