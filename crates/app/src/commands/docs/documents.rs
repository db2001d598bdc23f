//! The page of documents: every setting of project, pipeline, connection and test.

use super::settings;
use crate::commands::schema::{Kind, of};
use std::fmt::Write;

/// All four kinds of documents.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Documents\n\nA project is a folder of YAML documents. `affluent schema KIND` prints the \
         JSON Schema of each kind, for editors that complete and check.\n",
    );
    let kinds = [
        (Kind::Project, "Project", "`affluent.yaml`, in the project's folder."),
        (Kind::Pipeline, "Pipeline", "`pipelines/*.yaml`."),
        (
            Kind::Connection,
            "Connection",
            "`connections/*.yaml`. Besides these it has the settings of its type, such as `host`.",
        ),
        (Kind::Test, "Test", "`tests/*.yaml`, run by `affluent test`."),
    ];
    for (kind, title, what) in kinds {
        let mut schema = of(kind);
        // Settings of modules have pages of their own.
        if let Some(node) = schema.pointer_mut("/$defs/Node")
            && let Some(node) = node.as_object_mut()
        {
            node.remove("allOf");
            if let Some(module) = node.get_mut("properties").and_then(|p| p.get_mut("use"))
                && let Some(module) = module.as_object_mut()
            {
                module.remove("oneOf");
            }
        }
        let _ = write!(text, "\n## {title}\n\n{what}\n\n{}", settings::tables(&schema, 3));
    }
    text
}
