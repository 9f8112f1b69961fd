//! When an assertion holds (RFC 7523 section 3, points 4 to 6): not before, not after, and not too
//! long.

use std::time::Duration;

use jeton_jose::jwt::Claims;

use crate::clock::Time;
use crate::error::Reason;

/// How long what was used is remembered beyond the moment from which on it is refused anyway: a
/// leeway that is made greater must not bring back what was used just before.
const REMEMBERED_LONGER: Duration = Duration::from_secs(60);

/// How long assertions may live, and how far clocks may differ.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) lifetime_max: Duration,
    pub(super) leeway: Duration,
}

/// Holds `exp`, `nbf` and `iat` against the time. Until when the assertion must be remembered once
/// it was used.
///
/// A node that accepts it then has a clock before `exp` and the leeway, so it still finds it. What
/// was used is only removed ten minutes later, so that this holds for clocks that differ.
pub(super) fn check(claims: &Claims, now: Time, bounds: Bounds) -> Result<Time, Reason> {
    let Bounds { lifetime_max, leeway } = bounds;
    let expires_at = claims.time("exp").ok().flatten().ok_or(Reason::AssertionExpiryMissing)?;
    let expires_at = moment(expires_at);
    if now >= expires_at.plus(leeway) {
        return Err(Reason::AssertionExpired);
    }
    if expires_at > now.plus(lifetime_max).plus(leeway) {
        return Err(Reason::AssertionLongLived);
    }
    for name in ["nbf", "iat"] {
        let time = claims.time(name).map_err(|_| Reason::AssertionTimeMalformed)?;
        let Some(time) = time.map(moment) else { continue };
        if time > now.plus(leeway) {
            return Err(Reason::AssertionEarly);
        }
        // How long ago it began to hold says nothing: some issuers write the beginning of the day.
        if name == "iat" && time < now.minus(lifetime_max).minus(leeway) {
            return Err(Reason::AssertionOld);
        }
    }
    Ok(expires_at.plus(leeway).plus(REMEMBERED_LONGER))
}

fn moment(seconds: u64) -> Time {
    Time::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
