//! No secret is in the log, not even at the finest level.

use std::{
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cadenas_api::{ConfirmBackup, VerifyBackup};
use cadenas_keys::Backup;

use crate::{
    backups::restoring,
    rig::{PASSWORD, Rig, password},
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged_even_at_trace() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    // The other tests of this program log there as well.
    subscriber.init();
    let rig = Rig::start().await;
    rig.host.add_vm("web01");
    let (_, p12) = rig.active("nkp").await;
    let wrong = || Some(password("wrong-password-of-a-user"));
    let file = || p12.clone();
    rig.client.verify_backup(&VerifyBackup { p12: file(), password: wrong() }).await.expect_err("wrong");
    rig.client.confirm_backup("nkp", &ConfirmBackup { p12: file(), password: wrong() }).await.expect_err("wrong");
    rig.client.restore_provider(&restoring(file(), None, false)).await.expect("already so");
    let backup = Backup::from_p12(&p12.0, Some(password(PASSWORD).secret())).expect("our backup");
    let key = backup.keys[0].kdk.expose().expose();
    let bytes = log.0.lock().expect("no panic").clone();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("DEBUG") && text.contains("provider.backed-up"), "the log holds what happened");
    assert!(!bytes.windows(key.len()).any(|window| window == key));
    let hex = key.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let listed = format!("{key:?}");
    for secret in [PASSWORD, "wrong-password-of-a-user", &hex, &STANDARD.encode(key), &STANDARD.encode(&p12.0), &listed]
    {
        assert!(!text.contains(secret), "a secret is in the log");
    }
}
