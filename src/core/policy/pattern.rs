//! One pattern for tags: `glob:release-*` or `regexp:^v\d+$`.
//!
//! `glob:` covers the whole tag (`*` any run, `?` one character); `regexp:` searches anywhere in it. Both run in time linear in
//! the tag, whatever the pattern, and both classes and `.` are those of ASCII, as tags are.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::bytes::{CaptureLocations, Regex, RegexBuilder};

use crate::core::nearest::shown;

/// The longest pattern accepted, in bytes. Four times the longest tag: enough to list a dozen alternatives.
const PATTERN_LENGTH_MAX: usize = 512;
/// The largest compiled program accepted, in bytes. `[\w.-]{1,128}`, which spans every tag, takes two thirds of it. Matching takes at most
/// program size times tag length: a usual pattern passes 10,000 tags in a millisecond, the worst pattern that fits, against tags made
/// for it, in about two seconds.
const PROGRAM_SIZE_MAX: usize = 32 * 1024;
/// The memory a match may use for its lazily built automaton, in bytes; one pattern of one workload should not cost more.
const AUTOMATON_SIZE_MAX: usize = 256 * 1024;

/// A compiled pattern with its text. Two are equal when their texts are.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// A named group of one pattern.
#[derive(Clone, Copy, Debug)]
pub struct Group(usize);

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Neither `glob:` nor `regexp:` is in front of it.
    #[error("`{0}` does not begin with glob: or regexp:")]
    Prefix(Box<str>),
    /// Nothing follows the prefix.
    #[error("the pattern is empty")]
    Empty,
    /// Longer than a pattern may be.
    #[error("the pattern is longer than {PATTERN_LENGTH_MAX} bytes")]
    TooLong,
    /// No regular expression.
    #[error("not a regular expression: {0}")]
    Regexp(Box<str>),
    /// A regular expression that needs too much memory.
    #[error("the regular expression is too large once its repetitions are counted out")]
    TooLarge,
}

impl Pattern {
    /// Reads a pattern with its prefix.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match (text.strip_prefix("glob:"), text.strip_prefix("regexp:")) {
            (Some(glob), _) => Self::glob(glob),
            (_, Some(expression)) => Self::regexp(expression),
            (None, None) if text.len() > PATTERN_LENGTH_MAX => Err(PatternError::TooLong),
            (None, None) => Err(PatternError::Prefix(shown(text).into())),
        }
    }

    /// Reads what follows `glob:`.
    pub fn glob(glob: &str) -> Result<Self, PatternError> {
        Self::compile(format!("glob:{glob}"), &glob_expression(glob))
    }

    /// Reads what follows `regexp:`.
    pub fn regexp(expression: &str) -> Result<Self, PatternError> {
        Self::compile(format!("regexp:{expression}"), expression)
    }

    fn compile(text: String, expression: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_LENGTH_MAX {
            return Err(PatternError::TooLong);
        }
        if text.ends_with(':') && text.find(':') == Some(text.len() - 1) {
            return Err(PatternError::Empty);
        }
        let regex = RegexBuilder::new(expression)
            .unicode(false)
            .size_limit(PROGRAM_SIZE_MAX)
            .dfa_size_limit(AUTOMATON_SIZE_MAX)
            .build()
            .map_err(|error| explain(&error))?;
        Ok(Self { text: text.into(), regex })
    }

    /// The group called `name`.
    pub fn group(&self, name: &str) -> Option<Group> {
        self.regex.capture_names().position(|known| known == Some(name)).map(Group)
    }

    /// Room for what [`Pattern::part_with`] finds.
    pub fn scratch(&self) -> CaptureLocations {
        self.regex.capture_locations()
    }

    /// The part of the tag that a group of this pattern takes; `None` when the tag does not match, or the group takes no part in it.
    pub fn part<'t>(&self, group: Group, tag: &'t str) -> Option<&'t [u8]> {
        self.part_with(group, tag, &mut self.scratch())
    }

    /// [`Pattern::part`], where many tags are asked about.
    pub fn part_with<'t>(&self, group: Group, tag: &'t str, scratch: &mut CaptureLocations) -> Option<&'t [u8]> {
        self.regex.captures_read(scratch, tag.as_bytes())?;
        let (from, to) = scratch.get(group.0)?;
        tag.as_bytes().get(from..to)
    }

    /// Whether the tag matches.
    pub fn matches(&self, tag: &str) -> bool {
        self.regex.is_match(tag.as_bytes())
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The regular expression that matches what the glob matches. `\x3b` writes the `;` that would end the item.
fn glob_expression(glob: &str) -> String {
    let mut expression = String::from("^(?s:");
    for character in glob.replace(r"\x3b", ";").replace(r"\x3B", ";").chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push_str("(?u:.)"),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push_str(")$");
    expression
}

/// The last line of the library's drawing, which says what is wrong.
fn explain(error: &regex::Error) -> PatternError {
    match error {
        regex::Error::Syntax(drawing) => {
            let line = drawing.lines().last().unwrap_or_default();
            PatternError::Regexp(line.strip_prefix("error: ").unwrap_or(line).into())
        }
        _ => PatternError::TooLarge,
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let parsed = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for tag in matching {
            assert!(parsed.matches(tag), "{pattern} should match {tag}");
        }
        for tag in others {
            assert!(!parsed.matches(tag), "{pattern} should not match {tag}");
        }
    }

    #[test]
    fn a_glob_covers_the_whole_tag() {
        check("glob:release-*", &["release-", "release-1"], &["xrelease-1", "release"]);
        check("glob:*-prod", &["1-prod", "-prod"], &["1-prod2"]);
        check("glob:tag?", &["tag1"], &["tag", "tag10"]);
        check("glob:*", &["", "a", "a\nb"], &[]);
        check("glob:1.2.*", &["1.2.3"], &["1x2.3"]);
        check("glob:a+(b)[c]\\d", &["a+(b)[c]\\d"], &["aab", "abc1"]);
        check(r"glob:a\x3bb", &["a;b"], &["ab", r"a\x3bb"]);
        check("glob:?", &["é", "x"], &["éx", ""]);
    }

    #[test]
    fn a_regexp_searches_anywhere() {
        check(r"regexp:\d+\.\d+", &["x1.2y"], &["x1y", "١.٢"]);
        check("regexp:^(dev|main)$", &["dev", "main"], &["develop"]);
        check("regexp:^.*$", &["", "a"], &[]);
    }

    #[test]
    fn patterns_that_span_every_tag_are_small_enough() {
        for pattern in
            [r"regexp:^[\w.-]{1,128}$", r"regexp:^(\d{1,5}\.){3}\d{1,5}(-[a-z0-9.-]{1,64})?$", "regexp:(a+)+$", r"regexp:(?i)^V\d"]
        {
            check(pattern, &[], &[]);
        }
        check(&format!("glob:{}", "*a".repeat(60)), &[&"a".repeat(60)], &[&"a".repeat(59)]);
    }

    #[track_caller]
    fn refused(pattern: &str, expected: &str) {
        assert_eq!(Pattern::parse(pattern).unwrap_err().to_string(), expected, "{pattern}");
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_one_line() {
        refused("none:", "`none:` does not begin with glob: or regexp:");
        refused("v1", "`v1` does not begin with glob: or regexp:");
        refused("glob:", "the pattern is empty");
        refused("regexp:^(1", "not a regular expression: unclosed group");
        refused("regexp:[", "not a regular expression: unclosed character class");
        refused(r"regexp:(?=x)", "not a regular expression: look-around, including look-ahead and look-behind, is not supported");
        refused("regexp:(a{1,500}){1,500}", "the regular expression is too large once its repetitions are counted out");
        refused(&format!("regexp:{}", "a".repeat(512)), "the pattern is longer than 512 bytes");
    }
}
