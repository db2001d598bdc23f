//! A thread of its own for what is sent: also at the end, when the program's runtime is gone.

use model::{Problem, Result, codes};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Background {
    pub(super) fn start() -> Result<Self> {
        let failed = |error: std::io::Error| {
            Problem::new(&codes::INTERNAL, "logs cannot be sent in the background").detail(error)
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                // The sender is dropped, never used: that is the end.
                let _ = runtime.block_on(ended);
            })
            .map_err(failed)?;
        Ok(Self { handle, _alive: alive })
    }

    /// Where futures of this thread are spawned.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}
