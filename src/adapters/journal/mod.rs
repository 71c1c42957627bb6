//! The durable record of updates: `ImageUpdate` objects.
