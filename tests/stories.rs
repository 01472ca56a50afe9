//! Runs the stories of `tests/stories/*.txt`: the rules, told by examples an administrator can read.
//!
//! A story is a list of blocks: commands, a line of four dashes, and what the server answers, up to an empty
//! line. Lines that begin with `#` are for the reader. `UPDATE_STORIES=1` writes the answers anew: read the
//! difference before committing it. The commands are told in `tests/stories/README.md`.
//!
//! The ledger is driven as the engine drives it, see the driver.

#[path = "../crates/seats/tests/driver/mod.rs"]
mod driver;

#[path = "stories/licenses.rs"]
mod licenses;
#[path = "stories/policy.rs"]
mod policy;
#[path = "stories/shown.rs"]
mod shown;
#[path = "stories/versions.rs"]
mod versions;
#[path = "stories/world.rs"]
mod world;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use world::World;

/// One piece of a story file.
enum Piece {
    /// Empty lines and comments, kept as they are.
    Text(String),
    Block {
        line: usize,
        commands: Vec<String>,
        answer: Vec<String>,
    },
}

fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() || line.starts_with('#') {
            pieces.push(Piece::Text(line.to_string()));
            continue;
        }
        let mut commands = vec![line.to_string()];
        loop {
            match lines.next() {
                Some((_, "----")) => break,
                Some((at, line)) if line.trim().is_empty() => {
                    return Err(format!("line {}: a command without ---- and an answer", at + 1));
                }
                Some((_, line)) => commands.push(line.to_string()),
                None => return Err("the last command has no ---- and no answer".into()),
            }
        }
        let mut answer = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
            answer.push(line.to_string());
        }
        pieces.push(Piece::Block { line: at + 1, commands, answer });
    }
    Ok(pieces)
}

/// Plays a story; what differs, and the story as it would be with the answers given now.
fn play(path: &Path) -> (String, String) {
    let shown = path.file_name().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path).expect("a story can be read");
    let pieces = parse(&text).unwrap_or_else(|why| panic!("{shown}: {why}"));
    let mut world = World::new();
    let (mut differences, mut rewritten) = (String::new(), String::new());
    for piece in pieces {
        match piece {
            Piece::Text(line) => writeln!(rewritten, "{line}").unwrap(),
            Piece::Block { line, commands, answer } => {
                let given = world.run(&commands).unwrap_or_else(|why| panic!("{shown}:{line}: {why}"));
                for line in
                    commands.iter().map(String::as_str).chain(["----"]).chain(given.iter().map(|l| &**l))
                {
                    writeln!(rewritten, "{line}").unwrap();
                }
                if given != answer {
                    writeln!(differences, "\n{shown}:{line}: {}", commands.join(" / ")).unwrap();
                    difference(&answer, &given, &mut differences);
                }
            }
        }
    }
    (differences, rewritten)
}

/// `-` the story says, `+` the ledger says; what is alike at both ends stands between them once.
fn difference(said: &[String], given: &[String], into: &mut String) {
    let head = said.iter().zip(given).take_while(|(s, g)| s == g).count();
    let most = said.len().min(given.len()) - head;
    let tail = said.iter().rev().zip(given.iter().rev()).take(most).take_while(|(s, g)| s == g).count();
    let mut write = |sign: char, lines: &[String]| {
        lines.iter().for_each(|line| writeln!(into, "  {sign} {line}").unwrap());
    };
    write(' ', &said[..head]);
    write('-', &said[head..said.len() - tail]);
    write('+', &given[head..given.len() - tail]);
    write(' ', &said[said.len() - tail..]);
}

fn stories() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let entries = fs::read_dir(directory).expect("the directory of the stories");
    let mut paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "txt"));
    paths.sort();
    paths
}

#[test]
fn every_story_is_true() {
    let stories = stories();
    assert!(!stories.is_empty(), "there are no stories");
    let mut all = String::new();
    for path in stories {
        let (differences, rewritten) = play(&path);
        if env::var_os("UPDATE_STORIES").is_some_and(|v| v == "1") {
            fs::write(&path, rewritten).expect("the story can be written");
        } else {
            all.push_str(&differences);
        }
    }
    assert!(all.is_empty(), "- the story says, + the ledger says (UPDATE_STORIES=1 rewrites)\n{all}");
}

#[test]
fn a_changed_answer_is_shown_line_by_line() {
    let lines = |text: &str| text.lines().map(String::from).collect::<Vec<_>>();
    let mut shown = String::new();
    difference(&lines("a\nb\nc"), &lines("a\nx\ny\nc"), &mut shown);
    assert_eq!(shown, "    a\n  - b\n  + x\n  + y\n    c\n");
}
