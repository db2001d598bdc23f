//! `affluent look`: looks behind a connection for a server; started by it.

use super::{Outcome, Session};
use crate::output::ExitCode;
use crate::runner::connection;

pub(crate) async fn execute(session: &Session) -> Outcome {
    connection::serve(session).await.map_err(|problem| vec![problem])?;
    Ok(ExitCode::Done)
}
