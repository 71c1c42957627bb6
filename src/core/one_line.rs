//! Text of foreign origin made fit for one line of a message, a log or a commit.

/// What stands where a text was cut.
const CUT: char = '…';

/// `text` in one line of at most `length_max` characters: every run of white space and control characters is one space, and
/// characters that change the direction or the visibility of others are gone. A cut text ends in `…`.
///
/// Escape sequences, line ends and hidden characters could otherwise forge log lines, commit trailers or what a reader sees.
pub fn one_line(text: &str, length_max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()).filter(|word| !word.is_empty()) {
        let space = (length > 0).then_some(' ');
        for character in space.into_iter().chain(word.chars().filter(|character| !is_hidden(*character))) {
            if length == length_max {
                line.pop();
                line.push(CUT);
                return line;
            }
            line.push(character);
            length += 1;
        }
    }
    line
}

/// Zero-width and direction-changing characters, separators of lines and paragraphs, and those of the tag block (Unicode Standard Annex 9 and Technical Standard 39).
pub fn is_hidden(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: &str) {
        assert_eq!(one_line(text, 10), line);
    }

    #[test]
    fn a_short_text_stays() {
        check("", "");
        check("a b", "a b");
        check("0123456789", "0123456789");
        check("größe", "größe");
    }

    #[test]
    fn line_ends_and_control_characters_become_spaces() {
        check(" a\r\n\n b\t", "a b");
        check("a\x1b[1mb\x07", "a [1mb");
        check("a\u{85}b\u{2028}c", "a b c");
    }

    #[test]
    fn hidden_characters_are_gone() {
        check("a\u{202e}b\u{200b}c", "abc");
        check("\u{202e} a", "a");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        check("0123456789a", "012345678…");
        check("ääääääääääää", "äääääääää…");
    }
}
