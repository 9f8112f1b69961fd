//! The table, and the same as JSON: figures, goals and whether they are met.

use serde::Serialize;
use serde_json::{Value, json};

use crate::alone;
use crate::measure::Measured;
use crate::peers::PeerRow;
use crate::rows::{Goal, Row};

/// How much of its core a server uses at least, where it is the limit.
const BUSY: f64 = 0.95;

/// What is told of one row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) measured: Option<Measured>,
    /// What was wanted, and whether it is so.
    pub(crate) goals: Vec<(String, bool)>,
    /// Why there are no figures, or what is to be known about them.
    pub(crate) remarks: Vec<String>,
}

impl Line {
    pub(crate) fn without(name: &str, title: &str, why: String) -> Self {
        let (name, title) = (name.to_owned(), title.to_owned());
        Self { name, title, measured: None, goals: Vec::new(), remarks: vec![why] }
    }
}

/// Everything that a run found.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    /// Figures that are no requests per second: name, value with its unit, goal and whether it is met.
    pub(crate) figures: Vec<Figure>,
    pub(crate) warnings: Vec<String>,
}

/// One figure that stands by itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// At most, or at least where the value is a ratio.
    pub(crate) goal: Option<f64>,
    pub(crate) met: Option<bool>,
}

impl Report {
    fn measured(&self, name: &str) -> Option<&Measured> {
        self.lines.iter().find(|line| line.name == name)?.measured.as_ref()
    }

    /// Adds a line, and tells it at once, so that a run that is broken off has told what it found.
    pub(crate) fn push(&mut self, line: Line) {
        eprint!("{}", Self::row(&line));
        self.lines.push(line);
    }

    /// Adds a measured row and judges it.
    pub(crate) fn add(&mut self, row: &Row, measured: Measured) {
        let of = row.goal.of.as_ref().and_then(|of| self.measured(of));
        let mut goals = judge(&row.goal, &measured, of);
        let mut remarks = Vec::new();
        if let Some(fsync) = measured.fsync {
            if row.goal.share.is_some() {
                let most = 3.0 * fsync + 1.0;
                goals.push((format!("p50 <= {most:.1} ms"), measured.open.p50 <= most));
            }
            remarks.push(format!(
                "the disk took {fsync:.2} ms for an fsync; at the most it does, p50 was {:.2} ms",
                measured.closed.p50
            ));
        }
        if let (Some(step), Some(step_us)) = (row.step, measured.step_us) {
            let most = measured.floor_cpu_us / (measured.floor_cpu_us + step_us);
            remarks.push(format!(
                "{} alone takes {step_us:.1} µs here, so that a share of {most:.3} would be the most",
                step.name()
            ));
        }
        if let Some(wrk) = &measured.wrk {
            let more = wrk.share / measured.share - 1.0;
            let text = format!("wrk's share within 5 % ({:+.1})", more * 100.0);
            // What wrk is the limit of says nothing about the server: its TLS costs more than ours.
            if wrk.busy.min(wrk.floor_busy) >= BUSY {
                goals.push((text, more.abs() <= 0.05));
            }
            remarks.push(format!(
                "wrk: {:.0}/s, busy {:.2}; floor {:.0}/s, busy {:.2} (here {:.0}/s, busy {:.2}); share {:.3}",
                wrk.per_second,
                wrk.busy,
                wrk.floor_per_second,
                wrk.floor_busy,
                measured.floor_per_second,
                measured.floor_busy,
                wrk.share,
            ));
        }
        if measured.made_late > 0 {
            remarks.push(format!("{} requests were made while the clock ran", measured.made_late));
        }
        if measured.late > 0 {
            remarks.push(format!("{} requests were late at the fixed rate", measured.late));
        }
        let (name, title) = (row.name.clone(), row.title.clone());
        self.push(Line { name, title, measured: Some(measured), goals, remarks });
    }

    /// The line of a peer's row: how often jeton does what it does once, where that was measured.
    pub(crate) fn peer(&self, row: &PeerRow, measured: Measured) -> Line {
        let mut remarks = vec![row.does.clone()];
        if let Some(ours) = self.measured(&row.beside) {
            let times = ours.share / measured.share;
            remarks.push(format!("jeton's row {} does {times:.1} times as many", row.beside));
        }
        let (name, title) = (row.name.clone(), row.does.clone());
        Line { name, title, measured: Some(measured), goals: Vec::new(), remarks }
    }

    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str, most: Option<f64>) {
        let met = most.map(|most| value <= most);
        self.figures.push(Figure { name: name.to_owned(), value, unit, goal: most, met });
    }

    /// What stands above the figures.
    pub(crate) fn head() -> String {
        format!(
            "{:<19} {:>9} {:>6} {:>5} {:>7} {:>5} {:>8} {:>8} {:>8} {:>7}  goal\n",
            "row", "req/s", "share", "±", "cpu µs", "busy", "p50 ms", "p99", "p99.9", "MiB"
        )
    }

    /// The table as lines of text.
    pub(crate) fn table(&self) -> String {
        let mut text = Self::head();
        for line in &self.lines {
            text.push_str(&Self::row(line));
        }
        for figure in &self.figures {
            let goal = match (figure.goal, figure.met) {
                (Some(goal), Some(met)) => format!("  <= {goal} {} {}", figure.unit, said(met)),
                _ => String::new(),
            };
            text.push_str(&format!(
                "{:<60} {:>9.1} {}{goal}\n",
                figure.name, figure.value, figure.unit
            ));
        }
        for warning in &self.warnings {
            text.push_str(&format!("WARNING: {warning}\n"));
        }
        text
    }

    fn row(line: &Line) -> String {
        let remarks: String = line.remarks.iter().map(|remark| format!("    {remark}\n")).collect();
        let Some(measured) = &line.measured else { return format!("{}\n{remarks}", line.name) };
        let goals = line.goals.iter().map(|(goal, met)| format!("{goal} {}", said(*met)));
        // Some peers' shares would be nothing with three.
        let decimals = if measured.share < 0.01 { 4 } else { 3 };
        format!(
            "{:<19} {:>9.0} {:>6.decimals$} {:>5.3} {:>7.1} {:>5.2} {:>8.3} {:>8.3} {:>8.3} {:>7.1}  {}\n{remarks}",
            line.name,
            measured.per_second,
            measured.share,
            measured.share_spread,
            measured.cpu_us,
            measured.busy,
            measured.open.p50,
            measured.open.p99,
            measured.open.p999,
            measured.resident_mib,
            goals.collect::<Vec<_>>().join(", "),
        )
    }

    /// The same for machines, beside what was known of this one.
    pub(crate) fn json(&self, machine: &Value) -> Value {
        json!({
            "machine": machine,
            "rows": self.lines,
            "figures": self.figures,
            "warnings": self.warnings,
        })
    }
}

fn said(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn judge(goal: &Goal, measured: &Measured, of: Option<&Measured>) -> Vec<(String, bool)> {
    let mut goals = Vec::new();
    if let Some(share) = goal.share {
        goals.push((format!("share >= {share}"), measured.share >= share));
    }
    if let (Some(ratio), Some(name), Some(of)) = (goal.ratio, &goal.of, of) {
        let found = measured.share / of.share;
        goals.push((format!("{found:.2} of {name}, >= {ratio}"), found >= ratio));
    }
    if let (Some(most), Some(name), Some(of)) = (goal.more_cpu_us, &goal.of, of) {
        // The machine may have been faster or slower when the other row was measured: the floor tells.
        let drift = measured.floor_cpu_us / of.floor_cpu_us;
        let (more, counting) = (measured.cpu_us - of.cpu_us * drift, alone::counting());
        let met = more + counting <= most;
        goals.push((
            format!("{more:.2} µs more than {name}, and {counting:.2} to count it: <= {most}"),
            met,
        ));
    }
    if let Some(most) = goal.cpu_us {
        goals.push((format!("cpu <= {most} µs"), measured.cpu_us <= most));
    }
    if let Some(least) = goal.per_second {
        goals.push((format!(">= {least}/s"), measured.per_second >= least));
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrk::Repeated;

    fn measured(share: f64, cpu_us: f64) -> Measured {
        let (per_second, floor_cpu_us) = (share * 1e5, 7.0);
        Measured { share, cpu_us, floor_cpu_us, per_second, ..Measured::default() }
    }

    fn row(goal: &str) -> Row {
        let text = format!("[[row]]\nname = \"a\"\ntitle = \"A\"\n{goal}");
        crate::rows::read(&text).unwrap().remove(0)
    }

    #[test]
    fn goals_are_met_on_the_line_and_missed_below() {
        let goals = "goal.share = 0.5\ngoal.cpu_us = 10.0\ngoal.per_second = 50000.0";
        for (share, cpu, met) in [(0.5, 10.0, true), (0.499, 10.1, false)] {
            let mut report = Report::default();
            report.add(&row(goals), measured(share, cpu));
            assert!(report.lines[0].goals.iter().all(|(_, it)| *it == met), "{}", report.table());
            assert_eq!(report.table().contains("MISSED"), !met);
        }
    }

    #[test]
    fn a_durable_row_is_held_to_the_disk() {
        let mut report = Report::default();
        let row = row("durable = true\ngoal.share = 0.1");
        for fsync in [1.0, 1.1] {
            let mut slow = Measured { fsync: Some(fsync), ..measured(0.2, 1.0) };
            slow.open.p50 = 4.1;
            report.add(&row, slow);
        }
        let met: Vec<bool> = report.lines.iter().map(|line| line.goals[1].1).collect();
        assert_eq!(met, [false, true]);
    }

    #[test]
    fn comparisons_are_with_the_other_row_of_the_same_run() {
        let goal = "goal.of = \"b\"\ngoal.ratio = 0.9\ngoal.more_cpu_us = 1.0";
        let text = format!(
            "[[row]]\nname = \"b\"\ntitle = \"B\"\n[[row]]\nname = \"a\"\ntitle = \"A\"\n{goal}"
        );
        let rows = crate::rows::read(&text).unwrap();
        let mut report = Report::default();
        report.add(&rows[0], measured(0.8, 7.0));
        report.add(&rows[1], measured(0.73, 8.5));
        let met: Vec<bool> = report.lines[1].goals.iter().map(|(_, met)| *met).collect();
        assert_eq!(met, [true, false]);
    }

    #[test]
    fn what_drifted_with_the_machine_is_no_cost() {
        let goal = "goal.of = \"b\"\ngoal.more_cpu_us = 1.5";
        let text = format!(
            "[[row]]\nname = \"b\"\ntitle = \"B\"\n[[row]]\nname = \"a\"\ntitle = \"A\"\n{goal}"
        );
        let rows = crate::rows::read(&text).unwrap();
        let mut report = Report::default();
        let drifted = Measured { floor_cpu_us: 9.0, ..measured(0.8, 15.1) };
        report.add(&rows[0], Measured { floor_cpu_us: 6.0, ..measured(0.8, 10.0) });
        report.add(&rows[1], drifted);
        assert!(report.lines[1].goals[0].0.starts_with("0.10 µs more"), "{}", report.table());
    }

    #[test]
    fn wrk_must_find_nearly_the_same() {
        for (share, met) in [(0.5, true), (0.53, false), (0.47, false)] {
            let mut report = Report::default();
            let wrk = Repeated { share, busy: 0.96, floor_busy: 0.97, ..Repeated::default() };
            report.add(&row(""), Measured { wrk: Some(wrk.clone()), ..measured(0.5, 1.0) });
            assert_eq!(report.lines[0].goals[0].1, met, "{}", report.table());
            let wrk = Some(Repeated { busy: 0.94, ..wrk });
            report.add(&row(""), Measured { wrk, ..measured(0.5, 1.0) });
            assert!(report.lines[1].goals.is_empty());
        }
    }
}
