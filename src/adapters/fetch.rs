//! The one HTTP client: deadlines, decoded-size cap, same-origin credentials, Retry-After.
