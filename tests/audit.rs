//! Every refusal and every order is in the audit log, whoever waits for the answer.

use skeg::core::hold::voter::{Ballot, Clicker, Home, Standing, Voter};
use skeg::core::pause::Scope;
use skeg::core::update::{UpdateId, Verdict};
use skeg::http::desk::{Caller, Desk as _, PauseOrder, Saying};
use skeg::ports::approver::{NotCast, Votes as _};

use crate::support::audit_log::AuditLog;
use crate::support::outside::{Outside, Running};

/// SL-09: buttons outlive the updates they stand for, and are clicked while skeg starts.
#[tokio::test]
async fn a_click_on_what_is_not_there_is_refused_and_in_the_audit_log() {
    let audit = AuditLog::begin();
    let running = Running::start(&Outside::new(&[]).with_approval());
    let click = async || running.ballots().cast(UpdateId { namespace: "shop".into(), name: "web-0123456789".into() }, ballot()).await;
    let why = ["still starting: the records are not loaded yet", "no update is called shop/web-0123456789"];
    for why in why {
        assert_eq!(click().await.unwrap_err(), NotCast::Refused(why.to_owned()));
        running.wait_for(|updates| (!updates.is_empty()).then_some(())).await;
    }
    let refused: Vec<_> = audit.lines().into_iter().filter(|line| line["event"] == "vote-refused").collect();
    assert_eq!(refused.len(), 2, "{refused:#?}");
    for (line, why) in refused.iter().zip(why) {
        assert_eq!((&line["detail"], &line["update.id"]), (&format!("slack:U1: {why}").into(), &"shop/web-0123456789".into()));
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_whose_caller_has_left_is_in_the_audit_log() {
    let audit = AuditLog::begin();
    let running = Running::start(&Outside::new(&[]).with_approval());
    running.wait_for(|updates| (!updates.is_empty()).then_some(())).await;
    let (caller, order) = (Caller::new("user:ann"), PauseOrder { scope: Scope::All, lasting: None, reason: None });
    let mut pause = running.desk.pause(&caller, order);
    assert!(futures::poll!(&mut pause).is_pending(), "it is given, and not answered yet");
    drop(pause);
    running.wait_for(|_| audit.lines().iter().any(|line| line["event"] == "order").then_some(())).await;
    let status = running.desk.status().await;
    assert_eq!(status.pauses.len(), 1, "it is carried out");
    let orders: Vec<_> = audit.lines().into_iter().filter(|line| line["event"] == "order").collect();
    assert_eq!(orders.len(), 1, "{orders:#?}");
    let told = ["caller", "order", "on", "outcome"].map(|key| orders[0][key].as_str().unwrap().to_owned());
    assert_eq!(told, ["user:ann", "pause", "everything", "done"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_that_is_refused_at_the_desk_is_in_the_audit_log() {
    let audit = AuditLog::begin();
    let running = Running::start(&Outside::new(&[]));
    let id = UpdateId { namespace: "shop".into(), name: "web-0123456789".into() };
    let saying = Saying { reason: None, override_gates: true };
    running.desk.retry(&Caller::new("user:ann"), &id, saying).await.unwrap_err();
    let lines = audit.lines();
    let line = lines.iter().find(|line| line["event"] == "order").unwrap();
    assert_eq!((&line["order"], &line["on"]), (&"retry".into(), &"shop/web-0123456789".into()));
    assert!(line["outcome"].as_str().unwrap().starts_with("an override needs"), "{line}");
    running.stop().await.unwrap();
}

fn ballot() -> Ballot {
    let home = Home { team: "T1".into(), channel: "C1".into() };
    let clicker = Clicker { user: "U1".into(), team: Some("T1".into()), channel: Some("C1".into()), standing: Standing::Member, home };
    Ballot { voter: Voter::Slack(clicker), verdict: Verdict::Approve, content: Some("sha256:aa".into()), reason: None }
}
