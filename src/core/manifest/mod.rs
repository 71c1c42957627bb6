//! Setting image values in manifest text.
