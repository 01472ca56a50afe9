//! Values of the file: lists of names, networks, counts.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Range;

use seats::license::Count;
use seats::policy::Network;
use seats::request::TEXT_BYTES_MAX;
use toml::Spanned;
use toml::de::DeValue;

use super::source::{Source, shown};

/// A value with its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// What a value is, in a word for people.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The texts of a list, each with its place; what is none is told. `what` says whose list it is, `example` how one looks.
pub(super) fn texts<'v>(
    what: &str,
    example: &str,
    value: &'v Value<'_>,
    source: &mut Source<'_>,
) -> Vec<(&'v str, Range<usize>)> {
    let DeValue::Array(items) = value.get_ref() else {
        let message = format!("{what} is a list of names, this is {}", kind(value.get_ref()));
        source.fault(Some(value.span()), message).help(format!("write {example}"));
        return Vec::new();
    };
    if !source.has_room(&value.span(), items.len()) {
        return Vec::new();
    }
    let mut texts = Vec::with_capacity(items.len());
    for item in items.iter() {
        match item.get_ref() {
            DeValue::String(text) => texts.push((Cow::as_ref(text), item.span())),
            other => {
                let message = format!("{what} is a list of names, this is {}", kind(other));
                source.fault(Some(item.span()), message).help(format!("write {example}"));
            }
        }
    }
    texts
}

/// What is made of each text, without those of which nothing can be.
pub(super) fn each<T>(
    texts: Vec<(&str, Range<usize>)>,
    mut read: impl FnMut(&str, Range<usize>) -> Option<T>,
) -> Vec<T> {
    // Nearly always all are good, and lists are long: no growing.
    let mut made = Vec::with_capacity(texts.len());
    made.extend(texts.into_iter().filter_map(|(text, span)| read(text, span)));
    made
}

/// A name as a client could state it (S1): 1 to 256 bytes without control characters.
pub(super) fn name(what: &str, text: &str, span: &Range<usize>, source: &mut Source<'_>) -> Option<Box<str>> {
    if is_plain(text) {
        return Some(text.into());
    }
    if text.is_empty() {
        source.fault(Some(span.clone()), format!("the name of a {what} is empty"));
    } else if text.trim() != text {
        source
            .fault(Some(span.clone()), format!("the {what} \"{}\" has white space at an end", shown(text)))
            .help(format!("write \"{}\"", shown(text.trim())));
    } else if text.len() > TEXT_BYTES_MAX {
        let message =
            format!("the name of a {what} has {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len());
        source.fault(Some(span.clone()), message);
    } else if let Some(c) = text.chars().find(|c| c.is_control()) {
        let message =
            format!("the {what} \"{}\" holds the control character U+{:04X}", shown(text), c as u32);
        source.fault(Some(span.clone()), message);
    } else {
        return Some(text.into());
    }
    None
}

/// Whether a name is good at a glance, as nearly all are.
fn is_plain(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// As [`name`], for users and hosts, where a `*` looks as if it meant something.
pub(super) fn whole_name(
    what: &str,
    text: &str,
    span: &Range<usize>,
    source: &mut Source<'_>,
) -> Option<Box<str>> {
    let name = name(what, text, span, source)?;
    if text.as_bytes().contains(&b'*') {
        source
            .fault(Some(span.clone()), format!("the {what} \"{}\" holds a *, which stands for nothing here", shown(text)))
            .help("name each, as a group where there are many; addresses can be given as ranges, \"10.8.0.0/16\"");
        return None;
    }
    Some(name)
}

/// A range of addresses in CIDR notation, or one address.
pub(super) fn network(text: &str, span: &Range<usize>, source: &mut Source<'_>) -> Option<Network> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        let message = format!("\"{}\" is not a range of addresses", shown(text));
        let help = match wildcard(text) {
            Some(network) => format!("write \"{network}\""),
            None => "write \"10.8.0.0/16\", \"fd00::/8\" or one address".to_owned(),
        };
        source.fault(Some(span.clone()), message).help(help);
        return None;
    };
    if address.to_canonical() != address {
        source
            .fault(
                Some(span.clone()),
                format!("\"{}\" is an IPv4 address in the dress of an IPv6 one", shown(text)),
            )
            .help(format!("write it as {}", address.to_canonical()));
        return None;
    }
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix.map_or(Some(bits), |text| prefix_length(text).filter(|prefix| *prefix <= bits))
    else {
        source
            .fault(
                Some(span.clone()),
                format!("\"{}\" has no number of bits from 0 to {bits} after the /", shown(text)),
            )
            .help(format!("write {address}/{}", bits / 4 * 3));
        return None;
    };
    let first = first_of(address, prefix);
    if first != address {
        source
            .fault(Some(span.clone()), format!("{address}/{prefix} has bits set behind the first {prefix}"))
            .help(format!("write {first}/{prefix} for the whole network, {address} for that one address"));
        return None;
    }
    Some(Network { address, prefix })
}

fn prefix_length(text: &str) -> Option<u8> {
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The first address of the network that an address is in.
fn first_of(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// What `10.8.*.*` of an options file is in CIDR.
fn wildcard(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('.').collect();
    let fixed = parts.iter().take_while(|part| **part != "*").count();
    let is_wildcard = parts.len() == 4 && fixed > 0 && parts[fixed..].iter().all(|part| *part == "*");
    let numbers: Option<Vec<u8>> = parts[..fixed].iter().map(|part| part.parse().ok()).collect();
    let mut numbers = numbers.filter(|_| is_wildcard)?;
    numbers.resize(4, 0);
    Some(format!("{}.{}.{}.{}/{}", numbers[0], numbers[1], numbers[2], numbers[3], fixed * 8))
}

/// A whole number from 1 to the most seats there are, both inclusive.
pub(super) fn count(what: &str, value: &Value<'_>, source: &mut Source<'_>) -> Option<u32> {
    let DeValue::Integer(number) = value.get_ref() else {
        let message = format!("{what} is a number, this is {}", kind(value.get_ref()));
        source.fault(Some(value.span()), message);
        return None;
    };
    let count = u32::from_str_radix(number.as_str(), number.radix()).ok();
    let count = count.filter(|count| (1..=Count::MAX).contains(count));
    if count.is_none() {
        source.fault(Some(value.span()), format!("{what} is not 1 to {}", Count::MAX));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Network, String> {
        let mut source = Source::new("p".into(), text);
        match network(text, &(0..0), &mut source) {
            Some(network) => Ok(network),
            None => Err(source.errors()[0].to_string()),
        }
    }

    #[test]
    fn a_range_of_addresses_is_written_in_one_way() {
        for (text, prefix) in [
            ("10.8.0.0/16", 16),
            ("10.8.0.1", 32),
            ("0.0.0.0/0", 0),
            ("fd00::/8", 8),
            ("::/0", 0),
            ("::1", 128),
        ] {
            let address = text.split('/').next().unwrap().parse().unwrap();
            assert_eq!(judged(text), Ok(Network { address, prefix }));
        }
    }

    #[test]
    fn any_other_way_is_refused_and_the_right_one_said() {
        for (text, said) in [
            ("10.8.3.1/16", "write 10.8.0.0/16 for the whole network, 10.8.3.1 for that one address"),
            ("fd00::1/64", "write fd00::/64 for the whole network"),
            ("10.8.*.*", "write \"10.8.0.0/16\""),
            ("10.8.3.*", "write \"10.8.3.0/24\""),
            ("10.*.3.4", "is not a range of addresses"),
            ("*.*.*.*", "is not a range of addresses"),
            ("::ffff:10.8.0.0/112", "write it as 10.8.0.0"),
            ("10.8.0.0/33", "from 0 to 32"),
            ("10.8.0.0/+8", "from 0 to 32"),
            ("10.8.0.0/", "from 0 to 32"),
            ("fd00::/129", "from 0 to 128"),
            ("10.8.0.0/255.255.0.0", "from 0 to 32"),
            ("10.8.0/16", "is not a range"),
            ("010.8.0.0/16", "is not a range"),
            ("vpn", "is not a range"),
            ("", "is not a range"),
        ] {
            let error = judged(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
