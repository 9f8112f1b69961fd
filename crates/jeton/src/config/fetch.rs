//! What fetching the keys of others may cost and whom it may reach: the section `[fetch]`.

use std::path::Path;

use super::check::Reader;
use super::parse::{self, Wrong};
use super::problem::{Place, Problem};
use crate::fetch::Bounds;
use crate::tls;

/// Reads the section.
pub(super) fn fetch(reader: &mut Reader, base_dir: &Path) -> Option<Bounds> {
    let allow = reader.read_list("fetch.allow", |said| parse::list(said, parse::network));
    let ca_file = reader.said("fetch.ca_file").map(|_| {
        reader.read("fetch.ca_file", |said| {
            let path = base_dir.join(parse::text(said)?);
            let usable = tls::certificates(&path).map(|_| ());
            usable.map_err(|error| {
                Wrong::new(format!("names a file that cannot be used: {error}"))
            })?;
            Ok(path)
        })
    });
    let connect_timeout = reader.read("fetch.connect_timeout", parse::duration::<1, 60>);
    let timeout = reader.read("fetch.timeout", parse::duration::<1, 120>);
    let body_bytes = reader.read("fetch.body_bytes_max", parse::bytes::<1_024, 524_288>);
    let requests = reader.read("fetch.requests_max", parse::number::<1, 1_000>);
    let again_after = reader.read("fetch.again_after", parse::duration::<1, 3_600>);
    let fresh_min = reader.read("fetch.fresh_min", parse::duration::<1, 86_400>);
    let fresh_max = reader.read("fetch.fresh_max", parse::duration::<1, 604_800>);
    let stale_max = reader.read("fetch.stale_max", parse::duration::<0, 604_800>);
    let key_sets = reader.read("fetch.key_sets_max", parse::number::<1, 100_000>);
    if fresh_min? > fresh_max? {
        let place = match reader.place("fetch.fresh_min") {
            Place::Default => reader.place("fetch.fresh_max"),
            place => place,
        };
        let problem = Problem::new(place, "`fetch.fresh_min` is longer than `fetch.fresh_max`");
        reader.problem(problem.remedy("make the one shorter, or the other longer"));
    }
    let allow = allow?;
    if allow.iter().any(|network| network.prefix_len() == 0) {
        let place = reader.place("fetch.allow");
        let problem = Problem::new(place, "`fetch.allow` names every address there is");
        let remedy = "whoever may name a URL can reach your own network by it: name the networks that are needed";
        reader.warnings.push(problem.remedy(remedy));
    }
    Some(Bounds {
        allow,
        ca_file: ca_file.map_or(Some(None), |file| file.map(Some))?,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        body_bytes_max: usize::try_from(body_bytes?).ok()?,
        requests_max: usize::try_from(requests?).ok()?,
        again_after: again_after?,
        fresh_min: fresh_min?,
        fresh_max: fresh_max?,
        stale_max: stale_max?,
        key_sets_max: usize::try_from(key_sets?).ok()?,
    })
}
