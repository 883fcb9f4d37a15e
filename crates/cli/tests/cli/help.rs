//! Every command explains itself.

use std::{fmt::Write, path::Path};

use cadenas_cli::args::Cli;
use clap::{Command, CommandFactory};

use crate::program::{cadenas, run_in};

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_that_begin_with_its_name() {
    let mut commands = Vec::new();
    collect(&built(), "", &mut commands);
    assert!(commands.len() > 40, "only {} commands were found", commands.len());
    for (name, command) in commands {
        let help = command.get_after_help().unwrap_or_else(|| panic!("{name} has no examples")).to_string();
        assert!(help.starts_with("EXAMPLES:\n") && help.contains(&name), "{name}: {help}");
    }
}

/// `docs/cli.md` is the help of every command. After a change of the help: `UPDATE_DOCS=1 cargo test -p cadenas-cli help`.
#[test]
fn the_reference_is_the_help_of_every_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let written = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &written).expect("docs/cli.md is written");
    }
    let stored = std::fs::read_to_string(&path).expect("docs/cli.md is there");
    assert!(stored == written, "docs/cli.md is old: run `UPDATE_DOCS=1 cargo test -p cadenas-cli help`");
}

#[test]
fn a_wrong_command_line_ends_with_status_2_and_a_hint() {
    let here = Path::new(".");
    assert!(run_in(here, &["vm", "encrpt", "web01"]).refused(2).contains("similar"));
    assert!(run_in(here, &["vm", "encrypt"]).refused(2).contains("<VM>"));
    assert!(run_in(here, &["task", "show", "7"]).refused(2).contains("<ID>"));
    assert!(run_in(here, &["provider", "backup", "nkp"]).refused(2).contains("--out"));
    assert!(run_in(here, &["disk", "encrypt", "a", "b", "--iter-time", "0"]).refused(2).contains("milliseconds"));
    assert!(run_in(here, &["provider", "rm", "nkp", "--confirm", "nkp"]).refused(2).contains("--force"));
    let both = ["provider", "restore", "f", "--no-password", "--password-file", "p"];
    assert!(run_in(here, &both).refused(2).contains("cannot be used with"));
}

#[test]
fn no_option_takes_a_secret_itself() {
    let mut commands = Vec::new();
    collect(&built(), "", &mut commands);
    for (name, command) in commands {
        for argument in command.get_arguments() {
            let option = argument.get_long().unwrap_or_default();
            let takes_value = argument.get_action().takes_values();
            let about_secrets = option.contains("pass") && takes_value;
            assert!(!about_secrets || option.ends_with("-file"), "{name} --{option}");
        }
    }
}

#[test]
fn every_shell_gets_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run_in(Path::new("."), &["completion", shell]).ok();
        assert!(script.contains("verify-backup"), "{shell}");
    }
}

#[test]
fn every_command_gets_a_manual_page() {
    let folder = tempfile::tempdir().expect("a folder");
    run_in(folder.path(), &["man", "--out", "man/man1"]).ok();
    for page in ["cadenas.1", "cadenas-vm.1", "cadenas-vm-encrypt.1", "cadenas-provider-verify-backup.1"] {
        let text = std::fs::read_to_string(folder.path().join("man/man1").join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn help_into_a_closed_pipe_ends_quietly() {
    let mut command = cadenas();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.args(["completion", "bash"]).stdout(writer).output().expect("the program starts");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

fn built() -> Command {
    let mut command = Cli::command().term_width(100);
    command.build();
    command
}

/// Every command that we wrote, under its full name.
fn collect(command: &Command, above: &str, into: &mut Vec<(String, Command)>) {
    let name = format!("{above}{}", command.get_name());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, &format!("{name} "), into);
    }
    into.push((name, command.clone()));
}

fn reference() -> String {
    let mut commands = Vec::new();
    collect(&built(), "", &mut commands);
    commands.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = "# The command line\n\nThe help of every command, as `cadenas COMMAND --help` prints it. \
        This page is generated: `UPDATE_DOCS=1 cargo test -p cadenas-cli help`.\n"
        .to_owned();
    for (name, mut command) in commands {
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end()).expect("text grows");
    }
    text
}
