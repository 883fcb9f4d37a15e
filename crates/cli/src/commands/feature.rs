//! `cadenas feature` and `cadenas policy`

use cadenas_api::{Feature, Policy, SetFeature};

use super::Result;
use crate::{
    args::feature::{Command, PolicyCommand},
    output::{Look, table::Table},
    session::Session,
};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    match command {
        Command::Ls => session.show(session.client.features(), list).await,
        Command::Enable(args) => set(session, &args.feature, SetFeature { enabled: true, message: None }).await,
        Command::Disable(args) => {
            set(session, &args.feature, SetFeature { enabled: false, message: args.message }).await
        }
    }
}

pub(crate) async fn run_policy(session: &Session, command: PolicyCommand) -> Result {
    match command {
        PolicyCommand::Ls => session.show(session.client.policies(), policies).await,
    }
}

async fn set(session: &Session, feature: &str, request: SetFeature) -> Result {
    let switched = |feature: &Feature| format!("{} is {}", feature.name, switch(feature));
    session.change(session.client.set_feature(feature, &request), switched).await
}

fn list(features: &Vec<Feature>, _look: &Look) -> String {
    let mut table = Table::new(["FEATURE", "STATE", "MESSAGE", "DESCRIPTION"]);
    for feature in features {
        table.row([
            feature.name.clone(),
            switch(feature).to_owned(),
            feature.message.clone().unwrap_or_else(|| "-".to_owned()),
            feature.description.clone(),
        ]);
    }
    table.text()
}

fn policies(policies: &Vec<Policy>, _look: &Look) -> String {
    let mut table = Table::new(["POLICY", "ENCRYPTS", "DESCRIPTION"]);
    for policy in policies {
        let encrypts = if policy.encrypts { "yes" } else { "no" };
        table.row([policy.name.clone(), encrypts.to_owned(), policy.description.clone()]);
    }
    table.text()
}

fn switch(feature: &Feature) -> &'static str {
    if feature.enabled { "enabled" } else { "disabled" }
}
