//! `alphabetical[:asc|desc]`: the last tag in the order of its bytes, or the first. Every tag has a place.

use std::sync::Arc;

use super::direction::Direction;
use super::rank::{Floor, Judgement};
use super::{Question, Read, TagPolicy};

/// `alphabetical`.
#[derive(Debug)]
struct Alphabetical(Direction);

pub fn parse(argument: Option<&str>) -> Read {
    Ok(Arc::new(Alphabetical(Direction::parse("alphabetical", argument)?)))
}

impl TagPolicy for Alphabetical {
    fn judge(&self, question: &Question<'_>) -> Judgement {
        self.0.rank(question, question.current.map(|tag| Floor { tag, place: tag }), |listed| Ok(listed.tag))
    }

    fn is_newer(&self, candidate: &str, than: &str) -> bool {
        self.0.is_after(&candidate, &than)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::policy::check_choice as check;

    #[test]
    fn bytes_are_compared() {
        let cities = "xenial yakkety zesty artful bionic";
        check("alphabetical", None, cities, Some("zesty"));
        check("alphabetical:asc", None, cities, Some("zesty"));
        check("alphabetical:desc", None, cities, Some("artful"));
        check("alphabetical", None, "build-9 build-10 build-2", Some("build-9"));
        check("alphabetical", None, "a B é z", Some("é"));
        check("alphabetical:desc", None, "a B é z", Some("B"));
        check("alphabetical", None, "", None);
    }

    #[test]
    fn it_never_goes_back_in_its_own_direction() {
        check("alphabetical", Some("bionic"), "artful bionic", None);
        check("alphabetical", Some("bionic"), "artful cosmic", Some("cosmic"));
        check("alphabetical:desc", Some("bionic"), "bionic cosmic", None);
        check("alphabetical:desc", Some("bionic"), "artful cosmic", Some("artful"));
        check("alphabetical", Some("latest"), "2024-01-01", None);
        check("alphabetical:desc", Some("latest"), "2024-01-01", Some("2024-01-01"));
    }
}
