//! Which end of an order is taken: `asc` the last, `desc` the first.

use std::cmp::Reverse;

use super::rank::{Floor, Judgement, Refusal, rank};
use super::{Listed, PolicyError, Question};

/// What follows the colon of `numerical` and `alphabetical`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The greatest is chosen.
    Ascending,
    /// The least is chosen.
    Descending,
}

impl Direction {
    /// Reads it; nothing is `asc`.
    pub fn parse(kind: &'static str, argument: Option<&str>) -> Result<Self, PolicyError> {
        match argument.map(str::trim) {
            None | Some("asc") => Ok(Self::Ascending),
            Some("desc") => Ok(Self::Descending),
            Some(_) => Err(PolicyError::Direction(kind)),
        }
    }

    /// Ranks as [`rank`] does, in this direction.
    pub fn rank<'a, K: Ord>(
        self,
        question: &Question<'a>,
        floor: Option<Floor<'_, K>>,
        mut place: impl FnMut(&Listed<'a>) -> Result<K, Refusal>,
    ) -> Judgement {
        match self {
            Self::Ascending => rank(question, floor.as_ref(), place),
            Self::Descending => {
                let floor = floor.map(|Floor { tag, place }| Floor { tag, place: Reverse(place) });
                rank(question, floor.as_ref(), |listed| place(listed).map(Reverse))
            }
        }
    }

    /// Whether `candidate` comes after `than`.
    pub fn is_after<K: Ord>(self, candidate: &K, than: &K) -> bool {
        match self {
            Self::Ascending => candidate > than,
            Self::Descending => candidate < than,
        }
    }
}
