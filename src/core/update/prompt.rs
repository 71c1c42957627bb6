//! Where people see a request.

/// The message in a chat that asks for votes, and is kept up to date as they come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prompt {
    /// The channel's id, as the chat names it; at most 63 characters.
    pub channel: Box<str>,
    /// The message's id in that channel; at most 63 characters.
    pub message: Box<str>,
    /// Whether it shows how the update ended, so that nothing is left to show.
    pub ended: bool,
}
