//! The known name that a misspelt one probably means.

/// More wrong letters than this, and a guess is no help.
const DISTANCE_MAX: usize = 3;
/// Longer words are not compared: the cost is quadratic and no known name is near as long.
const LENGTH_MAX: usize = 64;

/// The nearest of `known`, when one is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LENGTH_MAX {
        return None;
    }
    let allowed = DISTANCE_MAX.min(word.chars().count() / 2);
    known.into_iter().map(|name| (distance(word, name), name)).filter(|(far, _)| *far <= allowed).min().map(|(_, name)| name)
}

/// Letters to insert, remove or replace (Levenshtein), with one row of the table kept.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let (mut diagonal, mut left) = (above, above + 1);
        for (cell, theirs) in row.iter_mut().skip(1).zip(&other) {
            let replaced = diagonal + usize::from(letter != *theirs);
            diagonal = *cell;
            *cell = replaced.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["listen", "private_listen", "token_file", "user"]), expected, "{word}");
    }

    #[test]
    fn a_slip_of_the_keyboard_is_recognised_and_a_foreign_word_is_not() {
        check("listne", Some("listen"));
        check("lisen", Some("listen"));
        check("tokenfile", Some("token_file"));
        check("usr", Some("user"));
        check("u", None);
        check("database", None);
        check("", None);
        check(&"l".repeat(1_000_000), None);
    }

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
