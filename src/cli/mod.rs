//! The command line: one file per subcommand.
//!
//! A command gives its result on standard output and says what went wrong in one line on standard error. Exit codes: 0 done, 1 not done,
//! 2 wrong usage or configuration.

mod age;
mod check_config;
mod client;
mod config_file;
mod crd;
#[cfg(feature = "embedded")]
mod demo;
pub mod edit;
mod explain;
mod images;
mod names;
mod output;
mod pauses;
pub mod policy_eval;
mod run;
mod status;
mod table;
mod tag_list;
mod updates;
mod votes;
pub mod webhook_decode;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use votes::Verb;

/// Keeps the images of Kubernetes workloads current: registry, policy, approval, rollout, Git.
#[derive(Parser, Debug)]
#[command(name = "skeg", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Skeg {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(run::Run),
    #[cfg(feature = "embedded")]
    Demo(demo::Demo),
    CheckConfig(check_config::CheckConfig),
    Status(status::Status),
    Explain(explain::Explain),
    Images(images::Images),
    Updates(updates::Updates),
    /// Vote for an update
    Approve(votes::Decision),
    /// Vote against an update
    Reject(votes::Decision),
    /// Try a closed update again, as a new one
    Retry(votes::Decision),
    Pause(pauses::Pause),
    Resume(pauses::Resume),
    /// Try policies without cluster and registry
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Read webhook deliveries without a server
    #[command(subcommand)]
    Webhook(WebhookCommand),
    Edit(edit::Edit),
    /// Print the definition of the `ImageUpdate` resource, for `kubectl apply -f -`
    Crd,
    /// Print the version
    Version,
}

#[derive(Subcommand, Debug)]
enum WebhookCommand {
    Decode(webhook_decode::WebhookDecode),
}

#[derive(Subcommand, Debug)]
enum PolicyCommand {
    Eval(policy_eval::PolicyEval),
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was not done.
    #[error("{0}")]
    NotDone(String),
    /// The command or the configuration is wrong.
    #[error("{0}")]
    WrongUsage(String),
    /// Everything there was to say is said.
    #[error("")]
    Told(u8),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::NotDone(_) => 1,
            Self::WrongUsage(_) => 2,
            Self::Told(code) => *code,
        }
    }
}

/// Reads the arguments, the program's name first, and carries the command out.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Skeg::try_parse_from(arguments) {
        Ok(skeg) => skeg.command,
        Err(error) => {
            // Help and version come this way too; clap knows where to print and how to end.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.code();
            if !matches!(failure, Failure::Told(_)) {
                output::complain(&format!("error: {failure}"));
            }
            ExitCode::from(code)
        }
    }
}

fn carry_out(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(run) => in_threads(run.run()),
        #[cfg(feature = "embedded")]
        Command::Demo(demo) => in_threads(demo.run()),
        Command::CheckConfig(check) => check.run(),
        Command::Status(status) => in_runtime(status.run()),
        Command::Explain(explain) => in_runtime(explain.run()),
        Command::Images(images) => in_runtime(images.run()),
        Command::Updates(updates) => in_runtime(updates.run()),
        Command::Approve(update) => in_runtime(update.run(Verb::Approve)),
        Command::Reject(update) => in_runtime(update.run(Verb::Reject)),
        Command::Retry(update) => in_runtime(update.run(Verb::Retry)),
        Command::Pause(pause) => in_runtime(pause.run()),
        Command::Resume(resume) => in_runtime(resume.run()),
        Command::Policy(PolicyCommand::Eval(eval)) => evaluate(&eval),
        Command::Webhook(WebhookCommand::Decode(decode)) => {
            ended(decode.run(&mut io::stdin().lock(), &mut io::stdout().lock(), &mut io::stderr().lock()))
        }
        Command::Edit(edit) => ended(edit.run(&mut io::stdout().lock(), &mut io::stderr().lock())),
        Command::Crd => crd::print(),
        Command::Version => output::print(concat!("skeg ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn evaluate(eval: &policy_eval::PolicyEval) -> Result<(), Failure> {
    match eval.run(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Err(policy_eval::PolicyEvalError::Output(error)) => output::unwritten(&error),
        Err(error) if error.exit_code() == 2 => Err(Failure::WrongUsage(error.to_string())),
        Err(error) => Err(Failure::NotDone(error.to_string())),
        Ok(()) => Ok(()),
    }
}

/// The end of a command that says everything itself.
fn ended(outcome: io::Result<u8>) -> Result<(), Failure> {
    match outcome {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Told(code)),
        Err(error) => output::unwritten(&error),
    }
}

/// Runs a command that asks a few questions and waits for the answers.
fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(&mut Builder::new_current_thread(), command)
}

/// Runs a command that does many things at once.
fn in_threads(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    block_on(&mut Builder::new_multi_thread(), command)
}

fn block_on(runtime: &mut Builder, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime.enable_all().build().map_err(|error| Failure::NotDone(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(command);
    // Whatever still runs was told to end and had its time.
    runtime.shutdown_background();
    outcome
}
