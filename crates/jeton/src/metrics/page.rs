//! The text of a scrape: metrics of the catalogue in the format that was asked for, OpenMetrics or the
//! older text format of Prometheus.

use std::fmt;

use http::HeaderMap;
use http::header::ACCEPT;
use jeton_engine::clock::Time;
use jeton_engine::measure::Spread;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};

use super::catalogue::{ALL, Kind, Metric};

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0, for whoever names it.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4, for everybody else.
    Text,
}

impl Format {
    /// What these headers ask for. Who does not name OpenMetrics, or forbids it with a quality of zero, may
    /// not understand it.
    pub(crate) fn asked_for(headers: &HeaderMap) -> Self {
        let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
        let mut ranges = fields.flat_map(|field| field.split(','));
        let names_it = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let forbids = |part: &str| {
                let quality = part.strip_prefix("q=").map(str::parse::<f32>);
                quality.is_some_and(|quality| quality.is_ok_and(|quality| quality <= 0.0))
            };
            media_type.eq_ignore_ascii_case("application/openmetrics-text") && !parts.any(forbids)
        };
        if ranges.any(names_it) { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Turns what was written in OpenMetrics into this format. They differ in this: OpenMetrics declares a
    /// counter without the `_total` of its samples, and says at the end that it is the end.
    pub(super) fn of(self, text: String) -> String {
        if self == Self::OpenMetrics {
            return text;
        }
        let mut plain = String::with_capacity(text.len() + 4096);
        for line in text.lines().filter(|line| *line != "# EOF") {
            match declared_counter(line) {
                Some((name, rest)) => {
                    let keyword = line.get(..7).unwrap_or_default();
                    plain.extend([keyword, name, "_total ", rest]);
                }
                None => plain.push_str(line),
            }
            plain.push('\n');
        }
        plain
    }
}

/// The counter that a line declares, and what it says of it.
fn declared_counter(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "))?;
    let (name, rest) = rest.split_once(' ')?;
    let is_counter = |metric: &Metric| metric.kind == Kind::Counter && metric.name == name;
    ALL.iter().any(is_counter).then_some((name, rest))
}

/// A page that is being written, one metric after the other.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A counter or a gauge: a number for each row of label values, in the order of the metric's
    /// labels. An empty value says that the label does not apply.
    pub(super) fn numbers<'v, const N: usize, V: Into<Number>>(
        &mut self,
        metric: &Metric,
        rows: impl IntoIterator<Item = ([&'v str; N], V)>,
    ) -> fmt::Result {
        let mut encoder = self.declare(metric)?;
        for (values, number) in rows {
            let labels = labels(metric, &values);
            let number = number.into();
            match labels.is_empty() {
                true => number.encode(metric, &mut encoder)?,
                false => number.encode(metric, &mut encoder.encode_family(&labels)?)?,
            }
        }
        Ok(())
    }

    /// A counter or a gauge without labels.
    pub(super) fn number<V: Into<Number>>(&mut self, metric: &Metric, number: V) -> fmt::Result {
        self.number_if_any(metric, Some(number))
    }

    /// A counter or a gauge without labels that need not have a number.
    pub(super) fn number_if_any<V: Into<Number>>(
        &mut self,
        metric: &Metric,
        number: Option<V>,
    ) -> fmt::Result {
        self.numbers(metric, number.map(|number| ([], number)))
    }

    /// A histogram: a spread for each row of label values, each of its values divided by `unit`.
    pub(super) fn spreads<'v, const N: usize>(
        &mut self,
        metric: &Metric,
        unit: f64,
        rows: impl IntoIterator<Item = ([&'v str; N], &'v Spread)>,
    ) -> fmt::Result {
        let mut encoder = self.declare(metric)?;
        for (values, spread) in rows {
            let labels = labels(metric, &values);
            match labels.is_empty() {
                true => encode(spread, unit, &mut encoder)?,
                false => encode(spread, unit, &mut encoder.encode_family(&labels)?)?,
            }
        }
        Ok(())
    }

    fn declare(&mut self, metric: &Metric) -> Result<MetricEncoder<'_>, fmt::Error> {
        let Metric { name, kind, help, .. } = metric;
        self.0.encode_descriptor(name, help, None, kind.metric_type())
    }
}

fn labels<'v>(metric: &Metric, values: &[&'v str]) -> Vec<(&'static str, &'v str)> {
    let pairs = metric.labels.iter().copied().zip(values.iter().copied());
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

fn encode(spread: &Spread, unit: f64, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    let bounds = spread.bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(spread.counts.iter().copied()).collect();
    let sum = spread.sum as f64 / unit;
    encoder.encode_histogram::<NoLabelSet>(sum, spread.count(), &buckets, None)
}

/// A number of a counter or a gauge.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl Number {
    fn encode(self, metric: &Metric, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (metric.kind, self) {
            (Kind::Counter, Self::Whole(number)) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(&number, None)
            }
            (Kind::Counter, Self::Real(number)) => {
                encoder.encode_counter::<NoLabelSet, _, u64>(&number, None)
            }
            (_, Self::Whole(number)) => encoder.encode_gauge(&number),
            (_, Self::Real(number)) => encoder.encode_gauge(&number),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Number {
    fn from(holds: bool) -> Self {
        Self::Whole(u64::from(holds))
    }
}

impl From<Time> for Number {
    /// Seconds since the epoch, as timestamps are told.
    fn from(time: Time) -> Self {
        Self::Real(time.milliseconds() as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::asked_for(&headers)
    }

    #[test]
    fn who_names_openmetrics_gets_it_and_nobody_else() {
        // What Prometheus 2.42 sends.
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                          version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(asked(prometheus), Format::OpenMetrics);
        assert_eq!(asked("Application/OpenMetrics-Text"), Format::OpenMetrics);
        for other in [
            "*/*",
            "text/plain",
            "application/openmetrics-texts",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; version=1.0.0; q=0.0, text/plain",
        ] {
            assert_eq!(asked(other), Format::Text, "{other}");
        }
        assert_eq!(Format::asked_for(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn in_the_older_format_counters_are_declared_as_their_samples_are_called() {
        let text = "# HELP jeton_requests Requests\n# TYPE jeton_requests counter\n\
                    jeton_requests_total 1\n# HELP jeton_clients Clients\n\
                    # TYPE jeton_clients gauge\njeton_clients 2\n# EOF\n";
        assert_eq!(Format::OpenMetrics.of(text.to_owned()), text);
        let plain = "# HELP jeton_requests_total Requests\n# TYPE jeton_requests_total counter\n\
                     jeton_requests_total 1\n# HELP jeton_clients Clients\n\
                     # TYPE jeton_clients gauge\njeton_clients 2\n";
        assert_eq!(Format::Text.of(text.to_owned()), plain);
    }
}
