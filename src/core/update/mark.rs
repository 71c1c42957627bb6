//! skeg's own mark on a workload: which update was applied last.

use std::fmt;

use crate::core::image::Digest;

/// The value of the annotation `skeg.dev/last-update`: `<name> <epoch>`, and after a restore ` restored <digest>…`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    /// Name of the update last applied, in the workload's namespace.
    pub update: Box<str>,
    /// Epoch of the writer that applied it.
    pub epoch: u64,
    /// The digests that were put back; empty while the update stands.
    pub restored: Vec<Digest>,
}

impl Mark {
    /// What stands in the place of an update's name where none was applied; no update has such a name.
    const NONE: &'static str = "none";

    /// The same mark, left by a later writer: a patch that was decided on `earlier` meets another one now and is refused.
    pub fn taken_over(earlier: Option<Self>, epoch: u64) -> Self {
        let earlier = earlier.unwrap_or_else(|| Self { update: Self::NONE.into(), epoch, restored: Vec::new() });
        Self { epoch, ..earlier }
    }

    /// The annotation's key.
    pub const KEY: &'static str = "skeg.dev/last-update";

    /// The name in a mark that holds nothing back: no update's name is without its digits.
    const LIFTED: &'static str = "lifted";

    /// The mark that takes the place of this one when a person lifts what it holds back.
    #[must_use]
    pub fn lifted(&self) -> Self {
        Self { update: Self::LIFTED.into(), epoch: self.epoch, restored: Vec::new() }
    }

    /// Reads a mark; `None` for a text that skeg did not write. Such a text is treated as no mark.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let update = words.next().filter(|name| !name.is_empty())?.into();
        let epoch = words.next()?.parse().ok()?;
        let restored = match words.next() {
            None => Vec::new(),
            Some("restored") => words.map(|word| word.parse().ok()).collect::<Option<Vec<_>>>()?,
            Some(_) => return None,
        };
        Some(Self { update, epoch, restored })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.update, self.epoch)?;
        if !self.restored.is_empty() {
            f.write_str(" restored")?;
        }
        self.restored.iter().try_for_each(|digest| write!(f, " {digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_as_it_was_written() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        for restored in [vec![], vec![digest.clone()], vec![digest.clone(), digest]] {
            let mark = Mark { update: "web-0123456789".into(), epoch: 3, restored };
            assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
    }

    #[test]
    fn a_mark_that_is_taken_over_says_the_same_in_a_newer_epoch() {
        let mark = |text: &str| Mark::parse(text).unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        for (earlier, expected) in [
            (Some("web-0123456789 3".to_owned()), "web-0123456789 4".to_owned()),
            (Some(format!("web-0123456789 3 restored {digest}")), format!("web-0123456789 4 restored {digest}")),
            (None, "none 4".to_owned()),
        ] {
            let taken = Mark::taken_over(earlier.as_deref().map(mark), 4);
            assert_eq!(taken.to_string(), expected);
            assert_eq!(Mark::parse(&expected), Some(taken));
        }
    }

    #[test]
    fn a_text_that_skeg_did_not_write_is_no_mark() {
        for text in ["", "web", "web x", "web 1 later", "web 1 restored nonsense", " 1"] {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }
}
