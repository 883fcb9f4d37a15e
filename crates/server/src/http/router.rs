//! Which path leads to which operation. The OpenAPI document comes from the same list.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use cadenas_api::API_PREFIX;
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    changes,
    cookie::SessionCookie,
    extract::LARGEST_BODY,
    files::{self, Files},
    guard::{self, Gate},
    keys, kms, openapi,
    peer::{self, Served},
    problems, providers, session, system, verbs, vms,
};
use crate::{console::ConsoleFile, core::Core};

/// The whole service: who may ask, then which action is meant, then the routes.
pub(super) fn service(core: Arc<Core>, data: PathBuf) -> Router {
    Router::new()
        .fallback_service(routes(core, data, everywhere().merge(over_the_socket())))
        // The rewriting must come before the routing, so it surrounds the router as a whole.
        .layer(middleware::from_fn(verbs::rewrite))
        .layer(middleware::from_fn_with_state(Served::root_and_self(), peer::admit))
        .layer(middleware::from_fn(log))
}

/// The web console: its files, and the API for who is signed in.
pub(super) fn console(core: Arc<Core>, data: PathBuf, files: &[ConsoleFile], tls: bool) -> Router {
    let gate = Gate { core: Arc::clone(&core), cookie: SessionCookie::new(tls), loopback: !tls };
    Router::new()
        .fallback_service(routes(core, data, everywhere().merge(in_the_console())))
        .layer(middleware::from_fn(verbs::rewrite))
        .layer(middleware::from_fn_with_state(gate, guard::admit))
        .layer(middleware::from_fn_with_state(Files::new(files), files::beside_the_api))
        .layer(middleware::map_response(files::protect))
        .layer(middleware::from_fn(log))
}

fn routes(core: Arc<Core>, data: PathBuf, operations: OpenApiRouter<Arc<Core>>) -> Router {
    let (routes, _) = operations.split_for_parts();
    routes
        .route(&format!("{API_PREFIX}/openapi.json"), get(openapi::answer))
        .fallback(problems::not_found)
        .method_not_allowed_fallback(problems::method_not_allowed)
        .layer(Extension(system::DataPath(data)))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(core)
}

/// Every operation with its documentation.
pub(super) fn api() -> OpenApiRouter<Arc<Core>> {
    everywhere().merge(over_the_socket()).merge(in_the_console())
}

/// What only root and the server's user do: let somebody else in.
fn over_the_socket() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::new().nest(API_PREFIX, OpenApiRouter::new().routes(routes!(session::open_console_link)))
}

/// What is about sessions.
fn in_the_console() -> OpenApiRouter<Arc<Core>> {
    let session = routes!(session::open_session, session::show_session, session::close_session);
    OpenApiRouter::new().nest(API_PREFIX, OpenApiRouter::new().routes(session))
}

fn everywhere() -> OpenApiRouter<Arc<Core>> {
    let things = OpenApiRouter::new()
        .routes(routes!(providers::list_providers, providers::create_provider))
        .routes(routes!(providers::show_provider, providers::rename_provider, providers::delete_provider))
        .routes(routes!(keys::key_report))
        .routes(routes!(keys::list_copies, keys::add_copy))
        .routes(routes!(system::list_policies))
        .routes(routes!(system::list_features))
        .routes(routes!(system::set_feature))
        .routes(routes!(vms::list_vms))
        .routes(routes!(vms::show_vm))
        .routes(routes!(vms::list_actions))
        .routes(routes!(system::show_summary))
        .routes(routes!(changes::watch_changes))
        .routes(routes!(system::list_tasks))
        .routes(routes!(system::show_task))
        .routes(routes!(system::list_events))
        .routes(routes!(system::check_prerequisites));
    OpenApiRouter::new().nest(API_PREFIX, things).merge(actions())
}

fn actions() -> OpenApiRouter<Arc<Core>> {
    OpenApiRouter::new()
        .routes(routes!(providers::set_default_provider))
        .routes(routes!(providers::rotate_provider))
        .routes(routes!(providers::set_rotation))
        .routes(routes!(kms::set_kms_servers))
        .routes(routes!(kms::show_certificates))
        .routes(routes!(kms::trust_kms))
        .routes(routes!(kms::set_kms_identity))
        .routes(routes!(kms::set_kms_user))
        .routes(routes!(kms::test_provider))
        .routes(routes!(keys::mark_compromised))
        .routes(routes!(keys::forget_copy))
        .routes(routes!(providers::backup_provider))
        .routes(routes!(providers::confirm_backup))
        .routes(routes!(providers::verify_backup))
        .routes(routes!(providers::restore_provider))
        .routes(routes!(vms::set_policy))
        .routes(routes!(vms::recrypt_vm))
        .routes(routes!(vms::plan_recrypt))
        .routes(routes!(vms::recrypt_all))
        .routes(routes!(vms::set_template))
        .routes(routes!(vms::start_vm))
        .routes(routes!(vms::shutdown_vm))
        .routes(routes!(vms::kill_vm))
        .routes(routes!(vms::unlock_vm))
        .routes(routes!(vms::verify_vm))
        .routes(routes!(vms::register_vm))
        .routes(routes!(vms::unregister_vm))
        .routes(routes!(system::cancel_task))
}

/// Paths hold names and IDs, never secrets; headers and bodies are not logged.
async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let begun = Instant::now();
    let answer = next.run(request).await;
    let microseconds = begun.elapsed().as_micros();
    tracing::debug!(%method, path, status = answer.status().as_u16(), microseconds, "request");
    answer
}
