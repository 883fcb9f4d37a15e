//! The web console, ready to be served: `web/` is built and compressed by this crate's build script.

use cadenas_server::ConsoleFile;

include!(concat!(env!("OUT_DIR"), "/files.rs"));

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_and_what_it_loads_are_there() {
        let page = FILES.iter().find(|file| file.path == "index.html").expect("a page");
        let text = std::str::from_utf8(page.bytes).expect("text");
        let loaded = text.split('"').filter_map(|part| part.strip_prefix("/assets/"));
        let missing: Vec<&str> =
            loaded.filter(|name| !FILES.iter().any(|file| file.path == format!("assets/{name}"))).collect();
        assert!(text.contains("/assets/"), "{text}");
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn the_script_stays_small() {
        let scripts = FILES.iter().filter(|file| Path::new(file.path).extension().is_some_and(|kind| kind == "js"));
        let script: usize = scripts.map(|file| file.gzip.len()).sum();
        assert!(script <= 250_000, "{script} bytes, compressed");
    }
}
