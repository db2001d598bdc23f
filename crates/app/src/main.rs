//! The `affluent` program.

use app::cli::Cli;
use clap::Parser;
use mimalloc::MiMalloc;
use std::process;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let cli = Cli::parse();
    // Two TLS providers are linked; without a choice the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Libraries log as errors what is an answer to us (a table that is not there yet).
    let filter = tracing_subscriber::EnvFilter::try_from_env("AFFLUENT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    app::panics::install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(8 << 20)
        .build()
        .expect("the operating system gives threads");
    let code = runtime.block_on(app::execute(cli));
    runtime.shutdown_background();
    process::exit(code as i32);
}
