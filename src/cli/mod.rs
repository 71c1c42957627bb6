//! The command line: one file per subcommand.

pub mod edit;
pub mod policy_eval;
