//! The `counterfoil` program. Everything is in the library; see `cli` for the commands.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc; // memory stays flat under load

fn main() -> ExitCode {
    gateway::cli::main()
}
