//! What was read of images, by their digests: what a digest names never changes, so each is read once.
//!
//! What is remembered was read and has the digest by which it was asked for, so that no registry decides what is known of the images of another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::core::image::Digest;

/// Something of so many digests, the oldest first to go.
pub(super) struct ByDigest<T> {
    kept: Mutex<Kept<T>>,
    most: usize,
}

struct Kept<T> {
    by_digest: HashMap<Digest, T>,
    in_order: VecDeque<Digest>,
}

impl<T: Clone> ByDigest<T> {
    /// Remembers nothing yet, and never more than so many.
    pub fn new(most: usize) -> Self {
        Self { kept: Mutex::new(Kept { by_digest: HashMap::new(), in_order: VecDeque::new() }), most }
    }

    /// What is remembered.
    pub fn get(&self, digest: &Digest) -> Option<T> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).by_digest.get(digest).cloned()
    }

    /// Remembers what was read.
    pub fn keep(&self, digest: &Digest, read: T) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_digest.insert(digest.clone(), read).is_some() {
            return;
        }
        kept.in_order.push_back(digest.clone());
        if kept.in_order.len() > self.most
            && let Some(oldest) = kept.in_order.pop_front()
        {
            kept.by_digest.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let digest = |number: u8| format!("sha256:{}", format!("{number:02x}").repeat(32)).parse::<Digest>().unwrap();
        let kept = ByDigest::new(2);
        for number in [1, 2, 1, 3] {
            kept.keep(&digest(number), number);
        }
        assert_eq!([1, 2, 3].map(|number| kept.get(&digest(number))), [None, Some(2), Some(3)]);
    }
}
