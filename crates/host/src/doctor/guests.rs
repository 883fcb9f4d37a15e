//! `libvirt-guests`, which can write every guest's memory to disk when the host shuts down.

use cadenas_api::Check;

use super::{System, fine, shell_setting, warning};

const SETTINGS: [&str; 2] = ["/etc/default/libvirt-guests", "/etc/sysconfig/libvirt-guests"];
const UNIT: &str = "/etc/systemd/system/multi-user.target.wants/libvirt-guests.service";

pub(super) fn saved_at_shutdown(system: &System) -> Check {
    const NAME: &str = "libvirt-guests";
    if !system.path(UNIT).is_symlink() && !system.path(UNIT).exists() {
        return fine(NAME, "libvirt-guests is not enabled");
    }
    let setting = SETTINGS.iter().find_map(|file| shell_setting(&system.text(file), "ON_SHUTDOWN"));
    // libvirt-guests suspends, that is, saves memory to disk, unless told otherwise.
    if setting.as_deref() == Some("shutdown") {
        return fine(NAME, "libvirt-guests shuts guests down with the host");
    }
    warning(
        NAME,
        "libvirt-guests saves guests' memory, keys included, to /var/lib/libvirt/qemu/save when the host shuts down",
        "set ON_SHUTDOWN=shutdown in /etc/default/libvirt-guests",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::tests::system;
    use cadenas_api::Verdict;

    #[test]
    fn saving_is_the_default_of_an_enabled_libvirt_guests() {
        let (_folder, absent) = system(&[]);
        assert_eq!(saved_at_shutdown(&absent).verdict, Verdict::Ok);
        let (_folder2, default) = system(&[(UNIT, ""), (SETTINGS[0], "#ON_SHUTDOWN=shutdown\n")]);
        assert_eq!(saved_at_shutdown(&default).verdict, Verdict::Warning);
        let (_folder3, mended) = system(&[(UNIT, ""), (SETTINGS[0], "ON_SHUTDOWN=shutdown\n")]);
        assert_eq!(saved_at_shutdown(&mended).verdict, Verdict::Ok);
    }
}
