//! French.

use super::{Words, time};
use model::notice::Notice;

pub(super) const WORDS: Words = Words {
    title,
    sentence,
    more,
    open: "Ouvrir l’exécution",
    pipeline: "Pipeline",
    run: "Exécution",
    problem: "Problème",
    detail: "Détail",
    hint: "Que faire",
    node: "Nœud",
    check: "Contrôle",
    offending: "Lignes refusées",
    table: "Table",
    added: "Nouvelles colonnes",
    removed: "Colonnes manquantes",
    changed: "Colonnes d’un autre type",
    rows_out: "Lignes écrites",
    rows_rejected: "Lignes rejetées",
    seconds: "Secondes",
};

fn title(notice: &Notice) -> String {
    match notice {
        Notice::RunFailed { pipeline, .. } => format!("{pipeline} a échoué"),
        Notice::RunRecovered { pipeline, .. } => format!("{pipeline} fonctionne de nouveau"),
        Notice::RunSucceeded { pipeline, .. } => format!("{pipeline} a réussi"),
        Notice::RunLate { pipeline, .. } => format!("{pipeline} est en retard"),
        Notice::CheckFailed { pipeline, check, .. } => {
            format!("{pipeline} : le contrôle {check} a échoué")
        }
        Notice::SchemaChanged { pipeline, table, .. } => {
            format!("{pipeline} : les colonnes pour {table} ont changé")
        }
        Notice::Test { .. } => "message d’essai".to_owned(),
    }
}

fn sentence(notice: &Notice) -> String {
    match notice {
        Notice::RunFailed { pipeline, problem, .. } => {
            format!("Une exécution de {pipeline} a échoué : {}.", problem.message)
        }
        Notice::RunRecovered { pipeline, failures, failing_since_us, .. } => {
            let since = time(*failing_since_us);
            format!(
                "Une exécution de {pipeline} a réussi, après {failures} échec{} depuis {since}.",
                plural(*failures)
            )
        }
        Notice::RunSucceeded { pipeline, .. } => {
            format!("Une exécution de {pipeline} a réussi.")
        }
        Notice::RunLate { pipeline, due_us, .. } => {
            format!("{pipeline} aurait dû être terminé le {}.", time(*due_us))
        }
        Notice::CheckFailed { pipeline, node, check, offending, .. } => format!(
            "{check} refuse {offending} ligne{} de {node} dans {pipeline}.",
            plural(*offending)
        ),
        Notice::SchemaChanged { table, .. } => {
            format!("Les colonnes reçues pour {table} ne sont pas celles de la table.")
        }
        Notice::Test { by } => format!("{by} essaie ce canal. Il fonctionne."),
    }
}

fn more(count: u64) -> String {
    format!("Et {count} de plus depuis le message précédent.")
}

fn plural(count: u64) -> &'static str {
    if count > 1 { "s" } else { "" }
}
