//! Git remotes: objects in process, transport by the git program.
