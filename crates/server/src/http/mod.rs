//! The REST face: from HTTP to operations and back, errors as problem details.

mod extract;
mod keys;
mod kms;
mod openapi;
mod peer;
mod problems;
mod providers;
mod router;
mod system;
mod verbs;
mod vms;

use std::{path::PathBuf, sync::Arc};

use tokio::net::UnixListener;

pub use openapi::openapi_json;

use crate::core::Core;

/// Answers requests until the server stops, and then those that are open.
pub(crate) async fn serve(core: Arc<Core>, data: PathBuf, listener: UnixListener) {
    let mut stopping = core.stopping.subscribe();
    let stopped = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
    let service = router::service(core, data).into_make_service_with_connect_info::<peer::Peer>();
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the server does not listen any more");
    }
}
