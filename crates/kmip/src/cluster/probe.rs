//! Step by step through a server.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    server::Server,
    session::{Session, Setup},
};
use crate::{
    Endpoint, EndpointReport, KmipError, KmipErrorKind, KmipOperation, Operation, OperationsReport, Step, TlsReport,
    VersionReport,
    requests::{Query, QueryAnswer},
    transport::{Connection, Deadline, connect},
};

/// What a server must be able to do for us. Registering keys is not part of it.
const NEEDED: [KmipOperation; 7] = [
    KmipOperation::Create,
    KmipOperation::Locate,
    KmipOperation::Get,
    KmipOperation::GetAttributes,
    KmipOperation::Activate,
    KmipOperation::Revoke,
    KmipOperation::Destroy,
];

/// All servers at once: together they take no longer than the slowest.
pub(super) fn all(servers: &[Server], setup: &Arc<Setup>) -> Vec<EndpointReport> {
    thread::scope(|scope| {
        let probes: Vec<_> = servers.iter().map(|server| scope.spawn(move || one(server, setup))).collect();
        probes.into_iter().map(|probe| probe.join().expect("a probe does not panic")).collect()
    })
}

fn one(server: &Server, setup: &Arc<Setup>) -> EndpointReport {
    let mut report = EndpointReport {
        endpoint: server.endpoint().clone(),
        tcp: Step::Skipped,
        tls: Step::Skipped,
        version: Step::Skipped,
        operations: Step::Skipped,
        round_trip: Step::Skipped,
    };
    // Each step notes its failure in the report; the first one ends the walk.
    if walk(&mut report, setup).is_some() {
        server.answered();
    }
    report
}

fn walk(report: &mut EndpointReport, setup: &Arc<Setup>) -> Option<()> {
    let endpoint = report.endpoint.clone();
    let deadline = Deadline::after(setup.timeouts.connect);

    let began = Instant::now();
    let tcp = connect(&endpoint, deadline).map_err(|kind| KmipError::new(&endpoint, Operation::Connect, kind));
    let tcp = note(&mut report.tcp, tcp, |_| began.elapsed())?;

    let tls = Connection::new(tcp, &endpoint, &setup.tls, deadline);
    let tls = tls.and_then(with_report).map_err(|kind| KmipError::new(&endpoint, Operation::TlsHandshake, kind));
    let (connection, _) = note(&mut report.tls, tls, |(_, told)| told.clone())?;

    let (mut session, _) = agree(report, connection, &endpoint, setup)?;

    let (answer, took) = timed(|| session.call(&Query));
    if answer.as_ref().map_or_else(|error| error.kind.is_server_verdict(), |_| true) {
        report.round_trip = Step::Done(took);
    }
    note(&mut report.operations, answer, operations).map(drop)
}

/// Agrees on a version. A certificate that the server refuses only now belongs to the step before.
fn agree(
    report: &mut EndpointReport,
    connection: Connection,
    endpoint: &Endpoint,
    setup: &Arc<Setup>,
) -> Option<(Session, VersionReport)> {
    let agreed = Session::over(connection, endpoint, setup);
    match agreed {
        Err(error) if error.operation == Operation::TlsHandshake => {
            report.tls = Step::Failed(error);
            None
        }
        agreed => note(&mut report.version, agreed, |(_, told)| told.clone()),
    }
}

/// Writes down how a step went, and goes on with what it brought.
fn note<T, U>(step: &mut Step<U>, result: Result<T, KmipError>, told: impl FnOnce(&T) -> U) -> Option<T> {
    match result {
        Ok(value) => {
            *step = Step::Done(told(&value));
            Some(value)
        }
        Err(error) => {
            *step = Step::Failed(error);
            None
        }
    }
}

fn with_report(connection: Connection) -> Result<(Connection, TlsReport), KmipErrorKind> {
    match connection.report() {
        Ok(report) => Ok((connection, report)),
        Err(error) => Err(KmipErrorKind::CertificateUnusable { reason: error.to_string() }),
    }
}

fn operations(answer: &QueryAnswer) -> OperationsReport {
    let missing = NEEDED.into_iter().filter(|needed| !answer.operations.contains(needed)).collect();
    OperationsReport { supported: answer.operations.clone(), missing, vendor: answer.vendor.clone() }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (work(), began.elapsed())
}
