//! `affluent work`: does user work for a server; started by it.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::runner::child;

pub(crate) async fn execute(session: &Session) -> Outcome {
    child::serve(session).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}
