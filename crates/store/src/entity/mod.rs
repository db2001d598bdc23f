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

pub mod alert_channel;
pub mod alert_delivery;
pub mod alert_notice;
pub mod alert_rule;
pub mod alert_window;
pub mod api_key;
pub mod attempt;
pub mod audit_checkpoint;
pub mod audit_entry;
pub mod backfill;
pub mod check_result;
pub mod definition;
pub mod definition_version;
pub mod failing_pipeline;
pub mod installation;
pub mod invitation;
pub mod lake_table;
pub mod leader;
pub mod lineage_edge;
pub mod membership;
pub mod module_template;
pub mod node_run;
pub mod notification;
pub mod password_reset;
pub mod pipeline;
pub mod plan;
pub mod pool;
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
pub mod task;
pub mod trigger;
pub mod trigger_signal;
pub mod upload;
pub mod user;
pub mod wish;
pub mod workspace;
