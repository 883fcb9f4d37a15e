//! What works with each key server, step by step.

use std::sync::Arc;

use cadenas_api::{KmsServerTest, KmsTestStep, Problem};
use cadenas_kmip::{EndpointReport, KmipError, KmipOperation, OperationsReport, Step};

use super::clusters::cluster;
use crate::{
    core::{Core, off_thread},
    text::listed,
};

/// Tests every server of a standard provider, whatever is known of it from before.
pub(crate) async fn test(core: &Arc<Core>, provider: &str) -> Result<Vec<KmsServerTest>, Problem> {
    let record = core.catalog().await?.find(provider)?.clone();
    let cluster = cluster(core, &record).await?;
    let reports = off_thread(move || Ok(cluster.probe())).await?;
    let failures: Option<Vec<String>> =
        reports.iter().map(|report| report.failure().map(ToString::to_string)).collect();
    core.clusters.note_test(record.id, failures.map(|failures| failures.join("; ")));
    Ok(reports.iter().map(view).collect())
}

fn view(report: &EndpointReport) -> KmsServerTest {
    let steps = [
        step("tcp", &report.tcp, |time| format!("connected in {}", milliseconds(*time))),
        step("tls", &report.tls, |tls| {
            let until = super::record::time(tls.certificate.not_after);
            let asked = if tls.asked_for_client_certificate { "wants" } else { "does not want" };
            format!(
                "{} with {}, certificate of {} until {until}; {asked} a client certificate",
                tls.version, tls.cipher, tls.certificate.subject
            )
        }),
        step("version", &report.version, |version| format!("KMIP {}", version.used)),
        operations(&report.operations),
        step("latency", &report.round_trip, |time| format!("an answer takes {}", milliseconds(*time))),
    ];
    let steps: Vec<KmsTestStep> = steps.into_iter().flatten().collect();
    KmsServerTest { server: report.endpoint.to_string(), ok: steps.iter().all(|step| step.ok), steps }
}

/// A step that was skipped says nothing.
fn step<T>(name: &str, step: &Step<T>, found: impl FnOnce(&T) -> String) -> Option<KmsTestStep> {
    let (ok, detail) = match step {
        Step::Done(value) => (true, found(value)),
        Step::Failed(error) => (false, reason(error)),
        Step::Skipped => return None,
    };
    Some(KmsTestStep { step: name.to_owned(), ok, detail })
}

/// Operations that are needed and not there are a failure, although the server answered.
fn operations(operations: &Step<OperationsReport>) -> Option<KmsTestStep> {
    let found = step("operations", operations, |report| format!("it has all that is needed{}", vendor(report)))?;
    let missing = operations.done().map(|report| names(&report.missing)).unwrap_or_default();
    if missing.is_empty() {
        return Some(found);
    }
    Some(KmsTestStep { ok: false, detail: format!("it lacks {}", listed(&missing)), ..found })
}

fn vendor(report: &OperationsReport) -> String {
    match report.vendor.as_str() {
        "" => String::new(),
        vendor => format!("; it calls itself \"{vendor}\""),
    }
}

fn names(operations: &[KmipOperation]) -> Vec<String> {
    operations.iter().map(ToString::to_string).collect()
}

/// The server and the step are named beside it.
fn reason(error: &KmipError) -> String {
    error.kind.to_string()
}

fn milliseconds(time: std::time::Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
