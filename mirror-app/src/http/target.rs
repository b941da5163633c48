//! Targets of requests and the authorities in them.

use std::net::Ipv6Addr;

use super::Reason;

/// Most bytes of a host's name.
const MAX_HOST: usize = 255;

/// The authority and the path of a request's target (RFC 9112, section 3.2), without query and fragment.
pub fn split(target: &str, connect: bool) -> (Option<&str>, Option<&str>) {
    if connect {
        return (Some(target), None);
    }
    let path_of = |target: &str| {
        target.find(['?', '#']).and_then(|end| target.get(..end)).map_or(target.len(), str::len)
    };
    let scheme = target.find("://").filter(|&at| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        at > 0 && target.as_bytes().iter().take(at).all(|&byte| letter(byte))
    });
    let Some(rest) = scheme.and_then(|at| target.get(at + 3..)) else {
        return (None, target.get(..path_of(target)));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let path = path.get(..path_of(path)).filter(|path| !path.is_empty()).unwrap_or("/");
    (Some(authority), Some(path))
}

/// Host, in lower case and without a dot at its end, and port (RFC 3986, section 3.2, without user information).
pub fn parse_authority(authority: &[u8]) -> Result<(Box<str>, Option<u16>), Reason> {
    let text = str::from_utf8(authority).map_err(|_| Reason::Host)?.trim_ascii();
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']').ok_or(Reason::Host)) {
        Some(literal) => {
            let (address, rest) = literal?;
            address.parse::<Ipv6Addr>().map_err(|_| Reason::Host)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(Reason::Host)?) };
            (address, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(&byte);
    if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(fits) {
        return Err(Reason::Host);
    }
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| Reason::Host)?)
        }
        Some(_) => return Err(Reason::Host),
        None => None,
    };
    Ok((host.to_ascii_lowercase().into_boxed_str(), port))
}
