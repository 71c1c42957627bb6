//! Texts from outside against what must hold for every one of them.
//!
//! ```text
//! tests/corpus/<target>/   ──► each input, in every run of the tests
//!         │
//!         └──► input.rs: changed here and there, or made of the grammar's pieces ──► the target ──► what came of it
//! ```
//!
//! A target is a file here. It reads one input and checks what the reader of that text promises, which is more than that it does not panic.
//! `make fuzz` searches for as long as it is told. A failing input is made small and saved; once mended it goes into the corpus, where it is
//! replayed for good. Targets are tests of the library because half of the readers are nobody's business outside of it.

mod challenge;
mod cron;
mod directives;
mod duration;
mod image_manifest;
mod image_reference;
mod input;
mod keel_directives;
mod link;
mod manifest_file;
mod policy;
mod range;
mod search;
mod tag_list;

use std::fmt::Debug;

use search::run;

/// A reader and what must hold for it.
struct Target {
    /// Words, signs and beginnings that the grammar knows: what inputs are made of and changed with.
    pieces: &'static [&'static str],
    /// Panics where something does not hold; else says in a word what came of the input.
    check: fn(&[u8]) -> String,
    /// What must come of some input: of one in the corpus, and of one in a search of some length. A search that never gets past the first sign
    /// of a grammar finds nothing.
    expected: &'static [&'static str],
}

/// One test for each target, and the list of them.
macro_rules! targets {
    ($($name:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() {
                run(stringify!($name), &$name::TARGET);
            }
        )*
    };
}

targets! {
    tag_list
    image_manifest
    link
    challenge
    image_reference
    policy
    range
    directives
    keel_directives
    cron
    duration
    manifest_file
}

/// The input as a text, as far as it is one.
fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// The name of an error's variant.
fn variant(error: &impl Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// What is told to people: one line, not endless, nothing hidden in it.
#[track_caller]
fn assert_told_well(message: &str) {
    assert!(!message.is_empty(), "nothing is told");
    assert!(!message.contains(char::is_control), "a control character is told: {message:?}");
    assert!(message.chars().count() <= 1000, "{} characters are told: {message:?}", message.chars().count());
}
