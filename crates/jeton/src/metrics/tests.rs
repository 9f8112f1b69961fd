//! Proves that the page for operators tells of every metric and every alert, and that rules and dashboard
//! ask for nothing that there is not.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::catalogue::{ALL, Kind, Metric};

const RULES: &str = "prometheus/jeton.rules.yml";

/// A file of `docs/operate`.
fn operate(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn page() -> String {
    operate("observing.md")
}

/// What stands on the lines that begin like this.
fn behind<'a>(text: &'a str, beginning: &str) -> BTreeSet<&'a str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(beginning)).collect()
}

/// The row that the page has for a metric.
fn row(metric: &Metric) -> String {
    let (name, kind) = match metric.kind {
        Kind::Counter => (format!("{}_total", metric.name), "counter"),
        Kind::Gauge => (metric.name.to_owned(), "gauge"),
        Kind::Histogram => (metric.name.to_owned(), "histogram"),
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), metric.help)
}

#[test]
fn the_page_for_operators_has_a_row_for_every_metric_in_the_order_of_the_text() {
    let expected: Vec<String> = ALL.iter().map(row).collect();
    let page = page();
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `jeton_") || line.starts_with("| `process_"))
        .collect();
    let rows_of_page = rows.join("\n");
    assert_eq!(rows_of_page, expected.join("\n"), "docs/operate/observing.md");
}

#[test]
fn names_say_what_they_count_and_in_which_unit() {
    for (index, metric) in ALL.iter().enumerate() {
        let Metric { name, kind, help, labels } = metric;
        assert!(name.starts_with("jeton_") || name.starts_with("process_"), "{name}");
        assert!(!name.ends_with("_total"), "{name}: that is added to counters");
        assert!(!help.is_empty() && !help.ends_with('.'), "{name}");
        let measures_time = ["_duration_", "_since_", "_due_", "_expiry_"];
        let is_time = measures_time.iter().any(|part| name.contains(part));
        assert!(!is_time || name.ends_with("_seconds"), "{name}");
        assert!(*kind != Kind::Histogram || !labels.contains(&"le"), "{name}");
        assert!(ALL.iter().skip(index + 1).all(|other| other.name != *name), "{name}");
    }
}

/// The metrics that an expression names.
fn named(expression: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    // In the middle of a recorded name a colon is a part of it, in a sentence it is none.
    let words = expression.split(|c| !is_part(c)).map(|word| word.trim_end_matches(':'));
    words.filter(|word| ["jeton_", "process_"].iter().any(|own| word.contains(own))).collect()
}

/// The names that samples have.
fn samples(metric: &Metric) -> Vec<String> {
    let name = metric.name;
    match metric.kind {
        Kind::Counter => vec![format!("{name}_total")],
        Kind::Gauge => vec![name.to_owned()],
        Kind::Histogram => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
    }
}

fn assert_known<'a>(
    what: &str,
    asked_for: impl IntoIterator<Item = &'a str>,
    also: &BTreeSet<&str>,
) {
    let known: BTreeSet<String> = ALL.iter().flat_map(samples).collect();
    let unknown: Vec<&str> = asked_for
        .into_iter()
        .filter(|name| !known.contains(*name) && !also.contains(name))
        .collect();
    assert_eq!(unknown, Vec::<&str>::new(), "{what}");
}

#[test]
fn rules_ask_for_metrics_that_there_are() {
    let rules = operate(RULES);
    let recorded = behind(&rules, "- record: ");
    assert_eq!(recorded.len(), 4);
    // What the sentences for operators name must be there as well.
    let known: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let mut also: BTreeSet<&str> = recorded;
    also.extend(known.iter().map(String::as_str));
    assert_known(RULES, named(&rules), &also);
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are_in_panels_that_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&operate("grafana/jeton.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        let place = &panel["gridPos"];
        assert!(places.insert((place["y"].as_u64(), place["x"].as_u64())), "{title}");
        let targets = panel["targets"].as_array();
        assert!(targets.is_some() || panel["type"] == "row", "{title}");
        for target in targets.into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let named = named(expression);
            assert!(!named.is_empty() || expression.contains("up{"), "{title}: {expression}");
            assert_known(title, named, &BTreeSet::new());
        }
    }
    let all = dashboard.to_string();
    let missing: Vec<&str> = ALL
        .iter()
        .filter(|metric| !samples(metric).iter().any(|sample| all.contains(sample)))
        .map(|metric| metric.name)
        .collect();
    // What these say is in the panels beside them.
    let left_out =
        ["jeton_faults", "jeton_store_connections_max", "jeton_recorder_queue_length_max"];
    let plain = ["process_virtual_memory_bytes", "process_threads"];
    let expected: BTreeSet<&str> = left_out.into_iter().chain(plain).collect();
    assert_eq!(missing.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_page_for_operators_tells_of_every_alert_and_each_is_tried() {
    let rules = operate(RULES);
    let alerts = behind(&rules, "- alert: ");
    let page = page();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `Jeton"));
    let told: BTreeSet<String> =
        rows.map(|row| format!("Jeton{}", row.split_once('`').unwrap().0)).collect();
    assert_eq!(told, alerts.iter().map(|alert| (*alert).to_owned()).collect());
    let tests = operate("prometheus/jeton.tests.yml");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname=\"{alert}\"")), "{alert} is never tried");
    }
    let count = |part: &str| rules.matches(part).count();
    assert_eq!(count("- alert: "), count("what_to_do: "));
    assert_eq!(count("- alert: "), count("summary: "));
}
