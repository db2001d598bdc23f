//! `is_email` and `is_url`: addresses that could work, by their form.

use crate::arguments::{Want, coerce, result, test_text};
use arrow::datatypes::DataType;
use contracts::function::ScalarFunction;

pub(crate) const IS_EMAIL: ScalarFunction = ScalarFunction {
    name: "is_email",
    summary: "Whether the text has the form of an e-mail address.",
    syntax: "is_email(text)",
    examples: &[
        ("is_email('ada.lovelace+1@mail.example.org')", "true"),
        ("is_email('ada@localhost')", "false"),
        ("is_email('Ada <ada@example.org>')", "false"),
        ("is_email(NULL)", "NULL"),
    ],
    coerce: |types| coerce("is_email", types, &[Want::Text], &[]),
    returns: |_| result("is_email", DataType::Boolean),
    invoke: |arguments, rows| test_text(&arguments[0], rows, is_email),
};

pub(crate) const IS_URL: ScalarFunction = ScalarFunction {
    name: "is_url",
    summary: "Whether the text has the form of a web address (http, https or ftp).",
    syntax: "is_url(text)",
    examples: &[
        ("is_url('https://example.org/a?b=c#d')", "true"),
        ("is_url('http://[::1]:8080/')", "true"),
        ("is_url('example.org')", "false"),
        ("is_url('https://exa mple.org')", "false"),
    ],
    coerce: |types| coerce("is_url", types, &[Want::Text], &[]),
    returns: |_| result("is_url", DataType::Boolean),
    invoke: |arguments, rows| test_text(&arguments[0], rows, is_url),
};

/// Lengths as in RFC 5321; no quoted local parts, no address literals.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let atoms = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_local));
    atoms && local.len() <= 64 && text.len() <= 254 && domain.contains('.') && is_domain(domain)
}

/// Labels of letters, digits and inner hyphens; the last one is not a number.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.len() <= 253
        && domain.split('.').all(is_label)
        && last.chars().count() >= 2
        && !last.chars().all(|c| c.is_ascii_digit())
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let known = ["http", "https", "ftp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    if !known || rest.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"".contains(c)) {
        return false;
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = split_port(host_and_port);
    port.is_none_or(|port| port.parse::<u16>().is_ok()) && is_host(host)
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host == "localhost"
                || host.parse::<std::net::Ipv4Addr>().is_ok()
                || is_domain(host.strip_suffix('.').unwrap_or(host))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses() {
        for good in ["a@b.fr", "o'neil@example.co.uk", "é@exämple.de", "a_b-c@x-y.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "@",
            "a@",
            "@b.fr",
            "a@b",
            "a@b.",
            "a@.fr",
            "a..b@c.fr",
            ".a@b.fr",
            "a.@b.fr",
            "a b@c.fr",
            "a@b c.fr",
            "a@-b.fr",
            "a@b-.fr",
            "a@b.1",
            "a@b@c.fr",
            "a@b.f",
            "a,b@c.fr",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
        assert!(!is_email(&format!("{}@b.fr", "a".repeat(65))));
    }

    #[test]
    fn web_addresses() {
        for good in [
            "http://a.fr",
            "HTTPS://a.fr:443",
            "ftp://user:pw@a.fr/x",
            "http://127.0.0.1/",
            "http://localhost:3000",
            "https://a.fr?q=1",
            "https://exämple.de/é",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "http://",
            "http:///x",
            "mailto:a@b.fr",
            "http://a.fr:99999",
            "http://a b.fr",
            "http://-a.fr",
            "javascript://x.fr",
            "http://[::g]/",
            "https://a.fr/<b>",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
