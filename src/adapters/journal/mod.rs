//! The durable record of updates: `ImageUpdate` objects.

pub mod crd;
