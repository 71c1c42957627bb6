//! `skeg images`: what is tracked, and how it stands.

use clap::Args;

use super::Failure;
use super::age::age;
use super::client::{Server, understood};
use super::output::{Form, show};
use super::table::Table;
use crate::http::view::{ImageView, ImagesView};
use jiff::Timestamp;

/// List tracked images: what runs, what the policy chose, and why it is not applied
#[derive(Args, Debug)]
pub struct Images {
    /// Only those of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

impl Images {
    /// Asks and prints.
    pub async fn run(&self) -> Result<(), Failure> {
        let mut answer = self.server.client()?.get("v1/images").await?;
        if let (Some(namespace), Some(images)) = (&self.namespace, answer.get_mut("images").and_then(|images| images.as_array_mut())) {
            images.retain(|image| image.pointer("/workload/namespace").and_then(|name| name.as_str()) == Some(namespace));
        }
        let view: ImagesView = understood(&answer)?;
        show(self.output, &answer, || lines(&view.images, Timestamp::now()))
    }
}

fn lines(images: &[ImageView], now: Timestamp) -> String {
    let mut table = Table::new(["NAMESPACE", "WORKLOAD", "CONTAINER", "IMAGE", "POLICY", "STATE", "CANDIDATE", "LISTED", "REASON"]);
    for image in images {
        let workload = format!("{}/{}", image.workload.kind, image.workload.name);
        let candidate = image.candidate.as_ref().map_or("-", |candidate| &candidate.tag);
        let listed = image.listed.map_or_else(|| "-".to_owned(), |listed| age(listed, now));
        let policy = image.policy.as_deref().unwrap_or("-");
        let state = image.state.as_str();
        let cells =
            [&image.workload.namespace, &workload, &image.container, &image.image, policy, state, candidate, &listed, &reason(image)];
        table.row(cells);
    }
    table.lines("no images are tracked: annotate a workload with skeg.dev/policy")
}

fn reason(image: &ImageView) -> String {
    let update = image.update.as_ref().map(|update| format!("update {update}"));
    let reasons = image.errors.iter().cloned().chain(image.reason.as_ref().map(|reason| reason.message.clone())).chain(update);
    reasons.collect::<Vec<_>>().join("; ")
}
