//! The rows of each table, as the library maps them.

#![allow(unreachable_pub, reason = "derived items are `pub`, and most stay inside of the crate")]

/// What the library asks of every entity; joins are written where they are used.
macro_rules! without_relations {
    () => {
        /// None.
        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    };
}

pub mod api_key;
pub mod attempt;
pub mod audit_entry;
pub mod check_result;
pub mod definition;
pub mod definition_version;
pub mod fire;
pub mod installation;
pub mod invitation;
pub mod lake_table;
pub mod lineage_edge;
pub mod membership;
pub mod module_template;
pub mod node_run;
pub mod notification;
pub mod password_reset;
pub mod preview;
pub mod quota;
pub mod run;
pub mod run_event;
pub mod run_log;
pub mod run_record;
pub mod schedule;
pub mod secret;
pub mod session;
pub mod set_up_token;
pub mod sign_in;
pub mod trigger;
pub mod upload;
pub mod user;
pub mod workspace;
