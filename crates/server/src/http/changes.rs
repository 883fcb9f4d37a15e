//! Changes as server-sent events.

use std::{convert::Infallible, future, sync::Arc};

use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event as Message, KeepAlive},
    },
};
use futures_util::{Stream, StreamExt, stream};

use super::{cookie::SessionCookie, problems::Refusal};
use crate::{
    changes::{Change, Changes},
    core::Core,
};

/// Tells tasks (event `task`) and events (event `event`, with their sequence number as ID) as they come. First come the tasks as
/// they stand; with `Last-Event-ID` also the events since that one. Ends with the session.
#[utoipa::path(get, path = "/changes", tag = "changes", params(("last-event-id" = Option<u64>, Header, description = "The last event that is known")),
    responses((status = 200, content_type = "text/event-stream", body = String), Refusal))]
pub(super) async fn watch_changes(
    State(core): State<Arc<Core>>,
    cookie: Option<Extension<SessionCookie>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Refusal> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let session = cookie.and_then(|Extension(cookie)| cookie.find(&headers).map(str::to_owned));
    let changes = Changes::watch(Arc::clone(&core), last).await?;
    let messages = stream::unfold(changes, async |mut changes| {
        let change = changes.next().await?;
        Some((Ok(message(&change)), changes))
    });
    Ok(Sse::new(messages.take_until(session_over(core, session))).keep_alive(KeepAlive::default()))
}

/// Over the socket there is no session that could end.
async fn session_over(core: Arc<Core>, session: Option<String>) {
    match session {
        Some(session) => core.console.until_over(&session).await,
        None => future::pending().await,
    }
}

fn message(change: &Change) -> Message {
    let written = match change {
        Change::Task(task) => Message::default().event("task").json_data(task),
        Change::Event(event) => Message::default().event("event").id(event.sequence.to_string()).json_data(event),
    };
    written.expect("tasks and events become JSON")
}
