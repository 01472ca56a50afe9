//! The strict reader: from text to elements with a position each, or to the one fault that makes the text no XML.
//!
//! It knows the shape of a license file (L1) and nothing of what settings mean; see [`settings`](super::settings).
//! Faults that leave the text well-formed belong to the feature they stand in, and its neighbours load (L5).
//! quick-xml is lenient in places; what it lets through is checked here (white space between attributes, control
//! characters, `<` in values, declarations, elements that never end).

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::escape::{EscapeError, unescape};
use quick_xml::events::attributes::AttrError;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use seats::license::Reason;

use super::{
    DEPTH_MAX, FEATURE_ENTRIES_MAX, FEATURE_RELEASES_MAX, FILE_FEATURES_MAX, FILE_PROBLEMS_MAX,
    VALUE_BYTES_MAX,
};

/// Something wrong at a byte offset of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset.
    pub at: usize,
    /// Which of the fixed list.
    pub reason: Reason,
    /// What is wrong, the value found, what to do.
    pub message: String,
}

impl Fault {
    /// A fault at a byte offset.
    pub fn new(at: usize, reason: Reason, message: impl Into<String>) -> Fault {
        Fault { at, reason, message: message.into() }
    }
}

/// The root element (L1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Features.
    LicenseFile,
    /// A vendor's release catalog (rules 3).
    Releases,
}

/// A well-formed file.
#[derive(Debug)]
pub struct Document<'a> {
    /// LICENSEFILE or RELEASES.
    pub root: Root,
    /// In the order of the file: licenses under a LICENSEFILE, release lists under RELEASES.
    pub features: Vec<RawFeature<'a>>,
    /// Faults outside every feature.
    pub faults: Vec<Fault>,
    /// Faults that were found and not kept, because the file has very many.
    pub faults_dropped: usize,
}

/// One FEATURE element as it stands in the file.
#[derive(Debug, Default)]
pub struct RawFeature<'a> {
    /// Byte offset of its `<`.
    pub at: usize,
    /// NAME; `None` where it is missing.
    pub name: Option<RawSetting<'a>>,
    /// Every attribute of every SETTING, in the order of the file.
    pub settings: Vec<RawSetting<'a>>,
    /// CLIENT_HOSTID and SERVER_HOSTID, in the order of the file.
    pub blocks: Vec<RawBlock<'a>>,
    /// RELEASE, in the order of the file; of a release list alone.
    pub releases: Vec<RawRelease<'a>>,
    /// What is wrong with its shape; any of these refuses the feature.
    pub faults: Vec<Fault>,
    entries: usize,
    is_full: bool,
}

impl RawFeature<'_> {
    /// The value of a setting, unescaped; the first where it is given twice.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|s| s.name == name).map(|s| &*s.value)
    }
}

/// One attribute: a setting, or an entry of a host-id block.
#[derive(Clone, Debug, Default)]
pub struct RawSetting<'a> {
    /// The attribute's name.
    pub name: &'a str,
    /// Byte offset of the name.
    pub name_at: usize,
    /// Unescaped, with no other normalization (L10).
    pub value: Cow<'a, str>,
    /// Byte offset of the first byte inside the quotes.
    pub value_at: usize,
}

/// CLIENT_HOSTID or SERVER_HOSTID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockKind {
    /// SERVER_HOSTID: which servers may serve the feature (L12).
    Server,
    /// CLIENT_HOSTID: which clients may use it (L13).
    Client,
}

impl BlockKind {
    /// The element's name.
    pub fn as_str(self) -> &'static str {
        match self {
            BlockKind::Server => "SERVER_HOSTID",
            BlockKind::Client => "CLIENT_HOSTID",
        }
    }
}

/// One host-id block.
#[derive(Clone, Debug)]
pub struct RawBlock<'a> {
    /// For the server or for the client.
    pub kind: BlockKind,
    /// Byte offset of its `<`.
    pub at: usize,
    /// One for each attribute of its SETTINGs.
    pub entries: Vec<RawSetting<'a>>,
}

/// One RELEASE of a release list.
#[derive(Clone, Debug)]
pub struct RawRelease<'a> {
    /// Byte offset of its `<`.
    pub at: usize,
    /// In the order of the file.
    pub attributes: Vec<RawSetting<'a>>,
}

/// Reads one file. `text` has no byte-order mark.
///
/// # Errors
///
/// The fault that makes the whole text unusable: it is not well-formed, has a document type, names another
/// encoding than UTF-8, nests deeper than [`DEPTH_MAX`], or is not one of our files at all.
pub fn read(text: &str) -> Result<Document<'_>, Fault> {
    if let Some(fault) = illegal_character(text).or_else(|| foreign(text)) {
        return Err(fault);
    }
    Parser {
        text,
        reader: reader(text),
        stack: Vec::new(),
        root: None,
        document: Document::new(),
        kept: 0,
        attributes: Vec::new(),
    }
    .run()
}

/// The text of a file's bytes, without its byte-order mark.
///
/// # Errors
///
/// A fault where the bytes are not UTF-8.
pub fn decode(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Fault::new(0, Reason::BadXml, "the file is UTF-16; save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        Fault::new(at, Reason::BadXml, format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"))
    })
}

fn reader(text: &str) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    reader
}

/// What is open around the reader.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Root,
    Feature,
    Block,
    Setting,
    /// Not of our language: its fault is noted, what is in it is only checked for well-formedness.
    Unknown,
}

struct Parser<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    stack: Vec<Open>,
    root: Option<Root>,
    document: Document<'a>,
    /// Problems kept in full so far.
    kept: usize,
    attributes: Vec<RawSetting<'a>>,
}

impl<'a> Document<'a> {
    fn new() -> Document<'a> {
        Document { root: Root::LicenseFile, features: Vec::new(), faults: Vec::new(), faults_dropped: 0 }
    }
}

impl<'a> Parser<'a> {
    fn run(mut self) -> Result<Document<'a>, Fault> {
        loop {
            let at = self.position();
            let event = self.reader.read_event().map_err(|error| {
                let at = usize::try_from(self.reader.error_position()).unwrap_or(at);
                bad(at, sentence(&error.to_string()))
            })?;
            match event {
                Event::Start(tag) => {
                    if !self.start(&tag)? {
                        return Ok(self.document);
                    }
                }
                Event::Empty(tag) => {
                    if !self.start(&tag)? {
                        return Ok(self.document);
                    }
                    self.stack.pop();
                }
                Event::End(_) => {
                    self.stack.pop();
                }
                Event::Text(text) if text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) => {}
                Event::Text(text) => {
                    let blank = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
                    self.stray_text(at + blank)?;
                }
                Event::GeneralRef(_) | Event::CData(_) => self.stray_text(at)?,
                Event::Comment(_) => {}
                Event::Decl(decl) => self.declaration(at, &decl)?,
                Event::PI(_) => return Err(bad(at, "processing instructions are not allowed; remove it")),
                Event::DocType(_) => {
                    return Err(bad(at, "a document type is not allowed; remove the <!DOCTYPE …>"));
                }
                Event::Eof if !self.stack.is_empty() => {
                    return Err(bad(at, "the file ends inside an element; it may have been cut off"));
                }
                Event::Eof => break,
            }
        }
        match self.root {
            Some(root) => {
                self.document.root = root;
                Ok(self.document)
            }
            None => Err(bad(0, "the file is empty; a license file has one LICENSEFILE element")),
        }
    }

    /// Takes an opening tag in; `false` where the limit of features is reached and reading stops.
    fn start(&mut self, tag: &BytesStart<'_>) -> Result<bool, Fault> {
        let (name, name_at) = self.locate(tag.name().0);
        let at = name_at.saturating_sub(1);
        if self.stack.len() >= DEPTH_MAX {
            return Err(bad(at, format!("<{}> is nested deeper than {DEPTH_MAX} elements", shown(name))));
        }
        // One list for all elements: most have one attribute.
        let mut attributes = std::mem::take(&mut self.attributes);
        self.read_attributes(tag, name_at, &mut attributes)?;
        let open = match (self.stack.last(), name) {
            (None, _) if self.root.is_some() => {
                return Err(bad(at, format!("<{}> is a second root; a file has one", shown(name))));
            }
            (None, "LICENSEFILE") => {
                self.root = Some(Root::LicenseFile);
                self.no_attributes(name, &attributes);
                Open::Root
            }
            (None, "RELEASES") => {
                self.root = Some(Root::Releases);
                self.no_attributes(name, &attributes);
                Open::Root
            }
            (None, other) => {
                let message = format!(
                    "the root is <{}>; a license file has the root LICENSEFILE, a release catalog RELEASES",
                    shown(other)
                );
                return Err(bad(at, message));
            }
            (Some(Open::Root), "FEATURE") => {
                if self.document.features.len() >= FILE_FEATURES_MAX {
                    let message = format!(
                        "the file has more than {FILE_FEATURES_MAX} features; those from here on are refused, \
                         put them into another file"
                    );
                    self.document.faults.push(bad(at, message));
                    return Ok(false);
                }
                self.feature(at, &mut attributes);
                Open::Feature
            }
            (Some(Open::Feature), "SETTING") => {
                self.setting(at, &mut attributes);
                Open::Setting
            }
            (Some(Open::Feature), "RELEASE") if self.root == Some(Root::Releases) => {
                self.release(at, &mut attributes);
                Open::Setting
            }
            (Some(Open::Feature), "SERVER_HOSTID" | "CLIENT_HOSTID")
                if self.root == Some(Root::LicenseFile) =>
            {
                let kind = if name == "SERVER_HOSTID" { BlockKind::Server } else { BlockKind::Client };
                self.no_attributes(name, &attributes);
                if self.has_room(at)
                    && let Some(feature) = self.document.features.last_mut()
                {
                    feature.blocks.push(RawBlock { kind, at, entries: Vec::new() });
                }
                Open::Block
            }
            (Some(Open::Block), "SETTING") => {
                self.entry(at, &mut attributes);
                Open::Setting
            }
            (Some(Open::Unknown), _) => Open::Unknown,
            (Some(around), other) => {
                let known = match around {
                    Open::Root => "known here: FEATURE",
                    Open::Feature if self.root == Some(Root::Releases) => "known here: SETTING, RELEASE",
                    Open::Feature => "known here: SETTING, SERVER_HOSTID, CLIENT_HOSTID",
                    Open::Block => "known here: SETTING",
                    Open::Setting | Open::Unknown => "SETTING and RELEASE have attributes only",
                };
                let message = format!("<{}> is not an element of this file here; {known}", shown(other));
                self.fault(Fault::new(at, Reason::UnknownSetting, message));
                Open::Unknown
            }
        };
        self.stack.push(open);
        attributes.clear();
        self.attributes = attributes;
        Ok(true)
    }

    fn feature(&mut self, at: usize, attributes: &mut Vec<RawSetting<'a>>) {
        let settings = Vec::with_capacity(8);
        self.document.features.push(RawFeature { at, settings, ..RawFeature::default() });
        for attribute in attributes.drain(..) {
            if attribute.name == "NAME" {
                if let Some(feature) = self.document.features.last_mut() {
                    feature.name = Some(attribute);
                }
            } else {
                let message = format!(
                    "{} is not an attribute of FEATURE, only NAME is; write <SETTING {}=\"…\"/> inside it",
                    shown(attribute.name),
                    shown(attribute.name)
                );
                self.keep(true, Fault::new(attribute.name_at, Reason::UnknownSetting, message));
            }
        }
    }

    fn setting(&mut self, at: usize, attributes: &mut Vec<RawSetting<'a>>) {
        if attributes.is_empty() {
            self.fault(Fault::new(at, Reason::BadValue, "this SETTING says nothing; give it an attribute"));
        }
        for attribute in attributes.drain(..) {
            if self.has_room(attribute.name_at)
                && let Some(feature) = self.document.features.last_mut()
            {
                feature.settings.push(attribute);
            }
        }
    }

    fn release(&mut self, at: usize, attributes: &mut Vec<RawSetting<'a>>) {
        let Some(feature) = self.document.features.last_mut() else { return };
        if feature.releases.len() == FEATURE_RELEASES_MAX {
            if !feature.is_full {
                feature.is_full = true;
                let message = format!("the list has more than {FEATURE_RELEASES_MAX} releases");
                self.fault(Fault::new(at, Reason::BadValue, message));
            }
            return;
        }
        feature.releases.push(RawRelease { at, attributes: std::mem::take(attributes) });
    }

    fn entry(&mut self, at: usize, attributes: &mut Vec<RawSetting<'a>>) {
        if attributes.is_empty() {
            self.fault(Fault::new(at, Reason::BadValue, "this SETTING says nothing; give it a host id"));
        }
        for attribute in attributes.drain(..) {
            if self.has_room(attribute.name_at)
                && let Some(block) = self.document.features.last_mut().and_then(|f| f.blocks.last_mut())
            {
                block.entries.push(attribute);
            }
        }
    }

    /// Whether the feature may have one more entry; says so, once, when it may not.
    fn has_room(&mut self, at: usize) -> bool {
        let Some(feature) = self.document.features.last_mut() else { return false };
        feature.entries += 1;
        if feature.entries == FEATURE_ENTRIES_MAX + 1 {
            let message = format!("the feature has more than {FEATURE_ENTRIES_MAX} settings and host ids");
            self.fault(Fault::new(at, Reason::BadValue, message));
            return false;
        }
        feature.entries <= FEATURE_ENTRIES_MAX
    }

    fn no_attributes(&mut self, element: &str, attributes: &[RawSetting<'a>]) {
        for attribute in attributes {
            let message = format!("{element} has no attribute {}; remove it", shown(attribute.name));
            self.fault(Fault::new(attribute.name_at, Reason::UnknownSetting, message));
        }
    }

    /// Notes a fault that leaves the text well-formed, with the feature it stands in.
    ///
    /// Of a file with very many, only the first of each feature is kept: it is what refuses the feature.
    fn fault(&mut self, fault: Fault) {
        let inside = self.stack.contains(&Open::Feature);
        self.keep(inside, fault);
    }

    fn keep(&mut self, inside: bool, fault: Fault) {
        let list = match self.document.features.last_mut() {
            Some(feature) if inside => &mut feature.faults,
            _ => &mut self.document.faults,
        };
        if self.kept < FILE_PROBLEMS_MAX || (inside && list.is_empty()) {
            self.kept += 1;
            list.push(fault);
        } else {
            self.document.faults_dropped += 1;
        }
    }

    fn stray_text(&mut self, at: usize) -> Result<(), Fault> {
        match self.stack.last() {
            None => Err(bad(at, "there is text outside the root element")),
            Some(Open::Unknown) => Ok(()),
            Some(_) => {
                let message = "text is not allowed here; every value is an attribute of a SETTING";
                self.fault(bad(at, message));
                Ok(())
            }
        }
    }

    fn declaration(&self, at: usize, decl: &BytesDecl<'_>) -> Result<(), Fault> {
        if at != 0 {
            return Err(bad(at, "the XML declaration stands at the very beginning or not at all"));
        }
        let content: &str = decl;
        for attribute in BytesStart::from_content(content, "xml".len().min(content.len())).attributes() {
            let attribute = attribute.map_err(|error| attribute_fault(&error, at + "<?".len()))?;
            let good = match attribute.key.0 {
                "version" => attribute.value == "1.0",
                "encoding" => attribute.value.eq_ignore_ascii_case("utf-8"),
                "standalone" => matches!(&*attribute.value, "yes" | "no"),
                _ => false,
            };
            if !good {
                let (name, value) = (shown(attribute.key.0), shown(&attribute.value));
                let message = format!(
                    "{name}={value} is not supported in the XML declaration; \
                     write <?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                );
                return Err(bad(at, message));
            }
        }
        decl.version().map(|_| ()).map_err(|error| bad(at, sentence(&error.to_string())))
    }

    /// Every attribute of a tag. Faults here make the text ill-formed, apart from those of one value.
    fn read_attributes(
        &self,
        tag: &BytesStart<'_>,
        name_at: usize,
        found: &mut Vec<RawSetting<'a>>,
    ) -> Result<(), Fault> {
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| attribute_fault(&error, name_at))?;
            if found.len() == FEATURE_ENTRIES_MAX {
                let message = format!("this element has more than {FEATURE_ENTRIES_MAX} attributes");
                return Err(bad(name_at, message));
            }
            let (name, at) = self.locate(attribute.key.0);
            let (raw, value_at) = self.locate(&attribute.value);
            if !self.text.get(..at).is_some_and(|before| before.ends_with([' ', '\t', '\n', '\r'])) {
                return Err(bad(at, format!("white space is missing before the attribute {}", shown(name))));
            }
            if let Some(offset) = raw.find('<') {
                return Err(bad(value_at + offset, "`<` inside a value; write &lt;"));
            }
            let value = if raw.contains('&') {
                let value = unescape(raw).map_err(|error| escape_fault(&error, raw, value_at))?;
                if let Some(c) = value.chars().find(|c| !is_xml(*c)) {
                    let message = format!("the character U+{:04X} is not allowed in XML", u32::from(c));
                    return Err(bad(value_at, message));
                }
                value
            } else {
                Cow::Borrowed(raw)
            };
            found.push(RawSetting { name, name_at: at, value, value_at });
        }
        Ok(())
    }

    /// A part of an event as a part of the text: quick-xml borrows and never copies when it reads from memory.
    fn locate(&self, part: &str) -> (&'a str, usize) {
        let at = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let slice = at.checked_add(part.len()).and_then(|end| self.text.get(at..end));
        debug_assert_eq!(slice, Some(part), "an event that does not borrow from the text");
        slice.map_or(("", 0), |slice| (slice, at))
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }
}

/// What is wrong with a value that is well-formed XML (L4): too long, or control characters in it.
pub(super) fn value_fault(setting: &RawSetting<'_>) -> Option<Fault> {
    let value = &*setting.value;
    if value.len() > VALUE_BYTES_MAX {
        let message =
            format!("{} has {} bytes; at most {VALUE_BYTES_MAX} are allowed", setting.name, value.len());
        return Some(Fault::new(setting.value_at, Reason::BadValue, message));
    }
    // U+0080 to U+009F begin with 0xC2; the usual value is told by its bytes.
    if !value.bytes().any(|b| b < b' ' || b == 0x7f || b == 0xc2) {
        return None;
    }
    let control = value.chars().find(|c| c.is_control())?;
    let message =
        format!("{} holds the control character U+{:04X}; remove it", setting.name, u32::from(control));
    Some(Fault::new(setting.value_at, Reason::BadValue, message))
}

/// A value as it is shown in a message: cut, quoted where it is empty, and without control characters.
pub(crate) fn shown(value: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut text: String =
        value.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if value.chars().nth(CHARACTERS_MAX).is_some() {
        text.push('…');
    }
    if text.is_empty() { "\"\"".to_owned() } else { text }
}

fn bad(at: usize, message: impl Into<String>) -> Fault {
    Fault::new(at, Reason::BadXml, message)
}

/// quick-xml's words in our form: one line, cut.
fn sentence(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    format!("not well-formed XML: {line}")
}

fn attribute_fault(error: &AttrError, name_at: usize) -> Fault {
    let (offset, what) = match error {
        AttrError::ExpectedEq(at) => (*at, "`=` is missing after an attribute's name"),
        AttrError::ExpectedValue(at) => (*at, "an attribute has no value"),
        AttrError::UnquotedValue(at) => (*at, "a value must stand in quotes"),
        AttrError::ExpectedQuote(at, _) => (*at, "the closing quote of a value is missing"),
        AttrError::Duplicated(at, _) => (*at, "an attribute is given twice in one element"),
    };
    bad(name_at + offset, what)
}

fn escape_fault(error: &EscapeError, raw: &str, value_at: usize) -> Fault {
    let seen = match error {
        EscapeError::UnrecognizedEntity(range, _) | EscapeError::UnterminatedEntity(range) => range.start,
        _ => raw.len(),
    };
    // Some of these positions are behind the `&`.
    let before = raw.as_bytes().get(..=seen).unwrap_or(raw.as_bytes());
    let offset = before.iter().rposition(|b| *b == b'&').unwrap_or(0);
    bad(value_at + offset, "only &lt; &gt; &amp; &apos; &quot; and &#…; are known; write & as &amp;")
}

/// Char of XML 1.0, section 2.2.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn illegal_character(text: &str) -> Option<Fault> {
    // U+FFFE and U+FFFF begin with the byte 0xEF, control characters are below a space: for the usual file
    // this is one look at each byte.
    let suspect = |b: &u8| *b == 0xef || (*b < b' ' && !matches!(*b, b'\t' | b'\n' | b'\r'));
    if !text.as_bytes().iter().any(suspect) {
        return None;
    }
    let (at, c) = text.char_indices().find(|(_, c)| !is_xml(*c))?;
    Some(bad(
        at,
        format!("the character U+{:04X} is not allowed in XML; the file may be damaged", u32::from(c)),
    ))
}

/// A text that does not begin as XML does: other license managers' files are told apart (L5).
fn foreign(text: &str) -> Option<Fault> {
    /// Licenses may begin with comments; longer ones than this hide what the file is.
    const HEAD_BYTES: usize = 65_536;
    let text = text.get(..text.floor_char_boundary(HEAD_BYTES)).unwrap_or(text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let at = text.len() - text.trim_start().len();
    let Some(line) = first.filter(|line| !line.starts_with('<')) else {
        return (!text.trim_start().starts_with('<') && !text.trim().is_empty())
            .then(|| bad(at, "this is not XML; a license file has one LICENSEFILE element"));
    };
    let mut words = line.split_whitespace();
    let (word, second, third) = (words.next().unwrap_or(""), words.next(), words.next());
    let ask = "ask the vendor to sign its template for Seatkeeper (seatkeeper vendor sign)";
    let message = match word {
        "FEATURE" if third.is_none() || third == Some("{") || second.is_some_and(|s| s.ends_with('{')) => {
            format!("this is a license in LM-X's own text format; {ask}")
        }
        "SERVER" | "VENDOR" | "DAEMON" | "USE_SERVER" | "FEATURE" | "INCREMENT" | "PACKAGE" | "UPGRADE" => {
            format!("this is a license in FlexNet's text format; {ask}")
        }
        _ => "this is not XML; a license file has one LICENSEFILE element".to_owned(),
    };
    Some(bad(at, message))
}
