//! What skeg costs, each figure beside its floor: `cargo bench`, or `cargo bench -- latency` for one part.
//!
//! A floor is the least that the same machine needs for the same thing, taken in the same run; so a figure is read as a ratio, and a slow
//! or busy machine changes both. A missed goal is shown and fails nothing: these are measurements, not tests.

#![expect(clippy::cast_precision_loss, clippy::indexing_slicing, reason = "counts are far below 2^52; what is indexed is built here")]

/// What a namespace of the real API server has before skeg comes.
#[path = "../tests/real_loop/cluster.rs"]
mod cluster;
mod daemon;
mod latency;
mod memory;
mod policy;
mod program;
mod proxy;
mod quiet;
mod report;
mod scale;
/// The far ends of the tests.
#[path = "../tests/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it is the tests', who use all of it"
)]
mod support;

use report::Report;

/// A name on the command line, and what measures it.
type Part = (&'static str, fn(&mut Report));

/// The parts, in the order they run.
const PARTS: [Part; 6] = [
    ("policy", policy::measure),
    ("program", program::measure),
    ("memory", memory::measure),
    ("quiet", quiet::measure),
    ("latency", latency::measure),
    ("scale", scale::measure),
];

fn main() {
    // Cargo passes `--bench`; what is left are names of parts.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let unknown: Vec<&String> = asked.iter().filter(|name| PARTS.iter().all(|(part, _)| part != name)).collect();
    if !unknown.is_empty() {
        let parts = PARTS.map(|(name, _)| name).join(", ");
        eprintln!("there is no part {unknown:?}; there are {parts}");
        std::process::exit(2);
    }
    // One provider for every client of this process; a second call finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut report = Report::default();
    for (name, measure) in PARTS {
        if asked.is_empty() || asked.iter().any(|one| one == name) {
            eprintln!("measuring {name} …");
            measure(&mut report);
        }
    }
    print!("{report}");
}
