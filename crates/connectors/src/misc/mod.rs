//! Rows that come from no file or server: written in the pipeline, or made up.

pub mod generate;
pub mod inline;
pub(crate) mod sample;

use contracts::Entry;

/// The modules of this family.
pub const ALL: &[Entry] =
    &[Entry::source::<generate::Generate>(), Entry::source::<inline::Inline>()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Project, run_source_examples};
    use contracts::source::Sample;
    use contracts::{Build, Past, Source, rows};
    use serde_json::{Value, json};

    fn build(entry: &Entry, config: &Value) -> Box<dyn Source> {
        let Build::Source(build) = entry.build else { unreachable!() };
        build(config).map_err(|(_, problem)| problem).unwrap()
    }

    #[tokio::test]
    async fn examples_give_what_they_show() {
        run_source_examples(ALL).await;
    }

    #[tokio::test]
    async fn there_is_something_to_do_when_the_rows_in_the_pipeline_change() {
        let project = Project::new();
        let entry = Entry::source::<inline::Inline>();
        let one = build(&entry, &json!({"rows": [{"a": 1}]}));
        let first = one.discover(&project.context, &Past::default()).await.unwrap();
        let past = Past { latest: first.inputs.clone(), ..Past::default() };
        assert!(first.is_new);
        assert!(!one.discover(&project.context, &past).await.unwrap().is_new);
        let two = build(&entry, &json!({"rows": [{"a": 2}]}));
        assert!(two.discover(&project.context, &past).await.unwrap().is_new);
        // A run that is resumed must not read other rows than those it was planned with.
        assert!(project.read(two.as_ref(), &first.inputs).await.is_err());
    }

    #[tokio::test]
    async fn made_up_rows_do_not_depend_on_partitions_and_stop_for_a_sample() {
        let project = Project::new();
        let config = json!({"rows": 30_000, "columns": {
            "id": {"kind": "sequence"}, "name": {"kind": "full_name", "null_rate": 0.1}}});
        let source = build(&Entry::source::<generate::Generate>(), &config);
        let mut found = Vec::new();
        for partitions in [1, 3] {
            let mut request = project.request(&[]);
            request.partitions = partitions;
            let batches = source.read(&project.context, request).await.unwrap();
            assert_eq!(batches.partitions.len(), partitions);
            found.push(rows::write(&batches.collect().await.unwrap()).unwrap());
        }
        assert_eq!(found[0], found[1]);
        let mut request = project.request(&[]);
        request.sample = Some(Sample { rows: 10_000, bytes: u64::MAX });
        let batches = source.read(&project.context, request).await.unwrap();
        assert_eq!(rows::count(&batches.collect().await.unwrap()), 10_000);
    }
}
