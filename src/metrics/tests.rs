use super::*;

#[track_caller]
fn check(metrics: &Metrics, line: &str) {
    let rendered = metrics.render();
    assert!(rendered.lines().any(|written| written == line), "{line} is not in\n{rendered}");
}

#[test]
fn families_have_the_names_that_dashboards_use() {
    let metrics = Metrics::new(["docker.io".into()]);
    metrics.closed(Outcome::RolledBack, Trigger::Webhook);
    metrics.left_phase("Held", Duration::from_secs(20));
    metrics.set_approvals_waiting(2);
    metrics.registry_waited("docker.io", Duration::from_millis(1_500));
    metrics.delivery("native", Delivery::Full);
    metrics.committed("manifests", 1);
    metrics.pushed("manifests", Push::Overtaken);
    metrics.noticed("events", false);
    metrics.set_tags_behind([("shop", 2)]);
    metrics.set_leader(true);
    metrics.lead_time(Duration::from_secs(70));
    metrics.restored(Duration::from_secs(3));
    metrics.hint_put_off();
    metrics.panicked();
    for line in [
        "skeg_updates_total{outcome=\"RolledBack\",trigger=\"webhook\"} 1",
        "skeg_update_phase_seconds_bucket{le=\"60.0\",phase=\"Held\"} 1",
        "skeg_approvals_waiting 2",
        "skeg_registry_wait_seconds_total{host=\"docker.io\"} 1.5",
        "skeg_webhook_deliveries_total{source=\"native\",outcome=\"full\"} 1",
        "skeg_git_commits_total{remote=\"manifests\"} 1",
        "skeg_git_pushes_total{remote=\"manifests\",outcome=\"overtaken\"} 1",
        "skeg_notices_total{channel=\"events\",outcome=\"failed\"} 1",
        "skeg_tags_behind{namespace=\"shop\"} 2",
        "skeg_leader 1",
        "skeg_lead_time_seconds_count 1",
        "skeg_restore_seconds_sum 3.0",
        "skeg_hints_put_off_total 1",
        "skeg_panics_total 1",
        "# EOF",
    ] {
        check(&metrics, line);
    }
}

#[test]
fn a_registry_cannot_invent_labels() {
    let metrics = Metrics::new(["docker.io".into()]);
    metrics.registry_request("docker.io", Some(200));
    metrics.registry_request("evil-1.example.com", Some(418));
    metrics.registry_request("evil-2.example.com", Some(499));
    metrics.registry_request("docker.io", None);
    check(&metrics, "skeg_registry_requests_total{host=\"docker.io\",status=\"200\"} 1");
    check(&metrics, "skeg_registry_requests_total{host=\"other\",status=\"4xx\"} 2");
    check(&metrics, "skeg_registry_requests_total{host=\"docker.io\",status=\"none\"} 1");
}

#[test]
fn what_is_over_shows_as_nothing() {
    let metrics = Metrics::new([]);
    check(&metrics, "skeg_updates_open{phase=\"Restoring\"} 0");
    metrics.set_open([("Held", 3)]);
    check(&metrics, "skeg_updates_open{phase=\"Held\"} 3");
    metrics.set_open([("Applying", 1)]);
    check(&metrics, "skeg_updates_open{phase=\"Held\"} 0");
    metrics.set_directive_errors([("shop", 1)]);
    check(&metrics, "skeg_directive_errors{namespace=\"shop\"} 1");
    metrics.set_directive_errors([]);
    assert!(!metrics.render().contains("namespace=\"shop\""));
}
