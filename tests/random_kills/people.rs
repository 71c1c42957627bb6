//! Who may vote; the checker asks.

/// The approvers of the configuration.
pub const APPROVERS: [&str; 1] = ["user:ops"];
