//! The page of the HTTP interface: permissions and routes.

use super::settings::cell;
use api::permission;
use model::Role;
use server::{Route, Rule};

/// The page.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# HTTP interface\n\nWhat `affluent up` answers. A running server gives the whole \
         description, with every field, at `/api/v1/openapi.json`. Each refusal is \
         `application/problem+json` with a code of the page [Problems](problems.md).\n\n\
         ## Permissions\n\nA member has one role in a workspace; each role may do what the ones \
         before it may. An API key does no more than its own role and the role of whoever made \
         it.\n\n| Permission |",
    );
    for role in Role::ALL {
        text.push_str(&format!(" {role} |"));
    }
    text.push_str(" What it allows |\n| --- |");
    text.push_str(&" :-: |".repeat(Role::ALL.len()));
    text.push_str(" --- |\n");
    for permission in permission::ALL {
        text.push_str(&format!("| `{}` |", permission.id));
        for role in Role::ALL {
            text.push_str(if role >= permission.least { " ● |" } else { " |" });
        }
        text.push_str(&format!(" {} |\n", cell(permission.summary)));
    }
    text.push_str(
        "\nThe owner of the installation also makes accounts and workspaces.\n\n## Routes\n\n\
         | Request | Who | What it does |\n| --- | --- | --- |\n",
    );
    for route in server::routes() {
        text.push_str(&row(&route));
    }
    text
}

fn row(route: &Route) -> String {
    let who = match route.rule {
        Rule::Anonymous => "everybody".to_owned(),
        Rule::SignedIn => "whoever is signed in".to_owned(),
        Rule::Installation => "the owner of the installation".to_owned(),
        Rule::Workspace(permission) => format!("`{}`", permission.id),
    };
    format!("| `{} {}` | {who} | {} |\n", route.method, route.path, cell(route.summary))
}
