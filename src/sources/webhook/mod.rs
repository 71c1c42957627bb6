//! Registry webhooks: one body format per file, and the table of them.
