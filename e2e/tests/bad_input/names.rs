//! Names of VMs that are not plain words.

use cadenas_e2e::{Guest, World};

use crate::state::refused;

#[test]
fn a_vm_name_with_spaces_and_accents_works_from_end_to_end() {
    let world = World::ready();
    let name = "café  du port: nº 1 — 100 %";
    let guest = world.marked_guest(Guest::with_one_disk(name, &world.libvirt.datastore()));
    let backup = world.libvirt.datastore().join("nkp.p12");
    world.cadenas.cadenas(&["vm", "encrypt", name]);
    assert_eq!(world.home(name), world.libvirt.datastore().join(name));
    assert!(world.cadenas.cadenas(&["vm", "ls"]).contains(name));
    world.start_and_read_marks(&guest);
    world.cadenas.cadenas(&["vm", "kill", name]);
    assert!(world.recover(&backup, name).join(format!("{name}.xml")).exists());
    world.cadenas.cadenas(&["vm", "recrypt", "--deep", name]);
    world.cadenas.cadenas(&["vm", "decrypt", name]);
    assert_eq!(world.padlock(name), "none");
    assert_eq!(world.libvirt.virsh(&["list", "--all", "--name"]).trim(), name);
}

#[test]
fn a_vm_name_that_no_file_can_have_is_refused() {
    let world = World::ready();
    // libvirt itself takes names of up to 246 bytes: it calls files after them. The guest's own files have short names.
    let define = |guest: &Guest, name: &str| {
        let file = guest.xml_file();
        std::fs::write(&file, guest.xml().replace("<name>short<", &format!("<name>{name}<"))).expect("our own folder");
        world.libvirt.try_virsh(&["define", &file.display().to_string()])
    };
    for name in ["x".repeat(246), "é".repeat(120), ".hidden".to_owned()] {
        let guest = Guest::with_one_disk("short", &world.libvirt.datastore());
        drop(define(&guest, &name).ok());
        refused(&world, &["vm", "encrypt", &name], &["cannot be a file name", "1 to 200 bytes", "virsh domrename"]);
        refused(&world, &["vm", "encrypt", &guest.uuid.to_string()], &["cannot be a file name"]);
        world.libvirt.virsh(&["undefine", &name]);
    }
    let guest = Guest::with_one_disk("short", &world.libvirt.datastore());
    let told = define(&guest, &"x".repeat(255)).failed_with(1);
    assert!(told.contains("File name too long"), "{told}");
    for name in ["a/b", "../web01", "a\nb", &"x".repeat(300), ""] {
        refused(&world, &["vm", "encrypt", name], &["cadenas"]);
    }
}
