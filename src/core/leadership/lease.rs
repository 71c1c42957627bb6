//! What a lease says, and who is named in it.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

/// What the lease says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRecord {
    /// Who holds it; `None` when it was released.
    pub holder: Option<Box<str>>,
    /// Where the holder is reached, when it says so.
    pub peer: Option<Peer>,
    /// How often it has passed to a new term: the epoch of the present one.
    pub transitions: u64,
    /// How long it holds after a renewal.
    pub lasts: Duration,
    /// When the term began, by the holder's clock: for people.
    pub acquired: Timestamp,
    /// When it was last renewed, by the holder's clock: for people.
    pub renewed: Timestamp,
}

/// Where a replica is reached by others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Peer {
    /// Webhooks and probes.
    pub public: SocketAddr,
    /// The API.
    pub private: SocketAddr,
}

/// The version of the lease, for compare-and-swap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseVersion(pub Box<str>);

/// The lease as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptLease {
    /// What it says.
    pub record: LeaseRecord,
    /// Its version.
    pub version: LeaseVersion,
}
