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
    /// The annotation's key.
    pub const KEY: &'static str = "skeg.dev/last-update";

    /// The name in a mark that holds nothing back: no update's name is without its digits.
    const LIFTED: &'static str = "lifted";

    /// The mark that takes the place of this one when a person lifts what it holds back.
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
    fn a_text_that_skeg_did_not_write_is_no_mark() {
        for text in ["", "web", "web x", "web 1 later", "web 1 restored nonsense", " 1"] {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }
}
