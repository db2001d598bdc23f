//! Simulated histories: schedulers that freeze, die and have wrong clocks, workers that freeze and
//! die, messages that are late, lost or doubled; and what must hold in all of them.
//!
//! A history is made of one seed. `AFFLUENT_SEED=7` plays that one alone; with `CI` or
//! `AFFLUENT_LONG_TESTS` set a hundred thousand are played.

mod checks;
mod database;
mod setup;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Tally, World};

const SEEDS: u64 = 2_000;
const SEEDS_LONG: u64 = 100_000;

/// A variable of the environment; only tests look at it.
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn play(seed: u64) -> Tally {
    catch_unwind(AssertUnwindSafe(|| World::new(seed).play()))
        .unwrap_or_else(|_| panic!("the history of seed {seed} broke a rule: AFFLUENT_SEED={seed}"))
}

fn play_all(seeds: u64) -> Tally {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let play_some = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return tally;
                }
                tally.add(&play(seed));
            }
        };
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(play_some)).collect();
        let mut tally = Tally::default();
        players.into_iter().for_each(|player| tally.add(&player.join().unwrap()));
        tally
    })
}

#[test]
fn no_history_breaks_a_rule() {
    if let Some(seed) = setting("AFFLUENT_SEED") {
        play(seed.parse().unwrap());
        return;
    }
    let is_long = ["CI", "AFFLUENT_LONG_TESTS"].into_iter().any(|name| setting(name).is_some());
    let seeds = if is_long { SEEDS_LONG } else { SEEDS };
    let tally = play_all(seeds);
    println!("scheduler: {seeds} histories, 0 violations");
    // Histories in which nothing happens prove nothing.
    for (what, count) in tally.counts() {
        assert!(count >= seeds / 20, "{what} came only {count} times in {seeds} histories");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..20 {
        assert_eq!(play(seed).counts(), play(seed).counts(), "seed {seed}");
    }
}
