//! The client: one method per operation of the API, over the server's Unix socket.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use crate::{
    API_PREFIX, BackupFile, BackupReport, BackupRequest, Check, CompromiseReport, ConfirmBackup, ConsoleLink, CopyPath,
    CreateProvider, DeleteProvider, Event, EventQuery, Feature, KeyReport, KmsIdentity, KmsServerTest, KnownCopy,
    Policy, Problem, Provider, RecryptAll, RecryptPlan, RecryptVm, RegisterVm, RenameProvider, RestoreRequest,
    RestoreResult, SetFeature, SetKmsIdentity, SetKmsServers, SetKmsUser, SetPolicy, SetRotation, SetTemplate,
    ShownCertificate, ShutdownVm, Summary, Task, TaskId, TaskQuery, TrustKms, VerifyBackup, Vm, VmAction,
};

/// Answers are JSON and small; an answer beyond this is not ours.
const LARGEST_ANSWER: usize = 64 << 20;
/// How long a request that starts a task waits for a short one to end (RFC 7240).
const PREFER_WAIT: &str = "wait=2";

/// A client of one server. Every call opens a connection of its own, which costs about 20 µs on a Unix socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing answers at the socket.
    #[error("no Cadenas server answers at {}; start one with `cadenas serve`, or name its socket with --socket", socket.display())]
    NoServer {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server refused.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// The connection broke while the server worked; what it had begun goes on or is undone there.
    #[error("the connection to the server broke; look at `cadenas task ls` to see what became of the request")]
    Broken(#[source] hyper::Error),
    /// The answer is not what this version of the client understands.
    #[error("the server's answer is not understood; are client and server of the same version?")]
    NotUnderstood(#[source] serde_json::Error),
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// A client of the server that listens at `socket`.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket it speaks to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /providers`
    pub async fn providers(&self) -> Answer<Vec<Provider>> {
        self.get("/providers").await
    }

    /// `GET /providers/{provider}`
    pub async fn provider(&self, provider: &str) -> Answer<Provider> {
        self.get(&format!("/providers/{}", segment(provider))).await
    }

    /// `POST /providers`
    pub async fn create_provider(&self, request: &CreateProvider) -> Answer<Provider> {
        self.post("/providers", request).await
    }

    /// `PATCH /providers/{provider}`
    pub async fn rename_provider(&self, provider: &str, request: &RenameProvider) -> Answer<Provider> {
        self.call(Method::PATCH, &format!("/providers/{}", segment(provider)), Some(request)).await
    }

    /// `DELETE /providers/{provider}`
    pub async fn delete_provider(&self, provider: &str, request: &DeleteProvider) -> Answer<Provider> {
        let confirm = request.confirm.as_ref().map(|name| format!("&confirm={}", segment(name))).unwrap_or_default();
        let path = format!("/providers/{}?force={}{confirm}", segment(provider), request.force);
        self.call(Method::DELETE, &path, None::<&()>).await
    }

    /// `POST /providers/{provider}:set-default`
    pub async fn set_default_provider(&self, provider: &str) -> Answer<Provider> {
        self.post(&format!("/providers/{}:set-default", segment(provider)), &()).await
    }

    /// `POST /providers/{provider}:rotate`
    pub async fn rotate_provider(&self, provider: &str) -> Answer<Provider> {
        self.post(&format!("/providers/{}:rotate", segment(provider)), &()).await
    }

    /// `POST /providers/{provider}:backup`
    pub async fn backup_provider(&self, provider: &str, request: &BackupRequest) -> Answer<BackupFile> {
        self.post(&format!("/providers/{}:backup", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:confirm-backup`
    pub async fn confirm_backup(&self, provider: &str, request: &ConfirmBackup) -> Answer<Provider> {
        self.post(&format!("/providers/{}:confirm-backup", segment(provider)), request).await
    }

    /// `POST /providers:verify-backup`
    pub async fn verify_backup(&self, request: &VerifyBackup) -> Answer<BackupReport> {
        self.post("/providers:verify-backup", request).await
    }

    /// `POST /providers:restore`
    pub async fn restore_provider(&self, request: &RestoreRequest) -> Answer<RestoreResult> {
        self.post("/providers:restore", request).await
    }

    /// `POST /providers/{provider}:set-rotation`
    pub async fn set_rotation(&self, provider: &str, request: &SetRotation) -> Answer<Provider> {
        self.post(&format!("/providers/{}:set-rotation", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:set-servers`
    pub async fn set_kms_servers(&self, provider: &str, request: &SetKmsServers) -> Answer<Provider> {
        self.post(&format!("/providers/{}:set-servers", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:show-certificates`
    pub async fn show_certificates(&self, provider: &str) -> Answer<Vec<ShownCertificate>> {
        self.post(&format!("/providers/{}:show-certificates", segment(provider)), &()).await
    }

    /// `POST /providers/{provider}:trust`
    pub async fn trust_kms(&self, provider: &str, request: &TrustKms) -> Answer<Provider> {
        self.post(&format!("/providers/{}:trust", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:set-identity`
    pub async fn set_kms_identity(&self, provider: &str, request: &SetKmsIdentity) -> Answer<KmsIdentity> {
        self.post(&format!("/providers/{}:set-identity", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:set-user`
    pub async fn set_kms_user(&self, provider: &str, request: &SetKmsUser) -> Answer<Provider> {
        self.post(&format!("/providers/{}:set-user", segment(provider)), request).await
    }

    /// `POST /providers/{provider}:test`
    pub async fn test_provider(&self, provider: &str) -> Answer<Vec<KmsServerTest>> {
        self.post(&format!("/providers/{}:test", segment(provider)), &()).await
    }

    /// `POST /keys/{key}:mark-compromised`
    pub async fn mark_compromised(&self, key: &str) -> Answer<CompromiseReport> {
        self.post(&format!("/keys/{}:mark-compromised", segment(key)), &()).await
    }

    /// `GET /reports/keys`
    pub async fn key_report(&self) -> Answer<Vec<KeyReport>> {
        self.get("/reports/keys").await
    }

    /// `GET /policies`
    pub async fn policies(&self) -> Answer<Vec<Policy>> {
        self.get("/policies").await
    }

    /// `GET /features`
    pub async fn features(&self) -> Answer<Vec<Feature>> {
        self.get("/features").await
    }

    /// `PUT /features/{feature}`
    pub async fn set_feature(&self, feature: &str, request: &SetFeature) -> Answer<Feature> {
        self.call(Method::PUT, &format!("/features/{}", segment(feature)), Some(request)).await
    }

    /// `GET /vms`
    pub async fn vms(&self) -> Answer<Vec<Vm>> {
        self.get("/vms").await
    }

    /// `GET /vms/{vm}`
    pub async fn vm(&self, vm: &str) -> Answer<Vm> {
        self.get(&format!("/vms/{}", segment(vm))).await
    }

    /// `GET /vms/{vm}/actions`
    pub async fn vm_actions(&self, vm: &str) -> Answer<Vec<VmAction>> {
        self.get(&format!("/vms/{}/actions", segment(vm))).await
    }

    /// `POST /vms/{vm}:set-policy`
    pub async fn set_policy(&self, vm: &str, request: &SetPolicy) -> Answer<Task> {
        self.vm_task(vm, "set-policy", request).await
    }

    /// `POST /vms/{vm}:recrypt`
    pub async fn recrypt_vm(&self, vm: &str, request: &RecryptVm) -> Answer<Task> {
        self.vm_task(vm, "recrypt", request).await
    }

    /// `POST /vms:plan-recrypt`
    pub async fn plan_recrypt(&self, request: &RecryptAll) -> Answer<RecryptPlan> {
        self.post("/vms:plan-recrypt", request).await
    }

    /// `POST /vms:recrypt`
    pub async fn recrypt_all(&self, request: &RecryptAll) -> Answer<Task> {
        self.post("/vms:recrypt", request).await
    }

    /// `POST /vms/{vm}:start`
    pub async fn start_vm(&self, vm: &str) -> Answer<Task> {
        self.vm_task(vm, "start", &()).await
    }

    /// `POST /vms/{vm}:shutdown`
    pub async fn shutdown_vm(&self, vm: &str, request: &ShutdownVm) -> Answer<Task> {
        self.vm_task(vm, "shutdown", request).await
    }

    /// `POST /vms/{vm}:kill`
    pub async fn kill_vm(&self, vm: &str) -> Answer<Task> {
        self.vm_task(vm, "kill", &()).await
    }

    /// `POST /vms/{vm}:unlock`
    pub async fn unlock_vm(&self, vm: &str) -> Answer<Task> {
        self.vm_task(vm, "unlock", &()).await
    }

    /// `POST /vms/{vm}:verify`
    pub async fn verify_vm(&self, vm: &str) -> Answer<Task> {
        self.vm_task(vm, "verify", &()).await
    }

    /// `POST /vms:register`
    pub async fn register_vm(&self, request: &RegisterVm) -> Answer<Vm> {
        self.post("/vms:register", request).await
    }

    /// `POST /vms/{vm}:unregister`
    pub async fn unregister_vm(&self, vm: &str) -> Answer<Vm> {
        self.post(&format!("/vms/{}:unregister", segment(vm)), &()).await
    }

    /// `POST /vms/{vm}:set-template`
    pub async fn set_template(&self, vm: &str, request: SetTemplate) -> Answer<Vm> {
        self.post(&format!("/vms/{}:set-template", segment(vm)), &request).await
    }

    /// `GET /copies`
    pub async fn copies(&self) -> Answer<Vec<KnownCopy>> {
        self.get("/copies").await
    }

    /// `POST /copies`
    pub async fn add_copy(&self, request: &CopyPath) -> Answer<KnownCopy> {
        self.post("/copies", request).await
    }

    /// `POST /copies:forget`
    pub async fn forget_copy(&self, request: &CopyPath) -> Answer<KnownCopy> {
        self.post("/copies:forget", request).await
    }

    /// `GET /tasks`
    pub async fn tasks(&self) -> Answer<Vec<Task>> {
        self.get("/tasks").await
    }

    /// `GET /tasks/{task}`
    pub async fn task(&self, task: TaskId, query: &TaskQuery) -> Answer<Task> {
        let wait = query.wait.map(|seconds| format!("?wait={seconds}")).unwrap_or_default();
        self.get(&format!("/tasks/{task}{wait}")).await
    }

    /// `POST /tasks/{task}:cancel`
    pub async fn cancel_task(&self, task: TaskId) -> Answer<Task> {
        self.post(&format!("/tasks/{task}:cancel"), &()).await
    }

    /// `GET /events`
    pub async fn events(&self, query: &EventQuery) -> Answer<Vec<Event>> {
        let numbers = [("after", query.after), ("limit", query.limit), ("wait", query.wait)];
        let numbers = numbers.iter().filter_map(|(name, value)| value.map(|value| format!("{name}={value}")));
        let order = query.newest_first.map(|newest_first| format!("newest_first={newest_first}"));
        let fields: Vec<String> = numbers.chain(order).collect();
        self.get(&format!("/events?{}", fields.join("&"))).await
    }

    /// `GET /summary`
    pub async fn summary(&self) -> Answer<Summary> {
        self.get("/summary").await
    }

    /// `POST /console-links`
    pub async fn open_console_link(&self) -> Answer<ConsoleLink> {
        self.post("/console-links", &()).await
    }

    /// `GET /doctor`
    pub async fn doctor(&self) -> Answer<Vec<Check>> {
        self.get("/doctor").await
    }

    /// `GET /openapi.json`
    pub async fn openapi(&self) -> Answer<serde_json::Value> {
        self.get("/openapi.json").await
    }

    async fn vm_task(&self, vm: &str, verb: &str, request: &impl Serialize) -> Answer<Task> {
        self.post(&format!("/vms/{}:{verb}", segment(vm)), request).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Answer<T> {
        self.call(Method::GET, path, None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answer<T> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Answer<T> {
        let (status, answer) = self.exchange(request(method, path, body)?).await?;
        if status.is_success() {
            serde_json::from_slice(&answer).map_err(ClientError::NotUnderstood)
        } else {
            let problem = serde_json::from_slice(&answer).map_err(ClientError::NotUnderstood)?;
            Err(ClientError::Refused(Box::new(problem)))
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer<(StatusCode, Bytes)> {
        let no_server = |source| ClientError::NoServer { socket: self.socket.clone(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(no_server)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(ClientError::Broken)?;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(ClientError::Broken)?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if bytes.len() > LARGEST_ANSWER {
                return Err(ClientError::NotUnderstood(serde::de::Error::custom("longer than 64 MiB")));
            }
        }
        Ok((status, bytes.into()))
    }
}

fn request(method: Method, path: &str, body: Option<&impl Serialize>) -> Answer<Request<Full<Bytes>>> {
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(ClientError::NotUnderstood)?,
        None => Vec::new(),
    };
    Ok(Request::builder()
        .method(method)
        .uri(format!("{API_PREFIX}{path}"))
        .header(header::HOST, "cadenas")
        .header(header::CONTENT_TYPE, "application/json")
        .header("prefer", PREFER_WAIT)
        .body(Full::new(body.into()))
        .expect("paths are made of escaped segments"))
}

/// A path segment with everything escaped that could end it or look like a verb (RFC 3986, section 2.3).
fn segment(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_path_segment() {
        assert_eq!(segment("web:start"), "web%3Astart");
        assert_eq!(segment("../x y/é"), "..%2Fx%20y%2F%C3%A9");
    }

    #[tokio::test]
    async fn a_missing_server_is_told_with_what_to_do() {
        let error = Client::new("/nonexistent/cadenas.sock").vms().await.expect_err("nobody listens");
        assert!(error.to_string().contains("cadenas serve"), "{error}");
    }
}
