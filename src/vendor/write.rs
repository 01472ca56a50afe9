//! From features back to a file that a person can read and the strict parser accepts.

use quick_xml::escape::escape;

use crate::licenses::xml::{RawFeature, RawSetting};

/// One license file: every setting a line, in the order it is given.
pub fn write(features: &[RawFeature<'_>]) -> String {
    file("LICENSEFILE", features, |out, feature| {
        for block in &feature.blocks {
            out.push_str(&format!("    <{}>\n", block.kind.as_str()));
            for entry in &block.entries {
                setting(out, 6, entry);
            }
            out.push_str(&format!("    </{}>\n", block.kind.as_str()));
        }
    })
}

/// One release catalog: every setting and every release a line, in the order they are given.
pub fn write_releases(lists: &[RawFeature<'_>]) -> String {
    file("RELEASES", lists, |out, list| {
        for release in &list.releases {
            let attributes: Vec<String> = release
                .attributes
                .iter()
                .map(|attribute| format!(" {}=\"{}\"", attribute.name, escape(&*attribute.value)))
                .collect();
            out.push_str(&format!("    <RELEASE{}/>\n", attributes.concat()));
        }
    })
}

/// A file with one root: of each feature the name, the settings and `more`.
fn file(root: &str, features: &[RawFeature<'_>], more: impl Fn(&mut String, &RawFeature<'_>)) -> String {
    let mut out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}>\n");
    for feature in features {
        let name = feature.name.as_ref().map_or("", |name| &*name.value);
        out.push_str(&format!("  <FEATURE NAME=\"{}\">\n", escape(name)));
        for entry in &feature.settings {
            setting(&mut out, 4, entry);
        }
        more(&mut out, feature);
        out.push_str("  </FEATURE>\n");
    }
    out.push_str(&format!("</{root}>\n"));
    out
}

fn setting(out: &mut String, indent: usize, setting: &RawSetting<'_>) {
    out.push_str(&format!("{:indent$}<SETTING {}=\"{}\"/>\n", "", setting.name, escape(&*setting.value)));
}
