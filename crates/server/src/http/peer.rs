//! Who asks: the socket's peer credentials (`SO_PEERCRED`, unix(7)).

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    middleware::Next,
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use cadenas_api::{Actor, Problem, ProblemCode};
use tokio::net::UnixListener;

use super::problems::Refusal;

const ROOT: u32 = 0;

/// The user at the other end of a connection; `None` when the system does not tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

/// The users who are served: root and the server's own.
#[derive(Debug, Clone)]
pub(super) struct Served(Arc<BTreeMap<u32, Actor>>);

impl Served {
    pub(super) fn root_and_self() -> Self {
        let users = [ROOT, rustix::process::geteuid().as_raw()];
        Self(Arc::new(users.into_iter().map(|uid| (uid, Actor { uid, user: name_of(uid) })).collect()))
    }
}

/// Lets served users pass, and tells the handlers who asks.
pub(super) async fn admit(
    State(served): State<Served>,
    ConnectInfo(Peer(uid)): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    match uid.and_then(|uid| served.0.get(&uid)) {
        Some(actor) => {
            request.extensions_mut().insert(actor.clone());
            next.run(request).await
        }
        None => Refusal::from(forbidden(uid)).into_response(),
    }
}

fn forbidden(uid: Option<u32>) -> Problem {
    let who = uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
    Problem::new(ProblemCode::Forbidden, format!("{who} may not use this server"))
        .next("Ask as root, or as the user that runs the server.")
}

fn name_of(uid: u32) -> Option<String> {
    nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}
