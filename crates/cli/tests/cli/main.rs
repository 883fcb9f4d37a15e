//! The program `cadenas` as a user meets it: run as a process, with a server that answers what the test says.

mod backup;
mod console;
mod copies;
mod disk;
mod disk_in_place;
mod disk_refusals;
mod disk_sources;
mod failures;
mod help;
mod kms;
mod kms_identity;
mod kms_trust;
mod passwords;
mod program;
mod recrypt_all;
mod rotation;
mod serve;
mod server;
mod serving;
mod tables;
mod tasks;
mod terminal;
