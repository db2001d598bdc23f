//! What follows from the ends of nodes.

use super::*;
use crate::graph::Node;
use proptest::prelude::*;

/// A graph from lines such as `2 any_failed: 0 1`.
fn graph(text: &str) -> Arc<Graph> {
    let nodes = text.lines().map(|line| {
        let (head, parents) = line.split_once(':').unwrap();
        let rule = match head.trim().split_once(' ').map_or("", |(_, rule)| rule) {
            "" => Rule::AllSucceeded,
            "none_failed" => Rule::NoneFailed,
            "any_failed" => Rule::AnyFailed,
            "all_done" => Rule::AllDone,
            other => panic!("no rule {other}"),
        };
        let parents = parents.split_whitespace().map(|index| index.parse().unwrap()).collect();
        Node { parents, rule, ..Node::default() }
    });
    Arc::new(Graph::new(nodes.collect()).unwrap())
}

/// Ends nodes as `ends` says (`0 ok, 1 failed, 2 ok not 4`) and says how everything stands.
fn check(text: &str, ends: &str, expected: &str) {
    let mut nodes = Nodes::new(RunKey(1), graph(text));
    nodes.settle(0);
    for end in ends.split(", ").filter(|end| !end.is_empty()) {
        let words: Vec<_> = end.split(' ').collect();
        let not_taken = words.get(3).map(|index| index.parse().unwrap()).into_iter().collect();
        let end = match words[1] {
            "ok" => NodeEnd::Succeeded,
            "failed" => NodeEnd::Failed,
            "dead" => NodeEnd::Quarantined,
            other => panic!("no end {other}"),
        };
        let index = words[0].parse().unwrap();
        assert!(matches!(nodes.node(index).state, NodeState::Ready { .. }), "{index} is not ready");
        nodes.end(index, end, not_taken, 0);
    }
    let states = nodes.indexes().map(|index| match nodes.node(index).state {
        NodeState::Ended { end } => format!("{end:?}").to_lowercase(),
        NodeState::Ready { .. } => "ready".to_owned(),
        state => format!("{state:?}").to_lowercase(),
    });
    let states: Vec<_> = states.collect();
    let end = nodes.run_end().map_or("open".to_owned(), |end| format!("{end:?}").to_lowercase());
    assert_eq!(format!("{}: {end}", states.join(" ")), expected, "{ends}");
}

#[test]
fn a_node_begins_when_the_last_parent_has_ended() {
    let diamond = "0:\n1: 0\n2: 0\n3: 1 2";
    check(diamond, "0 ok", "succeeded ready ready waiting: open");
    check(diamond, "0 ok, 1 ok", "succeeded succeeded ready waiting: open");
    check(diamond, "0 ok, 2 ok, 1 ok, 3 ok", "succeeded succeeded succeeded succeeded: succeeded");
}

#[test]
fn what_waits_for_a_failure_is_skipped_and_the_rest_goes_on() {
    let text = "0:\n1:\n2: 0\n3: 2\n4: 1";
    check(text, "0 failed", "failed ready skipped skipped waiting: open");
    check(text, "0 failed, 1 ok, 4 ok", "failed succeeded skipped skipped succeeded: failed");
}

#[test]
fn an_error_path_handles_a_failure() {
    let text = "0:\n1: 0\n2 any_failed: 0\n3 all_done: 1 2";
    check(text, "0 failed, 2 ok, 3 ok", "failed skipped succeeded succeeded: succeeded");
    check(text, "0 dead, 2 failed, 3 ok", "quarantined skipped failed succeeded: failed");
    check(text, "0 ok, 1 ok, 3 ok", "succeeded succeeded skipped succeeded: succeeded");
}

#[test]
fn branches_meet_again() {
    let text = "0:\n1: 0\n2: 0\n3 none_failed: 1 2";
    check(text, "0 ok not 2, 1 ok, 3 ok", "succeeded succeeded skipped succeeded: succeeded");
    check(text, "0 ok not 2, 1 failed", "succeeded failed skipped skipped: failed");
}

#[test]
fn a_run_of_nothing_has_succeeded() {
    let mut nodes = Nodes::new(RunKey(1), Arc::new(Graph::new(Vec::new()).unwrap()));
    assert!(nodes.settle(0).is_empty());
    assert_eq!(nodes.run_end(), Some(RunEnd::Succeeded));
}

#[test]
fn a_stopped_run_lets_only_finally_begin() {
    let mut nodes = Nodes::new(RunKey(1), graph("0:\n1: 0\n2 all_done: 1"));
    nodes.settle(0);
    nodes.stop(RunEnd::Cancelled);
    assert_eq!(nodes.end(0, NodeEnd::Succeeded, Vec::new(), 0), [0, 1, 2]);
    assert_eq!(nodes.node(1).state, NodeState::Ended { end: NodeEnd::Cancelled });
    assert_eq!(nodes.run_end(), None);
    nodes.end(2, NodeEnd::Succeeded, Vec::new(), 0);
    assert_eq!(nodes.run_end(), Some(RunEnd::Cancelled));
}

#[test]
fn what_was_done_before_it_was_stopped_is_done() {
    let mut nodes = Nodes::new(RunKey(1), graph("0:"));
    nodes.settle(0);
    nodes.stop(RunEnd::TimedOut);
    nodes.end(0, NodeEnd::Succeeded, Vec::new(), 0);
    assert_eq!(nodes.run_end(), Some(RunEnd::Succeeded));
}

#[test]
fn among_a_hundred_thousand_waiting_nodes_only_children_are_touched() {
    // 100 000 nodes wait for node 1 and for their predecessor; three wait for node 0.
    let mut list = vec![Node::default(), Node::default()];
    list.extend((2..5).map(|_| Node { parents: vec![0], ..Node::default() }));
    list.push(Node { parents: vec![1], ..Node::default() });
    let last = 100_005;
    list.extend((6..=last).map(|index| Node { parents: vec![1, index - 1], ..Node::default() }));
    let mut nodes = Nodes::new(RunKey(1), Arc::new(Graph::new(list).unwrap()));
    nodes.settle(0);
    assert_eq!(nodes.end(0, NodeEnd::Succeeded, Vec::new(), 0), [0, 2, 3, 4]);
    assert_eq!(nodes.touched, 3);
    for (index, touched) in [(2, 3), (3, 3), (4, 3)] {
        nodes.end(index, NodeEnd::Succeeded, Vec::new(), 0);
        assert_eq!(nodes.touched, touched);
    }
    nodes.end(1, NodeEnd::Succeeded, Vec::new(), 0);
    let all = nodes.touched;
    nodes.end(5, NodeEnd::Succeeded, Vec::new(), 0);
    nodes.end(6, NodeEnd::Succeeded, Vec::new(), 0);
    assert_eq!(nodes.touched - all, 2);
}

const ENDS: [NodeEnd; 3] = [NodeEnd::Succeeded, NodeEnd::Failed, NodeEnd::Quarantined];

fn any_graph() -> impl Strategy<Value = Vec<Node>> {
    let node = (prop::collection::vec(any::<prop::sample::Index>(), 0..4), 0..4_usize);
    prop::collection::vec(node, 1..20).prop_map(|list| {
        let rules = [Rule::AllSucceeded, Rule::NoneFailed, Rule::AnyFailed, Rule::AllDone];
        let nodes = list.into_iter().enumerate().map(|(position, (parents, rule))| {
            let below = |index: prop::sample::Index| index.index(position) as NodeIndex;
            let mut parents: Vec<_> =
                parents.into_iter().filter(|_| position > 0).map(below).collect();
            parents.sort_unstable();
            parents.dedup();
            Node { parents, rule: rules[rule], ..Node::default() }
        });
        nodes.collect()
    })
}

proptest! {
    #[test]
    fn every_order_ends_in_the_same_way_and_counters_agree_with_a_new_count(
        list in any_graph(),
        ends in prop::collection::vec(prop::sample::select(ENDS.to_vec()), 20),
        seed: u64,
    ) {
        let graph = Arc::new(Graph::new(list).unwrap());
        let mut random = stdx::hash::Random::new(seed);
        let mut results = Vec::new();
        for _ in 0..2 {
            let mut nodes = Nodes::new(RunKey(1), Arc::clone(&graph));
            nodes.settle(0);
            loop {
                let ready: Vec<_> = nodes
                    .indexes()
                    .filter(|index| matches!(nodes.node(*index).state, NodeState::Ready { .. }))
                    .collect();
                if ready.is_empty() {
                    break;
                }
                let index = ready[random.below(ready.len() as u64) as usize];
                nodes.end(index, ends[index as usize], Vec::new(), 0);
                let mut again = Nodes::new(RunKey(1), Arc::clone(&graph));
                nodes.indexes().for_each(|index| again.restore(&nodes.row(index)));
                prop_assert!(again.settle(0).is_empty());
                prop_assert_eq!(again.open, nodes.open);
            }
            let rows: Vec<_> = nodes.indexes().map(|index| nodes.row(index)).collect();
            prop_assert!(nodes.run_end().is_some());
            results.push((nodes.run_end(), rows));
        }
        prop_assert_eq!(&results[0], &results[1]);
    }
}
