//! What the capability tests stand on: servers that speak the real protocols, started and stopped by the tests.
