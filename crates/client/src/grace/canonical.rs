//! The hours of GRACE in what a vendor signed (docs/LICENSES.md has the form).
//!
//! Nothing is verified here: it only keeps a server from granting more hours than the license it shows.

use wire::answer::{Grace, Grant};

/// What every form begins with.
const LABEL: &[u8] = b"seatkeeper-feature-v1\0";

/// How many hours a session may go on, from what the server says of it and what its license says; 0: none. Where both
/// speak, the shorter counts.
pub(crate) fn hours(grant: &Grant, stated: &[Grace]) -> u32 {
    let stated = stated.iter().find(|grace| grace.session == grant.session).map(|grace| grace.hours);
    let signed = grant.license.as_ref().map(|license| of_form(&license.canonical).unwrap_or(0));
    let hours = match (stated, signed) {
        (Some(stated), Some(signed)) => stated.min(signed),
        (Some(hours), None) | (None, Some(hours)) => hours,
        (None, None) => 0,
    };
    hours.min(Grace::HOURS_MAX)
}

/// The setting GRACE; `None`: there is none, or this is no license.
fn of_form(form: &[u8]) -> Option<u32> {
    let mut rest = form.strip_prefix(LABEL)?;
    string(&mut rest)?;
    let settings = number(&mut rest)?;
    for _ in 0..settings {
        let (name, value) = (string(&mut rest)?, string(&mut rest)?);
        if name == b"GRACE" && !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
            return std::str::from_utf8(value).ok()?.parse().ok();
        }
    }
    None
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(rest)?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::answer::SignedLicense;

    fn form(settings: &[(&str, &str)]) -> Vec<u8> {
        let string = |text: &str| {
            let length = u32::try_from(text.len()).unwrap().to_le_bytes();
            [&length[..], text.as_bytes()].concat()
        };
        let mut form =
            [LABEL, &string("cad"), &u32::try_from(settings.len()).unwrap().to_le_bytes()].concat();
        for (name, value) in settings {
            form.extend(string(name));
            form.extend(string(value));
        }
        form.extend([0; 8]);
        form
    }

    #[test]
    fn the_hours_are_found_among_the_settings() {
        let of = |value| of_form(&form(&[("COUNT", "10"), ("GRACE", value), ("VENDOR", "ACME")]));
        assert_eq!((of("24"), of("0168")), (Some(24), Some(168)));
        assert_eq!((of(""), of("+5"), of("99999999999")), (None, None, None));
        assert_eq!(of_form(&form(&[("COUNT", "24")])), None);
    }

    #[test]
    fn what_is_cut_or_lies_about_its_length_has_none() {
        let whole = form(&[("COUNT", "10"), ("GRACE", "24")]);
        for cut in 0..whole.len() - 8 {
            assert_eq!(of_form(&whole[..cut]), None, "cut at {cut}");
        }
        let mut lies = whole.clone();
        lies[LABEL.len()..LABEL.len() + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(of_form(&lies), None);
        assert_eq!(of_form(b"something else"), None);
    }

    #[test]
    fn the_shorter_of_both_counts() {
        let grant = |signed: Option<&str>| Grant {
            session: 17,
            license: signed
                .map(|hours| SignedLicense { canonical: form(&[("GRACE", hours)]), key: String::new() }),
            ..Grant::default()
        };
        let stated = |hours| vec![Grace { session: 16, hours: 99 }, Grace { session: 17, hours }];
        assert_eq!(hours(&grant(None), &stated(24)), 24);
        assert_eq!(hours(&grant(Some("12")), &stated(24)), 12);
        assert_eq!(hours(&grant(Some("48")), &stated(24)), 24);
        assert_eq!(hours(&grant(Some("none")), &stated(24)), 0);
        assert_eq!(hours(&grant(Some("12")), &[]), 12);
        assert_eq!(hours(&grant(None), &[]), 0);
        assert_eq!(hours(&grant(None), &stated(9999)), 168);
    }
}
