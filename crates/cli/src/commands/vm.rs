//! `cadenas vm`

use cadenas_api::{
    DATASTORE_DEFAULT, DiskFormat, DiskMethod, MissingKey, RecryptVm, RegisterVm, SetPolicy, SetTemplate, ShutdownVm,
    VM_ENCRYPTION_POLICY, Vm,
};

use super::{Ended, Result};
use crate::{
    args::{
        tuning::TuningArgs,
        vm::{
            Command, Decrypt, DiskWorkArgs, Encrypt, EncryptedFormat, EncryptionArgs, Operate, Recrypt, Shutdown,
            WaitArgs, Wipe,
        },
    },
    error::Failure,
    files::absolute,
    output::print,
    session::Session,
};

mod many;
mod show;

pub(super) use show::padlock;

pub(crate) async fn run(session: &Session, command: Command) -> Result {
    let client = &session.client;
    match command {
        Command::Ls => session.show(client.vms(), show::list).await,
        Command::Show(args) => session.show(client.vm(&args.vm), show::detail).await,
        Command::SetPolicy(args) => set_policy(session, &args.vm, args.policy, args.encryption, args.wait).await,
        Command::Encrypt(args) => encrypt(session, args).await,
        Command::Decrypt(Decrypt { vm, work, wait }) => {
            let encryption = EncryptionArgs { work, ..EncryptionArgs::default() };
            set_policy(session, &vm, DATASTORE_DEFAULT.to_owned(), encryption, wait).await
        }
        Command::Recrypt(args) => recrypt(session, args).await,
        Command::Template(args) => {
            let request = SetTemplate { template: !args.off };
            session.change(client.set_template(&args.vm, request), template).await
        }
        Command::Start(args) => session.operate(client.start_vm(&args.vm), args.wait).await,
        Command::Shutdown(Shutdown { vm, timeout, wait }) => {
            session.operate(client.shutdown_vm(&vm, &ShutdownVm { timeout }), wait).await
        }
        Command::Kill(args) => session.operate(client.kill_vm(&args.vm), args.wait).await,
        Command::Register(args) => {
            let request = RegisterVm { path: absolute(&args.path)? };
            session.change(client.register_vm(&request), registered).await
        }
        Command::Unregister(args) => session.change(client.unregister_vm(&args.vm), unregistered).await,
        Command::Unlock(args) => session.operate(client.unlock_vm(&args.vm), args.wait).await,
        Command::Verify(args) => verify(session, &args).await,
    }
}

async fn set_policy(session: &Session, vm: &str, policy: String, encryption: EncryptionArgs, wait: WaitArgs) -> Result {
    let EncryptionArgs { provider, disks, home, format, work, wipe } = encryption;
    let request = SetPolicy {
        policy,
        provider,
        disks,
        home: home.as_deref().map(absolute).transpose()?,
        format: format.map(disk_format),
        method: method(work),
        jobs: work.tuning.jobs,
        rate_limit: work.tuning.rate_limit,
        wipe: wipe.map(wiping),
    };
    session.operate(session.client.set_policy(vm, &request), wait).await
}

/// A policy that does not encrypt would decrypt: not what this verb says.
async fn encrypt(session: &Session, args: Encrypt) -> Result {
    let policy = match args.policy {
        None => VM_ENCRYPTION_POLICY.to_owned(),
        Some(policy) => encrypting(session, policy).await?,
    };
    set_policy(session, &args.vm, policy, args.encryption, args.wait).await
}

/// An unknown policy passes: the server refuses it with its own words.
async fn encrypting(session: &Session, policy: String) -> Result<String> {
    let plain = session.client.policies().await?.into_iter().any(|known| known.name == policy && !known.encrypts);
    if plain { Err(Failure::PolicyDoesNotEncrypt { policy }) } else { Ok(policy) }
}

/// One VM, or all; the command line says which.
async fn recrypt(session: &Session, args: Recrypt) -> Result {
    let Recrypt { vm, many, provider, deep, work, wait } = args;
    let TuningArgs { jobs, rate_limit } = work.tuning;
    let Some(vm) = vm else {
        return many::run(session, many, jobs, wait).await;
    };
    let request = RecryptVm { provider, deep, method: method(work), jobs, rate_limit };
    session.operate(session.client.recrypt_vm(&vm, &request), wait).await
}

fn disk_format(format: EncryptedFormat) -> DiskFormat {
    match format {
        EncryptedFormat::Qcow2 => DiskFormat::Qcow2,
        EncryptedFormat::Luks => DiskFormat::Luks,
    }
}

fn method(work: DiskWorkArgs) -> Option<DiskMethod> {
    match (work.in_place, work.copy) {
        (true, _) => Some(DiskMethod::InPlace),
        (false, true) => Some(DiskMethod::Copy),
        (false, false) => None,
    }
}

fn wiping(wipe: Wipe) -> cadenas_api::Wipe {
    match wipe {
        Wipe::None => cadenas_api::Wipe::None,
        Wipe::Discard => cadenas_api::Wipe::Discard,
        Wipe::Zero => cadenas_api::Wipe::Zero,
    }
}

async fn verify(session: &Session, args: &Operate) -> Result {
    let task = session.run(session.client.verify_vm(&args.vm), args.wait).await?;
    let Some(outcome) = task.outcome else { return Ok(Ended::Well) };
    if !session.printer.is_json() {
        print(&show::verdicts(&outcome.objects))?;
    }
    let all_is_well = outcome.objects.iter().all(|object| object.encrypted && object.problem.is_none());
    Ok(if all_is_well { Ended::Well } else { Ended::Badly })
}

fn registered(vm: &Vm) -> String {
    let name = &vm.name;
    let Some(MissingKey { provider, key, kms_key }) = vm.missing_keys.first() else {
        return format!("{name} is in the inventory, {}", padlock(vm.padlock));
    };
    let needs = match kms_key {
        None => format!("key {key} of provider {provider}; restore that provider from its backup"),
        Some(kms_key) => format!("key {kms_key} of the key servers of provider {provider}"),
    };
    format!("{name} is in the inventory, locked: it needs {needs}")
}

fn template(vm: &Vm) -> String {
    if vm.template {
        format!("{} is a template: it is re-encrypted with the others and does not start", vm.name)
    } else {
        format!("{} is no template any more: it starts", vm.name)
    }
}

fn unregistered(vm: &Vm) -> String {
    format!("{} is not in the inventory any more; its files stay", vm.name)
}
