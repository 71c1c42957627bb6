//! Where hints come from: the poll schedule and registry webhooks.

pub mod webhook;
