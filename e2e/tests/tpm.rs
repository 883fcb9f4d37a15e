//! Keys that a TPM seals: what opens with it, and what stays closed without.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cadenas_e2e::{Cadenas, CadenasOptions, Guest, PrivateLibvirt, SoftwareTpm, World, run, text};
use serde_json::Value;

#[test]
fn a_provider_for_tpms_does_not_encrypt_where_a_key_file_seals() {
    let world = World::empty();
    world.cadenas.cadenas(&["provider", "create", "nkp", "--tpm-required"]);
    world.back_up("nkp");
    let provider = world.json(&["provider", "show", "nkp"]);
    assert_eq!(provider["state"], "degraded");
    assert!(text(&provider["reason"]).contains("--seal tpm"), "{provider}");
    world.define(&Guest::with_one_disk("web01", &world.libvirt.datastore()));
    let refused = world.cadenas.try_cadenas(&["vm", "encrypt", "web01"]).failed_with(1);
    assert!(refused.contains("TPM"), "{refused}");
    assert_eq!(world.padlock("web01"), "none");
}

#[test]
fn with_a_tpm_it_encrypts_and_its_vms_start_after_the_machine_did() {
    let mut tpm = SoftwareTpm::start();
    let mut world = World::with(sealed_by(&tpm));
    world.cadenas.cadenas(&["provider", "create", "nkp", "--tpm-required"]);
    world.back_up("nkp");
    assert_eq!(world.json(&["provider", "show", "nkp"])["state"], "active");
    let guest = world.marked_guest(Guest::with_one_disk("web01", &world.libvirt.datastore()));
    world.cadenas.cadenas(&["vm", "encrypt", "web01"]);

    world.cadenas.kill9();
    tpm.switch_on();
    world.cadenas.set_args(&["--seal", "tpm", "--tpm", &tpm.address()]);
    world.cadenas.restart();
    assert_eq!(world.json(&["provider", "show", "nkp"])["state"], "active");
    world.start_and_read_marks(&guest);
    let checks = world.cadenas.cadenas(&["doctor"]);
    assert!(checks.contains(&tpm.address()), "{checks}");
    assert!(!world.cadenas.data_dir().join("root.key").exists());
}

#[test]
fn a_copied_data_folder_opens_in_no_other_way_and_the_backup_in_a_new_folder_does() {
    let (tpm, other) = (SoftwareTpm::start(), SoftwareTpm::start());
    let mut world = World::with(sealed_by(&tpm));
    let backup = world.active_provider("nkp");
    world.cadenas.kill9();

    let stolen = tempfile::tempdir().unwrap();
    let copy = stolen.path().join("data");
    run("cp", ["-a", &world.cadenas.data_dir().display().to_string(), &copy.display().to_string()]);
    let refused = |options: CadenasOptions| {
        let words = refused_start(&mut options.data(&copy).prepare(&world.libvirt.uri()));
        assert!(words.contains("restore the providers from their backups"), "{words}");
        words
    };
    let words = refused(sealed_by(&other));
    assert!(words.contains("is not the one that sealed") && words.contains("root.tpm"), "{words}");
    let words = refused(CadenasOptions::default().args(&["--seal", "tpm", "--tpm", "device:/nowhere/tpmrm0"]));
    assert!(words.contains("/nowhere/tpmrm0"), "{words}");
    let words = refused(CadenasOptions::default());
    assert!(words.contains("--seal tpm"), "{words}");
    fs::remove_file(copy.join("root.tpm")).unwrap();
    refused(sealed_by(&tpm));

    world.cadenas.restart();
    assert_eq!(world.json(&["provider", "show", "nkp"])["state"], "active", "no attempt harmed the original");
    let elsewhere = World::with(sealed_by(&other));
    drop(elsewhere.restore(&backup).ok());
    assert_eq!(elsewhere.json(&["provider", "show", "nkp"])["state"], "active");
}

#[test]
fn a_tpm_that_was_cleared_is_told_and_a_new_one_may_be_taken_while_there_is_no_provider() {
    let (tpm, other) = (SoftwareTpm::start(), SoftwareTpm::start());
    let libvirt = PrivateLibvirt::start();
    let mut cadenas = sealed_by(&tpm).start(&libvirt.uri());
    cadenas.cadenas(&["provider", "ls"]);
    cadenas.set_args(&["--seal", "tpm", "--tpm", &other.address()]);
    cadenas.restart();
    cadenas.cadenas(&["provider", "create", "nkp"]);
    cadenas.kill9();
    tpm2(&other, "clear", &[]);
    let words = refused_start(&mut cadenas);
    assert!(words.contains("it was cleared") && words.contains("from their backups"), "{words}");
}

/// `tpm2-tools` opens the file too, so it is what it says; and who listens between server and TPM sees nothing of the key.
#[test]
fn the_tools_open_the_file_with_the_tpm_and_the_wire_shows_nothing_of_it() {
    let tpm = SoftwareTpm::start();
    let wire = Wiretap::on(tpm.port());
    let libvirt = PrivateLibvirt::start();
    let address = format!("swtpm:host=127.0.0.1,port={}", wire.port);
    let mut cadenas = CadenasOptions::default().args(&["--seal", "tpm", "--tpm", &address]).start(&libvirt.uri());
    cadenas.cadenas(&["provider", "ls"]);
    cadenas.restart();
    cadenas.cadenas(&["provider", "ls"]);
    let key = unsealed_with_tools(&tpm, &cadenas);
    assert_eq!(key.len(), 32);
    let heard = wire.heard.lock().unwrap().clone();
    assert!(contains(&heard, &URL_SAFE_NO_PAD.decode(text(&root_file(&cadenas)["private"])).unwrap()), "the tap works");
    assert!(!contains(&heard, &key) && !contains(&heard, &key[..8]) && !contains(&heard, &key[24..]));
    assert!(!cadenas.log().contains("tss"), "no library of the TSS has a say: {}", cadenas.log());
    for entry in fs::read_dir(cadenas.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        assert!(!path.is_file() || !contains(&fs::read(&path).unwrap(), &key), "{}", path.display());
    }
}

fn sealed_by(tpm: &SoftwareTpm) -> CadenasOptions {
    CadenasOptions::default().args(&["--seal", "tpm", "--tpm", &tpm.address()])
}

/// What the server says when it does not start. It listens before it opens its root key, and answers after.
fn refused_start(cadenas: &mut Cadenas) -> String {
    if let Err(words) = cadenas.try_start() {
        return words;
    }
    assert_eq!(cadenas.wait_for_end(Duration::from_secs(30)), Some(1));
    cadenas.log()
}

fn root_file(cadenas: &Cadenas) -> Value {
    serde_json::from_slice(&fs::read(cadenas.data_dir().join("root.tpm")).unwrap()).unwrap()
}

/// The root key as `tpm2-tools` unseal it, with the storage root key from the same template.
fn unsealed_with_tools(tpm: &SoftwareTpm, cadenas: &Cadenas) -> Vec<u8> {
    let (folder, file) = (tempfile::tempdir().unwrap(), root_file(cadenas));
    let path = |name: &str| folder.path().join(name).display().to_string();
    for part in ["public", "private"] {
        let bytes = URL_SAFE_NO_PAD.decode(text(&file[part])).unwrap();
        let len = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        fs::write(path(part), [&len[..], &bytes].concat()).unwrap();
    }
    // Two coordinates of 32 zero bytes, in the tool's own layout: length, and room for 128 bytes.
    let coordinate = [&32_u16.to_ne_bytes()[..], &[0; 128]].concat();
    fs::write(path("unique"), [&coordinate[..], &coordinate].concat()).unwrap();
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    let (primary, object) = (path("primary.ctx"), path("object.ctx"));
    let algorithm = "ecc256:null:aes128cfb";
    tpm2(tpm, "createprimary", &["-G", algorithm, "-a", attributes, "-u", &path("unique"), "-c", &primary]);
    tpm2(tpm, "flushcontext", &["-t"]);
    tpm2(tpm, "load", &["-C", &primary, "-u", &path("public"), "-r", &path("private"), "-c", &object]);
    tpm2(tpm, "flushcontext", &["-t"]);
    tpm2(tpm, "unseal", &["-c", &object, "-o", &path("key")]);
    fs::read(Path::new(&path("key"))).unwrap()
}

fn tpm2(tpm: &SoftwareTpm, tool: &str, args: &[&str]) {
    let address = tpm.address();
    run(&format!("tpm2_{tool}"), [&["-T", &address], args].concat());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Passes everything on to a TPM, and keeps it.
struct Wiretap {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Wiretap {
    fn on(tpm: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        // It ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, tpm)).unwrap();
                pass_on(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&kept));
                pass_on(server, client, Arc::clone(&kept));
            }
        });
        Self { port, heard }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, kept: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // The other end may be gone already.
        let _ = to.shutdown(Shutdown::Both);
    });
}
