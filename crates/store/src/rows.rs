//! Short words for what every repository does with rows.

use crate::failure::Attempt;
use crate::transactions::Tx;
use model::{Problem, codes};
use sea_orm::{ActiveModelBehavior, EntityTrait, Insert, IntoActiveModel, ModelTrait};

/// Adds `row` with all of its columns.
pub(crate) async fn insert<M, A>(tx: &Tx, row: M) -> Attempt<()>
where
    M: ModelTrait + IntoActiveModel<A>,
    A: sea_orm::ActiveModelTrait<Entity = M::Entity> + ActiveModelBehavior + Send,
    M::Entity: EntityTrait<Model = M>,
{
    Insert::one(row.into_active_model()).exec_without_returning(tx).await?;
    Ok(())
}

/// Rows of one statement: SQLite has room for 32 766 values in one.
const ROWS_MAX: usize = 500;

/// Adds all of `rows` with all of their columns.
pub(crate) async fn insert_all<M, A>(tx: &Tx, rows: Vec<M>) -> Attempt<()>
where
    M: ModelTrait + IntoActiveModel<A>,
    A: sea_orm::ActiveModelTrait<Entity = M::Entity> + ActiveModelBehavior + Send,
    M::Entity: EntityTrait<Model = M>,
{
    let mut rows = rows.into_iter().map(IntoActiveModel::into_active_model).peekable();
    while rows.peek().is_some() {
        let some: Vec<A> = rows.by_ref().take(ROWS_MAX).collect();
        Insert::many(some).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// The problem that a token is of no use, without a word why: that is nobody's business who tries.
pub(crate) fn token_invalid(what: &str) -> Problem {
    Problem::new(&codes::TOKEN_INVALID, format!("the {what} is unknown, used or expired"))
        .hint("ask for a new one")
}

/// An e-mail address as it is stored and compared.
pub(crate) fn email(text: &str) -> String {
    text.trim().to_lowercase()
}
