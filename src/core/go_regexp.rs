//! Regular expressions as Go's `regexp` package reads them, which Keel's users have written.
//!
//! Both engines descend from RE2: no look-around, no back references, linear time, leftmost-first, searched anywhere. They differ in how
//! some texts are read, so a text is translated first. What is translated:
//!
//! - `\d`, `\s`, `\w`, `\b` and their opposites know ASCII only in Go;
//! - a `{` that begins no repetition, a `[`, `&&`, `--` and `~~` inside a class are plain characters in Go;
//! - `\Q…\E`, octal escapes, `\p{^…}`, group names that begin with a digit, and two groups of one name exist only in Go;
//! - `a**`, `a*{2}`, more than 1000 repetitions, `(?x)`, `(?u)`, `\u…` and unknown `[:names:]` are mistakes only in Go.
//!
//! Left as it is: a large expression meets the size limit of one engine before that of the other (counted repetitions of counted
//! repetitions), and a flag group between an expression and its `*` is a mistake here.

mod translate;

use regex::{Regex, RegexBuilder};

/// The longest expression read, in bytes. One that people can read is a tenth of it.
const LENGTH_MAX: usize = 4096;
/// The largest compiled program accepted, in bytes: `^.{1,255}$` just fits, and so do three classes of letters of every script.
/// Matching takes at most program size times tag length.
const PROGRAM_SIZE_MAX: usize = 288 * 1024;

/// A regular expression of Go.
#[derive(Clone, Debug)]
pub struct GoRegexp {
    text: Box<str>,
    regex: Regex,
    /// The named groups with their numbers.
    names: Vec<(Box<str>, usize)>,
}

/// Why Go would not read a text as a regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoRegexpError {
    /// Longer than accepted.
    #[error("longer than {LENGTH_MAX} bytes")]
    TooLong,
    /// A mistake, in Go's words as far as it has some.
    #[error("{0}")]
    Wrong(&'static str),
    /// A mistake that the engine tells of.
    #[error("{0}")]
    Engine(Box<str>),
}

impl GoRegexp {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, GoRegexpError> {
        if text.len() > LENGTH_MAX {
            return Err(GoRegexpError::TooLong);
        }
        let translate::Translation { pattern, names } = translate::translate(text).map_err(GoRegexpError::Wrong)?;
        let regex = RegexBuilder::new(&pattern)
            .size_limit(PROGRAM_SIZE_MAX)
            .build()
            .map_err(|error| GoRegexpError::Engine(last_line(&error.to_string()).into()))?;
        Ok(Self { text: text.into(), regex, names })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is found anywhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The number of the first group called `name`.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number)
    }

    /// What the group took of the first match in `text`: nothing when the group took no part in it; `None` without a match.
    pub fn captured<'t>(&self, group: usize, text: &'t str) -> Option<&'t str> {
        let captures = self.regex.captures(text)?;
        Some(captures.get(group).map_or("", |part| part.as_str()))
    }
}

/// The sentence of an error that shows the expression above it.
fn last_line(error: &str) -> &str {
    let line = error.lines().last().unwrap_or(error);
    line.strip_prefix("error: ").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, matches: &[&str], others: &[&str]) {
        let read = GoRegexp::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        for text in matches {
            assert!(read.is_match(text), "{expression} in {text:?}");
        }
        for text in others {
            assert!(!read.is_match(text), "{expression} in {text:?}");
        }
    }

    #[track_caller]
    fn check_wrong(expression: &str) {
        assert!(GoRegexp::parse(expression).is_err(), "{expression}");
    }

    #[test]
    fn an_expression_is_searched_anywhere() {
        check("", &["", "a"], &[]);
        check(r"\d+\.\d+", &["x1.2y"], &["1", "1-2"]);
        check("^([a-z]+)$", &["abc"], &["abc1", "", "abc\n"]);
        check(r"^v(?P<compare>\d+)$", &["v10"], &["v1.0"]);
        check("(?i)^RC|beta$", &["rc1", "x-beta", "x-BETA"], &["src"]);
        check("(?s)a.b", &["a\nb"], &[]);
        check("a.b", &["aéb"], &["a\nb", "ab"]);
        check("^.{1,255}$", &["v1"], &[""]);
    }

    #[test]
    fn perl_classes_and_word_boundaries_know_ascii_only() {
        check(r"^\d$", &["5"], &["٥"]);
        check(r"^\w$", &["_"], &["é"]);
        check(r"^\s$", &[" ", "\x0c"], &["\u{a0}", "\x0b"]);
        check(r"^\D$", &["٥", "a"], &["5"]);
        check(r"^[\D5]$", &["5", "x", "é"], &["4"]);
        check(r"^[\d.-]+$", &["1.2-3"], &["1_2"]);
        check(r"é\b", &["éa"], &["é"]);
        check(r"^a\B", &["ab"], &["a", "a-"]);
    }

    #[test]
    fn braces_and_brackets_that_mean_nothing_are_characters() {
        check("^a{b}$", &["a{b}"], &["aab"]);
        check("^a{,2}$", &["a{,2}"], &["aa"]);
        check("^a{2}$", &["aa"], &["a"]);
        check("^a{2,}?$", &["aaa"], &["a"]);
        check("{", &["{"], &[]);
        check("^[a[b]$", &["a", "[", "b"], &["]"]);
        check("^[]a]$", &["]", "a"], &["b"]);
        check("^[^]a]$", &["b"], &["]", "a"]);
        check("^[a&&b]$", &["a", "&", "b"], &["c"]);
        check("^[+--]$", &["+", ",", "-"], &["."]);
        check("^[a-c-e]$", &["b", "-", "e"], &["d"]);
        check("^[[:alpha:]_]$", &["a", "_"], &["1"]);
        check("^[[:^digit:]]$", &["a"], &["1"]);
        check(r"^\<\>\_$", &["<>_"], &[]);
        check(r"^a]}$", &["a]}"], &[]);
    }

    #[test]
    fn what_only_go_has_is_read() {
        check(r"^\Qa.b*\E$", &["a.b*"], &["axb"]);
        check(r"^\Qa.b", &["a.b"], &["axb"]);
        check(r"^\101\x42\x{43}$", &["ABC"], &[]);
        check(r"^[\101-\103]$", &["B"], &["D"]);
        check(r"^\p{^Greek}$", &["a"], &["α"]);
        check(r"^\pL\PL$", &["a1"], &["1a"]);
        check("^(?P<part>v)(?P<part>\\d)$", &["v1"], &["v"]);
        check(r"^\p{Greek}$", &["α"], &["a"]);
        check(r"^(?P<1st>a)(?<b>b)(?P<c>c)?$", &["ab"], &[]);
        check("(?ii-s)A", &["a"], &[]);
        check("a(?i:B)c", &["abc"], &["aBC"]);
    }

    #[test]
    fn what_go_does_not_read_is_wrong() {
        for wrong in ["[", "(", ")", "a**", "a*{2}", "a+*", "*", "a|*", "(*a)", "a{1001}", "a{2,1}", r"a\", "[z-a]", "[a", "[[:foo:]]"] {
            check_wrong(wrong);
        }
        for wrong in ["(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(a)\1", r"\8", r"\u0041", r"\Z", r"\h", r"\C", r"\E", r"\é", r"[\b]"] {
            check_wrong(wrong);
        }
        for wrong in ["(?x)a", "(?u:a)", "(?R)a", "(?i", "(?P<a", "(?P<>a)", "(?P<a-b>a)", r"\p{Nowhere}", r"\x{110000}"] {
            check_wrong(wrong);
        }
        check_wrong(&"a".repeat(4097));
    }

    #[test]
    fn no_text_makes_it_panic() {
        let parts = [
            "(", "(?", "(?P<", ")", "[", "[^", "[:", ":]", "]", "{", "}", "?", "*", "+", "|", "^", "$", ".", "\\", "-", ":", ">", "P", "Q",
            "E", "d", "p", "x", "i", "1", "9", "a", "é", "&&", ",",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let mut read = 0;
        for _ in 0..4_000 {
            let text: String = (0..random.usize(..10)).map(|_| parts[random.usize(..parts.len())]).collect();
            if let Ok(expression) = GoRegexp::parse(&text) {
                expression.is_match("v1.2.3-é");
                read += 1;
            }
        }
        assert!(read > 400, "{read}");
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        let expression = GoRegexp::parse(r"^(a)?v(?P<compare>\d+)?").unwrap();
        assert_eq!(expression.group("other"), None);
        let group = expression.group("compare").unwrap();
        assert_eq!(expression.captured(group, "v10-x"), Some("10"));
        assert_eq!(expression.captured(group, "v-x"), Some(""));
        assert_eq!(expression.captured(group, "x"), None);
    }
}
