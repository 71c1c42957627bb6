//! The name of an update, derived from what it changes.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Change;
use crate::core::workload::WorkloadId;

/// The longest part of a workload's name that an update's name repeats (PRODUCT's contract; with the hash it fits a label value's 63 characters).
const WORKLOAD_LENGTH_MAX: usize = 40;
/// Hexadecimal digits of the hash in the name: 40 bits, among the at most 5,000 kept records of a cluster.
const HASH_DIGITS: usize = 10;

/// Namespace and name of an `ImageUpdate`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct UpdateId {
    /// The workload's namespace.
    pub namespace: Box<str>,
    /// `<workload, at most 40 characters>-<10 hexadecimal digits>`.
    pub name: Box<str>,
}

impl UpdateId {
    /// The id of the update that makes `changes` to the workload with this uid, the `attempt`-th time (from 1).
    ///
    /// The same decision always has the same id, so a decision made twice is one record.
    pub fn derive(workload: &WorkloadId, uid: &str, changes: &[Change], attempt: u32) -> Self {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        field(uid);
        for change in changes {
            field(&change.container);
            field(&change.from);
            field(change.digest.as_str());
        }
        hash.update(attempt.to_be_bytes());
        let digits = hex::encode(hash.finalize());
        let digits = digits.get(..HASH_DIGITS).unwrap_or_default();
        Self { namespace: workload.namespace.clone(), name: format!("{}-{digits}", stem(workload)).into() }
    }

    /// Whether it may be the name of an update of the workload: all that is known of an update whose record tells nothing.
    pub fn may_be_of(&self, workload: &WorkloadId) -> bool {
        let of = self.name.rsplit_once('-').map(|(stem, _)| stem);
        self.namespace == workload.namespace && of == Some(stem(workload))
    }
}

/// What an update's name repeats of its workload's.
fn stem(workload: &WorkloadId) -> &str {
    let cut = workload.name.char_indices().nth(WORKLOAD_LENGTH_MAX).map_or(workload.name.len(), |(at, _)| at);
    workload.name.get(..cut).unwrap_or_default().trim_end_matches(['-', '.'])
}

impl fmt::Display for UpdateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::workload::WorkloadKind;

    fn workload(name: &str) -> WorkloadId {
        WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: name.into() }
    }

    fn change(from: &str, digit: char) -> Change {
        Change {
            container: "web".into(),
            init: false,
            repository: "ghcr.io/acme/web".parse().unwrap(),
            from: from.into(),
            to: "ghcr.io/acme/web:1.0.1".into(),
            tag: "1.0.1".parse().unwrap(),
            digest: format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap(),
        }
    }

    #[test]
    fn the_same_decision_has_the_same_name_and_any_other_has_another() {
        let id = |uid: &str, from: &str, digit, attempt| UpdateId::derive(&workload("web"), uid, &[change(from, digit)], attempt);
        let first = id("u1", "web:1.0.0", 'a', 1);
        assert_eq!(first, id("u1", "web:1.0.0", 'a', 1));
        for other in
            [id("u2", "web:1.0.0", 'a', 1), id("u1", "web:1.0.2", 'a', 1), id("u1", "web:1.0.0", 'b', 1), id("u1", "web:1.0.0", 'a', 2)]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_long_workload_name_is_cut_where_a_name_may_end() {
        let name = format!("{}-tail", "a".repeat(39));
        let id = UpdateId::derive(&workload(&name), "u", &[change("web:1", 'a')], 1);
        assert_eq!(id.name.len(), 39 + 1 + 10);
        assert!(id.name.starts_with(&"a".repeat(39)));
        assert!(id.may_be_of(&workload(&name)) && !id.may_be_of(&workload(&"a".repeat(38))));
    }
}
