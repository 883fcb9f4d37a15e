//! A server that answers what a test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Ended, cadenas};

/// A server at a socket of its own. Its thread ends with the test's process.
pub(crate) struct Server {
    folder: TempDir,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without `/api/v1`.
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// What to answer.
pub(crate) enum Answer {
    Json(Value),
    Problem(Value),
    /// The connection breaks.
    HangUp,
}

impl Server {
    /// Starts one that answers as `answer` says.
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("socket")).expect("a socket");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.expect("a connection"), &answer, &log);
            }
        });
        Self { folder, requests }
    }

    /// One that answers everything with the same value.
    pub(crate) fn that_says(value: Value) -> Self {
        Self::start(move |_| Answer::Json(value.clone()))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A folder for the test's own files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let mut command = cadenas();
        command.current_dir(self.folder()).env("CADENAS_SOCKET", self.socket()).args(args);
        command.output().expect("the program starts").into()
    }

    /// What was asked so far, as `METHOD path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// What was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no test panics with it").clone()
    }
}

/// A problem as the server tells it.
pub(crate) fn problem(code: &str, detail: &str, next: &str) -> Value {
    json!({
        "type": format!("urn:cadenas:problem:{code}"),
        "title": "A title",
        "status": 409,
        "code": code,
        "detail": detail,
        "next": next,
    })
}

fn serve(stream: &UnixStream, answer: &impl Fn(&Request) -> Answer, log: &Mutex<Vec<Request>>) {
    let Some(request) = read_request(stream) else { return };
    let answer = answer(&request);
    log.lock().expect("no test panics with it").push(request);
    let (status, value) = match answer {
        Answer::Json(value) => (200, value),
        Answer::Problem(value) => (409, value),
        Answer::HangUp => return,
    };
    let body = value.to_string();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    // The client may have been stopped meanwhile.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

fn read_request(stream: &UnixStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.strip_prefix("/api/v1")?.to_owned());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}
