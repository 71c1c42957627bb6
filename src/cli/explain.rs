//! `skeg explain`: why a workload is or is not updated.

mod offline;
mod text;

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::client::{Server, understood};
use super::config_file::ConfigFile;
use super::names;
use super::output::{Form, show};
use crate::http::view::ExplainView;

/// Say why a workload is or is not updated: directives and their origin, what runs, the candidate, every gate's answer, each tag's verdict
#[derive(Args, Debug)]
pub struct Explain {
    /// The workload
    #[arg(value_name = "KIND/NAME")]
    workload: String,
    /// Its namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Take the workload from this manifest, YAML or JSON, and ask nobody; - reads standard input
    #[arg(long, value_name = "FILE|-", requires = "tags")]
    offline: Option<PathBuf>,
    /// With --offline: its tags, one per line; after a tab the build time, after another the digest; - reads standard input
    #[arg(long, value_name = "FILE|-", requires = "offline")]
    tags: Option<PathBuf>,
    /// With --offline: go by this configuration, instead of what is built in
    #[arg(long, value_name = "FILE", requires = "offline")]
    config: Option<PathBuf>,
    /// How the result is printed; json has every tag
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

impl Explain {
    /// Asks, or reads the files, and prints.
    pub async fn run(&self) -> Result<(), Failure> {
        let (kind, name) = names::kind_and_name(&self.workload)?;
        let namespace = self.namespace.as_deref().map(names::namespace).transpose()?;
        if let (Some(manifest), Some(tags)) = (&self.offline, &self.tags) {
            if [manifest, tags].iter().all(|file| file.as_os_str() == "-") {
                return Err(Failure::WrongUsage(
                    "standard input is either the manifest or the tags: name a file for one of them".to_owned(),
                ));
            }
            let config = self.config.clone().map(|file| ConfigFile::named(file).read()).transpose()?;
            let all = self.output == Form::Json;
            let view = offline::explain(&offline::Asked { kind, name, namespace, manifest, tags, config: config.as_ref(), all })?;
            return show(self.output, &view, || text::lines(&view, Timestamp::now()));
        }
        let namespace =
            namespace.ok_or_else(|| Failure::WrongUsage(format!("which namespace is {} in? add -n NAMESPACE", self.workload)))?;
        let brief = if self.output == Form::Json { "" } else { "?brief=true" };
        let answer = self.server.client()?.get(&format!("v1/explain/{namespace}/{kind}/{name}{brief}")).await?;
        match self.output {
            Form::Json => show(self.output, &answer, String::new),
            Form::Text => {
                let view: ExplainView = understood(&answer)?;
                show(self.output, &view, || text::lines(&view, Timestamp::now()))
            }
        }
    }
}
