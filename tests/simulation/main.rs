//! The whole of skeg's core, engine, journal protocol, apply and record, in a world that a seed decides.
//!
//! ```text
//! cargo test --test simulation                           a few seeds
//! cargo test --test simulation -- replay 4711            the story of one seed
//! cargo test --test simulation -- search 120 [FROM]      as many seeds as fit into so many seconds
//! cargo test --test simulation -- hunt 500 [FROM]        so many seeds, or up to the first that breaks a promise
//! ```
//!
//! ```text
//!            seed
//!             │
//!  scene, people, misfortune ─► world ◄── requests, answers ──► the real agent and its effects
//!                                 │                              (replica, polled by executor)
//!                              history ─► checker
//! ```
//!
//! [`run`] owns time and order. [`checker`] reads the history afterwards and knows nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod checker;
mod executor;
mod history;
mod misfortune;
mod people;
mod replica;
mod run;
mod scene;
mod search;
mod tally;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use search::{Limit, Search};

/// Seeds of an ordinary run of the tests: they take a few seconds.
const A_FEW: u64 = 12;
/// Seeds that must at least have been searched before it is expected that everything has happened.
const ENOUGH: u64 = 300;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    let number = |word: &str| word.parse::<u64>().ok();
    match words.as_slice() {
        ["replay", seed] if number(seed).is_some() => replay(number(seed).unwrap_or_default()),
        ["search" | "hunt", count, from @ ..] if number(count).is_some() => {
            let (count, from) = (number(count).unwrap_or_default(), from.first().and_then(|word| number(word)).unwrap_or(1));
            let limit = if words[0] == "search" { Limit::Time(Duration::from_secs(count)) } else { Limit::Seeds(count) };
            search(&Search { from, limit, is_hunt: words[0] == "hunt" })
        }
        // The words of other harnesses: a filter that may mean this one, or not.
        [] => search(&Search { from: 1, limit: Limit::Seeds(A_FEW), is_hunt: false }),
        filters if filters.iter().any(|filter| "simulation".contains(filter)) => {
            search(&Search { from: 1, limit: Limit::Seeds(A_FEW), is_hunt: false })
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Tells the story of a seed, and checks that it is told twice alike.
fn replay(seed: u64) -> ExitCode {
    let story = run::run(seed);
    for told in &story.history {
        println!("{told}");
    }
    println!();
    let broken = checker::check(&story.history);
    for broken in &broken {
        println!("seed {seed}: {broken}");
    }
    if run::run(seed).trace != story.trace {
        println!("seed {seed}: two runs are not alike: something decides that is not the seed");
        return ExitCode::FAILURE;
    }
    if broken.is_empty() {
        println!("seed {seed}: every promise is kept; {} polls, told twice alike", story.polls);
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn search(search: &Search) -> ExitCode {
    let found = search.run();
    println!("{}", found.tally);
    println!("simulation: {} seeds from {} in {:.0} s", found.seeds, search.from, found.took.as_secs_f32());
    for (seed, what) in &found.broken {
        println!("seed {seed}: {what}\n    replay it: cargo test --test simulation -- replay {seed}");
    }
    let missing = found.tally.missing();
    if found.broken.is_empty() && found.seeds >= ENOUGH && !missing.is_empty() {
        println!("never happened: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    if found.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
