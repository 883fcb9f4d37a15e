//! The REST face: from HTTP to operations and back, errors as problem details.

mod changes;
mod cookie;
mod extract;
mod files;
mod guard;
mod keys;
mod kms;
mod openapi;
mod peer;
mod problems;
mod providers;
mod router;
mod session;
mod system;
mod verbs;
mod vms;

use std::{future::Future, io, path::PathBuf, sync::Arc};

use tokio::net::UnixListener;

pub use openapi::openapi_json;

use crate::{
    console::{ConsoleFile, ConsoleListener},
    core::Core,
};

/// Answers requests at the socket until the server stops, and then those that are open.
pub(crate) async fn serve(core: Arc<Core>, data: PathBuf, listener: UnixListener) {
    let stopped = stopped(&core);
    let service = router::service(core, data).into_make_service_with_connect_info::<peer::Peer>();
    tell(axum::serve(listener, service).with_graceful_shutdown(stopped).await);
}

/// The same for the web console.
pub(crate) async fn serve_console(core: Arc<Core>, data: PathBuf, files: Vec<ConsoleFile>, listener: ConsoleListener) {
    let stopped = stopped(&core);
    match listener {
        ConsoleListener::Plain(listener) => {
            let service = router::console(core, data, &files, false);
            tell(axum::serve(listener, service).with_graceful_shutdown(stopped).await);
        }
        ConsoleListener::Tls(listener) => {
            let service = router::console(core, data, &files, true);
            tell(axum::serve(*listener, service).with_graceful_shutdown(stopped).await);
        }
    }
}

fn stopped(core: &Core) -> impl Future<Output = ()> + 'static {
    let mut stopping = core.stopping.subscribe();
    async move { drop(stopping.wait_for(|stopping| *stopping).await) }
}

fn tell(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the server does not listen any more");
    }
}
