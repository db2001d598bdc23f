//! Panics are problems too: caught, told like any other, and with the place where they arose.

use futures::FutureExt;
use model::{Problem, codes};
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

/// The last panic of the process: message and place.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Makes panics be remembered instead of printed. They are logged, and every problem that comes
/// of one names its place.
pub fn install() {
    panic::set_hook(Box::new(remember));
}

fn remember(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    let place = info.location().map(|place| format!(", at {place}")).unwrap_or_default();
    let text = format!("{message}{place}");
    tracing::error!(panic = text);
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}

/// Waits for `work`; a panic in it becomes a problem.
pub(crate) async fn caught<T>(
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    // What was being changed when it happened is dropped with the work, or durable already.
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|_| {
        Err(Problem::new(&codes::INTERNAL, "Affluent panicked")
            .hint("please report this; what was committed stays, and the next run goes on"))
    })
}

/// A problem that may come of a panic, with the place of the panic.
pub(crate) fn with_place(problem: Problem) -> Problem {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match last {
        Some(panic) if problem.is(&codes::INTERNAL) => problem.detail(panic),
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_names_its_place() {
        install();
        let work = async { panic!("the {} is missing", "row") };
        let problem = with_place(caught::<()>(work).await.unwrap_err());
        assert!(problem.is(&codes::INTERNAL));
        let detail = problem.detail_text().unwrap();
        assert!(detail.starts_with("the row is missing, at crates/app/src/panics.rs:"), "{detail}");
    }
}
