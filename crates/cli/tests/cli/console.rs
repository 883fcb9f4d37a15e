//! `cadenas console` and the page that `cadenas serve` offers.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
};

use crate::{serving::Serving, terminal::Terminal};

/// What the server answers to a request of a browser.
fn ask(address: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The address and the token in a link.
fn parts(link: &str) -> (String, String) {
    let (address, token) =
        link.trim().strip_prefix("http://").and_then(|link| link.split_once("/#once=")).expect("a link");
    (address.to_owned(), token.to_owned())
}

#[test]
fn the_page_is_served_and_a_link_lets_in_once() {
    let server = Serving::start();
    let told = server.run(&["console"]);
    let (address, token) = parts(&told.ok());
    let page = ask(&address, "GET /", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<script type=\"module\""), "{page}");
    assert!(ask(&address, "GET /api/v1/vms", "").starts_with("HTTP/1.1 401"), "nobody is in yet");
    let opens = || ask(&address, "POST /api/v1/session", &format!(r#"{{"token":"{token}"}}"#));
    assert!(opens().starts_with("HTTP/1.1 201"));
    assert!(opens().contains("link-spent"));
}

#[test]
fn the_link_reaches_the_browser_in_a_private_file_and_no_argument() {
    let server = Serving::start();
    let folder = server.folder.path();
    let browser = folder.join("xdg-open");
    // It stands for a desktop's own, which needs a desktop.
    let script =
        "#!/bin/sh\ncp \"$1\" \"$SEEN/page\"; stat -c %a \"$1\" > \"$SEEN/mode\"; echo \"$*\" > \"$SEEN/arguments\"\n";
    fs::write(&browser, script).expect("written");
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).expect("executable");
    let person = Terminal::run(&["console"], |command| {
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
        command.env("CADENAS_SOCKET", server.data().join("cadenas.sock")).env("PATH", path);
        command.env("DISPLAY", ":9").env("TMPDIR", folder).env("SEEN", folder);
        command.env_remove("SUDO_UID");
    });
    let (status, screen) = person.end();
    assert_eq!(status, Some(0), "{screen}");
    let link = screen.lines().next().expect("a link");
    let (_, token) = parts(link);
    let seen = |name: &str| fs::read_to_string(folder.join(name)).expect("the browser was started");
    assert!(seen("page").contains(&format!("url={link}\"")), "{}", seen("page"));
    assert_eq!(seen("mode"), "600\n");
    let page = seen("arguments");
    assert!(!page.contains(&token) && !fs::exists(page.trim()).expect("it can be looked for"), "{page}");
    assert!(screen.contains("opened in your browser"), "{screen}");
}

#[test]
fn a_server_without_console_says_how_to_have_one() {
    let server = Serving::start_with(&["--console", "none"]);
    let told = server.run(&["console"]).refused(1);
    assert!(told.contains("no web console") && told.contains("--console 127.0.0.1:7780"), "{told}");
}
