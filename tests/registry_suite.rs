//! One client, every registry: the same checks against each of them, as they really answer.
//!
//! A registry is a row: a function that starts it, and what it is known to do otherwise than the others. What no real one does on demand
//! (429, 5xx, bodies without end, wrong digests, hostile links) is in the unit tests of `src/adapters/registry`, against scripted servers.

mod checks;
mod far;
mod push;
mod tokens;

use skeg::embedded::registry::Login;

use crate::support::registry::{Auth, Version};
use far::Far;

fn robot() -> Login {
    Login::new("robot", "s3cret")
}

/// Docker's registry 2 gives all tags at once, however many are asked for.
#[tokio::test]
async fn docker_registry_2_without_login() {
    let Some(far) = Far::distribution(Version::Two, &Auth::Anonymous) else { return };
    checks::all(&far).await;
}

#[tokio::test]
async fn docker_registry_2_with_a_password() {
    let Some(far) = Far::distribution(Version::Two, &Auth::Basic(robot())) else { return };
    checks::all(&far).await;
}

#[tokio::test]
async fn docker_registry_2_with_tokens() {
    let Some(far) = Far::distribution(Version::Two, &Auth::Bearer(robot())) else { return };
    checks::all(&far).await;
}

/// distribution 3 gives fewer tags than are asked for and links to the next page.
#[tokio::test]
async fn distribution_3_without_login() {
    let Some(far) = Far::distribution(Version::Three { page_tags: 100 }, &Auth::Anonymous) else { return };
    checks::all(&far).await;
}

#[tokio::test]
async fn distribution_3_with_a_password() {
    let Some(far) = Far::distribution(Version::Three { page_tags: 100 }, &Auth::Basic(robot())) else { return };
    checks::all(&far).await;
}

#[tokio::test]
async fn distribution_3_with_tokens() {
    let Some(far) = Far::distribution(Version::Three { page_tags: 100 }, &Auth::Bearer(robot())) else { return };
    checks::all(&far).await;
}

/// The registry of go-containerregistry cuts the list at the number that is asked for, and links to nothing.
#[tokio::test]
async fn go_containerregistry() {
    let Some(far) = Far::crane() else { return };
    checks::all(&far).await;
}

/// Files behind nginx: entity tags, compressed lists, and no digest in a header.
#[tokio::test]
async fn files_behind_nginx() {
    let Some(far) = Far::files() else { return };
    checks::all(&far).await;
}

/// ECR: what its token call gives to an identity is a password for the registry. moto answers the call.
#[tokio::test]
async fn ecr() {
    let Some(far) = Far::ecr() else { return };
    checks::all(&far).await;
}
