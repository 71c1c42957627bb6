//! The labels of the families: small closed sets, and names from the configuration.

use prometheus_client::encoding::EncodeLabelSet;

/// The statuses that registries answer in practice. Others are counted by their class, so that no registry can invent labels.
const STATUSES: [(u16, &str); 15] = [
    (200, "200"),
    (301, "301"),
    (302, "302"),
    (304, "304"),
    (307, "307"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
];

/// What came of a webhook delivery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Delivery {
    /// It was read; its hints are queued, or it had none.
    Accepted,
    /// The route is closed.
    Closed,
    /// The credential was missing or wrong.
    Unauthorized,
    /// The body was too long or came too slowly.
    Unread,
    /// The body is not of the source.
    Malformed,
    /// The queue was full.
    Full,
}

impl Delivery {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Closed => "closed",
            Self::Unauthorized => "unauthorized",
            Self::Unread => "unread",
            Self::Malformed => "malformed",
            Self::Full => "full",
        }
    }
}

/// What came of a push.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Push {
    /// The remote took it.
    Done,
    /// Somebody had pushed in between.
    Overtaken,
    /// The server refused it.
    Refused,
    /// The remote was not reached.
    Failed,
}

impl Push {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Overtaken => "overtaken",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Closing {
    pub(super) outcome: &'static str,
    pub(super) trigger: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct InPhase {
    pub(super) phase: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct RegistryRequest {
    pub(super) host: String,
    pub(super) status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Host {
    pub(super) host: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct WebhookDelivery {
    pub(super) source: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct GitRemote {
    pub(super) remote: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct GitPush {
    pub(super) remote: String,
    pub(super) outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Noticed {
    pub(super) channel: String,
    pub(super) outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct Namespace {
    pub(super) namespace: String,
}

pub(super) fn status_label(status: u16) -> &'static str {
    if let Some((_, label)) = STATUSES.iter().find(|(known, _)| *known == status) {
        return label;
    }
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
