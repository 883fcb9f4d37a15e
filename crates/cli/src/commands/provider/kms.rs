//! `cadenas provider user`, `set-kms` and `test`

use cadenas_api::{KmsServerTest, KmsTestStep, Password, Provider, SetKmsServers, SetKmsUser};

use crate::{
    args::kms::{SetKms, User, Who},
    commands::{Ended, Result},
    output::{Look, human::harmless, table::Table},
    password::{self, Kind},
    session::Session,
};

pub(super) async fn set_user(session: &Session, args: User) -> Result {
    let User { provider, who: Who { user, none: _ }, password_file } = args;
    let password = match &user {
        None => None,
        Some(user) => {
            let of = format!("{user} at the key servers of {provider}");
            let secret = password::existing_text(Kind::UserPassword, password_file.as_deref(), &of)?;
            Some(Password::new(secret))
        }
    };
    session.change(session.client.set_kms_user(&provider, &SetKmsUser { user, password }), user_set).await
}

pub(super) async fn set_servers(session: &Session, args: SetKms) -> Result {
    let SetKms { provider, kms } = args;
    session.change(session.client.set_kms_servers(&provider, &SetKmsServers { servers: kms }), servers_set).await
}

/// Exit status 1 unless everything works with every server.
pub(super) async fn test(session: &Session, provider: &str) -> Result {
    let tests = session.client.test_provider(provider).await?;
    session.printer.show(&tests, results)?;
    session.printer.remark(&summary(&tests));
    Ok(if tests.iter().all(|test| test.ok) { Ended::Well } else { Ended::Badly })
}

fn user_set(provider: &Provider) -> String {
    match provider.kms.as_ref().and_then(|kms| kms.user.as_ref()) {
        Some(user) => harmless(&format!("{} asks its key servers as {user}", provider.name)),
        None => format!("{} asks its key servers without a user", provider.name),
    }
}

fn servers_set(provider: &Provider) -> String {
    let servers = provider.kms.as_ref().map_or_else(String::new, |kms| kms.servers.join(", then "));
    let asks = harmless(&format!("{} asks {servers}. Next:", provider.name));
    format!("{asks}\n  cadenas provider test {}", provider.name)
}

fn results(tests: &Vec<KmsServerTest>, _look: &Look) -> String {
    let mut table = Table::new(["SERVER", "STEP", "RESULT", "FOUND"]);
    for test in tests {
        for (index, step) in test.steps.iter().enumerate() {
            let server = if index == 0 { test.server.as_str() } else { "" };
            table.row([server.to_owned(), step.step.clone(), result(step).to_owned(), step.detail.clone()]);
        }
    }
    table.text()
}

fn result(step: &KmsTestStep) -> &'static str {
    if step.ok { "ok" } else { "FAILED" }
}

fn summary(tests: &[KmsServerTest]) -> String {
    let good = tests.iter().filter(|test| test.ok).count();
    match (good, tests.len()) {
        (1, 1) => "The key server works.".to_owned(),
        (good, all) if good == all => format!("All {all} key servers work."),
        (good, all) => format!("{good} of {all} key servers work."),
    }
}
