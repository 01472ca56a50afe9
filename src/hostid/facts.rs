//! Asking Linux who this host is. Everything is read from files, so nothing here needs unsafe code.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use seats::license::{HostIdEntry, HostIdKind};

use super::{HostFacts, Unreadable, expected};

/// What firmware says where nobody wrote anything in.
const PLACEHOLDERS: &[&str] = &[
    "none",
    "not specified",
    "default string",
    "to be filled by o.e.m.",
    "00000000-0000-0000-0000-000000000000",
];

pub(super) fn collect(server_key: Option<&str>, custom: &[String]) -> HostFacts {
    let mut host = HostFacts::default();
    add(&mut host, HostIdKind::ServerKey, server_key.map(str::to_owned));
    add(&mut host, HostIdKind::MachineId, trimmed(Path::new("/etc/machine-id")));
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    add(&mut host, HostIdKind::Hostname, Some(name));
    add(&mut host, HostIdKind::Ethernet, ethernet(Path::new("/sys/class/net")));
    add(&mut host, HostIdKind::IpAddress, addresses().into_iter().map(|address| address.to_string()));
    add(&mut host, HostIdKind::Username, username());
    dmi(&mut host, Path::new("/sys/class/dmi/id"), std::env::var_os("CREDENTIALS_DIRECTORY").as_deref());
    add(&mut host, HostIdKind::Custom, custom.iter().cloned());
    host
}

/// Only what a license could state is taken.
fn add(host: &mut HostFacts, kind: HostIdKind, values: impl IntoIterator<Item = String>) {
    let good = values.into_iter().filter(|value| expected(kind, value).is_none());
    host.facts.extend(good.map(|value| HostIdEntry { kind, value }));
}

fn trimmed(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Addresses of network cards: those with a device behind them first, bridges and the like after them.
fn ethernet(class: &Path) -> Vec<String> {
    let mut cards: Vec<(bool, String)> = Vec::new();
    for card in fs::read_dir(class).into_iter().flatten().flatten() {
        let Some(address) = trimmed(&card.path().join("address")) else { continue };
        // The loopback has zeros, tunnels have lengths of their own.
        if address.len() == "00:00:00:00:00:00".len() && address.chars().any(|c| !matches!(c, '0' | ':')) {
            cards.push((!card.path().join("device").exists(), address));
        }
    }
    cards.sort();
    cards.dedup();
    cards.into_iter().map(|(_, address)| address).collect()
}

/// Own addresses, without the loopback.
fn addresses() -> BTreeSet<IpAddr> {
    let four = fs::read_to_string("/proc/net/fib_trie").map(|text| ipv4(&text)).unwrap_or_default();
    let six = fs::read_to_string("/proc/net/if_inet6").map(|text| ipv6(&text)).unwrap_or_default();
    let all = four.into_iter().map(IpAddr::V4).chain(six.into_iter().map(IpAddr::V6));
    all.filter(|address| !address.is_loopback()).collect()
}

/// The kernel's routing table lists each own address as a leaf `|-- A`, followed by `/32 host LOCAL`.
fn ipv4(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut leaf: Option<Ipv4Addr> = None;
    let mut found = Vec::new();
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf);
        }
    }
    found
}

/// Each line begins with the address as 32 hex digits.
fn ipv6(if_inet6: &str) -> Vec<Ipv6Addr> {
    let first =
        |line: &str| line.split_whitespace().next().and_then(|hex| u128::from_str_radix(hex, 16).ok());
    if_inet6.lines().filter_map(first).map(Ipv6Addr::from_bits).collect()
}

/// The name of the user this process runs as. A systemd DynamicUser is not in /etc/passwd; systemd then states
/// the name in USER.
fn username() -> Option<String> {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = users.find_map(|fields| match fields.as_slice() {
        [name, _, user, ..] if *user == id => Some((*name).to_owned()),
        _ => None,
    });
    own.or_else(|| std::env::var("USER").ok())
}

/// Board and product ids of the firmware. The kernel shows them to root only, so systemd may hand them in as a
/// credential.
fn dmi(host: &mut HostFacts, directory: &Path, credentials: Option<&std::ffi::OsStr>) {
    let credential =
        credentials.and_then(|directory| fs::read_to_string(Path::new(directory).join("dmi")).ok());
    let mut values: Vec<String> = Vec::new();
    values.extend(credential.iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()));
    let mut refused = false;
    for file in ["product_uuid", "board_serial"] {
        match fs::read_to_string(directory.join(file)) {
            Ok(text) => values.push(text.trim().to_owned()),
            Err(error) => refused |= error.kind() == ErrorKind::PermissionDenied,
        }
    }
    values.retain(|value| !PLACEHOLDERS.contains(&value.to_ascii_lowercase().as_str()));
    values.sort();
    values.dedup();
    let known = !values.is_empty();
    add(host, HostIdKind::Dmi, values);
    if !known {
        let message = if refused {
            "only root may read the firmware's ids; add LoadCredential=dmi:/sys/class/dmi/id/product_uuid to the \
             daemon's unit (systemctl edit seatkeeperd) and restart it"
        } else {
            "this machine shows no firmware ids, as in most containers; use SERVERKEY instead"
        };
        host.unreadable.push(Unreadable { kind: HostIdKind::Dmi, message: message.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_the_leaves_marked_local() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                    |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n";
        assert_eq!(ipv4(text), [Ipv4Addr::new(10, 1, 2, 3)]);
        let text = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
        assert_eq!(ipv6(text), ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn firmware_ids_come_from_the_credential_too_and_placeholders_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("board_serial"), "Default string\n").unwrap();
        let mut host = HostFacts::default();
        dmi(&mut host, directory.path(), None);
        assert!(host.facts.is_empty() && host.unreadable.len() == 1, "{host:?}");

        fs::write(directory.path().join("dmi"), "4C4C4544-0042\n").unwrap();
        let mut host = HostFacts::default();
        dmi(&mut host, directory.path(), Some(directory.path().as_os_str()));
        assert_eq!(host.facts.first().map(|fact| &*fact.value), Some("4C4C4544-0042"));
        assert!(host.unreadable.is_empty());
    }

    #[test]
    fn cards_without_a_device_come_last_and_the_loopback_not_at_all() {
        let class = tempfile::tempdir().unwrap();
        for (name, address) in
            [("lo", "00:00:00:00:00:00"), ("br0", "02:00:00:00:00:01"), ("eth0", "aa:00:00:00:00:02")]
        {
            fs::create_dir_all(class.path().join(name)).unwrap();
            fs::write(class.path().join(name).join("address"), format!("{address}\n")).unwrap();
        }
        fs::create_dir(class.path().join("eth0/device")).unwrap();
        assert_eq!(ethernet(class.path()), ["aa:00:00:00:00:02", "02:00:00:00:00:01"]);
    }
}
