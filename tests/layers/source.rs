//! Rust source as far as layers need it: identifiers outside comments and text, and the paths they make.

/// An identifier, `::`, or one other character.
pub(crate) type Token = String;

/// The tokens of the text, without comments, text and character literals, and without what is compiled for tests only.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    without_tests(&all_tokens(text))
}

fn all_tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < text.len() {
        let c = text[i];
        if c == '/' && at(i + 1) == '/' {
            while i < text.len() && text[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= text.len() {
                    break;
                }
            }
        } else if c == '"' {
            i = after_text(&text, i + 1);
        } else if c == '\'' {
            // 'a' or '\n' is a character, 'a alone a lifetime.
            if at(i + 1) == '\\' {
                i += 3;
                while i < text.len() && text[i] != '\'' {
                    i += 1;
                }
                i += 1;
            } else {
                i += if at(i + 2) == '\'' { 3 } else { 1 };
            }
        } else if is_word(c) {
            let start = i;
            while i < text.len() && is_word(text[i]) {
                i += 1;
            }
            let word: String = text[start..i].iter().collect();
            let mut hashes = 0;
            while at(i + hashes) == '#' {
                hashes += 1;
            }
            let raw = matches!(word.as_str(), "r" | "br" | "cr") && at(i + hashes) == '"';
            if raw {
                let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                i += hashes + 1;
                while i < text.len() && !text[i..].starts_with(&end) {
                    i += 1;
                }
                i += end.len();
            } else if matches!(word.as_str(), "b" | "c") && at(i) == '"' {
                i = after_text(&text, i + 1);
            } else {
                tokens.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            tokens.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            i += 1;
        }
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn after_text(text: &[char], mut i: usize) -> usize {
    while i < text.len() && text[i] != '"' {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Leaves out every item under `#[cfg(test)]`: tests may use what they like.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].len() >= attribute.len() && tokens[i..].iter().zip(attribute).all(|(a, b)| a == b) {
            i += attribute.len();
            let mut depth = 0_i32;
            while i < tokens.len() {
                match tokens[i].as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    _ => {}
                }
                i += 1;
                if depth == 0 && matches!(tokens[i - 1].as_str(), "}" | ";") {
                    break;
                }
            }
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    kept
}

/// Every path the source names: those of `use` written out (`use a::{b, c}` is `a::b` and `a::c`), `extern crate a`, and
/// paths of two parts or more anywhere else.
pub(crate) fn paths(tokens: &[Token]) -> Vec<Vec<Token>> {
    let (mut paths, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        match tokens[i].as_str() {
            // In a type, `use<'a>` says what is captured.
            "use" if tokens.get(i + 1).is_none_or(|token| token != "<") => {
                i += 1;
                use_tree(tokens, &mut i, &[], &mut paths);
            }
            "crate" if i > 0 && tokens[i - 1] == "extern" => {
                paths.push(tokens[i + 1..].iter().take(1).cloned().collect());
                i += 2;
            }
            _ => {
                let mut path = Vec::new();
                if tokens[i] == "::" {
                    i += 1;
                }
                while i < tokens.len() && is_name(&tokens[i]) {
                    path.push(tokens[i].clone());
                    i += 1;
                    if tokens.get(i).is_none_or(|t| t != "::") {
                        break;
                    }
                    i += 1;
                }
                match path.len() {
                    0 => i += 1,
                    1 => {}
                    _ => paths.push(path),
                }
            }
        }
    }
    paths
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') && token != "use"
}

fn use_tree(tokens: &[Token], i: &mut usize, prefix: &[Token], paths: &mut Vec<Vec<Token>>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*i) {
        match token.as_str() {
            "::" => *i += 1,
            "{" => {
                *i += 1;
                while tokens.get(*i).is_some_and(|t| t != "}") {
                    use_tree(tokens, i, &path, paths);
                    if tokens.get(*i).is_some_and(|t| t == ",") {
                        *i += 1;
                    }
                }
                *i += 1;
                return;
            }
            "as" => *i += 2,
            "," | "}" | ";" => break,
            // `use a::{self}` is `use a`.
            "self" if !path.is_empty() => *i += 1,
            _ => {
                path.push(token.clone());
                *i += 1;
            }
        }
    }
    if path.len() > prefix.len() || !prefix.is_empty() {
        paths.push(path);
    }
}
