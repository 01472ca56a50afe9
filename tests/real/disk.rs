//! Disks that are full, that turn read-only, that fail: the daemon that ships on a file system of its own (S60).
//!
//! What is real here: the daemon, the kernel, and ext4 on a block device that is a file (a loop device). It fills up, the
//! kernel turns it read-only as it does after an error, and it loses its blocks, so that reads, writes and syncs end with
//! EIO. What is not: the disk below, and how it fails by itself. These need root; the full disk also runs as a tmpfs
//! for whoever may mount one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use wire::request::{self, HostId};

use crate::common::{CI_VARIABLE, require};
use crate::real::client::{Client, Held, asking, facts, granted, random_bytes, refused};
use crate::real::daemon::{Daemon, run_to_end};
use crate::real::mount::Mount;
use crate::real::site::{Site, exclusive};

/// A site with 1,000,000 seats of cad and one of sim, whose administrator's socket is not on its disk. The disk is the journal's:
/// the history leaves as much free as it does by default.
fn site() -> Site {
    let site = Site::with(&[exclusive("cad", 1_000_000), exclusive("sim", 1)]);
    site.configure("admin_socket = \"admin.sock\"\n[history]\nkeep_free_megabytes = 128");
    site
}

/// `None` where this user may not mount; in CI, which is root, that is a failure.
fn ext4(site: &Site, mib: u64) -> Option<Mount> {
    let mount = Mount::ext4(site, &require("mkfs.ext4")?, mib);
    let is_ci = std::env::var_os(CI_VARIABLE).is_some_and(|v| v == "1");
    assert!(mount.is_some() || !is_ci, "CI is root on a machine of its own, and could not mount");
    mount
}

/// Whether docs/OPERATIONS.md tells of this line: a line of its code blocks whose parts, between the dots, are in it in
/// that order.
pub(crate) fn is_documented(line: &str) -> bool {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let page = fs::read_to_string(page).expect("the page");
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.flat_map(str::lines).filter(|pattern| pattern.len() > 20).any(|pattern| {
        let mut rest = line;
        pattern.split('…').all(|part| match rest.split_once(part.trim()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

/// The line of the log that holds all of these parts; it must stand in docs/OPERATIONS.md.
pub(crate) fn told(text: &str, parts: &[&str]) -> String {
    let found = text.lines().find(|line| parts.iter().all(|part| line.contains(part)));
    let line = found.unwrap_or_else(|| panic!("no line with {parts:?} in:\n{text}"));
    assert!(is_documented(line), "docs/OPERATIONS.md does not have:\n{line}");
    line.to_owned()
}

/// Checkouts with facts as long as they may be, 8 KiB of journal each, until one is refused. What is held, and the refusal.
fn fill(daemon: &Daemon, install_id: [u8; 16]) -> (Vec<Held>, wire::answer::Refused) {
    let id = |n: usize| HostId { kind: "CUSTOM".into(), value: format!("{n:0>256}") };
    let mut client = daemon.connect_as(install_id);
    let mut held = Vec::new();
    loop {
        let asked: Vec<request::Checkout> = (0..32)
            .map(|_| {
                let mut asked = asking(&[("cad", 1)]);
                asked.facts.host_ids = (0..32).map(id).collect();
                asked
            })
            .collect();
        let calls: Vec<u32> = asked.iter().map(|asked| client.send(asked).unwrap()).collect();
        let mut last = None;
        for (asked, call) in asked.into_iter().zip(calls) {
            match client.take::<request::Checkout>(call).unwrap() {
                Ok(grant) => {
                    let sessions = grant.sessions.iter().map(|s| (s.session, s.count)).collect();
                    held.push(Held { bundle: grant.bundle, sessions, asked });
                }
                Err(refused) => last = Some(refused),
            }
        }
        if let Some(refused) = last {
            return (held, refused);
        }
        // Each connection holds so many sessions at most.
        if held.len() % 4_096 < 32 {
            client = daemon.connect_as(install_id);
        }
        assert!(held.len() < 20_000, "the disk is never full");
    }
}

/// What status says is wrong with the state.
fn problems(client: &mut Client) -> Vec<String> {
    let status = client.report("problems", None).expect("problems");
    let list = status["problems"].as_array().expect("a list");
    list.iter()
        .map(|p| format!("{} ({})", p["message"].as_str().unwrap(), p["reason"].as_str().unwrap()))
        .collect()
}

/// The whole of a full disk: what goes on, what does not, a restart in the middle of it, and room again.
fn fill_up_and_make_room(site: &Site, mount: &Mount, total_mib: u64) {
    let mut daemon = mount.start(site).ready(site);
    // The first segment is there; the second has no room.
    mount.shell(&format!("head -c {} /dev/zero > \"$state/ballast\"", (total_mib - 64 - 32) << 20));
    let mut early = daemon.connect();
    let sim = early.checkout(&[("sim", 1)]).expect("a seat");
    let (mut held, refusal) = fill(&daemon, early.install_id);
    println!("{} checkouts, then: {}", held.len(), refusal.message);
    assert_eq!(refusal.code, "internal", "{}", refusal.message);
    assert!(
        refusal.message.contains("room") && refusal.message.contains("No space left"),
        "{}",
        refusal.message
    );
    daemon.await_log("no room for the journal");
    told(&daemon.log_text(), &["no room for the journal"]);

    let nothing_new = |client: &mut Client| {
        let (code, _) = refused(client.checkout(&[("cad", 1)]));
        assert_eq!(code, "internal");
        let mut waits = asking(&[("sim", 1)]);
        waits.wait_seconds = Some(60);
        assert_eq!(refused(client.ask(&waits).unwrap()).0, "internal", "nor may anybody wait");
        let said = problems(client);
        assert!(said.len() == 1 && said[0].contains("no room for the journal"), "{said:?}");
        assert!(is_documented(&said[0]), "{said:?}");
        let features = client.report("features", None).expect("reports go on");
        assert_eq!(features["features"].as_array().map(Vec::len), Some(2));
    };
    let all_else = |client: &mut Client, held: &mut Vec<Held>| {
        let last = held.pop().unwrap();
        granted(client.resume(&last));
        granted(client.checkin(last.sessions[0].0, 0));
        granted(client.resume(&held[0]));
        client.heartbeat().unwrap();
        daemon.await_used("cad", held.len() as u64);
    };
    nothing_new(&mut early);
    all_else(&mut early, &mut held);
    let mut admin = Client::connect_admin(&site.path().join("admin.sock")).expect("administrators get in");
    let book = request::Book {
        token: "0123456789abcdef0123456789abcdef".into(),
        items: asking(&[("cad", 1)]).items,
        seconds: 60,
        facts: facts("ann"),
        extras: Vec::new(),
    };
    assert_eq!(refused(admin.ask(&book).unwrap()).0, "internal", "nor may anybody book");
    let lines = daemon.log().iter().filter(|line| line.contains("no room for the journal")).count();
    assert_eq!(lines, 1, "clients cause it at will, so it is said once");

    // Killed in the middle of it, it starts on the full disk, with everything.
    drop(admin);
    daemon.kill();
    daemon = mount.start(site).ready(site);
    daemon.await_log("no room for the journal");
    daemon.await_used("cad", held.len() as u64);
    let mut client = daemon.connect_as(early.install_id);
    granted(client.resume(&sim));
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "internal");
    let last = held.pop().unwrap();
    granted(client.resume(&last));
    granted(client.checkin(last.sessions[0].0, 0));

    // There is room again: the daemon finds that out by itself, also where nobody asks for a seat.
    mount.shell("rm \"$state/ballast\"");
    daemon.await_log("there is room for the journal again");
    told(&daemon.log_text(), &["there is room for the journal again"]);
    client.checkout(&[("cad", 1)]).expect("checkouts go on");
    assert_eq!(problems(&mut client), [""; 0]);
    daemon.await_used("cad", held.len() as u64 + 1);
    assert_eq!(daemon.terminate(), Some(0), "{}", daemon.log_text());
}

#[test]
fn on_a_full_ext4_checkouts_stop_and_all_else_goes_on() {
    let site = site();
    let Some(mount) = ext4(&site, 180) else { return };
    // ext4 keeps some of its blocks for itself.
    let free = mount.shell("df --output=avail -BM \"$state\" | tail -n 1");
    let free: u64 = free.trim().trim_end_matches('M').parse().expect("a number");
    fill_up_and_make_room(&site, &mount, free);
}

#[test]
fn on_a_full_tmpfs_checkouts_stop_and_all_else_goes_on() {
    let site = site();
    let Some(mount) = Mount::tmpfs(&site, 150) else { return };
    fill_up_and_make_room(&site, &mount, 150);
}

#[test]
fn when_the_last_room_is_used_up_the_daemon_ends_and_has_told_nothing_that_is_not_there() {
    let site = site();
    let Some(mount) = Mount::tmpfs(&site, 150) else { return };
    let mut daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect();
    let held = client.checkout(&[("cad", 1_000)]).expect("seats");
    daemon.kill();
    // 32 MiB take long to use up: the rest of the segment is taken away, and then all of the disk.
    let segment = mount.outside("journal/000000000001.segment");
    let used = fs::read(&segment).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    fs::File::options().write(true).open(&segment).unwrap().set_len(used + used * 9 / 10).unwrap();
    mount.shell("cat /dev/zero > \"$state/ballast\" 2>/dev/null || true");

    let mut daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect_as(client.install_id);
    granted(client.resume(&held));
    assert_eq!(refused(client.checkout(&[("cad", 1)])).0, "internal");
    let mut left = 1_000;
    while let Ok(answer) = client.checkin(held.sessions[0].0, 1) {
        answer.expect("a checkin is taken, or there is no answer");
        left -= 1;
        assert!(left > 900, "the room is never used up");
    }
    println!("{} checkins went on", 1_000 - left);
    assert!(left < 1_000);
    assert_eq!(daemon.await_end(Duration::from_secs(10)).code(), Some(74), "{}", daemon.log_text());
    told(&daemon.log_text(), &["no room for a batch of", "make room"]);

    mount.shell("rm \"$state/ballast\"");
    let daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect_as(client.install_id);
    assert_eq!(granted(client.resume(&held)).sessions[0].count, left, "what was answered, and no more");
    client.checkout(&[("cad", 1)]).expect("checkouts go on");
}

#[test]
fn a_disk_too_small_for_the_first_segment_stops_the_start_and_leaves_no_half_of_one() {
    let site = site();
    let Some(mount) = ext4(&site, 32) else { return };
    let (code, text) = run_to_end(mount.start(&site));
    assert_eq!(code, Some(74), "{text}");
    told(&text, &["cannot make the first segment", "No space left", "make room"]);
    assert_eq!(mount.shell("ls \"$state/journal\""), "", "no half of a segment stays");
}

/// The daemon must end by itself with 74 when the next thing is to be written; the connection that asked for it is told
/// nothing.
fn ends_at_the_next_write(daemon: &mut Daemon, client: &mut Client) -> String {
    let asked = client.ask(&asking(&[("cad", 1)]));
    assert!(asked.is_err(), "answered though it could not be saved: {asked:?}");
    assert_eq!(daemon.await_end(Duration::from_secs(10)).code(), Some(74), "{}", daemon.log_text());
    daemon.log_text()
}

/// After the repair: what was granted before is there, and what was asked for when the disk had failed is not.
fn everything_is_there(site: &Site, mount: &Mount, install_id: [u8; 16], held: &[Held]) {
    let daemon = mount.start(site).ready(site);
    let mut client = daemon.connect_as(install_id);
    held.iter().for_each(|held| drop(granted(client.resume(held))));
    daemon.await_used("cad", held.iter().map(|held| u64::from(held.sessions[0].1)).sum());
}

#[test]
fn a_file_system_that_turns_read_only_ends_the_daemon_at_the_next_write() {
    let site = site();
    let Some(mount) = ext4(&site, 180) else { return };
    let mut daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect();
    let held: Vec<Held> = (1..=3).map(|n| client.checkout(&[("cad", n)]).unwrap()).collect();
    // The kernel's own way in, for tests: it does what it does when it finds an error on the disk.
    mount.shell("sync; echo test > /sys/fs/ext4/$device/trigger_fs_error");
    // Nothing has to be written for this.
    assert_eq!(client.heartbeat().expect("the connection lives"), 3);
    let text = ends_at_the_next_write(&mut daemon, &mut client);
    told(&text, &["did not reach the disk", "Read-only file system", "dmesg"]);

    // And it does not start on it.
    let (code, text) = run_to_end(mount.start(&site));
    assert_eq!(code, Some(74), "{text}");
    told(&text, &["Read-only file system", "dmesg"]);
    mount.shell(
        "umount \"$state\"; fsck.ext4 -p -f \"$image\" || test $? -eq 1; mount -o loop \"$image\" \"$state\"",
    );
    everything_is_there(&site, &mount, client.install_id, &held);
}

#[test]
fn a_disk_mounted_read_only_stops_the_start() {
    let site = site();
    let Some(mount) = ext4(&site, 180) else { return };
    let install_id = random_bytes();
    let mut daemon = mount.start(&site).ready(&site);
    let held = daemon.connect_as(install_id).checkout(&[("cad", 2)]).unwrap();
    assert_eq!(daemon.terminate(), Some(0));
    mount.shell("mount -o remount,ro \"$state\"");
    let (code, text) = run_to_end(mount.start(&site));
    assert_eq!(code, Some(74), "{text}");
    told(&text, &["Read-only file system", "mount it writable"]);
    // It can still be looked at.
    let looked =
        mount.command(env!("CARGO_BIN_EXE_seatkeeper")).args(["state", "check"]).arg(site.state()).output();
    let looked = String::from_utf8(looked.unwrap().stdout).unwrap();
    assert!(looked.contains("sound"), "{looked}");
    mount.shell("mount -o remount,rw \"$state\"");
    everything_is_there(&site, &mount, install_id, &[held]);
}

#[test]
fn a_disk_that_fails_under_a_sync_ends_the_daemon_and_nobody_is_told() {
    let site = site();
    let Some(mount) = ext4(&site, 180) else { return };
    let mut daemon = mount.start(&site).ready(&site);
    let mut client = daemon.connect();
    let held: Vec<Held> = (1..=3).map(|n| client.checkout(&[("cad", n)]).unwrap()).collect();
    // What the disk holds, for after the repair. Then its blocks are gone: the device ends before them.
    mount.shell(
        "sync; cp --sparse=always \"$image\" \"$image.copy\"; truncate -s 64K \"$image\"; losetup -c /dev/$device",
    );
    assert_eq!(client.heartbeat().expect("the connection lives"), 3);
    let text = ends_at_the_next_write(&mut daemon, &mut client);
    told(&text, &["did not reach the disk", "Input/output error", "dmesg"]);

    mount.shell(
        "umount \"$state\"; mv \"$image.copy\" \"$image\"; fsck.ext4 -p -f \"$image\" || test $? -eq 1; \
         mount -o loop \"$image\" \"$state\"",
    );
    everything_is_there(&site, &mount, client.install_id, &held);
}
