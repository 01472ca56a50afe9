//! A license as its vendor signed it: the canonical form, read back (docs/LICENSES.md has the bytes).
//!
//! Strict: what is not exactly what a signer writes is no form. Nothing is believed before the signature is verified.

/// What every form begins with.
const LABEL: &[u8] = b"seatkeeper-feature-v1\0";

/// Names and values, in byte order.
type List<'f> = Vec<(&'f str, &'f str)>;

/// One license.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form<'f> {
    /// The feature, in ASCII lower case.
    pub(super) name: &'f str,
    settings: List<'f>,
    /// SERVER_HOSTID.
    pub(super) servers: Vec<List<'f>>,
    clients: Vec<List<'f>>,
}

impl<'f> Form<'f> {
    /// Reads one; `None`: these bytes are none.
    pub(super) fn read(bytes: &'f [u8]) -> Option<Form<'f>> {
        let mut rest = bytes.strip_prefix(LABEL)?;
        let name = string(&mut rest)?;
        let settings = list(&mut rest)?;
        let (servers, clients) = (blocks(&mut rest)?, blocks(&mut rest)?);
        let form = Form { name, settings, servers, clients };
        let is_canonical = !name.bytes().any(|b| b.is_ascii_uppercase()) && form.written() == bytes;
        (rest.is_empty() && is_canonical).then_some(form)
    }

    /// The one value of a setting. `Err`: it stands there more than once, which no signer does.
    pub(super) fn get(&self, name: &str) -> Result<Option<&'f str>, ()> {
        let mut values = self.settings.iter().filter(|(n, _)| *n == name).map(|(_, value)| *value);
        let value = values.next();
        if values.next().is_some() { Err(()) } else { Ok(value) }
    }

    /// Whether any setting's name begins so.
    pub(super) fn has_any(&self, start: &str) -> bool {
        self.settings.iter().any(|(name, _)| name.starts_with(start))
    }

    /// The bytes of this form, with everything in its order.
    fn written(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        write_string(&mut bytes, self.name);
        write_list(&mut bytes, &self.settings);
        for blocks in [&self.servers, &self.clients] {
            let mut written: Vec<Vec<u8>> = blocks
                .iter()
                .map(|block| {
                    let mut bytes = Vec::new();
                    write_list(&mut bytes, block);
                    bytes
                })
                .collect();
            written.sort_unstable();
            write_number(&mut bytes, written.len());
            bytes.extend(written.into_iter().flatten());
        }
        bytes
    }
}

fn write_list(bytes: &mut Vec<u8>, list: &List<'_>) {
    let mut sorted = list.clone();
    sorted.sort_unstable();
    write_number(bytes, sorted.len());
    for (name, value) in sorted {
        write_string(bytes, name);
        write_string(bytes, value);
    }
}

fn write_string(bytes: &mut Vec<u8>, text: &str) {
    write_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// What was read from a token is shorter than 4 GiB.
fn write_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
}

fn blocks<'f>(rest: &mut &'f [u8]) -> Option<Vec<List<'f>>> {
    (0..number(rest)?).map(|_| list(rest)).collect()
}

/// Stops at the first item that is not there, so a claim of billions costs nothing.
fn list<'f>(rest: &mut &'f [u8]) -> Option<List<'f>> {
    (0..number(rest)?).map(|_| Some((string(rest)?, string(rest)?))).collect()
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn string<'f>(rest: &mut &'f [u8]) -> Option<&'f str> {
    let length = number(rest)?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(string).ok()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::borrow::keys::{VendorKey, read_signature};

    /// The worked example of docs/LICENSES.md.
    fn example() -> Vec<u8> {
        let form = Form {
            name: "cad",
            settings: vec![("COUNT", "10"), ("SN", "7"), ("VENDOR", "ACME")],
            servers: vec![vec![("HOSTNAME", "lic01")]],
            clients: vec![],
        };
        form.written()
    }

    #[test]
    fn the_example_of_the_page_is_read() {
        let bytes = example();
        let form = Form::read(&bytes).unwrap();
        assert_eq!(form.name, "cad");
        assert_eq!(form.get("COUNT"), Ok(Some("10")));
        assert_eq!(form.get("count"), Ok(None));
        assert_eq!(form.servers, [[("HOSTNAME", "lic01")]]);
        let page = include_str!("../../../../docs/LICENSES.md");
        let fingerprint: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert!(page.contains(&format!("Fingerprint `{fingerprint}`")), "{fingerprint}");
        let key = page.lines().find(|line| line.starts_with("ed25519:test-1:")).unwrap();
        let (id, signature) = read_signature(key).unwrap();
        let public = "seatkeeper-vendor-key ed25519 test-1 ACME ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ=";
        let vendor: VendorKey = public.parse().unwrap();
        assert_eq!(id, vendor.id());
        assert!(vendor.has_signed(&bytes, &signature));
        assert!(!vendor.has_signed(&bytes[1..], &signature));
    }

    #[test]
    fn every_cut_and_every_other_order_is_refused() {
        let whole = example();
        for cut in 0..whole.len() {
            assert_eq!(Form::read(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(Form::read(&[&whole[..], &[0]].concat()), None);
        let form = Form::read(&whole).unwrap();
        let with = |change: &dyn Fn(&mut Form<'_>)| {
            let mut other = form.clone();
            change(&mut other);
            // As written, not in its order.
            let mut bytes = LABEL.to_vec();
            write_string(&mut bytes, other.name);
            write_number(&mut bytes, other.settings.len());
            for (name, value) in &other.settings {
                write_string(&mut bytes, name);
                write_string(&mut bytes, value);
            }
            bytes.extend_from_slice(&whole[whole.len() - 33..]);
            bytes
        };
        assert_eq!(with(&|_| {}), whole);
        assert_eq!(Form::read(&with(&|form| form.settings.swap(0, 1))), None);
        assert_eq!(Form::read(&with(&|form| form.name = "Cad")), None);
        let twice = with(&|form| form.settings.insert(1, ("COUNT", "11")));
        assert_eq!(Form::read(&twice).unwrap().get("COUNT"), Err(()));
    }

    #[test]
    fn lengths_that_lie_are_refused_at_once() {
        let whole = example();
        for at in LABEL.len()..whole.len() - 3 {
            let mut lies = whole.clone();
            lies[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(Form::read(&lies), None, "at {at}");
        }
    }
}
