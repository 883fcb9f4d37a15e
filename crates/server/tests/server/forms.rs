//! Wrong requests: each gets a problem, and none gets its secrets back.

use cadenas_api::Problem;

use crate::rig::Rig;

const SECRET: &str = "hunter2-very-secret";

fn request(method: &str, path: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn problem(rig: &Rig, request: &str, status: u16) -> (Problem, String) {
    let (answered, head, body) = rig.raw(request).await;
    assert_eq!(answered, status, "{request}: {body}");
    assert!(head.contains("content-type: application/problem+json"), "{request}: {head}");
    let problem: Problem = serde_json::from_str(&body).expect("problem details");
    assert_eq!(problem.status, status);
    (problem, head)
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let rig = Rig::start().await;
    for path in [
        "/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/vms",
        "/verb/rotate/providers/nkp",
        "/api/v1/../verb/rotate/providers/nkp",
        "/api/v1/providers/a/b",
        "/api/v1/providers/nkp:nothing",
        "/api/v1/providers/nkp/rotate",
    ] {
        problem(&rig, &request("POST", path, "application/json", ""), 404).await;
    }
    let (_, head) = problem(&rig, &request("DELETE", "/api/v1/vms", "application/json", ""), 405).await;
    assert!(head.contains("allow: get"), "{head}");
    problem(&rig, &request("GET", "/api/v1/providers/nkp:rotate", "application/json", ""), 404).await;
    problem(&rig, &request("POST", "/api/v1/providers/restore", "application/json", "{}"), 405).await;
}

#[tokio::test]
async fn bodies_that_are_not_understood_are_not_repeated() {
    let rig = Rig::start().await;
    rig.create("nkp").await;
    let backup = "/api/v1/providers/nkp:backup";
    for body in [
        format!("{{\"password\": [\"{SECRET}\"]}}"),
        format!("{{\"password\": \"{SECRET}\", \"no_password\": \"{SECRET}\"}}"),
        format!("{{\"password\": \"{SECRET}\", \"{SECRET}\": 1}}"),
        format!("{{\"password\": \"{SECRET}\""),
        format!("{{\"password\": \"{SECRET}\"}} {SECRET}"),
        format!("\"{SECRET}\""),
        SECRET.to_owned(),
        String::new(),
        "null".to_owned(),
    ] {
        let (_, _, answer) = rig.raw(&request("POST", backup, "application/json", &body)).await;
        assert!(!answer.contains(SECRET), "{answer}");
        problem(&rig, &request("POST", backup, "application/json", &body), 400).await;
    }
    let restore = format!("{{\"p12\": \"{SECRET}!\", \"password\": \"{SECRET}\"}}");
    let (refused, _) =
        problem(&rig, &request("POST", "/api/v1/providers:restore", "application/json", &restore), 400).await;
    assert!(!refused.to_string().contains(SECRET), "{refused}");
}

#[tokio::test]
async fn a_form_post_a_page_long_body_and_a_wrong_query_are_problems() {
    let rig = Rig::start().await;
    let body = "{\"name\": \"nkp\"}";
    problem(&rig, &request("POST", "/api/v1/providers", "text/plain", body), 415).await;
    problem(&rig, &request("POST", "/api/v1/providers", "application/x-www-form-urlencoded", body), 415).await;
    let long = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    problem(&rig, &request("POST", "/api/v1/providers", "application/json", &long), 413).await;
    problem(&rig, &request("GET", "/api/v1/events?after=soon", "application/json", ""), 400).await;
    problem(&rig, &request("GET", "/api/v1/events?limits=1", "application/json", ""), 400).await;
    problem(&rig, &request("GET", "/api/v1/tasks/1", "application/json", ""), 404).await;
    problem(&rig, &request("GET", "/api/v1/vms/%ff", "application/json", ""), 400).await;
    let (created, ..) = rig.raw(&request("POST", "/api/v1/providers", "application/json; charset=utf-8", body)).await;
    assert_eq!(created, 201);
}

#[tokio::test]
async fn an_action_without_options_needs_no_body() {
    let rig = Rig::start().await;
    rig.host.add_vm("web01");
    for body in ["", "null", "{}"] {
        let (status, ..) = rig.raw(&request("POST", "/api/v1/vms/web01:shutdown", "application/json", body)).await;
        assert!(status == 202 || status == 200 || status == 409, "{status}");
    }
}
