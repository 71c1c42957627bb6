//! Whether a history keeps skeg's promises. It is read after the run, and knows nothing but what was seen outside.

mod approved;
mod asked_once;
mod backwards;
mod converges;
mod durable_first;
mod exactly_once;
mod one_writer;
mod past;
mod paused;
mod people_win;
mod taken_back;
mod votes_last;

use jiff::Timestamp;

use crate::history::{Told, clock};
use past::Past;

/// A promise that a history does not keep.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The promise, in words.
    pub promise: &'static str,
    /// When it was broken.
    pub at: Timestamp,
    /// How.
    pub how: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\" is broken at {}: {}", self.promise, clock(self.at), self.how)
    }
}

/// One promise, watched over a history.
trait Promise {
    /// The promise, in words.
    fn words(&self) -> &'static str;

    /// Looks at what happened next; `past` is how everything was before it. How the promise is broken by it, if it is.
    fn see(&mut self, told: &Told, past: &Past) -> Result<(), String>;

    /// Looks at the end.
    fn end(&mut self, past: &Past) -> Result<(), String> {
        let _ = past;
        Ok(())
    }
}

/// Every promise.
fn promises() -> Vec<Box<dyn Promise>> {
    vec![
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(approved::Approved::default()),
        Box::new(approved::StillThere),
        Box::new(backwards::NeverBackwards),
        Box::new(people_win::PeopleWin::default()),
        Box::new(taken_back::TakenBack::default()),
        Box::new(durable_first::DurableFirst::default()),
        Box::new(votes_last::VotesLast::default()),
        Box::new(asked_once::AskedOnce::default()),
        Box::new(paused::Paused::default()),
        Box::new(one_writer::OneWriter::default()),
        Box::new(converges::Converges),
        Box::new(converges::GitShowsWhatRuns),
        Box::new(converges::Moves::default()),
    ]
}

/// Whether skeg put images back with this.
pub fn is_restore(fact: &crate::history::Fact) -> bool {
    past::patch(fact).is_some_and(|patch| patch.restores())
}

/// The first break of each promise, in the order of time.
pub fn check(history: &[Told]) -> Vec<Broken> {
    let mut past = Past::default();
    let mut promises: Vec<(Box<dyn Promise>, bool)> = promises().into_iter().map(|promise| (promise, false)).collect();
    let mut broken = Vec::new();
    for told in history {
        for (promise, is_broken) in promises.iter_mut().filter(|(_, is_broken)| !is_broken) {
            if let Err(how) = promise.see(told, &past) {
                *is_broken = true;
                broken.push(Broken { promise: promise.words(), at: told.at, how });
            }
        }
        past.take(told);
    }
    for (promise, _) in promises.iter_mut().filter(|(_, is_broken)| !is_broken) {
        if let Err(how) = promise.end(&past) {
            broken.push(Broken { promise: promise.words(), at: past.now, how });
        }
    }
    broken
}
