//! `cadenas provider`

use cadenas_api::{CreateProvider, DeleteProvider, Provider, ProviderKind, RenameProvider};

use super::{Result, backup};
use crate::{
    args::provider::{Command, Create, Kind, Rm},
    error::Failure,
    question,
    session::Session,
};

mod certificate;
mod identity;
mod kms;
mod rotation;
mod show;
mod trust;

pub(super) use show::{kind, state};

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    let client = &session.client;
    match command {
        Command::Create(args) => create(session, args).await,
        Command::Ls => session.show(client.providers(), show::list).await,
        Command::Show(args) => session.show(client.provider(&args.provider), show::detail).await,
        Command::Rename(args) => {
            let renamed = |provider: &Provider| format!("{} is now {}", args.provider, provider.name);
            let request = RenameProvider { name: args.name };
            session.change(client.rename_provider(&args.provider, &request), renamed).await
        }
        Command::SetDefault(args) => session.change(client.set_default_provider(&args.provider), made_default).await,
        Command::Rotate(args) => rotation::rotate(session, &args.provider).await,
        Command::SetRotation(args) => rotation::set(session, args).await,
        Command::MarkCompromised(args) => rotation::mark_compromised(session, &args).await,
        Command::Rm(args) => remove(session, args).await,
        Command::Backup(args) => backup::make(session, &args).await,
        Command::VerifyBackup(args) => backup::verify(session, &args).await,
        Command::Restore(args) => backup::restore(session, &args).await,
        Command::Trust(args) => trust::run(session, args).await,
        Command::Identity(args) => identity::run(session, args).await,
        Command::User(args) => kms::set_user(session, args).await,
        Command::SetKms(args) => kms::set_servers(session, args).await,
        Command::Test(args) => kms::test(session, &args.provider).await,
    }
}

async fn create(session: &Session, args: Create) -> Result {
    let Create { name, kind, kms, id, tpm_required } = args;
    let kind = match kind {
        Kind::Native if !kms.is_empty() => return Err(Failure::KmsOfNative),
        Kind::Native => ProviderKind::Native,
        Kind::Standard => ProviderKind::Standard,
    };
    let request = CreateProvider { name, tpm_required, kind, kms, id };
    session.change(session.client.create_provider(&request), created).await
}

async fn remove(session: &Session, args: Rm) -> Result {
    let Rm { provider, force, confirm } = args;
    let confirm = match confirm {
        None if force => Some(typed_again(&provider)?),
        given => given,
    };
    let removed = |provider: &Provider| format!("{} is removed", provider.name);
    session.change(session.client.delete_provider(&provider, &DeleteProvider { force, confirm }), removed).await
}

/// Asks for the name once more; the server compares it too.
fn typed_again(name: &str) -> Result<String> {
    if !question::somebody_is_there() {
        return Err(Failure::NobodyToConfirm { name: name.to_owned() });
    }
    let typed = question::line("VMs that use it will be locked. Type the provider's name again to remove it:")?;
    if typed.is_empty() { Err(Failure::NotConfirmed) } else { Ok(typed) }
}

fn created(provider: &Provider) -> String {
    let (name, id) = (&provider.name, provider.id);
    match provider.kind {
        ProviderKind::Native => format!(
            "{name} is made ({id}). It encrypts nothing until it is backed up:\n  cadenas provider backup {name} --out {name}.p12"
        ),
        ProviderKind::Standard => format!(
            "{name} is made ({id}). It encrypts nothing until its key servers are trusted and know it. Next:\n  \
             cadenas provider trust {name}                       Look at their certificates\n  \
             cadenas provider identity {name} --self-signed      Make the certificate that they know Cadenas by\n  \
             cadenas provider test {name}                        See what works"
        ),
    }
}

fn made_default(provider: &Provider) -> String {
    format!("{} is the default key provider", provider.name)
}
