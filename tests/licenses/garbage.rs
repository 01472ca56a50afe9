//! Damaged files: never a panic or a hang, and nothing is granted that was not signed.

use std::collections::BTreeSet;

use seatkeeper::licenses::{Signatures, read_files};
use seats::license::Fingerprint;

use super::{Random, signed, trusting_acme};

/// Two licenses with most kinds of things a file can hold.
fn sample() -> String {
    signed(
        "<LICENSEFILE>
           <FEATURE NAME=\"cad\">
             <SETTING COUNT=\"10\" VERSION=\"4.2\" END=\"2031-12-31\" DATA=\"Ünï &amp; &lt;x&gt;\"/>
             <SERVER_HOSTID><SETTING HOSTNAME=\"lic01\"/></SERVER_HOSTID>
             <CLIENT_HOSTID><SETTING USERNAME=\"ann\"/></CLIENT_HOSTID>
           </FEATURE>
           <FEATURE NAME=\"cad\"><SETTING KEYTYPE=\"UPGRADE\" COUNT=\"6\" END=\"2030-06-30\"/></FEATURE>
         </LICENSEFILE>",
    )
}

/// Reads damaged bytes; what is accepted must have been signed as it stands.
fn read_damaged(bytes: &[u8], originals: &BTreeSet<Fingerprint>, what: &dyn std::fmt::Debug) -> usize {
    let files = [("x.xml".to_owned(), bytes.to_vec())];
    let set = read_files(&files, &trusting_acme(), Signatures::Required);
    let good: Vec<_> = set.licenses.iter().filter(|license| license.refusal.is_none()).collect();
    for license in &good {
        assert!(originals.contains(&license.fingerprint), "{what:?} let something else through: {license:?}");
    }
    for problem in &set.problems {
        assert!(!problem.message.is_empty() && problem.line.is_some(), "{what:?}: {problem}");
    }
    assert!(good.len() == 2 || !set.problems.is_empty(), "{what:?}: a license was lost in silence");
    good.len()
}

fn originals(text: &str) -> BTreeSet<Fingerprint> {
    let set =
        read_files(&[("x.xml".to_owned(), text.as_bytes().to_vec())], &trusting_acme(), Signatures::Required);
    assert_eq!((set.problems.len(), set.licenses.len()), (0, 2));
    set.licenses.iter().map(|license| license.fingerprint).collect()
}

#[test]
fn every_truncation_of_a_signed_file_grants_nothing() {
    let text = sample();
    let originals = originals(&text);
    let whole = text.trim_end().len();
    for end in 0..whole {
        assert_eq!(read_damaged(&text.as_bytes()[..end], &originals, &end), 0, "cut at {end}");
    }
    assert_eq!(read_damaged(&text.as_bytes()[..whole], &originals, &whole), 2);
}

#[test]
fn a_mutated_file_grants_only_what_was_signed() {
    let seed = std::env::var("SEATKEEPER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    println!("SEATKEEPER_SEED={seed}");
    let mut random = Random(seed);
    let text = sample();
    let originals = originals(&text);
    let pieces: Vec<&str> = vec![
        "<",
        ">",
        "\"",
        "'",
        "&",
        "&#x41;",
        "/>",
        "=",
        " ",
        "\n",
        "<!--",
        "-->",
        "]]>",
        "<![CDATA[",
        "<?x?>",
        "0",
        "9",
        "<SETTING COUNT=\"99\"/>",
        "<FEATURE NAME=\"cad\">",
        "</FEATURE>",
        "\u{0}",
        "é",
        "KEY",
        "COUNT",
        "\u{feff}",
    ];
    let (mut whole, mut none) = (0, 0);
    for round in 0..10_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(6) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => drop(bytes.remove(at)),
                3 => {
                    let piece = pieces[random.below(pieces.len())];
                    bytes.splice(at..at, piece.bytes());
                }
                4 => {
                    let end = (at + random.below(40)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    let end = (at + random.below(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
        match read_damaged(&bytes, &originals, &(seed, round)) {
            2 => whole += 1,
            0 => none += 1,
            _ => {}
        }
    }
    // Both must happen often, or the test looks at nothing.
    assert!(whole > 100 && none > 1_000, "{whole} unharmed, {none} refused");
}

#[test]
fn random_bytes_are_refused() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..random.below(2_000)).map(|_| random.next() as u8).collect();
        let set = read_files(&[("x.xml".to_owned(), bytes)], &[], Signatures::Optional);
        assert_eq!((set.licenses.len(), set.problems.len()), (0, 1));
    }
}

#[test]
fn sixty_four_mebibytes_of_garbage_are_one_problem() {
    for piece in ["<", "<a>", "x", "\"<FEATURE NAME=", "<!--", "&", "<LICENSEFILE><FEATURE "] {
        let mut bytes = piece.repeat(64 * 1024 * 1024 / piece.len()).into_bytes();
        bytes.truncate(64 * 1024 * 1024);
        let set = read_files(&[("x.xml".to_owned(), bytes)], &[], Signatures::Optional);
        assert_eq!((set.licenses.len(), set.problems.len()), (0, 1), "{piece}");
    }
}
