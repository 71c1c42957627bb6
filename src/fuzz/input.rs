//! How inputs are made: an input of the corpus with some changes, or pieces of the grammar in a row.
//!
//! Each choice is proptest's, so that a failing input shrinks to fewer changes and fewer pieces.

use std::fmt;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The longest input. Linear readers need milliseconds for it; what needs more than that for so few bytes is not linear.
pub const BYTES_MAX: usize = 4096;

/// What no grammar expects: hidden and control characters, digits that are no ASCII, numbers beside the largest that fit.
const ODDITIES: [&str; 14] = [
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "é",
    "٣",
    "💥",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "99999999999999999999999999",
];

/// Bytes that a reader is given.
#[derive(Clone)]
pub struct Input(pub Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One change; places are parts of the length.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Replace(Index, usize, Vec<u8>),
    /// The bytes from there, so many, so many times more.
    Repeat(Index, usize, usize),
    End(Index),
    /// From another input of the corpus.
    Graft(Index, Index, Index, usize),
}

/// Inputs like those of the corpus.
pub fn like(corpus: Vec<Vec<u8>>, pieces: &'static [&'static str]) -> impl Strategy<Value = Input> {
    let corpus: Arc<[Vec<u8>]> = corpus.into();
    let changed = (any::<Index>(), vec(change(pieces), 0..6)).prop_map(move |(at, changes)| {
        let mut bytes = at.get(&corpus).clone();
        for change in &changes {
            change.apply(&mut bytes, &corpus);
        }
        bytes
    });
    let made = vec(piece(pieces), 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => changed, 1 => made].prop_map(|mut bytes| {
        bytes.truncate(BYTES_MAX);
        Input(bytes)
    })
}

fn piece(pieces: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        2 => vec(b' '..=b'~', 1..4),
        1 => (0_u32..70).prop_map(|number| number.to_string().into_bytes()),
        1 => select(&ODDITIES[..]).prop_map(|oddity| oddity.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..3),
    ]
}

fn change(pieces: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let (at, length) = (any::<Index>, || prop_oneof![3 => 1_usize..4, 1 => 4_usize..64]);
    prop_oneof![
        4 => (at(), piece(pieces)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        3 => (at(), length()).prop_map(|(at, length)| Change::Remove(at, length)),
        4 => (at(), length(), piece(pieces)).prop_map(|(at, length, piece)| Change::Replace(at, length, piece)),
        1 => (at(), length(), prop_oneof![3 => 1_usize..4, 1 => 4_usize..1000]).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => at().prop_map(Change::End),
        2 => (at(), at(), at(), 1_usize..200).prop_map(|(at, other, from, length)| Change::Graft(at, other, from, length)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let place = |at: &Index, length: usize| at.index(length + 1);
        match self {
            Self::Insert(at, piece) => {
                let at = place(at, bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Self::Remove(at, length) => {
                let at = place(at, bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Replace(at, length, piece) => {
                let at = place(at, bytes.len());
                bytes.splice(at..(at + length).min(bytes.len()), piece.iter().copied());
            }
            Self::Repeat(at, length, times) => {
                let at = place(at, bytes.len());
                let repeated = bytes[at..(at + length).min(bytes.len())].to_vec();
                let times = (*times).min(BYTES_MAX / repeated.len().max(1));
                bytes.splice(at..at, repeated.repeat(times));
            }
            Self::End(at) => bytes.truncate(place(at, bytes.len())),
            Self::Graft(at, other, from, length) => {
                let other = other.get(corpus);
                let (at, from) = (place(at, bytes.len()), place(from, other.len()));
                bytes.splice(at..at, other[from..(from + length).min(other.len())].iter().copied());
            }
        }
    }
}
