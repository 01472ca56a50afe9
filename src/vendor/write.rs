//! From features back to a file that a person can read and the strict parser accepts.

use quick_xml::escape::escape;

use crate::licenses::xml::{RawFeature, RawSetting};

/// One license file: every setting a line, in the order it is given.
pub fn write(features: &[RawFeature<'_>]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LICENSEFILE>\n");
    for feature in features {
        let name = feature.name.as_ref().map_or("", |name| &*name.value);
        out.push_str(&format!("  <FEATURE NAME=\"{}\">\n", escape(name)));
        for entry in &feature.settings {
            setting(&mut out, 4, entry);
        }
        for block in &feature.blocks {
            out.push_str(&format!("    <{}>\n", block.kind.as_str()));
            for entry in &block.entries {
                setting(&mut out, 6, entry);
            }
            out.push_str(&format!("    </{}>\n", block.kind.as_str()));
        }
        out.push_str("  </FEATURE>\n");
    }
    out.push_str("</LICENSEFILE>\n");
    out
}

fn setting(out: &mut String, indent: usize, setting: &RawSetting<'_>) {
    out.push_str(&format!("{:indent$}<SETTING {}=\"{}\"/>\n", "", setting.name, escape(&*setting.value)));
}
