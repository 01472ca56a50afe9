//! The state directory: lock, format, key, and what `state check` says of it.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use seatkeeper::{
    journal::{Fold, FoldError, Options},
    state::{FORMAT, Identity, StateDir, StateError, check},
};

/// Counts.
#[derive(Default)]
struct Count(u64);

impl Fold for Count {
    fn apply(&mut self, _: u64, _: u64, _: u16, _: &[u8]) -> Result<(), FoldError> {
        self.0 += 1;
        Ok(())
    }

    fn dump(&self, out: &mut dyn FnMut(u16, &[u8])) {
        (0..self.0).for_each(|_| out(1, b""));
    }
}

fn options() -> Options {
    Options { segment_bytes: 64 << 10, ..Options::default() }
}

/// A state directory that was in use: three batches.
fn used(path: &Path) {
    let mut state = StateDir::open(path, false).unwrap();
    let mut opened = state.open_journal(options(), &mut Count::default()).unwrap();
    for tick in 5..8 {
        opened.journal.append(tick, [(1, b"abc")]).unwrap();
        opened.journal.commit().unwrap();
    }
}

/// Every file with its bytes.
fn contents(path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_a_private_directory_and_a_key_that_stays() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/state");
    let state = StateDir::open(&path, false).unwrap();
    assert!(state.is_new());
    let key = state.identity().fingerprint();
    assert_eq!((mode(&path) & 0o027, mode(&Identity::path(&path))), (0, 0o600));
    assert!(key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit()));
    drop(state);
    let before = fs::read(Identity::path(&path)).unwrap();
    assert!(before.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
    used(&path);
    let state = StateDir::open(&path, false).unwrap();
    assert_eq!((state.identity().fingerprint(), state.is_new()), (key, false));
    assert_eq!(fs::read(Identity::path(&path)).unwrap(), before);
    let signature = state.identity().sign(b"token");
    state.identity().public_key().verify_strict(b"token", &signature).unwrap();
}

#[test]
fn openssl_reads_the_key_and_finds_the_same_public_half() {
    let home = tempfile::tempdir().unwrap();
    let state = StateDir::open(home.path(), false).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(Identity::path(home.path()));
    let output = match openssl.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var_os("SEATKEEPER_CI").is_none(), "openssl is missing");
            writeln!(std::io::stderr(), "skipped: needs openssl").unwrap();
            return;
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(&output.stdout[output.stdout.len() - 32..], state.identity().public_key().as_bytes());
}

#[test]
fn s63_a_second_daemon_is_refused_and_told_the_pid_of_the_first() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    let first = StateDir::open(path, false).unwrap();
    // Another open file description: to the kernel the same as another process.
    let error = StateDir::open(path, false).unwrap_err();
    assert!(matches!(error, StateError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(error.to_string().contains(&format!("(pid {})", std::process::id())), "{error}");
    let report = check(path);
    assert_eq!((report.locked, report.pid), (true, Some(std::process::id())));
    drop(first);
    assert!(!check(path).locked);
    StateDir::open(path, false).unwrap();
}

#[test]
fn s63_a_lock_of_another_process_ends_when_that_process_is_killed() {
    const CHILD: &str = "SEATKEEPER_TEST_LOCK_CHILD";
    if let Some(path) = std::env::var_os(CHILD) {
        let state = StateDir::open(Path::new(&path), false).unwrap();
        println!("locked");
        // Until the parent kills it, or is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        drop(state);
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "s63_a_lock_of_another_process_ends_when_that_process_is_killed", "--nocapture"])
        .env(CHILD, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().ends_with("locked")));
    let error = StateDir::open(home.path(), false).unwrap_err();
    assert!(matches!(error, StateError::Locked { pid: Some(pid), .. } if pid == child.id()), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    StateDir::open(home.path(), false).unwrap();
}

#[test]
fn s65_a_newer_format_is_refused_and_nothing_is_changed() {
    let home = tempfile::tempdir().unwrap();
    used(home.path());
    fs::write(home.path().join("format"), format!("seatkeeper state {}\n", FORMAT + 1)).unwrap();
    let before = contents(home.path());
    let error = StateDir::open(home.path(), true).unwrap_err();
    assert!(matches!(error, StateError::NewerFormat { found, .. } if found == FORMAT + 1), "{error}");
    assert_eq!(contents(home.path()), before);
    for text in
        ["", "seatkeeper state", "seatkeeper state 0", "something else", "seatkeeper state 99999999999"]
    {
        fs::write(home.path().join("format"), text).unwrap();
        assert!(matches!(StateDir::open(home.path(), true), Err(StateError::BadFormat { .. })), "{text}");
    }
}

#[test]
fn a_state_in_use_whose_key_or_journal_is_gone_is_no_new_state() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path();
    used(path);
    fs::rename(Identity::path(path), path.join("aside")).unwrap();
    assert!(matches!(StateDir::open(path, false), Err(StateError::IdentityMissing { .. })));
    fs::rename(path.join("aside"), Identity::path(path)).unwrap();
    fs::remove_dir_all(path.join("journal")).unwrap();
    assert!(!check(path).is_sound());
    let mut state = StateDir::open(path, false).unwrap();
    let error = state.open_journal(options(), &mut Count::default()).unwrap_err();
    assert!(error.to_string().contains("empty although the state was in use"), "{error}");
    let accept = Options { accept_loss: true, ..options() };
    let opened = state.open_journal(accept, &mut Count::default()).unwrap();
    assert_eq!(opened.lost.as_ref().map(|lost| lost.last_kept), Some(0));
    drop((opened, state));
    assert!(check(path).is_sound(), "{:?}", check(path).problems);
}

#[test]
fn a_key_that_is_none_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    fs::write(Identity::path(home.path()), "garbage").unwrap();
    let error = StateDir::open(home.path(), true).unwrap_err();
    assert!(matches!(error, StateError::BadIdentity { .. }), "{error}");
    assert_eq!(fs::read(Identity::path(home.path())).unwrap(), b"garbage");
}

#[test]
fn check_says_what_is_there_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    used(home.path());
    let before = contents(home.path());
    let report = check(home.path());
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.format, report.locked, report.batches, report.records), (Some(FORMAT), false, 3, 3));
    assert_eq!((report.next_sequence, report.first_tick, report.last_tick), (4, Some(5), 7));
    assert_eq!(report.torn, None);
    let segment = home.path().join("journal/000000000001.segment");
    let whole = fs::read(&segment).unwrap();

    let mut torn = whole.clone();
    torn[2 * 57 + 50..3 * 57].fill(0);
    fs::write(&segment, &torn).unwrap();
    let report = check(home.path());
    assert_eq!((report.batches, report.torn.map(|place| place.offset)), (2, Some(2 * 57)));

    let mut damaged = whole.clone();
    damaged[57 + 50] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    let report = check(home.path());
    assert_eq!(report.damage.as_ref().map(|place| (place.segment, place.offset)), Some((1, 57)));
    assert!(!report.is_sound() && report.to_string().contains("problem"), "{report}");

    fs::write(&segment, &whole).unwrap();
    assert_eq!(contents(home.path()), before);
}

#[test]
fn check_of_nothing_says_so() {
    let home = tempfile::tempdir().unwrap();
    let report = check(&home.path().join("none"));
    assert!(!report.is_sound());
    assert!(report.to_string().contains("not a state directory yet"), "{report}");
    assert!(!home.path().join("none").exists());
}
