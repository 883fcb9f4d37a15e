//! Policies, features, tasks, events, the summary and the prerequisites.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State};
use cadenas_api::{
    Check, Event, EventQuery, Feature, Policy, Problem, ProblemCode, SetFeature, Summary, Task, TaskId, TaskQuery,
};

use super::{
    extract::{Body, By, Fields, Named},
    problems::Refusal,
};
use crate::{
    core::{Core, to_its_end},
    doctor, features, policies, summary, tasks,
    text::quoted,
};

type Answer<T> = Result<Json<T>, Refusal>;

/// The data folder, for the handlers.
#[derive(Debug, Clone)]
pub(super) struct DataPath(pub(super) PathBuf);

/// Every storage policy.
#[utoipa::path(get, path = "/policies", tag = "policies", responses((status = 200, body = Vec<Policy>), Refusal))]
pub(super) async fn list_policies() -> Json<Vec<Policy>> {
    Json(policies::list())
}

/// Every feature that can be switched.
#[utoipa::path(get, path = "/features", tag = "features", responses((status = 200, body = Vec<Feature>), Refusal))]
pub(super) async fn list_features(State(core): State<Arc<Core>>) -> Answer<Vec<Feature>> {
    Ok(Json(features::list(&core).await?))
}

/// Switches a feature.
#[utoipa::path(put, path = "/features/{feature}", tag = "features", params(("feature" = String, Path, description = "Name")),
    request_body = SetFeature, responses((status = 200, body = Feature), Refusal))]
pub(super) async fn set_feature(
    State(core): State<Arc<Core>>,
    By(by): By,
    Named(feature): Named,
    Body(request): Body<SetFeature>,
) -> Answer<Feature> {
    Ok(Json(to_its_end(async move { features::set(&core, &feature, request, &by).await }).await?))
}

/// Every task that is kept, newest first.
#[utoipa::path(get, path = "/tasks", tag = "tasks", responses((status = 200, body = Vec<Task>), Refusal))]
pub(super) async fn list_tasks(State(core): State<Arc<Core>>) -> Answer<Vec<Task>> {
    Ok(Json(tasks::list(&core).await?))
}

/// One task; with `wait`, when it has ended or the time is over.
#[utoipa::path(get, path = "/tasks/{task}", tag = "tasks", params(("task" = String, Path, description = "ID"), TaskQuery),
    responses((status = 200, body = Task), Refusal))]
pub(super) async fn show_task(
    State(core): State<Arc<Core>>,
    Named(task): Named,
    Fields(query): Fields<TaskQuery>,
) -> Answer<Task> {
    let wait = Duration::from_secs(query.wait.unwrap_or(0));
    Ok(Json(tasks::show(&core, task_id(&task)?, wait).await?))
}

/// Asks a task to stop and undo itself; it ends a little later.
#[utoipa::path(post, path = "/verb/cancel/tasks/{task}", tag = "tasks", params(("task" = String, Path, description = "ID")),
    responses((status = 200, body = Task), Refusal))]
pub(super) async fn cancel_task(State(core): State<Arc<Core>>, Named(task): Named) -> Answer<Task> {
    Ok(Json(tasks::cancel(&core, task_id(&task)?).await?))
}

/// How it stands at a glance, and what needs attention.
#[utoipa::path(get, path = "/summary", tag = "summary", responses((status = 200, body = Summary), Refusal))]
pub(super) async fn show_summary(State(core): State<Arc<Core>>) -> Answer<Summary> {
    Ok(Json(summary::summary(&core).await?))
}

/// What happened, oldest first unless asked for otherwise.
#[utoipa::path(get, path = "/events", tag = "events", params(EventQuery), responses((status = 200, body = Vec<Event>), Refusal))]
pub(super) async fn list_events(
    State(core): State<Arc<Core>>,
    Fields(query): Fields<EventQuery>,
) -> Answer<Vec<Event>> {
    Ok(Json(core.list_events(&query).await?))
}

/// Checks the prerequisites on the host and the server's own.
#[utoipa::path(get, path = "/doctor", tag = "doctor", responses((status = 200, body = Vec<Check>), Refusal))]
pub(super) async fn check_prerequisites(
    State(core): State<Arc<Core>>,
    Extension(DataPath(data)): Extension<DataPath>,
) -> Json<Vec<Check>> {
    Json(doctor::checks(&core, &data).await)
}

fn task_id(text: &str) -> Result<TaskId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(ProblemCode::NoSuchTask, format!("{} is no task's ID", quoted(text)))
            .next("See `cadenas task ls`.")
    })
}
