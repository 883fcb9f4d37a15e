//! Templates: VMs that are re-encrypted with the others and do not start.

use std::collections::BTreeSet;

use cadenas_api::{Actor, Problem, ProblemCode, Vm};
use cadenas_keys::VmId;
use cadenas_store::{Key, Prefix, Range, Record, StoreExt, Txn};
use serde::{Deserialize, Serialize};

use crate::{
    core::{Core, store_failed},
    events::{Draft, Written},
};

const TEMPLATES: &str = "template";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateRecord {}

impl Record for TemplateRecord {
    const VERSION: u32 = 1;
}

/// Every VM that is a template.
pub(crate) async fn all(core: &Core) -> Result<BTreeSet<VmId>, Problem> {
    let prefix: Prefix = TEMPLATES.parse().expect("a constant that is a key");
    let page = core.store.range_as::<TemplateRecord>(&Range::of(prefix)).await.map_err(|error| store_failed(&error))?;
    Ok(page.items.iter().filter_map(|stored| stored.key.as_str().rsplit('/').next()?.parse().ok()).collect())
}

/// Makes a VM a template, or a VM again. One that runs cannot be one.
pub(crate) async fn set(core: &Core, vm: &Vm, template: bool, by: &Actor) -> Result<(), Problem> {
    if all(core).await?.contains(&vm.id) == template {
        return Ok(());
    }
    if template && vm.power != cadenas_api::PowerState::Off {
        return Err(Problem::new(
            ProblemCode::VmNotOff,
            format!("VM {} is {}, and a template is off", vm.name, vm.power),
        )
        .next(format!("Shut it down first: `cadenas vm shutdown {}`.", vm.name)));
    }
    let (txn, what) = if template {
        let txn = Txn::new().put_as(key(vm.id), &TemplateRecord {}).map_err(|error| store_failed(&error))?;
        (txn, "a template")
    } else {
        (Txn::new().delete(key(vm.id)), "no template any more")
    };
    let draft = Draft::new("vm.template-set", format!("VM {} is {what}.", vm.name)).vm(vm.id).by(by);
    core.commit(txn, vec![draft]).await.map(|_: Written| ())
}

/// Refuses to start a template.
pub(crate) async fn refuse_to_start(core: &Core, vm: &Vm) -> Result<(), Problem> {
    if !all(core).await?.contains(&vm.id) {
        return Ok(());
    }
    Err(does_not_start(vm))
}

pub(crate) fn does_not_start(vm: &Vm) -> Problem {
    Problem::new(ProblemCode::BadRequest, format!("VM {} is a template, which does not start", vm.name))
        .next(format!("Make it a VM again: `cadenas vm template {} --off`.", vm.name))
}

fn key(vm: VmId) -> Key {
    format!("{TEMPLATES}/{vm}").parse().expect("a UUID is allowed in keys")
}
