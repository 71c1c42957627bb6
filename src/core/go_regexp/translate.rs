//! From Go's syntax to that of the `regex` crate.

use std::fmt::Write as _;

/// The most repetitions that Go counts.
const REPETITIONS_MAX: u32 = 1000;

const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const NESTED_REPETITION: &str = "invalid nested repetition operator";
const REPETITION_SIZE: &str = "invalid repeat count";
const PERL_SYNTAX: &str = "invalid or unsupported Perl syntax";
const GROUP_NAME: &str = "invalid named capture";
const MISSING_BRACKET: &str = "missing closing ]";
const CLASS_RANGE: &str = "invalid character class range";
const ESCAPE: &str = "invalid escape sequence";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";

/// The POSIX classes, which both engines define alike.
const POSIX: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

type Translated<T = ()> = Result<T, &'static str>;

/// An expression for the `regex` crate.
pub struct Translation {
    pub pattern: String,
    /// The named groups with their numbers.
    pub names: Vec<(Box<str>, usize)>,
}

/// What a repetition operator would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Expression,
    Repetition,
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    names: Vec<(Box<str>, usize)>,
    groups: usize,
    last: Last,
}

/// Translates, or says what Go finds wrong. The mistakes that both engines tell of alike are left to the other one.
pub fn translate(text: &str) -> Translated<Translation> {
    let mut translator = Translator { rest: text, out: String::new(), names: Vec::new(), groups: 0, last: Last::Nothing };
    while let Some(next) = translator.take() {
        translator.expression(next)?;
    }
    Ok(Translation { pattern: translator.out, names: translator.names })
}

impl<'a> Translator<'a> {
    fn take(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn take_if(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// What stands before `end`, which is taken too.
    fn take_until(&mut self, end: &str) -> Option<&'a str> {
        let (before, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(before)
    }

    /// Writes a part that stands for itself.
    fn write(&mut self, part: &str) {
        self.out.push_str(part);
        self.last = Last::Expression;
    }

    fn literal(&mut self, character: char) {
        self.write(&regex::escape(character.encode_utf8(&mut [0; 4])));
    }

    fn expression(&mut self, next: char) -> Translated {
        match next {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '(' => return self.group(),
            '*' | '+' | '?' => return self.repetition(next.encode_utf8(&mut [0; 4])),
            '{' => match self.counted() {
                Some(counted) => return self.repetition(&counted?),
                None => self.literal('{'),
            },
            '|' => {
                self.out.push('|');
                self.last = Last::Nothing;
            }
            '.' | '^' | '$' | ')' => self.write(next.encode_utf8(&mut [0; 4])),
            _ => self.literal(next),
        }
        Ok(())
    }

    fn repetition(&mut self, operator: &str) -> Translated {
        match self.last {
            Last::Nothing => return Err(MISSING_ARGUMENT),
            Last::Repetition => return Err(NESTED_REPETITION),
            Last::Expression => {}
        }
        self.out.push_str(operator);
        if self.take_if("?") {
            self.out.push('?');
        }
        self.last = Last::Repetition;
        Ok(())
    }

    /// What follows a `{` when it is `n}`, `n,}` or `n,m}`; nothing is taken when it is not.
    fn counted(&mut self) -> Option<Translated<String>> {
        let (inside, rest) = self.rest.split_once('}')?;
        let (least, most) = inside.split_once(',').map_or((inside, None), |(least, most)| (least, Some(most)));
        // Go takes no leading zeros.
        let is_number =
            |text: &str| text == "0" || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_number(least) || most.is_some_and(|most| !most.is_empty() && !is_number(most)) {
            return None;
        }
        self.rest = rest;
        let number = |text: &str| text.parse().ok().filter(|number: &u32| *number <= REPETITIONS_MAX).ok_or(REPETITION_SIZE);
        let check = || {
            let least = number(least)?;
            match most {
                Some(most) if !most.is_empty() && number(most)? < least => Err(REPETITION_SIZE),
                _ => Ok(format!("{{{inside}}}")),
            }
        };
        Some(check())
    }

    fn group(&mut self) -> Translated {
        if !self.rest.starts_with('?') {
            return self.capture(None);
        }
        for opening in ["?P<", "?<"] {
            if self.take_if(opening) {
                let name = self.take_until(">").ok_or(GROUP_NAME)?;
                return self.capture(Some(name));
            }
        }
        self.take();
        self.flags()
    }

    fn capture(&mut self, name: Option<&str>) -> Translated {
        self.groups += 1;
        if let Some(name) = name {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(GROUP_NAME);
            }
            self.names.push((name.into(), self.groups));
        }
        self.out.push('(');
        self.last = Last::Nothing;
        Ok(())
    }

    /// What follows `(?`: flags for the rest of the group, or for a group of their own.
    fn flags(&mut self) -> Translated {
        let (mut on, mut off, mut is_off, mut is_complete) = (String::new(), String::new(), false, true);
        let end = loop {
            match self.take().ok_or(PERL_SYNTAX)? {
                flag @ ('i' | 'm' | 's' | 'U') => {
                    is_complete = true;
                    on.retain(|known| known != flag);
                    off.retain(|known| known != flag);
                    if is_off { off.push(flag) } else { on.push(flag) }
                }
                '-' if !is_off => (is_off, is_complete) = (true, false),
                end @ (':' | ')') if is_complete => break end,
                _ => return Err(PERL_SYNTAX),
            }
        };
        let minus = if off.is_empty() { "" } else { "-" };
        let flags = format!("{on}{minus}{off}");
        match (end, flags.is_empty()) {
            (')', true) => {}
            (end, _) => {
                let _ = write!(self.out, "(?{flags}{end}");
            }
        }
        if end == ':' {
            self.last = Last::Nothing;
        }
        Ok(())
    }

    /// What follows a backslash outside of a class.
    fn escape(&mut self) -> Translated {
        match self.peek().ok_or(TRAILING_BACKSLASH)? {
            'A' => self.assertion(r"\A"),
            'z' => self.assertion(r"\z"),
            'b' => self.assertion(r"(?-u:\b)"),
            'B' => self.assertion(r"(?-u:\B)"),
            'Q' => {
                self.take();
                let quoted = self.take_until(r"\E").unwrap_or_else(|| std::mem::take(&mut self.rest));
                quoted.chars().for_each(|character| self.literal(character));
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P' => {
                let class = self.class_escape()?;
                self.write(&class);
            }
            _ => {
                let character = self.escaped()?;
                self.literal(character);
            }
        }
        Ok(())
    }

    fn assertion(&mut self, written: &str) {
        self.take();
        self.write(written);
    }

    /// The class that one letter after a backslash stands for, as it may stand inside of a class too.
    fn class_escape(&mut self) -> Translated<String> {
        let letter = self.take().ok_or(TRAILING_BACKSLASH)?;
        let written = match letter {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => r"[\t\n\x0C\r ]",
            'S' => r"[^\t\n\x0C\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            _ => return self.unicode_class(letter == 'P'),
        };
        Ok(written.to_owned())
    }

    /// What follows `\p` or `\P`: a letter, or a name in braces.
    fn unicode_class(&mut self, is_negated: bool) -> Translated<String> {
        let mut letter = [0; 4];
        let name = if self.take_if("{") {
            self.take_until("}").ok_or(CLASS_RANGE)?
        } else {
            self.take().ok_or(CLASS_RANGE)?.encode_utf8(&mut letter)
        };
        let (name, is_negated) = name.strip_prefix('^').map_or((name, is_negated), |name| (name, !is_negated));
        // The other engine knows more forms, such as `\p{script=Greek}`.
        if name.contains(['=', ':', '!']) {
            return Err(CLASS_RANGE);
        }
        Ok(format!(r"\{}{{{name}}}", if is_negated { 'P' } else { 'p' }))
    }

    /// The character that stands after a backslash, as it is written.
    fn escaped(&mut self) -> Translated<char> {
        let next = self.take().ok_or(TRAILING_BACKSLASH)?;
        match next {
            '0' => self.octal(0),
            '1'..='7' if self.peek().is_some_and(|digit| digit.is_digit(8)) => self.octal(next.to_digit(8).unwrap_or_default()),
            'x' => self.hexadecimal(),
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            _ if next.is_ascii() && !next.is_ascii_alphanumeric() => Ok(next),
            _ => Err(ESCAPE),
        }
    }

    /// Up to two more octal digits.
    fn octal(&mut self, first: u32) -> Translated<char> {
        let mut value = first;
        for _ in 0..2 {
            let Some(digit) = self.peek().and_then(|digit| digit.to_digit(8)) else { break };
            self.take();
            value = value * 8 + digit;
        }
        char::from_u32(value).ok_or(ESCAPE)
    }

    /// What follows `\x`: two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Translated<char> {
        let digits = if self.take_if("{") {
            self.take_until("}").ok_or(ESCAPE)?
        } else {
            let (digits, rest) = self.rest.split_at_checked(2).ok_or(ESCAPE)?;
            self.rest = rest;
            digits
        };
        let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_number).and_then(char::from_u32).ok_or(ESCAPE)
    }

    /// What follows a `[`.
    fn class(&mut self) -> Translated {
        let negation = if self.take_if("^") { "^" } else { "" };
        let mut class = format!("[{negation}");
        let mut is_first = true;
        while is_first || !self.take_if("]") {
            is_first = false;
            class.push_str(&self.class_part()?);
        }
        class.push(']');
        self.write(&class);
        Ok(())
    }

    fn class_part(&mut self) -> Translated<String> {
        if let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
            self.rest = rest;
            let known = POSIX.contains(&name.strip_prefix('^').unwrap_or(name));
            return if known { Ok(format!("[:{name}:]")) } else { Err(CLASS_RANGE) };
        }
        let escaped = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
        if let Some('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P') = escaped {
            self.take();
            return self.class_escape();
        }
        let low = self.class_character()?;
        let mut following = self.rest.chars();
        let is_range = following.next() == Some('-') && following.next().is_some_and(|next| next != ']');
        if !is_range {
            return Ok(format!(r"\x{{{:X}}}", u32::from(low)));
        }
        self.take();
        let high = self.class_character()?;
        if high < low {
            return Err(CLASS_RANGE);
        }
        Ok(format!(r"\x{{{:X}}}-\x{{{:X}}}", u32::from(low), u32::from(high)))
    }

    fn class_character(&mut self) -> Translated<char> {
        match self.take().ok_or(MISSING_BRACKET)? {
            '\\' => self.escaped(),
            character => Ok(character),
        }
    }
}
