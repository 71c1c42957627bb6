//! The version of an object, as it is kept of each managed workload.
//!
//! Servers count them, and a number takes no text of its own; any other is kept as it is.

/// A resource version.
#[derive(Debug)]
pub(super) enum ResourceVersion {
    Number(u64),
    Other(Box<str>),
}

impl From<Box<str>> for ResourceVersion {
    fn from(text: Box<str>) -> Self {
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == *text => Self::Number(number),
            _ => Self::Other(text),
        }
    }
}

impl ResourceVersion {
    /// Whether it was certainly written before `other`: of texts nobody can tell.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(this), Self::Number(other)) => this < other,
            (Self::Other(_), _) | (_, Self::Other(_)) => false,
        }
    }

    /// As the server wrote it.
    pub(super) fn as_text(&self) -> Box<str> {
        match self {
            Self::Number(number) => number.to_string().into(),
            Self::Other(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_given_back_as_the_server_wrote_it() {
        for text in ["", "0", "7", "007", "+7", "18446744073709551615", "18446744073709551616", "by another server"] {
            assert_eq!(&*ResourceVersion::from(Box::from(text)).as_text(), text);
        }
    }
}
