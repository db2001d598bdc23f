//! `affluent desk`: answers questions for a server; started by it.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::runner::desk;

pub(crate) async fn execute(session: &Session) -> Outcome {
    desk::serve(&session.settings).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}
