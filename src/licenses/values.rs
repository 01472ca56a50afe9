//! Single values of settings: from text to a number, a date, a version.
//!
//! Every function returns what a good value would be as its error, ready to stand after "which is not".

use chrono::NaiveDate;
use seats::license::{
    Based, Count, LicenseVersion, Name, Period, Replaces, Share, TimeZones, TokenDependency,
};

/// What a good value looks like.
pub(super) type Expected = &'static str;

/// ASCII digits only: Rust's own parsing would let `+1` through.
pub(super) fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

pub(super) fn between(text: &str, low: u32, high: u32, expected: Expected) -> Result<u32, Expected> {
    number(text).filter(|n| (low..=high).contains(n)).ok_or(expected)
}

pub(super) fn count(text: &str) -> Result<Count, Expected> {
    if text == "UNLIMITED" {
        return Ok(Count::Unlimited);
    }
    between(text, 1, Count::MAX, "1 to 2147483647 or UNLIMITED").map(Count::Limited)
}

/// `YYYY-MM-DD` and nothing else (L4).
pub(super) fn date(text: &str) -> Result<NaiveDate, Expected> {
    const EXPECTED: Expected = "a date of the calendar, written YYYY-MM-DD";
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| text.get(range).and_then(number);
    if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return Err(EXPECTED);
    }
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return Err(EXPECTED);
    };
    i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day)).ok_or(EXPECTED)
}

/// A date, or UNLIMITED as the last day there is.
pub(super) fn date_or_unlimited(text: &str) -> Result<NaiveDate, Expected> {
    if text == "UNLIMITED" {
        return Ok(NaiveDate::MAX);
    }
    date(text).map_err(|_| "a date written YYYY-MM-DD, or UNLIMITED")
}

/// `MAJOR` or `MAJOR.MINOR`.
pub(super) fn version(text: &str) -> Result<LicenseVersion, Expected> {
    const EXPECTED: Expected = "MAJOR.MINOR, each 0 to 4294967295";
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    match (number(major), number(minor)) {
        (Some(major), Some(minor)) => Ok(LicenseVersion { major, minor }),
        _ => Err(EXPECTED),
    }
}

/// 1 to 4 numbers with dots between them.
pub(super) fn long_version(text: &str) -> Result<Vec<u32>, Expected> {
    const EXPECTED: Expected = "1 to 4 numbers with dots between them, each 0 to 4294967295";
    let numbers: Option<Vec<u32>> = text.split('.').take(5).map(number).collect();
    numbers.filter(|numbers| numbers.len() <= 4).ok_or(EXPECTED)
}

/// Words separated by spaces or commas.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty())
}

/// SHARE, and whether it names TERMINALSERVER or SINGLE, which are for local licenses.
pub(super) fn share(text: &str) -> Result<(Share, bool), Expected> {
    const EXPECTED: Expected = "any of HOST, USER, CUSTOM, VIRTUAL, separated by spaces or commas";
    let (mut share, mut local, mut any) = (Share::default(), false, false);
    for word in words(text) {
        any = true;
        match word {
            "HOST" => share.host = true,
            "USER" => share.user = true,
            "CUSTOM" => share.custom = true,
            "VIRTUAL" => share.virtual_machine = true,
            "TERMINALSERVER" | "SINGLE" => local = true,
            _ => return Err(EXPECTED),
        }
    }
    if any { Ok((share, local)) } else { Err(EXPECTED) }
}

/// USERBASED, HOSTBASED.
pub(super) fn based(text: &str) -> Result<Based, Expected> {
    if text == "ALL" {
        return Ok(Based::All);
    }
    between(text, 1, Count::MAX, "1 to COUNT, or ALL").map(Based::Seats)
}

pub(super) fn time_zones(text: &str) -> Result<TimeZones, Expected> {
    const EXPECTED: Expected = "a list of whole hours from -12 to 13, separated by spaces or commas";
    let mut zones = TimeZones(0);
    for word in words(text) {
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word),
        };
        let hour = number(digits).and_then(|n| i8::try_from(n).ok()).ok_or(EXPECTED)?;
        if (negative && hour == 0) || !zones.insert(if negative { -hour } else { hour }) {
            return Err(EXPECTED);
        }
    }
    if zones.0 == 0 { Err(EXPECTED) } else { Ok(zones) }
}

/// Operating systems and processors as programs name them (`std::env::consts`): a typo is found when the
/// license is signed, not by the customer.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "dragonfly",
    "freebsd",
    "haiku",
    "illumos",
    "ios",
    "linux",
    "macos",
    "netbsd",
    "openbsd",
    "solaris",
    "windows",
];
const PROCESSORS: &[&str] = &[
    "aarch64",
    "arm",
    "loongarch64",
    "mips",
    "mips64",
    "powerpc",
    "powerpc64",
    "riscv32",
    "riscv64",
    "s390x",
    "sparc64",
    "x86",
    "x86_64",
];

/// PLATFORMS in lower case.
pub(super) fn platforms(text: &str) -> Result<Vec<String>, Expected> {
    const EXPECTED: Expected = "a list of OS-PROCESSOR or OS such as linux-x86_64, windows, macos-aarch64";
    let mut platforms = Vec::new();
    for word in words(text) {
        let word = word.to_ascii_lowercase();
        let (system, processor) = word.split_once('-').map_or((&*word, None), |(s, p)| (s, Some(p)));
        if !SYSTEMS.contains(&system) || processor.is_some_and(|p| !PROCESSORS.contains(&p)) {
            return Err(EXPECTED);
        }
        if !platforms.contains(&word) {
            platforms.push(word);
        }
    }
    if platforms.is_empty() { Err(EXPECTED) } else { Ok(platforms) }
}

pub(super) fn replaces(text: &str) -> Result<Replaces, Expected> {
    const EXPECTED: Expected = "FEATURE=name, SN=… or KEY=…";
    match text.split_once('=') {
        Some(("FEATURE", name)) => Name::new(name).map(Replaces::Feature).ok_or(EXPECTED),
        Some(("SN", sn)) if !sn.is_empty() => Ok(Replaces::Sn(sn.into())),
        Some(("KEY", key)) if !key.is_empty() => Ok(Replaces::Key(key.into())),
        _ => Err(EXPECTED),
    }
}

/// RENEWS: `SN=…`.
pub(super) fn renews(text: &str) -> Result<Box<str>, Expected> {
    text.strip_prefix("SN=").filter(|sn| !sn.is_empty()).map(Box::from).ok_or("SN=… of the license it renews")
}

/// `FEATURE=x VERSION=a.b COUNT=n`, in any order, each once.
pub(super) fn token_dependency(text: &str) -> Result<TokenDependency, Expected> {
    const EXPECTED: Expected = "FEATURE=name VERSION=a.b COUNT=n";
    let (mut feature, mut of_version, mut seats) = (None, None, None);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let taken = match word.split_once('=') {
            Some(("FEATURE", name)) => feature.replace(Name::new(name).ok_or(EXPECTED)?).is_some(),
            Some(("VERSION", text)) => of_version.replace(version(text).map_err(|_| EXPECTED)?).is_some(),
            Some(("COUNT", text)) => seats.replace(between(text, 1, Count::MAX, EXPECTED)?).is_some(),
            _ => true,
        };
        if taken {
            return Err(EXPECTED);
        }
    }
    match (feature, of_version, seats) {
        (Some(feature), Some(version), Some(count)) => Ok(TokenDependency { feature, version, count }),
        _ => Err(EXPECTED),
    }
}

/// `PnYnMnWnD`, date part only, whole numbers, not zero (rules 3, 6.1 and 6.14).
pub(super) fn period(text: &str) -> Result<Period, Expected> {
    const EXPECTED: Expected =
        "a period of whole years, months, weeks and days above zero, such as P1Y or P18M";
    text.parse().map_err(|()| EXPECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ascii_digits_only() {
        assert_eq!(number("0042"), Some(42));
        for wrong in ["", "+1", "-1", " 1", "1 ", "1e3", "٣", "4294967296", "0x1"] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn dates_are_ten_characters_and_days_that_exist() {
        assert_eq!(date("2028-02-29"), Ok(NaiveDate::from_ymd_opt(2028, 2, 29).unwrap()));
        for wrong in
            ["2027-02-29", "2027-2-1", "2027/02/01", "20270201", "2027-02-01 ", "+027-02-01", "TODAY", ""]
        {
            assert!(date(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn periods_hold_whole_units_in_order() {
        assert_eq!(period("P1Y6M2W3D"), Ok(Period { months: 18, days: 17 }));
        assert_eq!(period("P30D"), Ok(Period { months: 0, days: 30 }));
        for wrong in
            ["P", "P0D", "P1.5Y", "-P1Y", "P-1Y", "P1D1Y", "P1Y1Y", "PT1H", "P1YT1H", "1Y", "P9999999999Y"]
        {
            assert!(period(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn time_zones_are_whole_hours() {
        assert_eq!(time_zones("-12, 0 13").map(|z| z.hours().collect::<Vec<_>>()), Ok(vec![-12, 0, 13]));
        for wrong in ["", "14", "-13", "+1", "-0", "5:30", "1;2"] {
            assert!(time_zones(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_dependency_states_each_part_once() {
        let good = token_dependency("COUNT=2 FEATURE=mesh VERSION=1.5").unwrap();
        assert_eq!((good.feature.as_str(), good.version.minor, good.count), ("mesh", 5, 2));
        for wrong in [
            "FEATURE=mesh COUNT=2",
            "FEATURE=mesh VERSION=1.0 COUNT=0",
            "FEATURE=a FEATURE=a VERSION=1 COUNT=1",
        ] {
            assert!(token_dependency(wrong).is_err(), "{wrong:?}");
        }
    }
}
