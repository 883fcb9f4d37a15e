//! Changes as server-sent events.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event as Message, KeepAlive},
    },
};
use futures_util::{Stream, stream};

use super::problems::Refusal;
use crate::{
    changes::{Change, Changes},
    core::Core,
};

/// Tells tasks (event `task`) and events (event `event`, with their sequence number as ID) as they come. First come the tasks as
/// they stand; with `Last-Event-ID` also the events since that one.
#[utoipa::path(get, path = "/changes", tag = "changes", params(("last-event-id" = Option<u64>, Header, description = "The last event that is known")),
    responses((status = 200, content_type = "text/event-stream", body = String), Refusal))]
pub(super) async fn watch_changes(
    State(core): State<Arc<Core>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Refusal> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let changes = Changes::watch(core, last).await?;
    let messages = stream::unfold(changes, async |mut changes| {
        let change = changes.next().await?;
        Some((Ok(message(&change)), changes))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::default()))
}

fn message(change: &Change) -> Message {
    let written = match change {
        Change::Task(task) => Message::default().event("task").json_data(task),
        Change::Event(event) => Message::default().event("event").id(event.sequence.to_string()).json_data(event),
    };
    written.expect("tasks and events become JSON")
}
