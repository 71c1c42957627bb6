//! Far ends for the demo and the fast tests: registry, cluster API, Git remote.
