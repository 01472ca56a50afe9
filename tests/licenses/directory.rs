//! The license directory over time: files come, change, break and go; the server restarts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use seatkeeper::hostid::HostFacts;
use seatkeeper::licenses::{LicenseSet, Loader, LoaderConfig, Problem, Signatures, watch};
use seats::license::{HostIdEntry, HostIdKind, Name, Reason};
use tempfile::TempDir;

use super::{Random, feature, signed, trusting_acme};

/// A license directory and a state directory.
struct Place {
    directory: TempDir,
    state: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.directory.path().join(file)
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn config(&self) -> LoaderConfig {
        LoaderConfig {
            directory: self.directory.path().to_owned(),
            trusted: trusting_acme(),
            signatures: Signatures::Optional,
            last_good: Some(self.state.path().join("last-good")),
        }
    }

    fn loader(&self) -> Loader {
        Loader::new(self.config(), host())
    }
}

fn host() -> HostFacts {
    let entry = HostIdEntry { kind: HostIdKind::Hostname, value: "lic01".to_owned() };
    HostFacts { facts: vec![entry], unreadable: Vec::new() }
}

fn seats_of(seats: u32) -> String {
    feature(&format!("<SETTING COUNT=\"{seats}\"/>"))
}

/// The COUNT of every good license, in the set's order.
fn counts(set: &LicenseSet) -> Vec<String> {
    let good = set.licenses.iter().filter(|license| license.refusal.is_none());
    good.map(|license| match license.count {
        Some(seats::license::Count::Limited(n)) => n.to_string(),
        other => format!("{other:?}"),
    })
    .collect()
}

fn files(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| &*problem.file).collect()
}

#[test]
fn only_license_files_are_read() {
    let place = Place::new();
    for name in ["a.xml", "b.lic"] {
        place.put(name, &seats_of(1));
    }
    for name in [".c.xml", "d.xml.tmp", "e.xml~", "f.txt", "g.XML.bak", "readme"] {
        place.put(name, "garbage");
    }
    fs::create_dir(place.path("sub")).unwrap();
    place.put("sub/h.xml", &seats_of(9));
    let set = place.loader().load().unwrap();
    assert_eq!((counts(&set), set.problems), (vec!["1".to_owned(), "1".to_owned()], vec![]));
}

#[test]
fn a_renamed_file_takes_the_place_of_the_old_one() {
    let place = Place::new();
    place.put("a.xml", &seats_of(1));
    let mut loader = place.loader();
    assert_eq!(counts(&loader.load().unwrap()), ["1"]);
    place.put(".a.xml.new", &seats_of(2));
    fs::rename(place.path(".a.xml.new"), place.path("a.xml")).unwrap();
    assert_eq!(counts(&loader.load().unwrap()), ["2"]);
}

#[test]
fn unchanged_files_keep_the_very_same_licenses() {
    let place = Place::new();
    place.put("a.xml", &seats_of(1));
    place.put("b.xml", &seats_of(2));
    let mut loader = place.loader();
    let before = loader.load().unwrap();
    place.put("b.xml", &seats_of(3));
    let after = loader.load().unwrap();
    let of =
        |set: &LicenseSet, file: &str| set.licenses.iter().find(|l| &*l.place.file == file).unwrap().clone();
    assert!(std::sync::Arc::ptr_eq(&of(&before, "a.xml"), &of(&after, "a.xml")));
    assert_ne!(of(&before, "b.xml"), of(&after, "b.xml"));
}

#[test]
fn a_config_map_swap_is_seen() {
    // Kubernetes: a.xml -> ..data/a.xml, ..data -> a directory that is replaced by a rename of the link.
    let place = Place::new();
    for (version, seats) in [("..v1", 1), ("..v2", 2)] {
        fs::create_dir(place.path(version)).unwrap();
        place.put(&format!("{version}/a.xml"), &seats_of(seats));
    }
    symlink("..v1", place.path("..data")).unwrap();
    symlink("..data/a.xml", place.path("a.xml")).unwrap();
    let mut loader = place.loader();
    assert_eq!(counts(&loader.load().unwrap()), ["1"]);
    symlink("..v2", place.path("..data_tmp")).unwrap();
    fs::rename(place.path("..data_tmp"), place.path("..data")).unwrap();
    assert_eq!(counts(&loader.load().unwrap()), ["2"]);

    // In the middle of a clumsy swap the link leads nowhere: that is not the same as a deleted license.
    fs::remove_file(place.path("..data")).unwrap();
    let set = loader.load().unwrap();
    assert_eq!((counts(&set), files(&set.problems)), (vec!["2".to_owned()], vec!["a.xml"]));
    fs::remove_file(place.path("a.xml")).unwrap();
    let set = loader.load().unwrap();
    assert_eq!((counts(&set).len(), set.problems.len()), (0, 0), "now it is gone");
}

#[test]
fn a_broken_file_grants_what_it_granted_until_it_is_mended_or_deleted() {
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    place.put("b.xml", &seats_of(7));
    let mut loader = place.loader();
    let before = loader.load().unwrap();
    for broken in ["<LICENSEFILE><FEATURE", "", "\u{1}"] {
        place.put("a.xml", broken);
        let set = loader.load().unwrap();
        assert_eq!(set.licenses, before.licenses, "{broken:?}");
        let [problem] = set.problems.as_slice() else { panic!("{set:?}") };
        assert_eq!((&*problem.file, problem.reason), ("a.xml", Reason::BadXml));
        assert!(problem.message.contains("last good contents"), "{problem}");
    }
    place.put("a.xml", &seats_of(6));
    let set = loader.load().unwrap();
    assert_eq!((counts(&set).len(), set.problems.len()), (2, 0));
    assert!(counts(&set).contains(&"6".to_owned()));
    place.put("a.xml", "<");
    loader.load().unwrap();
    fs::remove_file(place.path("a.xml")).unwrap();
    let set = loader.load().unwrap();
    assert_eq!((counts(&set), set.problems.len()), (vec!["7".to_owned()], 0), "a file that is gone is gone");
    place.put("a.xml", "<");
    let set = loader.load().unwrap();
    assert_eq!(
        (counts(&set), set.problems.len()),
        (vec!["7".to_owned()], 1),
        "and its old contents are forgotten"
    );
}

#[test]
fn a_directory_or_a_pipe_in_place_of_a_file_cannot_be_read() {
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    let mut loader = place.loader();
    loader.load().unwrap();
    fs::remove_file(place.path("a.xml")).unwrap();
    fs::create_dir(place.path("a.xml")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(place.path("b.xml")).status().unwrap();
    assert!(made.success());
    // It would hang here if the pipe were opened as a file.
    let set = loader.load().unwrap();
    assert_eq!((counts(&set), files(&set.problems)), (vec!["5".to_owned()], vec!["a.xml", "b.xml"]));
    assert!(set.problems[0].message.contains("it is a directory"), "{}", set.problems[0]);
}

#[test]
fn a_bad_feature_is_not_covered_by_the_last_good_contents() {
    // The file is well-formed: what it says now is what counts.
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    let mut loader = place.loader();
    loader.load().unwrap();
    place.put("a.xml", &seats_of(0));
    let set = loader.load().unwrap();
    assert_eq!((counts(&set).len(), set.problems.len()), (0, 1));
}

#[test]
fn the_last_good_contents_survive_a_restart() {
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    place.put("b.xml", &seats_of(7));
    drop(place.loader().load().unwrap());
    place.put("a.xml", "<LICENSEFILE>");
    fs::remove_file(place.path("b.xml")).unwrap();
    for round in 0..2 {
        let mut loader = place.loader();
        for _ in 0..2 {
            let set = loader.load().unwrap();
            assert_eq!(
                (counts(&set), files(&set.problems)),
                (vec!["5".to_owned()], vec!["a.xml"]),
                "{round}"
            );
        }
    }
    place.put("a.xml", &seats_of(6));
    let set = place.loader().load().unwrap();
    assert_eq!((counts(&set), set.problems.len()), (vec!["6".to_owned()], 0));
    assert_eq!(
        fs::read_dir(place.state.path().join("last-good")).unwrap().count(),
        1,
        "b.xml left nothing behind"
    );
}

#[test]
fn a_damaged_copy_grants_nothing() {
    let place = Place::new();
    place.put("a.xml", &signed(&seats_of(5)));
    drop(place.loader().load().unwrap());
    let copy = fs::read_dir(place.state.path().join("last-good")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, text.replace("COUNT=\"5\"", "COUNT=\"9\"")).unwrap();
    place.put("a.xml", "<LICENSEFILE>");
    let set = place.loader().load().unwrap();
    assert_eq!((set.licenses.len(), files(&set.problems)), (0, vec!["a.xml"]));
}

#[test]
fn last_good_contents_that_could_not_be_kept_are_a_problem_and_kept_later() {
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    let copies = place.state.path().join("last-good");
    fs::write(&copies, "a file where the directory should be").unwrap();
    let mut loader = place.loader();
    assert_eq!(loader.load().unwrap().problems, []);
    let set = loader.load().unwrap();
    assert!(set.problems[0].message.contains("cannot be kept"), "{set:?}");
    assert_eq!(counts(&set), ["5"], "it serves all the same");
    loader.flush().unwrap_err();
    fs::remove_file(&copies).unwrap();
    loader.load().unwrap();
    loader.flush().unwrap();
    assert_eq!(loader.load().unwrap().problems, []);
    assert_eq!(fs::read_dir(&copies).unwrap().count(), 1);
}

#[test]
fn a_file_whose_name_is_not_utf_8_is_a_problem() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.xml");
    fs::write(place.directory.path().join(name), seats_of(1)).unwrap();
    let set = place.loader().load().unwrap();
    assert_eq!((set.licenses.len(), files(&set.problems)), (0, vec!["caf\u{fffd}.xml"]));
}

#[test]
fn a_copy_is_judged_as_a_file_is() {
    // Whoever can write the state directory can change copies and their digests; the signature still counts.
    let place = Place::new();
    place.put("a.xml", &signed(&seats_of(5)));
    drop(place.loader().load().unwrap());
    place.put("a.xml", "<LICENSEFILE>");
    let mut config = place.config();
    config.trusted.clear();
    let set = Loader::new(config, host()).load().unwrap();
    assert_eq!(set.licenses[0].refusal.as_ref().map(|r| r.reason), Some(Reason::UnknownVendorKey));
}

#[test]
fn a_directory_that_cannot_be_read_keeps_the_whole_set() {
    let place = Place::new();
    place.put("a.xml", &seats_of(5));
    place.put("b.xml", &seats_of(7));
    let mut loader = place.loader();
    let before = loader.load().unwrap();
    let away = place.directory.path().with_extension("away");
    fs::rename(place.directory.path(), &away).unwrap();
    for mut loader in [loader, place.loader()] {
        let set = loader.load().unwrap();
        assert_eq!(set.licenses, before.licenses, "also after a restart");
        let [problem] = set.problems.as_slice() else { panic!("{set:?}") };
        assert!(problem.message.contains("directory cannot be read"), "{problem}");
    }
    let fresh = LoaderConfig { last_good: None, ..place.config() };
    let error = Loader::new(fresh, host()).load().unwrap_err().to_string();
    assert!(error.contains("license directory cannot be read"), "{error}");
    fs::rename(&away, place.directory.path()).unwrap();
    let set = place.loader().load().unwrap();
    assert_eq!((set.licenses, set.problems.len()), (before.licenses, 0));
}

#[test]
fn other_keys_and_other_host_facts_judge_every_file_again() {
    let place = Place::new();
    let bound = feature("<SETTING COUNT=\"3\"/><SERVER_HOSTID><SETTING HOSTNAME=\"LIC01\"/></SERVER_HOSTID>");
    place.put("a.xml", &signed(&bound));
    let mut loader = place.loader();
    assert_eq!(counts(&loader.load().unwrap()), ["3"]);
    loader.set_trusted(Vec::new(), Signatures::Required);
    let refusal = |set: LicenseSet| set.licenses[0].refusal.clone().map(|refusal| refusal.reason);
    assert_eq!(refusal(loader.load().unwrap()), Some(Reason::UnknownVendorKey));
    loader.set_trusted(trusting_acme(), Signatures::Required);
    assert_eq!(counts(&loader.load().unwrap()), ["3"]);
    loader.set_host_facts(HostFacts::default());
    let set = loader.load().unwrap();
    assert!(set.problems[0].message.contains("hostid --explain cad"), "{}", set.problems[0]);
    assert_eq!(refusal(set), Some(Reason::HostMismatch));
    let explained = loader.explain_host_ids(&Name::new("cad").unwrap());
    assert_eq!((explained.len(), explained[0].found.matched, &*explained[0].place.file), (1, false, "a.xml"));
}

#[test]
fn a_file_over_the_limit_is_refused_unread_and_its_neighbours_load() {
    let place = Place::new();
    place.put("a.xml", &seats_of(1));
    fs::File::create(place.path("b.xml")).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let set = place.loader().load().unwrap();
    assert_eq!((counts(&set), files(&set.problems)), (vec!["1".to_owned()], vec!["b.xml"]));
    assert!(set.problems[0].message.contains("64 MiB"), "{}", set.problems[0]);
}

#[test]
fn files_over_the_limit_of_the_directory_push_nothing_out() {
    let place = Place::new();
    place.put("z.xml", &seats_of(1));
    let config = LoaderConfig { last_good: None, ..place.config() };
    let mut loader = Loader::new(config, host());
    loader.load().unwrap();
    (0..10_005).for_each(|n| place.put(&format!("a{n}.xml"), "<LICENSEFILE/>"));
    let set = loader.load().unwrap();
    assert_eq!(counts(&set), ["1"], "what was there before stays");
    let [problem] = set.problems.as_slice() else { panic!("{:?}", set.problems) };
    assert!(problem.message.contains("6 files are refused"), "{problem}");
}

#[test]
fn the_order_of_files_and_features_does_not_show() {
    let seed = 42;
    println!("seed {seed}");
    let mut random = Random(seed);
    let mut features: Vec<String> = (0..40)
        .map(|n| {
            let (name, seats) = (["cad", "CAD", "mesh", "cfd"][n % 4], 1 + n / 7);
            let more = ["", " KEYTYPE=\"UPGRADE\"", " SN=\"7\"", " VERSION=\"4.2\"", " HOLD=\"0\""][n % 5];
            format!("<FEATURE NAME=\"{name}\"><SETTING COUNT=\"{seats}\"{more}/></FEATURE>")
        })
        .collect();
    let mut first: Option<Vec<_>> = None;
    for _ in 0..20 {
        for at in (1..features.len()).rev() {
            features.swap(at, random.below(at + 1));
        }
        let place = Place::new();
        let mut rest = features.as_slice();
        while !rest.is_empty() {
            let (file, more) = rest.split_at(1 + random.below(rest.len()));
            let name = format!("{:016x}.xml", random.next());
            place.put(&name, &format!("<LICENSEFILE>{}</LICENSEFILE>", file.concat()));
            rest = more;
        }
        let set = place.loader().load().unwrap();
        // All but where it stands, and how the name was written, which equal names may share.
        let what: Vec<_> = set
            .licenses
            .iter()
            .map(|l| {
                (
                    l.feature.clone(),
                    l.key_type,
                    l.count,
                    l.sn.clone(),
                    l.version,
                    l.fingerprint,
                    l.refusal.clone(),
                )
            })
            .collect();
        assert_eq!(what.len(), 40);
        match &first {
            None => first = Some(what),
            Some(first) => assert_eq!(*first, what),
        }
    }
}

#[test]
fn a_change_wakes_and_a_burst_wakes_once() {
    let place = Place::new();
    let (woken, wakes) = channel();
    let wake = move || woken.send(()).unwrap();
    let watch = watch(place.directory.path(), Duration::from_secs(3_600), wake).unwrap();
    for n in 0..20 {
        place.put(".new", &seats_of(n + 1));
        fs::rename(place.path(".new"), place.path("a.xml")).unwrap();
    }
    wakes.recv_timeout(Duration::from_secs(30)).unwrap();
    drop(watch);
    // Dropping waits for the thread: what it was going to say is said.
    assert!(wakes.try_iter().count() <= 1, "a burst is one event, perhaps two on a busy machine");
}

#[test]
fn the_timer_wakes_where_nothing_can_be_watched_and_a_new_directory_is_taken_up() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("later");
    let (woken, wakes) = channel();
    // The receiver goes first when the test ends.
    let wake = move || woken.send(()).unwrap_or(());
    let _watch = watch(Path::new(&directory), Duration::from_millis(20), wake).unwrap();
    for _ in 0..3 {
        wakes.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    fs::create_dir(&directory).unwrap();
    for _ in 0..3 {
        wakes.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
