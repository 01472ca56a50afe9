//! Whose signatures count, and over what.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use seatkeeper::licenses::canonical::{canonical, fingerprint};
use seatkeeper::licenses::{LicenseSet, Signatures, TrustedKey, read_files, xml};
use seatkeeper::vendor::VendorKey;
use seats::license::{Name, Reason};

use super::{acme, feature, read, signed, trusting_acme};

fn server(text: &str, trusted: &[TrustedKey], signatures: Signatures) -> LicenseSet {
    read_files(&[("x.xml".to_owned(), text.as_bytes().to_vec())], trusted, signatures)
}

/// The one reason of the one problem, and its message.
fn refused(set: &LicenseSet) -> (Reason, String) {
    let [problem] = set.problems.as_slice() else { panic!("{set:?}") };
    assert_eq!(set.licenses[0].refusal.as_ref().map(|r| r.reason), Some(problem.reason));
    assert!(
        set.licenses[0].signed.is_none(),
        "a license that does not count carries no signature to clients"
    );
    (problem.reason, problem.message.clone())
}

/// Forms, SHA-256 and signatures were made by a program that shares nothing with ours: Python's struct and
/// hashlib, and OpenSSL for the signature, with the secret key 01 02 03 … 20. They never change.
#[test]
fn the_canonical_form_is_what_it_always_was() {
    let vectors = [
        (
            r#"<FEATURE NAME="Cad"><SETTING VENDOR="ACME" KEY="left out"/><SETTING COUNT="10" SN="7"/>
               <SERVER_HOSTID><SETTING HOSTNAME="lic01"/></SERVER_HOSTID></FEATURE>"#,
            "736561746b65657065722d666561747572652d763100030000006361640300000005000000434f554e5402000000313002000000\
             534e01000000370600000056454e444f520400000041434d45010000000100000008000000484f53544e414d45050000006c6963\
             303100000000",
            "d05df1027269087fbad47ad45f01d4d130a436bc357b0617e99e92ac5a096070",
            "+NLXom+lOCLh0+rkaJGFE6jEgXr42wyfv5h1ILU468O+eIQmPVwJ5UQ18dVe6iu7wg8E+H06axAFinuRbXAADg==",
        ),
        (
            r#"<FEATURE NAME="x"/>"#,
            "736561746b65657065722d666561747572652d7631000100000078000000000000000000000000",
            "fcd145ac2c16cbcb0f2112cc8a7ea4e08702997d56c974761c265c0d8407d04d",
            "Dklk8RboRF1AMvbflMjve76Z1Z3C6HHJI0jnaxqrlt9tBpGLBhDmndP9hJlQXK/RpugcmZYhPKoEDdxRr16qDw==",
        ),
        (
            r#"<FEATURE NAME="X_Y-1"><CLIENT_HOSTID><SETTING USERNAME="ann"/></CLIENT_HOSTID>
               <SERVER_HOSTID><SETTING MACHINEID="ff"/><SETTING HOSTNAME="b"/><SETTING HOSTNAME="a"/></SERVER_HOSTID>
               <SETTING TOKEN_DEPENDENCY="FEATURE=b VERSION=1.0 COUNT=1"/><SETTING COMMENT='a&lt;b &amp; "ü"'/>
               <SETTING DATA=""/><SETTING TOKEN_DEPENDENCY="FEATURE=a VERSION=1.0 COUNT=1"/>
               <SERVER_HOSTID><SETTING CUSTOM="1"/></SERVER_HOSTID></FEATURE>"#,
            "736561746b65657065722d666561747572652d76310005000000785f792d310400000007000000434f4d4d454e540a000000613c\
             6220262022c3bc2204000000444154410000000010000000544f4b454e5f444550454e44454e43591d000000464541545552453d\
             612056455253494f4e3d312e3020434f554e543d3110000000544f4b454e5f444550454e44454e43591d00000046454154555245\
             3d622056455253494f4e3d312e3020434f554e543d31020000000100000006000000435553544f4d010000003103000000080000\
             00484f53544e414d45010000006108000000484f53544e414d450100000062090000004d414348494e4549440200000066660100\
             00000100000008000000555345524e414d4503000000616e6e",
            "4f22ece63251757e502bb53ab3ca036dfe27f8efc61892ba0c62de7a54fc8637",
            "dz6MTFMIYMN80xmmg3I6ol8PwH1iO/lnB/fKdVqisTPra27bTfBa/AAclTtwGG/uRiplpd/RGT46FwuDLN1UBw==",
        ),
    ];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (text, form, digest, signature) in vectors {
        let text = format!("<LICENSEFILE>{text}</LICENSEFILE>");
        let document = xml::read(&text).unwrap();
        let canonical = canonical(&document.features[0]);
        assert_eq!(hex(&canonical), form, "{text}");
        assert_eq!(hex(&fingerprint(&canonical).0), digest);
        assert_eq!(acme().sign(&canonical), format!("ed25519:test-1:{signature}"));
    }
    assert_eq!(
        acme().identity().to_string(),
        "seatkeeper-vendor-key ed25519 test-1 ACME ebVWLo/mVPlAeLES6KmLp5AfhTrmlb7X4OORC60ElmQ="
    );
}

#[test]
fn a_signed_license_loads_and_carries_what_was_signed() {
    let set = server(&signed(&feature(r#"<SETTING COUNT="10"/>"#)), &trusting_acme(), Signatures::Required);
    assert_eq!(set.problems, []);
    let license = &set.licenses[0];
    let carried = license.signed.as_ref().unwrap();
    assert_eq!(fingerprint(&carried.canonical), license.fingerprint);
    let signature = carried.key.strip_prefix("ed25519:test-1:").unwrap();
    let signature: [u8; 64] = BASE64_STANDARD.decode(signature).unwrap().try_into().unwrap();
    let signature = ed25519_dalek::Signature::from_bytes(&signature);
    acme().identity().key().verify_strict(&carried.canonical, &signature).unwrap();
}

#[test]
fn an_unsigned_license_loads_in_a_trial_only_and_the_message_says_how_to_sign() {
    let text = feature(r#"<SETTING COUNT="10"/>"#);
    let (reason, message) = refused(&server(&text, &trusting_acme(), Signatures::Required));
    assert_eq!(reason, Reason::Unsigned);
    assert!(message.contains("seatkeeper vendor sign"), "{message}");
    let set = server(&text, &[], Signatures::Optional);
    assert_eq!((set.problems.len(), set.licenses[0].signed.is_none()), (0, true));
}

#[test]
fn a_wrong_signature_is_refused_in_a_trial_too() {
    let good = signed(&feature(r#"<SETTING COUNT="10"/>"#));
    let key = good.split("test-1:").nth(1).unwrap().split('"').next().unwrap();
    for text in [
        good.replace("COUNT=\"10\"", "COUNT=\"11\""),
        good.replace("NAME=\"cad\"", "NAME=\"cae\""),
        good.replace("<SETTING COUNT=\"10\"/>", "<SETTING COUNT=\"10\"/><SETTING GRACE=\"1\"/>"),
        good.replace("</FEATURE>", "<CLIENT_HOSTID><SETTING HOSTNAME=\"a\"/></CLIENT_HOSTID></FEATURE>"),
        good.replace("ed25519:test-1", "rsa:test-1"),
        good.replace(key, "AAAA"),
        good.replace(key, &BASE64_STANDARD.encode([0; 64])),
        good.replace(key, key.trim_end_matches('=')),
    ] {
        for signatures in [Signatures::Required, Signatures::Optional] {
            let set = server(&text, &trusting_acme(), signatures);
            let place = set.problems[0].line;
            assert_eq!(refused(&set).0, Reason::BadSignature, "{text}");
            assert_eq!(
                place,
                Some(text.lines().position(|l| l.contains("KEY=")).unwrap() as u32 + 1),
                "at KEY"
            );
        }
    }
}

#[test]
fn what_does_not_change_the_form_does_not_break_the_signature() {
    let good = signed(&feature(r#"<SETTING COUNT="10" SN="7" DATA="a&amp;b"/>"#));
    let fingerprint = read(&good).licenses[0].fingerprint;
    for text in [
        good.replace("\n", "\r\n  "),
        good.replace("NAME=\"cad\"", "NAME=\"CAD\""),
        good.replace("a&amp;b", "a&#38;b"),
        good.replace("COUNT=\"10\"/>", "COUNT='10'></SETTING><!-- ten -->"),
        good.replace("<SETTING COUNT=\"10\"/>", "")
            .replace("</FEATURE>", "<SETTING COUNT=\"10\"/></FEATURE>"),
    ] {
        let set = server(&text, &trusting_acme(), Signatures::Required);
        assert_eq!((set.problems.as_slice(), set.licenses[0].fingerprint), (&[][..], fingerprint), "{text}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_way_to_trust_it() {
    let set = server(&signed(&feature("")), &[], Signatures::Required);
    let (reason, message) = refused(&set);
    assert_eq!(reason, Reason::UnknownVendorKey);
    assert!(message.contains("test-1") && message.contains("--trust") && message.contains("trusted_vendors"));
}

#[test]
fn a_key_signs_for_its_own_vendor_only() {
    // The same key, trusted for somebody else under the same id.
    let other = TrustedKey::new("test-1", Name::new("OTHER").unwrap(), *acme().identity().key()).unwrap();
    let (reason, message) = refused(&server(&signed(&feature("")), &[other], Signatures::Required));
    assert_eq!(reason, Reason::UnknownVendorKey);
    assert!(message.contains("OTHER") && message.contains("ACME"), "{message}");

    // A key of ACME under OTHER's name: the form is signed, the vendor is not the key's.
    let text = feature(r#"<SETTING VENDOR="OTHER" SN="1" KEY="@"/>"#);
    let form = canonical(&xml::read(&text).unwrap().features[0]);
    let text = text.replace('@', &acme().sign(&form));
    assert_eq!(refused(&server(&text, &trusting_acme(), Signatures::Required)).0, Reason::UnknownVendorKey);

    // Two vendors may use one id.
    let secret = VendorKey::from_secret("test-1", Name::new("OTHER").unwrap(), &[9; 32]).unwrap();
    let both = [secret.identity().clone(), acme().identity().clone()];
    assert_eq!(server(&signed(&feature("")), &both, Signatures::Required).problems, []);
}

#[test]
fn a_signed_license_names_its_vendor() {
    let text = feature(r#"<SETTING SN="1" KEY="@"/>"#);
    let form = canonical(&xml::read(&text).unwrap().features[0]);
    let text = text.replace('@', &acme().sign(&form));
    assert_eq!(refused(&server(&text, &trusting_acme(), Signatures::Optional)).0, Reason::BadValue);
}

#[test]
fn one_forged_license_among_many_is_the_only_one_refused() {
    let mut features = String::from("<LICENSEFILE>");
    (0..300).for_each(|n| {
        features.push_str(&format!("<FEATURE NAME=\"f{n}\"><SETTING COUNT=\"10\"/></FEATURE>\n"))
    });
    features.push_str("</LICENSEFILE>");
    let good = signed(&features);
    assert_eq!(server(&good, &trusting_acme(), Signatures::Required).problems, []);
    let forged = good.replacen("COUNT=\"10\"", "COUNT=\"99\"", 1);
    let set = server(&forged, &trusting_acme(), Signatures::Required);
    let refused: Vec<&str> =
        set.licenses.iter().filter(|l| l.refusal.is_some()).map(|l| l.feature.as_str()).collect();
    assert_eq!(refused, ["f0"]);
}

#[test]
fn weak_and_malformed_public_keys_are_not_trusted() {
    let good = acme().identity().to_string();
    assert_eq!(TrustedKey::parse(&format!(" {good}\n")).unwrap(), *acme().identity());
    let weak = BASE64_STANDARD.encode([0; 32]);
    let mut neutral = [0; 32];
    neutral[0] = 1;
    for line in [
        String::new(),
        good.replace("ed25519", "rsa"),
        good.replace("test-1", "te:st"),
        good.replace("ACME", "Å"),
        good.replace("ebVW", "ebV"),
        format!("{good} more"),
        format!("seatkeeper-vendor-key ed25519 a ACME {weak}"),
        format!("seatkeeper-vendor-key ed25519 a ACME {}", BASE64_STANDARD.encode(neutral)),
    ] {
        assert!(TrustedKey::parse(&line).is_err(), "{line}");
    }
}
