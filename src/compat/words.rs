//! The command lines of `lmxendutil` and `lmutil lmstat`: their options have one dash, so they are read here, before and
//! without clap. Everything else that a person types is clap's (src/cli/args).
//!
//! A command line is one of these by the name that the program is called by (a symlink), or by its first word. Options that
//! make no difference here are read and passed over; an option that is not known is an error, for silence would be a wrong
//! answer.

use std::ffi::OsString;
use std::path::Path;

use super::Place;

/// The port where none is said: LM-X's, and ours.
const PORT: u16 = 6200;

/// One of the two tools, and what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `lmxendutil`.
    Lmx(Lmx),
    /// `lmutil lmstat`.
    Lmstat(Lmstat),
    /// Which words there are.
    Help(&'static str),
}

/// What `lmxendutil` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lmx {
    /// `-licstatxml` instead of `-licstat`.
    pub xml: bool,
    /// `-host` and `-port`; `None`: neither was said.
    pub place: Option<Place>,
    /// `-vendor`: this vendor's features only.
    pub vendor: Option<String>,
    /// `-feature`: this feature only.
    pub feature: Option<String>,
}

/// What `lmstat` is asked. With no option it tells the server alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lmstat {
    /// `-a` or `-A`: every feature and who has it.
    pub all: bool,
    /// `-i`: the licenses.
    pub inventory: bool,
    /// `-f`: usage of one feature, or of all where none is named.
    pub usage: bool,
    /// The feature that `-f` or `-i` names.
    pub feature: Option<String>,
    /// `-S`: this vendor's features only.
    pub vendor: Option<String>,
    /// `-c`: servers, tried in this order; empty: not said.
    pub places: Vec<Place>,
}

impl Lmstat {
    /// Whether usage is asked for.
    pub fn shows_usage(&self) -> bool {
        self.all || self.usage
    }
}

const LMX_HELP: &str = "\
usage: lmxendutil -licstat | -licstatxml [-host HOST] [-port PORT] [-vendor VENDOR] [-feature FEATURE]

Answers as the tool of that name does, for the programs that read it; by Seatkeeper.
  -licstat      the server, its features and who has them, as text
  -licstatxml   the same as XML; the banner goes to stderr
  -host, -port  which server [default: SEATKEEPER_SERVER, else 6200@127.0.0.1]
Everything else that the tool can do is in `seatkeeper --help`.
";

const LMSTAT_HELP: &str = "\
usage: lmutil lmstat [-a] [-i [FEATURE]] [-f [FEATURE]] [-S [VENDOR]] [-c PORT@HOST[:PORT@HOST]…]

Answers as the tool of that name does, for the programs that read it; by Seatkeeper.
  -a   every feature and who has it; -f: of one feature
  -i   the licenses that count
  -c   which server; of several, separated by `:` or `,`, the first that answers
       [default: SEATKEEPER_SERVER, else 6200@127.0.0.1]
Everything else that the tool can do is in `seatkeeper --help`.
";

/// Which of the tools these words call, the program's name first; `None`: neither.
///
/// # Errors
///
/// What is wrong with the words, one sentence.
pub fn tool(words: &[OsString]) -> Option<Result<Tool, String>> {
    let word = |at: usize| words.get(at).map(|w| w.to_string_lossy().into_owned());
    let called =
        words.first().and_then(|w| Path::new(w).file_stem()).map(|w| w.to_string_lossy().into_owned());
    let is_tool = |name: &str| matches!(name, "lmxendutil" | "lmutil" | "lmstat");
    let (name, first) = match (called, word(1)) {
        (Some(name), _) if is_tool(&name) => (name, 1),
        (_, Some(name)) if is_tool(&name) => (name, 2),
        _ => return None,
    };
    let rest: Vec<String> = (first..words.len()).filter_map(word).collect();
    Some(match (name.as_str(), rest.first().map(String::as_str)) {
        ("lmxendutil", _) => lmx(&rest),
        ("lmstat", _) => lmstat(&rest),
        (_, Some("lmstat")) => lmstat(&rest[1..]),
        (_, None | Some("-h" | "-help" | "--help")) => Ok(Tool::Help(LMSTAT_HELP)),
        (_, Some(other)) => Err(format!("lmutil {other}: only `lmutil lmstat` is answered here")),
    })
}

fn lmx(words: &[String]) -> Result<Tool, String> {
    let (mut asked, mut is_status) = (Lmx::default(), false);
    let (mut host, mut port) = (None, None);
    let mut words = words.iter();
    while let Some(option) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{option} wants a value"));
        match option.as_str() {
            "-licstat" => is_status = true,
            "-licstatxml" => (is_status, asked.xml) = (true, true),
            "-host" => host = Some(value()?),
            "-port" => port = Some(self::port(&value()?)?),
            "-vendor" => asked.vendor = Some(value()?),
            "-feature" => asked.feature = Some(value()?),
            // There are no other licenses here.
            "-network" => {}
            "-h" | "-help" | "--help" => return Ok(Tool::Help(LMX_HELP)),
            other => return Err(format!("{other} is not known; `lmxendutil -help` tells what is")),
        }
    }
    if !is_status {
        return Err("write -licstat or -licstatxml; `lmxendutil -help` tells more".to_owned());
    }
    if host.is_some() || port.is_some() {
        let host = host.as_deref().map_or(Ok("127.0.0.1".to_owned()), self::host)?;
        asked.place = Some(Place { host, port: port.unwrap_or(PORT) });
    }
    Ok(Tool::Lmx(asked))
}

fn lmstat(words: &[String]) -> Result<Tool, String> {
    let mut asked = Lmstat::default();
    let mut words = words.iter().peekable();
    while let Some(option) = words.next() {
        let mut optional = || words.next_if(|w| !w.starts_with('-')).cloned();
        match option.as_str() {
            "-a" | "-A" => asked.all = true,
            "-i" => {
                asked.inventory = true;
                asked.feature = optional().or(asked.feature);
            }
            "-f" => {
                asked.usage = true;
                asked.feature = optional().or(asked.feature);
            }
            "-S" => {
                asked.usage = true;
                asked.vendor = optional();
            }
            "-c" => {
                let list = optional().ok_or("-c wants PORT@HOST")?;
                asked.places = places(&list)?;
            }
            // The server's state is told in any case, and the time to wait is the client library's.
            "-s" | "-t" => drop(optional()),
            "-h" | "-help" | "--help" => return Ok(Tool::Help(LMSTAT_HELP)),
            other => return Err(format!("{other} is not known; `lmutil lmstat -help` tells what is")),
        }
    }
    Ok(Tool::Lmstat(asked))
}

/// `PORT@HOST`, `@HOST` or `HOST`, several separated by `:` or `,`. An IPv6 address stands in brackets.
fn places(list: &str) -> Result<Vec<Place>, String> {
    let mut is_inside = false;
    let entries = list.split(|c: char| {
        is_inside = (is_inside || c == '[') && c != ']';
        !is_inside && matches!(c, ':' | ',')
    });
    let mut places = Vec::new();
    for entry in entries.map(str::trim).filter(|entry| !entry.is_empty()) {
        let (port, host) = entry.split_once('@').unwrap_or(("", entry));
        let port = if port.is_empty() { PORT } else { self::port(port)? };
        places.push(Place { host: self::host(host)?, port });
    }
    if places.is_empty() { Err("-c wants PORT@HOST".to_owned()) } else { Ok(places) }
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| format!("{text:?} is not a port: write a number from 1 to 65535"))
}

fn host(text: &str) -> Result<String, String> {
    if text.contains(['/', '\\']) {
        return Err(format!("{text}: a license file is not read here: name the server, PORT@HOST"));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let is_host = !bare.is_empty() && !bare.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_host { Ok(bare.to_owned()) } else { Err(format!("{text:?} is not a host")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Result<Tool, String>> {
        tool(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn at(host: &str, port: u16) -> Place {
        Place { host: host.to_owned(), port }
    }

    #[test]
    fn a_tool_is_called_by_the_first_word_or_by_the_programs_own_name() {
        let asked = Lmx { place: Some(at("lic01", 6200)), ..Lmx::default() };
        for line in ["seatkeeper lmxendutil", "/opt/bin/lmxendutil", "lmxendutil.exe"] {
            let line = format!("{line} -licstat -host lic01");
            assert_eq!(read(&line), Some(Ok(Tool::Lmx(asked.clone()))), "{line}");
        }
        let asked = Lmstat { all: true, ..Lmstat::default() };
        for line in ["seatkeeper lmutil lmstat -a", "seatkeeper lmstat -a", "lmutil lmstat -a", "./lmstat -a"]
        {
            assert_eq!(read(line), Some(Ok(Tool::Lmstat(asked.clone()))), "{line}");
        }
        for line in ["seatkeeper status", "seatkeeper", "seatkeeperd lm", "seatkeeper run cad -- lmstat"] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn servers_are_separated_by_colons_or_commas_and_an_address_of_ipv6_stands_in_brackets() {
        let list = |text: &str| places(text).expect(text);
        assert_eq!(list("27000@a:27001@b"), [at("a", 27_000), at("b", 27_001)]);
        assert_eq!(list("@a, b"), [at("a", 6200), at("b", 6200)]);
        assert_eq!(list("6300@[2001:db8::1]:1@[::1]"), [at("2001:db8::1", 6300), at("::1", 1)]);
        for bad in ["", ",", "0@a", "70000@a", "x@a", "1@", "/opt/license.dat", "1@a b"] {
            assert!(places(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn options_that_make_no_difference_are_passed_over_and_unknown_ones_are_not() {
        let Some(Ok(Tool::Lmstat(asked))) = read("lmutil lmstat -t 5 -s lic01 -c 1@a -f cad -i -S ACME")
        else {
            panic!("not read");
        };
        assert_eq!((asked.feature.as_deref(), asked.vendor.as_deref()), (Some("cad"), Some("ACME")));
        assert!(asked.inventory && asked.shows_usage() && !asked.all && asked.places == [at("a", 1)]);
        let Some(Ok(Tool::Lmx(asked))) = read("lmxendutil -licstatxml -network -port 7 -vendor ACME") else {
            panic!("not read");
        };
        assert!(
            asked.xml && asked.place == Some(at("127.0.0.1", 7)) && asked.vendor.as_deref() == Some("ACME")
        );
        for line in [
            "lmxendutil",
            "lmxendutil -licstat -port",
            "lmxendutil -licstat -port x",
            "lmxendutil -licstat --json",
            "lmutil lmdown",
            "lmutil lmstat -c",
            "lmutil lmstat -x",
        ] {
            assert!(matches!(read(line), Some(Err(_))), "{line}");
        }
    }
}
