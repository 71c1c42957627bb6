//! Every decision, and no input or output.
//!
//! The rules of this directory: no async, no clock (time is an argument), no random numbers, no logging, and no import from any
//! other directory of the crate. What is here can be tested with plain values, and `tests/purity.rs` keeps it so.

pub mod address;
pub mod candidate;
pub mod commit_message;
pub mod cron;
pub mod directives;
pub mod duration;
pub mod failure;
pub mod first_sight;
pub mod git_address;
pub mod go_regexp;
pub mod hold;
pub mod image;
pub mod interned;
pub mod leadership;
pub mod manifest;
pub mod nearest;
pub mod notice;
pub mod offers;
pub mod one_line;
pub mod patch;
pub mod pause;
pub mod placement;
pub mod platform;
pub mod policy;
pub mod provenance;
pub mod rollout;
pub mod schedule;
pub mod update;
pub mod workload;
