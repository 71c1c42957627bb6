//! What an update can ask the world for.

/// An effect is issued for one update and finds everything it needs in it. Each may be issued again after a restart
/// ([`resume`](super::resume())), so carrying one out twice must equal once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Ask people for their votes.
    Ask,
    /// Show the present state of the votes, or the decision, where people were asked.
    Revise,
    /// Read the digest again and set the new images.
    Apply,
    /// Tell whether an earlier try has set the images, and set nothing: what is left of [`Apply`](Self::Apply) while a pause is on, or
    /// when the workload is not to be patched any more.
    LookOnly,
    /// Follow the rollout until it is decided.
    Follow,
    /// Put the previous images back.
    Restore,
    /// Commit the new images to Git; where a person has taken one back since, only look for the commit.
    WriteBack,
}
