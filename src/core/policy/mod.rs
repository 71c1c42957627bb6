//! Choosing a tag among tags.

/// How tags are chosen for one container.
#[derive(Clone, PartialEq, Debug)]
pub struct Selection;
