//! skeg.
fn main() {}
