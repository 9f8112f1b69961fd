//! Proves that the page for operators tells of every metric, and of nothing else.

use std::path::Path;

use super::catalogue::{ALL, Kind, Metric};

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/observing.md");
    std::fs::read_to_string(page).unwrap()
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
