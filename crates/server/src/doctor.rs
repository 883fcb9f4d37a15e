//! The prerequisites: the host's, and the server's own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use cadenas_api::{Check, Verdict};

use crate::core::Core;

/// What is checked, and how it stands.
pub(crate) async fn checks(core: &Core, data: &Path) -> Vec<Check> {
    let mut checks = core.host.doctor().await;
    checks.push(data_folder(data));
    checks.push(root_seal(core));
    checks
}

fn data_folder(data: &Path) -> Check {
    let check =
        |verdict, found: String, mend: Option<String>| Check { name: "data-folder".to_owned(), verdict, found, mend };
    let shown = data.display();
    let metadata = match fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) => {
            let mend = format!("Stop the server and look what became of {shown}.");
            return check(Verdict::Failure, format!("{shown} cannot be read: {error}"), Some(mend));
        }
    };
    let (mode, own) = (metadata.permissions().mode() & 0o7777, rustix::process::geteuid().as_raw());
    let found = format!("{shown}, mode {mode:04o}, owner {}", metadata.uid());
    match (metadata.uid() == own, mode & 0o077) {
        (false, _) => check(Verdict::Warning, found, Some(format!("Run `chown {own} {shown}`."))),
        (true, 0) => check(Verdict::Ok, found, None),
        (true, _) => check(Verdict::Warning, found, Some(format!("Run `chmod 700 {shown}`."))),
    }
}

fn root_seal(core: &Core) -> Check {
    let bound = if core.seal.hardware_bound() {
        "bound to this machine's hardware"
    } else {
        "whoever copies it together with the database has the keys"
    };
    Check {
        name: "root-seal".to_owned(),
        verdict: Verdict::Ok,
        found: format!("{}; {bound}", core.seal.description()),
        mend: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_that_others_may_read_is_told_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        let check = data_folder(folder.path());
        assert_eq!(check.verdict, Verdict::Warning);
        assert!(check.mend.expect("can be mended").contains("chmod 700"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("our folder");
        assert_eq!(data_folder(folder.path()).verdict, Verdict::Ok);
    }
}
