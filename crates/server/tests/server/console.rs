//! The web console's door: links, sessions, what browsers may send, what changes.

use std::{sync::atomic::Ordering, time::Duration};

use cadenas_api::{ActionKind, Event, PowerState, SetTemplate, Task, TaskState};
use cadenas_server::{ConsoleFile, ConsoleOptions};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{host::Script, rig::Rig};

const PAGE: ConsoleFile = ConsoleFile { path: "index.html", bytes: b"<!doctype html>", gzip: b"longer than the page" };

/// A server with a console, and a browser on it.
struct Browser {
    rig: Rig,
    address: String,
    cookie: String,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().expect("a problem").to_owned()
    }
}

impl Browser {
    async fn new() -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        let rig = Rig::start_with(Some(ConsoleOptions { address, certificate: None, files: vec![PAGE] })).await;
        let (address, _) = link(&rig).await;
        Self { rig, address, cookie: String::new() }
    }

    async fn signed_in() -> Self {
        let mut browser = Self::new().await;
        let (_, token) = link(&browser.rig).await;
        let answer = browser.post("/api/v1/session", &format!(r#"{{"token":"{token}"}}"#)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        set.split(';').next().expect("a pair").clone_into(&mut browser.cookie);
        browser
    }

    async fn connect(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let cookie = &self.cookie;
        let request = format!(
            "{head}\r\ncookie: a=b; {cookie}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("it reads");
        stream
    }

    /// Sends exactly this, cookie and length added.
    async fn send(&self, head: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.connect(head, body).await.read_to_string(&mut text).await.expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: same-origin", self.address), "").await
    }

    async fn sign_out(&self) -> Answer {
        let host = &self.address;
        self.send(&format!("DELETE /api/v1/session HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: same-origin"), "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(&format!("POST {path} HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: same-origin", self.address), body).await
    }
}

/// The console's address and the token of a fresh link.
async fn link(rig: &Rig) -> (String, String) {
    let link = rig.client.open_console_link().await.expect("a console").url.0;
    let (address, token) = link.strip_prefix("http://").and_then(|rest| rest.split_once("/#once=")).expect("a link");
    (address.to_owned(), token.to_owned())
}

#[tokio::test]
async fn a_link_lets_in_once_as_whoever_asked_for_it() {
    let mut browser = Browser::new().await;
    assert_eq!(browser.get("/api/v1/session").await.code(), "not-signed-in");
    assert_eq!(browser.get("/api/v1/vms").await.code(), "not-signed-in");
    let (_, token) = link(&browser.rig).await;
    let body = format!(r#"{{"token":"{token}"}}"#);
    let answer = browser.post("/api/v1/session", &body).await;
    assert_eq!((answer.status, answer.json()["host"].as_str()), (201, Some("memory")));
    assert!(answer.head.contains("HttpOnly; SameSite=Strict"), "{answer:?}");
    assert_eq!(browser.post("/api/v1/session", &body).await.code(), "link-spent");
    browser.cookie = "cadenas=wrong".to_owned();
    assert_eq!(browser.get("/api/v1/vms").await.code(), "not-signed-in");
}

#[tokio::test]
async fn who_is_signed_in_uses_the_api_as_himself_until_he_signs_out() {
    let browser = Browser::signed_in().await;
    let session = browser.get("/api/v1/session").await.json();
    let made = browser.post("/api/v1/providers", r#"{"name":"nkp"}"#).await;
    assert_eq!(made.status, 201, "{made:?}");
    let named = browser.get("/api/v1/providers/nkp").await;
    assert_eq!(named.json()["name"], "nkp");
    let default = browser.post("/api/v1/providers/nkp:set-default", "").await;
    assert_eq!(default.json()["default"], true, "{default:?}");
    let events = browser.get("/api/v1/events").await.json();
    assert_eq!(events[0]["by"]["user"], session["user"]);
    assert_eq!(browser.sign_out().await.status, 204);
    assert_eq!(browser.get("/api/v1/vms").await.code(), "not-signed-in");
}

#[tokio::test]
async fn links_are_only_made_at_the_socket() {
    let browser = Browser::signed_in().await;
    assert_eq!(browser.post("/api/v1/console-links", "").await.status, 404);
    assert_eq!(browser.post("/api/v1/verb/start/vms/x", "").await.status, 404);
}

#[tokio::test]
async fn what_other_pages_make_a_browser_send_is_refused() {
    let browser = Browser::signed_in().await;
    let host = &browser.address;
    let create = r#"{"name":"forged"}"#;
    for source in [
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: none",
        "origin: http://evil.example",
        "origin: http://127.0.0.1:1",
        "origin: null",
        "x-nothing: said",
    ] {
        let head = format!("POST /api/v1/providers HTTP/1.1\r\nhost: {host}\r\n{source}");
        assert_eq!(browser.send(&head, create).await.code(), "forbidden", "{source}");
    }
    let rebound = "GET /api/v1/vms HTTP/1.1\r\nhost: evil.example\r\nsec-fetch-site: same-origin";
    assert_eq!(browser.send(rebound, "").await.code(), "forbidden");
    let read = format!("GET /api/v1/vms HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: cross-site");
    assert_eq!(browser.send(&read, "").await.code(), "forbidden");
    let ours = format!("POST /api/v1/providers HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}");
    assert_eq!(browser.send(&ours, r#"{"name":"ours"}"#).await.status, 201, "an older browser tells only the origin");
    assert_eq!(browser.rig.client.providers().await.expect("list").len(), 1);
}

#[tokio::test]
async fn files_need_no_session_and_forbid_what_they_do_not_need() {
    let browser = Browser::new().await;
    for path in ["/", "/cluster/key-providers"] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "<!doctype html>"));
        assert!(answer.head.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{answer:?}");
    }
    let missing = browser.get("/assets/missing.js").await;
    assert_eq!(missing.code(), "not-found");
    assert!(missing.head.contains("content-security-policy"), "{missing:?}");
    assert!(browser.get("/api/v1/vms").await.head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn vms_come_in_pages_with_how_many_match() {
    let browser = Browser::signed_in().await;
    for name in ["web02", "web01", "db01", "WEB03"] {
        browser.rig.host.add_vm(name);
    }
    let answer = browser.get("/api/v1/vms?search=Web&limit=2&offset=1").await;
    let names: Vec<_> = answer.json().as_array().expect("a list").iter().map(|vm| vm["name"].clone()).collect();
    assert_eq!(names, ["web01", "web02"]);
    assert!(answer.head.contains("x-total-count: 3"), "{answer:?}");
    let power = browser.get("/api/v1/vms?power=running&padlock=none&due=false").await;
    assert!(power.head.contains("x-total-count: 0"), "{power:?}");
    assert_eq!(browser.get("/api/v1/vms?provider=none-such").await.code(), "no-such-provider");
    assert_eq!(browser.get("/api/v1/vms?limit=some").await.code(), "bad-request");
}

#[tokio::test]
async fn what_only_the_server_knows_of_vms_is_asked_for_and_shown_too() {
    let browser = Browser::signed_in().await;
    let rig = &browser.rig;
    rig.active("nkp").await;
    let vm = rig.host.add_vm("web01");
    rig.host.add_vm("web02");
    rig.encrypt(vm, None).await.expect("active");
    assert!(browser.get("/api/v1/vms?due=true").await.head.contains("x-total-count: 0"));
    rig.active("nkp-2").await;
    rig.client.rotate_provider("nkp").await.expect("rotated");
    for query in ["due=true", "provider=nkp", "due=true&limit=1"] {
        let answer = browser.get(&format!("/api/v1/vms?{query}")).await;
        assert!(answer.head.contains("x-total-count: 1"), "{query}: {answer:?}");
        let shown = &answer.json()[0];
        assert_eq!((&shown["name"], &shown["providers"][0]["name"]), (&"web01".into(), &"nkp".into()), "{query}");
        assert_eq!(shown["due"]["kind"], "shallow", "{query}");
    }
    let answer = browser.get("/api/v1/vms?due=false").await;
    assert_eq!((&answer.json()[0]["name"], answer.json().as_array().map(Vec::len)), (&"web02".into(), Some(1)));
}

#[tokio::test]
async fn changes_come_as_they_happen_and_go_on_where_they_were() {
    let browser = Browser::signed_in().await;
    let vm = browser.rig.host.add_vm("web01");
    browser.rig.active("nkp").await;
    browser.rig.host.script(vm, Script::UntilCancelled);
    let running = browser.rig.client.verify_vm("web01").await.expect("begins");
    // Each has its own order; between tasks and events there is none.
    let (mut tasks, mut events) = (Stream::open(&browser, "").await, Stream::open(&browser, "").await);
    assert_eq!(tasks.task().await.state, TaskState::Running, "how it stands comes first");
    assert_eq!(events.task().await.state, TaskState::Running);
    browser.rig.client.cancel_task(running.id).await.expect("runs");
    while tasks.task().await.state != TaskState::Cancelled {}
    let event = events.event().await;
    assert_eq!(event.kind, "vm.verify-cancelled");
    browser
        .rig
        .client
        .rename_provider("nkp", &cadenas_api::RenameProvider { name: "paris".to_owned() })
        .await
        .expect("free");
    let mut later = Stream::open(&browser, &format!("\r\nlast-event-id: {}", event.sequence)).await;
    assert_eq!(later.event().await.kind, "provider.renamed");
}

#[tokio::test]
async fn who_signs_out_is_told_nothing_more() {
    let browser = Browser::signed_in().await;
    let (mut his, mut told) = (Stream::open(&browser, "").await.0, String::new());
    browser.sign_out().await;
    let end = tokio::time::timeout(Duration::from_secs(5), his.read_to_string(&mut told)).await;
    end.expect("the stream ends").expect("text");
}

#[tokio::test]
async fn a_stopping_server_lets_watchers_go() {
    let mut browser = Browser::signed_in().await;
    let stream = Stream::open(&browser, "").await;
    let begun = tokio::time::Instant::now();
    browser.rig.stop().await;
    drop(stream);
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody was waited for");
}

#[tokio::test]
async fn what_cannot_be_done_to_a_vm_is_told_with_the_reason() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    assert_eq!(reasons(&rig).await, ["encrypt no-default-provider", "decrypt vm-not-encrypted", "start -"]);
    rig.active("nkp").await;
    assert_eq!(reasons(&rig).await, ["encrypt -", "decrypt vm-not-encrypted", "start -"]);
    rig.encrypt(vm, None).await.expect("active");
    rig.client.start_vm("web01").await.expect("off");
    assert_eq!(rig.client.vm("web01").await.expect("there").power, PowerState::Running);
    assert_eq!(reasons(&rig).await, ["encrypt vm-encrypted", "decrypt vm-not-off", "start vm-not-off"]);
}

#[tokio::test]
async fn a_template_and_a_vm_without_its_home_are_told_as_such() {
    let rig = Rig::start().await;
    let vm = rig.host.add_vm("web01");
    rig.active("nkp").await;
    rig.encrypt(vm, None).await.expect("active");
    rig.client.set_template("web01", SetTemplate { template: true }).await.expect("off");
    let actions = rig.client.vm_actions("web01").await.expect("a VM");
    let detail = |kind| {
        let action = actions.iter().find(|action| action.operation == kind).expect("every operation");
        action.reason.as_ref().map(|reason| reason.detail.clone()).unwrap_or_default()
    };
    assert_eq!(detail(ActionKind::SetTemplate), "VM web01 is a template already");
    assert_eq!(detail(ActionKind::Start), "VM web01 is a template, which does not start");
    rig.host.lose_home(vm);
    assert_eq!(reasons(&rig).await[1..], ["decrypt home-unfit", "start home-unfit"]);
}

#[tokio::test]
async fn what_takes_time_is_told_with_how_long() {
    let rig = Rig::start().await;
    rig.host.add_vm("web01");
    rig.active("nkp").await;
    let actions = rig.client.vm_actions("web01").await.expect("a VM");
    let encrypt = &actions[0];
    assert_eq!(encrypt.bytes, Some(2 << 30), "a copy is compared");
    assert!(encrypt.seconds.is_some_and(|seconds| (1..60).contains(&seconds)), "{encrypt:?}");
    assert!(actions[1..].iter().all(|action| action.seconds.is_none()));
}

async fn reasons(rig: &Rig) -> Vec<String> {
    let actions = rig.client.vm_actions("web01").await.expect("a VM");
    let told = |operation: &str| {
        let action = actions.iter().map(|action| serde_json::to_value(action).expect("JSON"));
        let action = action.into_iter().find(|action| action["operation"] == operation).expect("every operation");
        assert_eq!(action["allowed"], action["reason"].is_null());
        format!("{operation} {}", action["reason"]["code"].as_str().unwrap_or("-"))
    };
    ["encrypt", "decrypt", "start"].map(told).to_vec()
}

#[tokio::test]
async fn the_summary_counts_and_tells_what_needs_attention() {
    let rig = Rig::start().await;
    let kinds = || async {
        let summary = serde_json::to_value(rig.client.summary().await.expect("summary")).expect("JSON");
        let attention = summary["attention"].as_array().expect("a list").clone();
        attention.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, ["no-provider"]);
    rig.create("nkp").await;
    assert_eq!(kinds().await, ["provider-not-backed-up"]);
    let p12 = rig.back_up("nkp").await;
    rig.confirm("nkp", p12).await.expect("a good backup");
    assert!(kinds().await.is_empty());
    let vm = rig.host.add_vm("web01");
    rig.host.add_vm("web02");
    rig.encrypt(vm, None).await.expect("active");
    let listings = rig.host.listings.load(Ordering::Relaxed);
    let counts = rig.client.summary().await.expect("summary").vms;
    assert_eq!((counts.total, counts.encrypted, counts.plain), (2, 1, 1));
    assert_eq!(rig.host.listings.load(Ordering::Relaxed), listings + 1, "all VMs are looked at once");
}

/// Server-sent events, as they come.
struct Stream(BufReader<TcpStream>);

impl Stream {
    async fn open(browser: &Browser, more: &str) -> Self {
        let head =
            format!("GET /api/v1/changes HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: same-origin{more}", browser.address);
        Self(BufReader::new(browser.connect(&head, "").await))
    }

    async fn task(&mut self) -> Task {
        self.next("task").await
    }

    async fn event(&mut self) -> Event {
        self.next("event").await
    }

    /// The next message of a kind.
    async fn next<T: serde::de::DeserializeOwned>(&mut self, kind: &str) -> T {
        tokio::time::timeout(Duration::from_secs(20), self.find(kind)).await.expect("it comes")
    }

    async fn find<T: serde::de::DeserializeOwned>(&mut self, kind: &str) -> T {
        let mut of_kind = false;
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).await.expect("a line") > 0, "the stream ended");
            if let Some(event) = line.strip_prefix("event: ") {
                of_kind = event.trim() == kind;
            }
            if let Some(data) = line.strip_prefix("data: ").filter(|_| of_kind) {
                return serde_json::from_str(data).expect("JSON");
            }
        }
    }
}
