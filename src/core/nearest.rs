//! Foreign words in messages: shown safely, and with the word that was probably meant.

use strsim::osa_distance;

/// The longest word that is compared, in bytes; the longest known word is half as long. Comparing takes quadratic time.
const WORD_LENGTH_MAX: usize = 40;
/// How much of a foreign text a message repeats, in characters: the longest annotation key that Kubernetes accepts here has 72.
const SHOWN_LENGTH_MAX: usize = 80;

/// The known word that `word` was probably meant to be: the first with the fewest slips (a letter too many, missing, wrong or
/// swapped with its neighbour), if they are few for its length. Upper case is no slip.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_LENGTH_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let slips = known.into_iter().map(|known| (osa_distance(&word, known), known));
    let (slips, known) = slips.min_by_key(|(slips, _)| *slips)?;
    (slips <= slips_max(known)).then_some(known)
}

/// One slip in a short word, up to three in a long one.
fn slips_max(known: &str) -> usize {
    (known.len() / 3).clamp(1, 3)
}

/// The beginning of a foreign text, with control characters and quotes escaped.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_LENGTH_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_LENGTH_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["policy", "poll", "pin", "approvals", "approvers", "allow-tags", "git"]), expected, "{word}");
    }

    #[test]
    fn a_slip_of_the_keyboard_is_understood() {
        check("polcy", Some("policy"));
        check("POLICY", Some("policy"));
        check("pol", Some("poll"));
        check("approval", Some("approvals"));
        check("approver", Some("approvers"));
        check("alow-tag", Some("allow-tags"));
        check("gti", Some("git"));
    }

    #[test]
    fn another_word_is_not_taken_for_a_slip() {
        check("schedule", None);
        check("", None);
        check("x", None);
        check(&"policy".repeat(1_000_000), None);
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown("a\n\u{1b}[31m`"), r"a\n\u{1b}[31m`");
        assert_eq!(shown(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }
}
