//! `route`: sends rows to ports by conditions.

use crate::conditions::{Where, condition};
use crate::settings::{Ordered, invalid};
use contracts::rejects::PORT;
use contracts::sql::{Fragment, Ident, Joined};
use contracts::{Example, Inputs, Relation, Relational, Routing, RowLaw};
use contracts::{piece, sql};
use model::{Name, Result};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `route`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Ports by name, each with its condition: an expression, or `{conditions: […]}`. A row
    /// leaves by the first port whose condition it meets.
    routes: Ordered<Where>,
    /// Port of the rows that meet no condition; they are left out when there is none.
    #[serde(default)]
    otherwise: Option<String>,
}

/// The module.
pub struct Route;

impl Relational for Route {
    type Config = Config;
    const NAME: &'static str = "route";
    const SUMMARY: &'static str = "Send rows to different ports by conditions.";
    const LAW: RowLaw = RowLaw::AtMost;
    const EXAMPLES: &'static [Example] = &[
        Example {
            title: "the first condition that is met counts",
            config: r#"{"routes": {"big": "amount >= 100", "paid": "status = 'paid'"},
                        "otherwise": "others"}"#,
            inputs: &[(
                "rows",
                "{\"amount\": 500, \"status\": \"paid\"}\n{\"amount\": 5, \"status\": \"paid\"}\n\
                 {\"amount\": 6, \"status\": \"open\"}\n{\"amount\": null, \"status\": null}",
            )],
            outputs: &[
                ("big", r#"{"amount": 500, "status": "paid"}"#),
                ("paid", r#"{"amount": 5, "status": "paid"}"#),
                (
                    "others",
                    "{\"amount\": 6, \"status\": \"open\"}\n{\"amount\": null, \"status\": null}",
                ),
            ],
        },
        Example {
            title: "rows that meet no condition are left out",
            config: r#"{"routes": {"south": {"conditions": [
                {"column": "city", "operator": "in", "value": ["Nice", "Pau"]}]}}}"#,
            inputs: &[("rows", "{\"city\": \"Nice\"}\n{\"city\": \"Lille\"}")],
            outputs: &[("south", r#"{"city": "Nice"}"#)],
        },
    ];

    fn ports(config: &Config) -> Vec<String> {
        config.routes.names().chain(config.otherwise.as_deref()).map(str::to_owned).collect()
    }

    fn query(config: &Config, inputs: &Inputs) -> Result<Relation> {
        let input = inputs.only()?;
        check_ports(config)?;
        let mut branches: Vec<Fragment> = Vec::new();
        for (port, (name, given)) in (0u64..).zip(config.routes.iter()) {
            let condition = condition(given, input, &format!("/routes/{name}"))?;
            branches.push(piece!("WHEN {} THEN {}", condition, port));
        }
        let rest = match (config.otherwise.is_some(), u64::try_from(branches.len())) {
            (true, Ok(port)) => piece!("{}", port),
            _ => piece!("CAST(NULL AS BIGINT)"),
        };
        let branches = Joined(branches, " ");
        let sql = sql!(
            "SELECT *, CASE {} ELSE {} END AS {} FROM {}",
            branches,
            rest,
            Ident(PORT),
            input
        )?;
        Ok(Relation { routing: Routing::Ports(Self::ports(config)), ..Relation::new(sql) })
    }
}

fn check_ports(config: &Config) -> Result<()> {
    if config.routes.is_empty() {
        return Err(invalid("/routes", "there is no port")
            .hint("add one with its condition, such as `big: amount >= 100`"));
    }
    let routes = config.routes.names().map(|name| (name, format!("/routes/{name}")));
    let otherwise = config.otherwise.as_deref().map(|name| (name, "/otherwise".to_owned()));
    for (name, path) in routes.chain(otherwise) {
        Name::new(name).map_err(|problem| problem.in_setting(&path))?;
        if name == "rejects" {
            return Err(invalid(&path, "a port cannot be called `rejects`"));
        }
        if path == "/otherwise" && config.routes.get(name).is_some() {
            return Err(invalid(&path, format!("`{name}` has a condition already"))
                .hint("choose another name for the rows that meet no condition"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{one, refused, sql};

    #[test]
    fn a_row_gets_the_number_of_its_port() {
        assert_eq!(
            sql::<Route>(r#"{"routes": {"a": "n > 1", "b": "n > 0"}}"#, &one("n: integer")),
            "SELECT *, CASE WHEN (n > 1) THEN 0 WHEN (n > 0) THEN 1 \
             ELSE CAST(NULL AS BIGINT) END AS \"_port\" FROM \"rows\""
        );
    }

    #[test]
    fn bad_settings_are_named() {
        let refused = |config| refused::<Route>(config, &one("n: integer"));
        assert_eq!(refused(r#"{"routes": {}}"#), "/routes: there is no port");
        assert_eq!(
            refused(r#"{"routes": {"Big One": "n > 1"}}"#),
            "/routes/Big One: `Big One` is not a valid name"
        );
        assert_eq!(
            refused(r#"{"routes": {"a": "n > 1"}, "otherwise": "a"}"#),
            "/otherwise: `a` has a condition already"
        );
        assert_eq!(
            refused(r#"{"routes": {"a": {"conditions": []}}}"#),
            "/routes/a/conditions: there is no condition"
        );
    }
}
