//! Which realm and which mount a request belongs to.

/// Host and port of an authority such as `example.com:8443` or `[::1]:8443`.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of a bare IPv6 address stand inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
