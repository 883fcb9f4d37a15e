//! Storage policies. Two are built in, as in vSphere.

use cadenas_api::{DATASTORE_DEFAULT, Policy, Problem, ProblemCode, VM_ENCRYPTION_POLICY};

use crate::text::quoted;

/// Every policy.
pub(crate) fn list() -> Vec<Policy> {
    let built_in = |name: &str, encrypts, description: &str| Policy {
        name: name.to_owned(),
        encrypts,
        built_in: true,
        description: description.to_owned(),
    };
    vec![
        built_in(VM_ENCRYPTION_POLICY, true, "The VM's configuration and disks are encrypted."),
        built_in(DATASTORE_DEFAULT, false, "The VM is not encrypted."),
    ]
}

/// The policy with this name.
pub(crate) fn find(name: &str) -> Result<Policy, Problem> {
    list().into_iter().find(|policy| policy.name == name).ok_or_else(|| {
        let detail = format!("there is no storage policy {}", quoted(name));
        Problem::new(ProblemCode::NoSuchPolicy, detail)
            .next(format!("There are \"{VM_ENCRYPTION_POLICY}\" and \"{DATASTORE_DEFAULT}\"."))
    })
}
