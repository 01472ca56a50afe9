//! Peers and files that mean harm, or are broken: a coded error or a closed connection, and others are served (S82, S83).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;
use wire::message::{Answer, Message as _};
use wire::{frame, request};

use crate::common::{Random, seed};
use crate::real::client::{Client, Held, asking, granted, hello, is_end, random_bytes, refused};
use crate::real::daemon::Daemon;
use crate::real::site::{Site, exclusive};
use crate::real::{until, within};

/// A client that does nothing wrong: whatever the others do, it is served.
struct Bystander {
    client: Client,
    held: Held,
}

impl Bystander {
    /// Its feature is `by`: what hostile clients happen to check out is of others.
    fn new(daemon: &Daemon) -> Bystander {
        let mut client = daemon.connect();
        let held = client.checkout(&[("by", 2)]).expect("a seat");
        Bystander { client, held }
    }

    fn is_served(&mut self, daemon: &Daemon) {
        let started = Instant::now();
        assert_eq!(self.client.heartbeat().expect("its connection lives"), 1);
        let more = self.client.checkout(&[("by", 1)]).expect("a seat");
        self.client.give_back(&more);
        let mut again = daemon.connect_as(self.client.install_id);
        let resumed = granted(again.resume(&self.held));
        assert_eq!((resumed.sessions[0].session, resumed.sessions[0].count), self.held.sessions[0]);
        daemon.await_used("by", 2);
        self.client = again;
        assert!(started.elapsed() < Duration::from_secs(5), "served after {:?}", started.elapsed());
    }
}

fn site() -> Site {
    Site::with(&[exclusive("by", 5), exclusive("cad", 100_000)])
}

/// Every request of the golden vectors, as whole frames.
fn valid_frames() -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/wire/tests/vectors");
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let frame = |path: &PathBuf| -> Option<Vec<u8>> {
        let vector: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let hex = vector["frame"].as_str().unwrap();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (vector["number"].as_u64().unwrap() < 0x8000).then(|| (0..hex.len()).step_by(2).map(byte).collect())
    };
    let mut frames: Vec<Vec<u8>> = paths.iter().filter_map(frame).collect();
    assert!(frames.len() > 20, "the vectors are there");
    // One that is granted.
    let mut checkout = Vec::new();
    frame::append(&mut checkout, 7, &asking(&[("cad", 1)])).unwrap();
    frames.push(checkout);
    frames
}

/// The frame with its length made right again.
fn framed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(bytes.len() - frame::LENGTH_BYTES).unwrap();
    bytes[..frame::LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// Sends bytes that end the connection, or leave it waiting; everything that comes back must be a frame.
fn send_and_end(client: &mut Client, bytes: &[u8]) {
    client.limit(Duration::from_secs(15));
    let sent = client.send_bytes(bytes).and_then(|()| client.end_writing());
    if let Err(error) = sent {
        assert!(is_end(&error), "{error}");
    }
    client.read_to_end().unwrap_or_else(|e| panic!("{e} after {bytes:02x?}"));
}

#[test]
fn every_truncation_of_a_valid_frame_is_answered_or_ends_its_connection_alone() {
    let site = site();
    let daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    let mut pipeline = daemon.connect();
    let mut cuts = 0;
    for frame in valid_frames() {
        let mut calls = Vec::new();
        for cut in frame::LENGTH_BYTES..frame.len() {
            // The length says how much is there: the frame is whole, its body is not.
            let mut short = framed(frame[..cut].to_vec());
            if cut < frame::LENGTH_BYTES + frame::HEAD_BYTES {
                let mut client = daemon.connect();
                send_and_end(&mut client, &short);
                assert_eq!(client.last_word().expect("a last word").code, "bad_request");
            } else {
                let call = 1_000 + u32::try_from(calls.len()).unwrap();
                short[6..10].copy_from_slice(&call.to_le_bytes());
                pipeline.send_bytes(&short).unwrap();
                calls.push(call);
            }
            cuts += 1;
            // The length promises more than ever comes.
            if cut % 8 == 0 {
                send_and_end(&mut daemon.connect(), &frame[..cut]);
                send_and_end(&mut Client::silent(daemon.address()).unwrap(), &frame[..cut]);
            }
        }
        let is_admin = u16::from_le_bytes([frame[4], frame[5]]) >= 0x1000;
        for call in calls {
            let Answer::Refused(refused) = pipeline.answer(call).unwrap() else {
                panic!("half a body is granted")
            };
            assert_eq!(refused.code, if is_admin { "not_permitted" } else { "bad_request" });
        }
    }
    println!("{cuts} cuts");
    bystander.is_served(&daemon);
    pipeline.heartbeat().expect("bad bodies end no connection");
}

/// One to three bytes changed, put in or taken out; never in the length.
fn mutated(random: &mut Random, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.one_of(frames).clone();
    for _ in 0..random.within(1, 3) {
        let at = usize::try_from(random.within(4, bytes.len() as i64 - 1)).unwrap();
        let byte = random.bits().to_le_bytes()[0];
        match random.within(0, 5) {
            0 => bytes.insert(at, byte),
            1 if bytes.len() > 11 => drop(bytes.remove(at)),
            2 => bytes[at] ^= 1 << (byte % 8),
            3 => bytes[at] = *random.one_of(&[0, 1, 0x7f, 0x80, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff]),
            _ => bytes[at] = byte,
        }
    }
    bytes
}

#[test]
fn ten_thousand_mutations_harm_nobody() {
    let mut random = Random(seed());
    let site = site();
    let mut daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    let frames = valid_frames();
    let mut refusals = 0;
    for round in 0..20 {
        // Whole frames with a changed body, many on one connection: each gets exactly one answer.
        let mut pipeline = daemon.connect();
        for call in 100..500 {
            let mut bytes = framed(mutated(&mut random, &frames));
            // Number and call stay what they may be, so that the connection goes on and the answer is found.
            let number = u16::from_le_bytes([bytes[4], bytes[5]]);
            let is_goodbye = number == request::Goodbye::NUMBER;
            let number = if number >= 0x8000 || is_goodbye { request::Checkout::NUMBER } else { number };
            bytes[4..6].copy_from_slice(&number.to_le_bytes());
            bytes[6..10].copy_from_slice(&u32::to_le_bytes(call));
            pipeline.send_bytes(&bytes).unwrap();
        }
        for call in 100..500 {
            let answer = pipeline.answer(call).unwrap_or_else(|e| panic!("call {call}: {e}"));
            refusals += usize::from(matches!(answer, Answer::Refused(_)));
        }
        // Bytes as they come, in the length too: the connection may end, with a word or without.
        for _ in 0..100 {
            let mut bytes = mutated(&mut random, &frames);
            if random.within(0, 1) == 0 {
                bytes[usize::try_from(random.within(0, 3)).unwrap()] = random.bits().to_le_bytes()[0];
            }
            let mut client = match random.within(0, 3) {
                0 => Client::silent(daemon.address()).unwrap(),
                _ => daemon.connect(),
            };
            send_and_end(&mut client, &bytes);
        }
        bystander.is_served(&daemon);
        assert!(daemon.is_running(), "round {round}");
    }
    println!("{refusals} of 8000 whole frames refused");
    assert!(refusals > 4_000 && !daemon.log_text().contains("panicked"), "{}", daemon.log_text());
}

#[test]
fn sixty_four_mebibytes_of_garbage_are_not_kept() {
    let mut random = Random(seed());
    let site = site();
    let daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    let before = daemon.memory("VmHWM");
    let mut garbage = vec![0; 64 << 20];
    garbage.chunks_exact_mut(8).for_each(|eight| eight.copy_from_slice(&random.bits().to_le_bytes()));

    for says_hello in [false, true] {
        let mut client = match says_hello {
            true => daemon.connect(),
            false => Client::silent(daemon.address()).unwrap(),
        };
        let error = client.send_bytes(&garbage).expect_err("nobody takes all of this");
        assert!(is_end(&error), "{error}");
        bystander.is_served(&daemon);
    }

    // Garbage in good frames, each as long as it may be: every one is read, and answered with a code.
    let length = frame::CLIENT_FRAME_BYTES_MAX;
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut opening = Vec::new();
    frame::append(&mut opening, 1, &hello(random_bytes())).unwrap();
    stream.write_all(&opening).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut received, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return received,
                Ok(read) => received += read,
                Err(error) => panic!("{error}"),
            }
        }
    });
    for chunk in garbage.chunks_exact(length) {
        let mut bytes = u32::try_from(length).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(chunk);
        bytes[4..6].copy_from_slice(&[random.bits().to_le_bytes()[0] % 8 + 1, 0]);
        bytes[6] |= 1;
        stream.write_all(&bytes).expect("good frames end no connection");
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let received = reading.join().unwrap();
    assert!(received > 1_000 * 40, "an answer to each: {received} bytes");
    bystander.is_served(&daemon);
    let grown = daemon.memory("VmHWM") - before;
    println!("64 MiB of garbage three times: {} KiB more", grown >> 10);
    assert!(grown < 24 << 20, "{grown} bytes more");
}

#[test]
fn silent_and_slow_clients_are_let_go_and_others_served() {
    let site = site();
    site.configure(
        "heartbeat = \"400ms\"\nlease = \"60s\"\n[limits]\nhello_time = \"1s\"\nidle_time = \"2s\"",
    );
    let daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    let address = daemon.address();
    let half_open: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut opening = Vec::new();
    frame::append(&mut opening, 1, &hello(random_bytes())).unwrap();
    // A byte at a time, never done in time; and after a good hello, half a frame for ever.
    let slow: Vec<_> = (0..20)
        .map(|n| {
            let opening = opening.clone();
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let started = Instant::now();
                if n % 2 == 0 {
                    stream.write_all(&opening).unwrap();
                    let mut answer = [0; 4];
                    stream.read_exact(&mut answer).unwrap();
                }
                for byte in [32_u8, 0, 0, 0].into_iter().chain(std::iter::repeat(0)) {
                    if stream.write_all(&[byte]).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(150));
                    assert!(started.elapsed() < Duration::from_secs(10), "never let go");
                }
                started.elapsed()
            })
        })
        .collect();
    for _ in 0..10 {
        bystander.is_served(&daemon);
        std::thread::sleep(Duration::from_millis(100));
    }
    for slow in slow {
        let life = slow.join().unwrap();
        assert!(life < Duration::from_secs(6), "let go after {life:?}");
        bystander.is_served(&daemon);
    }
    for mut stream in half_open {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0, "said no hello, and is let go");
    }
}

/// After a restart all programs come back at once; whom the kernel has no room for tries again only after a second.
#[test]
fn a_crowd_that_comes_at_once_is_let_in_at_once() {
    let site = Site::with(&[exclusive("cad", 1)]);
    let daemon = Daemon::start(&site);
    daemon.signal(Signal::STOP);
    let at_once = Duration::from_millis(500);
    let connect = |n: usize| {
        let room = TcpStream::connect_timeout(&daemon.address(), at_once);
        room.unwrap_or_else(|error| panic!("connection {n} of 600 found no room: {error}"))
    };
    let crowd: Vec<TcpStream> = (0..600).map(connect).collect();
    daemon.signal(Signal::CONT);
    drop(crowd);
    daemon.connect().checkout(&[("cad", 1)]).expect("it serves");
}

#[test]
fn used_up_descriptors_stop_nobody_who_is_there() {
    let site = site();
    let mut daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    // As if something else had used them up: the limit sinks below what the daemon counted on.
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count() as u64;
    let old = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(open + 5), maximum: Some(20_000) });
    let Ok(_) = old else {
        let _ = writeln!(io::stderr(), "skipped: used_up_descriptors_stop_nobody_who_is_there: no prlimit");
        return;
    };
    let waiting: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(daemon.address()).unwrap()).collect();
    daemon.await_log("cannot accept connections for now");
    assert_eq!(bystander.client.heartbeat().unwrap(), 1);
    let more = bystander.client.checkout(&[("by", 1)]).expect("served without a new descriptor");
    bystander.client.give_back(&more);
    // It waits, it does not spin.
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 40, "{} of 100 ticks spent on nothing", ticks() - before);
    let lines = daemon.log().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(lines <= 2, "a client can cause it at will, so it is not logged at will: {lines} lines");
    drop(waiting);
    bystander.is_served(&daemon);
    assert!(daemon.is_running());
}

#[test]
fn each_limit_has_a_code_and_harms_only_who_is_over_it() {
    let site = Site::with(&[exclusive("by", 5), exclusive("cad", 100_000)]);
    site.configure(
        "[limits]\nconnections_per_address = 6\nsessions_per_connection = 3\nrequests_per_second = 20\nframe_bytes = 4096",
    );
    let daemon = Daemon::start(&site);
    let mut one = daemon.connect();
    assert_eq!((one.hello.client_frame_bytes_max, one.hello.sessions_max), (4096, 3));

    let held = one.checkout(&[("cad", 1), ("cad", 1), ("by", 1)]).expect("three sessions");
    assert_eq!(refused(one.checkout(&[("cad", 1)])).0, "rate_limited", "a fourth session");
    granted(one.checkout_again(&held.asked));
    one.give_back(&held);
    one.checkout(&[("cad", 1)]).expect("there is room again");

    // From one address so many connections, and no more.
    let mut others: Vec<Client> = (0..5).map(|_| daemon.connect()).collect();
    let error = Client::connect(daemon.address(), random_bytes()).err().expect("the seventh");
    assert!(error.to_string().starts_with("busy"), "{error}");
    others.pop();
    until("a place is free again", || Client::connect(daemon.address(), random_bytes()).ok());
    assert_eq!(daemon.admin().feature("by")["used"], 0, "an administrator always gets in");

    // A loop gone wild.
    let mut wild = others.pop().unwrap();
    let calls: Vec<u32> = (0..200).map(|_| wild.send(&request::Heartbeat::default()).unwrap()).collect();
    let answers = calls.iter().map(|call| wild.take::<request::Heartbeat>(*call).unwrap());
    let over = answers.filter(|a| a.as_ref().is_err_and(|r| r.code == "rate_limited")).count();
    assert!((100..=180).contains(&over), "{over} of 200 over the limit");
    until("and it is heard again", || wild.heartbeat().ok());

    let mut long = others.pop().unwrap();
    send_and_end(&mut long, &[[1, 16, 0, 0].as_slice(), &[1; 100]].concat());
    let word = long.last_word().expect("a last word");
    assert_eq!((word.code.as_str(), word.details.contains("frame_too_long")), ("bad_request", true));
}

#[test]
fn who_never_reads_loses_the_connection_and_no_one_else_anything() {
    let site = Site::with(&[exclusive("by", 5), exclusive("cad", 100_000)]);
    // What piles up ends the connection, or else that nothing was written to it for so long.
    site.configure("heartbeat = \"1s\"\n[limits]\nunread_bytes = 2097152\nidle_time = \"5s\"");
    let daemon = Daemon::start(&site);
    let mut bystander = Bystander::new(&daemon);
    // Sessions with long names: a report of them takes half a mebibyte.
    let mut busy = daemon.connect();
    for _ in 0..8 {
        let mut asked = asking(&[("cad", 1); 64]);
        asked.facts.user = "u".repeat(256);
        asked.facts.host = "h".repeat(256);
        asked.facts.release_date = None;
        granted(busy.checkout_again(&asked));
    }
    let before = daemon.memory("VmHWM");
    let report = request::Report { what: "sessions".into(), ..request::Report::default() };
    let mut asked = Vec::new();
    (2..1_000).for_each(|call| frame::append(&mut asked, call, &report).unwrap());
    let readers: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = daemon.connect();
            client.send_bytes(&asked).expect("it fits into the socket");
            client
        })
        .collect();
    for mut client in readers {
        let let_go = within(Duration::from_secs(30), || {
            busy.heartbeat().expect("nobody else loses a connection");
            bystander.client.heartbeat().expect("nobody else loses a connection");
            client.send(&request::Heartbeat::default()).err()
        });
        assert!(let_go.is_some_and(|error| is_end(&error)), "the connection is still there");
        bystander.is_served(&daemon);
    }
    let grown = daemon.memory("VmHWM") - before;
    println!("ten who never read: {} KiB more", grown >> 10);
    assert!(grown < 10 * (8 << 20), "{} KiB more", grown >> 10);
    busy.heartbeat().expect("nobody else lost a connection");
}
