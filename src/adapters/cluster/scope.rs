//! Which namespaces skeg looks at.

/// All namespaces, or some by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// The whole cluster; needs a `ClusterRole`.
    #[default]
    All,
    /// These namespaces and no other; a `Role` in each is enough.
    Namespaces(Vec<Box<str>>),
}

impl Scope {
    /// What to list: each namespace once, or `None` for one listing of all.
    pub(crate) fn namespaces(&self) -> Vec<Option<&str>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => {
                let mut names: Vec<_> = names.iter().map(|name| Some(&**name)).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
        }
    }
}
