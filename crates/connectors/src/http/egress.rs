//! Where actions may connect to: anywhere public, and what is private only when that is allowed.
//!
//! A name is resolved once; what was checked is what is connected to, so that a name which means
//! another address a moment later leads nowhere else.

use super::client::shown;
use contracts::action::Allowed;
use model::{Problem, Result, codes};
use reqwest::{Client, redirect};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

const RESOLVE_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A client that connects to the checked addresses of `url` and to nothing else. It follows no
/// redirect and uses no proxy: either would lead past the check.
pub(super) async fn client(url: &Url, allowed: &Allowed, timeout: Duration) -> Result<Client> {
    let addresses = addresses(url).await?;
    let (host, port) = place(url)?;
    let private = addresses.iter().find(|address| !is_public(address.ip()));
    if let Some(private) = private.filter(|_| !allowed.is_host(&host, port)) {
        let fact = format!("`{}` leads to a private address, {}", shown(url), private.ip());
        return Err(Problem::new(&codes::ACTION_REFUSED, fact).arg("host", &host).hint(format!(
            "whoever runs the server allows it with `AFFLUENT_PRIVATE_HOSTS={host}`"
        )));
    }
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(CONNECT_MAX)
        .timeout(timeout)
        .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")));
    if let Some(Host::Domain(name)) = url.host() {
        builder = builder.resolve_to_addrs(name, &addresses);
    }
    builder.build().map_err(|error| {
        Problem::new(&codes::INTERNAL, "an HTTP client cannot be made").detail(error)
    })
}

fn place(url: &Url) -> Result<(String, u16)> {
    let host = url.host_str().map(str::to_owned);
    host.zip(url.port_or_known_default()).ok_or_else(|| {
        Problem::new(&codes::SETTING_INVALID, format!("`{}` names no host", shown(url)))
            .hint("write `https://host/path`")
    })
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>> {
    let (_, port) = place(url)?;
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => return Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => name,
        None => "",
    };
    let unknown = || {
        Problem::new(&codes::CONNECTION_FAILED, format!("`{name}` has no address"))
            .arg("host", name)
            .hint("check the name and the network")
    };
    let resolved = tokio::time::timeout(RESOLVE_MAX, tokio::net::lookup_host((name, port))).await;
    let found: Vec<SocketAddr> = match resolved {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(unknown().detail(error)),
        Err(_) => return Err(unknown().detail("the name servers have not answered in 10 s")),
    };
    if found.is_empty() { Err(unknown()) } else { Ok(found) }
}

/// Whether an address belongs to the internet, and not to this machine, to a private network or
/// to a special use.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast();
    // This network, shared by providers, protocol assignments, relays, benchmarks, reserved.
    let reserved = a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || a >= 240;
    !special && !reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // Addresses that carry one of version 4 lead to where that one leads.
    let carried = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] => carried(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => carried(high, low),
        [0x2002, high, low, ..] => carried(high, low),
        // What is global is in 2000::/3, but for documentation and protocol assignments.
        [0x2001, 0xdb8, ..] => false,
        [0x2001, second, ..] if second < 0x200 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_dress() {
        let private = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
            "fec0::1",
            "64:ff9b:1::1",
        ];
        for text in private {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let public = [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2a00:1450:4001::1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_private_address_needs_leave_however_it_is_written() {
        let urls = [
            "http://localhost:8080/",
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://127.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0/",
        ];
        let second = Duration::from_secs(1);
        for text in urls {
            let url = Url::parse(text).unwrap();
            let problem = client(&url, &Allowed::default(), second).await.unwrap_err();
            assert!(problem.is(&codes::ACTION_REFUSED), "{text}: {problem}");
            let allowed = Allowed { shell: false, private_hosts: vec!["*".to_owned()] };
            client(&url, &allowed, second).await.unwrap();
        }
    }
}
