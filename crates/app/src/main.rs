//! The `affluent` program.

use app::cli::Cli;
use clap::Parser;
use connectors::files::child;
use mimalloc::MiMalloc;
use std::path::Path;
use std::process;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Threads for blocking work keep memory of their own, and a merge of many spilled files takes
/// many for a moment. (A limit of their number would not do: opening a table holds one while it
/// waits for others.)
const IDLE_THREADS_LIVE_FOR: Duration = Duration::from_millis(100);

/// This very program, also when its file has been replaced since.
const THIS_PROGRAM: &str = "/proc/self/exe";

fn main() {
    if std::env::args_os().skip(1).eq([child::COMMAND]) {
        process::exit(child::serve());
    }
    // Until the limit is known it is taken for a small one.
    app::allocator::suit(0);
    let cli = Cli::parse();
    let program = Path::new(THIS_PROGRAM);
    match std::env::current_exe() {
        _ if program.exists() => child::read_in_children(program.to_owned()),
        Ok(program) => child::read_in_children(program),
        Err(_) => {}
    }
    // Two TLS providers are linked; without a choice the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let logging = match app::logging::install() {
        Ok(logging) => logging,
        Err(problem) => {
            app::Output::new(cli.global.json).problem(&problem);
            process::exit(app::ExitCode::from(&problem) as i32);
        }
    };
    app::panics::install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(8 << 20)
        .thread_keep_alive(IDLE_THREADS_LIVE_FOR)
        .build()
        .expect("the operating system gives threads");
    let code = runtime.block_on(app::execute(cli));
    runtime.shutdown_background();
    logging.shut_down();
    process::exit(code as i32);
}
