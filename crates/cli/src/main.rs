//! `cadenas`

use std::{alloc::System, process::ExitCode};

use zeroizing_alloc::ZeroAlloc;

/// Memory is wiped when it is freed. Our own secrets wipe themselves; buffers of the libraries that a password passes through
/// (the terminal, JSON, HTTP) do not.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    cadenas_cli::main()
}
