//! How a text is written as a YAML scalar in the notation that stands there already.

use std::sync::LazyLock;

use regex::Regex;

/// The notations in which a scalar can be changed by changing its bytes alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// No quotes.
    Plain,
    /// `'…'`.
    SingleQuoted,
    /// `"…"`.
    DoubleQuoted,
}

/// `text` in the notation `style`; a plain one that would read as something else than text gets double quotes.
///
/// `None` when the text holds a character that would have to be escaped: images, tags and digests have none.
pub(super) fn encode(text: &str, style: Style) -> Option<String> {
    let is_simple = |byte: u8| byte.is_ascii_graphic() && !b"'\"\\".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_simple) {
        return None;
    }
    Some(match style {
        Style::Plain if is_plain_text(text) => text.to_owned(),
        Style::SingleQuoted => format!("'{text}'"),
        Style::Plain | Style::DoubleQuoted => format!("\"{text}\""),
    })
}

/// Whether `text` can stand without quotes in block and flow context (YAML 1.2.2, 7.3.3) and is read as a string by every
/// reader in use: those of YAML 1.2's core schema and those that still take YAML 1.1's words, dates and base 60.
fn is_plain_text(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_word)
        && !text.ends_with(':')
        && bytes.iter().all(|byte| is_word(byte) || b"./:@+-".contains(byte))
        && !NOT_TEXT.is_match(text)
}

/// What reads as null, a boolean, a number or a date: YAML 1.1's types (<https://yaml.org/type/>) and YAML 1.2.2, 10.3.2.
static NOT_TEXT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?xi) ^(?:
        y | n | yes | no | on | off | true | false | null | ~
      | [-+]? 0b [01_]+
      | [-+]? 0o? [0-7_]+
      | [-+]? 0x [0-9a-f_]+
      | [-+]? [0-9][0-9_]* (?: : [0-5]?[0-9] )* (?: \. [0-9_]* )?          # whole, broken and base 60
      | [-+]? (?: \. [0-9][0-9_]* | [0-9][0-9_]* (?: \. [0-9_]* )? ) (?: e [-+]? [0-9]+ )?
      | [-+]? \. (?: inf | nan )
      | [0-9]{4} - [0-9]{1,2} - [0-9]{1,2} (?: [t\x20\t] .* )?
    )$";
    Regex::new(pattern).expect("the pattern is a constant, and a test compiles it")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, style: Style, written: Option<&str>) {
        assert_eq!(encode(text, style).as_deref(), written, "{text}");
    }

    #[test]
    fn quotes_stay_as_they_are() {
        check("acme/web:1.4.2", Style::Plain, Some("acme/web:1.4.2"));
        check("acme/web:1.4.2", Style::SingleQuoted, Some("'acme/web:1.4.2'"));
        check("acme/web:1.4.2", Style::DoubleQuoted, Some("\"acme/web:1.4.2\""));
    }

    #[test]
    fn a_plain_text_that_reads_as_something_else_gets_quotes() {
        for text in [
            "20241105",
            "1.20",
            "1_000",
            "0x1F",
            "0b1",
            "0o17",
            "017",
            "1e3",
            "1.5e-3",
            "1:30",
            "190:20:30",
            "1:30.5",
            "2024-11-05",
            "2024-11-05T10:00",
            "yes",
            "No",
            "ON",
            "off",
            "true",
            "null",
            "y",
            "[::1]:5000/app:1",
            "-a",
            "@a",
            "a:",
            "~",
        ] {
            check(text, Style::Plain, Some(&format!("\"{text}\"")));
        }
    }

    #[test]
    fn a_plain_text_that_reads_as_text_stays_plain() {
        for text in [
            "latest",
            "1.2.3",
            "v1.20",
            "nginx",
            "nginx:1.30",
            "redis:7",
            "localhost:5000/app:1",
            "1.2.3-rc.1",
            "2024-11-05-3",
            "9f8e7d",
            "123e4abc",
        ] {
            check(text, Style::Plain, Some(text));
        }
    }

    #[test]
    fn a_text_that_would_need_escapes_is_not_written() {
        for text in ["", "a b", "a\"b", "a'b", "a\\b", "a\nb", "ä"] {
            check(text, Style::DoubleQuoted, None);
        }
    }
}
