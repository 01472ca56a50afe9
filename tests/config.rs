//! The configuration: file, flags, defaults, ranges, and what an error says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use seatkeeper::config::{
    Config, ConfigError, DEFAULT_HTTP, DEFAULT_LISTEN, Flags, History, Limits, LogFormat, Readers,
    Signatures, Surroundings,
};
use tempfile::TempDir;

/// A directory to configure a daemon in.
struct Site {
    directory: TempDir,
    around: Surroundings,
}

const LEAST: &str = "licenses = \"licenses\"\nstate = \"state\"\ntime_zone = \"Europe/Berlin\"\n";

impl Site {
    fn new() -> Site {
        let directory = TempDir::new().unwrap();
        let around = Surroundings {
            directory: directory.path().to_owned(),
            system_file: directory.path().join("etc/seatkeeper.toml"),
            runtime_directory: None,
            state_directory: None,
        };
        Site { directory, around }
    }

    /// With this `seatkeeper.toml`.
    fn with(text: &str) -> Site {
        let site = Site::new();
        std::fs::write(site.path("seatkeeper.toml"), text).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn load(&self, arguments: &[&str]) -> Result<Config, ConfigError> {
        let flags = Flags::try_parse_from([&["seatkeeperd"], arguments].concat()).unwrap();
        Config::load(&flags, &self.around)
    }

    /// The error as one line a fault, with this directory left out.
    fn error(&self, arguments: &[&str]) -> String {
        let error = self.load(arguments).expect_err("it is wrong").to_string();
        error.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

/// The error of a file that is right but for this.
fn error_of(lines: &str) -> String {
    Site::with(&format!("{LEAST}{lines}")).error(&[])
}

#[test]
fn a_short_file_is_filled_in_with_defaults() {
    let site = Site::with(LEAST);
    let config = site.load(&[]).unwrap();
    assert_eq!(config.file, Some(site.path("seatkeeper.toml")));
    assert_eq!(config.listen, [DEFAULT_LISTEN]);
    assert_eq!(config.http, Some(DEFAULT_HTTP));
    assert_eq!(config.licenses, site.path("licenses"));
    assert_eq!(config.state, site.path("state"));
    assert_eq!(config.admin_socket, site.path("state/admin.sock"));
    assert_eq!(config.admin_group, None);
    assert_eq!(config.trusted_vendors, Vec::<PathBuf>::new());
    assert_eq!(config.policy, None);
    assert_eq!(config.zone.name(), "Europe/Berlin");
    assert_eq!(config.signatures, Signatures::Required);
    assert_eq!(config.log_format, LogFormat::Text);
    assert_eq!((config.heartbeat, config.lease), (Duration::from_secs(30), Duration::from_secs(120)));
    assert_eq!((config.resume_window, config.reap_after), (Duration::from_secs(5), Duration::from_secs(900)));
    assert_eq!(config.limits, Limits::default());
    let history = History {
        enabled: true,
        keep: Duration::from_secs(400 * 86_400),
        max_bytes: 1 << 30,
        keep_free_bytes: 128 << 20,
    };
    assert_eq!(config.history, history);
    assert!(!config.fqdn);
    assert_eq!(config.reminder_days, [60, 30, 14, 7, 1]);
    assert_eq!(config.notify, None);
}

#[test]
fn every_key_is_read_and_paths_start_at_the_file() {
    let site = Site::new();
    std::fs::create_dir(site.path("conf")).unwrap();
    let text = r#"
        licenses = "l"
        trusted_vendors = ["a.pub", "/k/b.pub"]
        state = "../state"
        listen = ["0.0.0.0:6200", "[::1]:7000"]
        http = "off"
        http_token_file = "http-token"
        admin_socket = "a.sock"
        admin_group = "4711"
        policy = "p.toml"
        time_zone = "UTC"
        signatures = "optional"
        readers = "admin"
        log_format = "json"
        heartbeat = "500ms"
        lease = "1s"
        resume_window = "0s"
        reap_after = "7d"
        host_ids = ["rack 7"]
        fqdn = true
        reminder_days = [7, 30, 7]
        notify_command = ["bin/tell", "--to", ""]
        notify_events = ["session.granted", "maintenance.*"]
        notify_timeout_seconds = 600
        [history]
        enabled = false
        keep_days = 1
        max_megabytes = 16
        keep_free_megabytes = 0
        [limits]
        connections = 1
        connections_per_address = 2
        sessions_per_connection = 3
        requests_per_second = 4
        queue_length = 5
        waiters_per_feature = 6
        waiters_per_client = 7
        update_checks_per_minute = 8
        frame_bytes = 4096
        unread_bytes = 2097152
        hello_time = "100ms"
        idle_time = "1s"
    "#;
    std::fs::write(site.path("conf/s.toml"), text).unwrap();
    let config = site.load(&["--config", "conf/s.toml"]).unwrap();
    assert_eq!(config.licenses, site.path("conf/l"));
    assert_eq!(config.trusted_vendors, [site.path("conf/a.pub"), "/k/b.pub".into()]);
    assert_eq!(config.state, site.path("conf/../state"));
    assert_eq!(config.listen, ["0.0.0.0:6200".parse().unwrap(), "[::1]:7000".parse().unwrap()]);
    assert_eq!(config.http, None);
    assert_eq!(config.http_token_file, Some(site.path("conf/http-token")));
    assert_eq!(config.admin_socket, site.path("conf/a.sock"));
    assert_eq!(config.admin_group, Some(4711));
    assert_eq!(config.policy, Some(site.path("conf/p.toml")));
    assert_eq!(config.zone.name(), "UTC");
    assert_eq!(config.signatures, Signatures::Optional);
    assert_eq!(config.readers, Some(Readers::Admin));
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!((config.heartbeat, config.lease), (Duration::from_millis(500), Duration::from_secs(1)));
    assert_eq!((config.resume_window, config.reap_after), (Duration::ZERO, Duration::from_secs(7 * 86_400)));
    assert_eq!(config.host_ids, ["rack 7"]);
    assert!(config.fqdn);
    assert_eq!(config.reminder_days, [30, 7]);
    let notify = config.notify.unwrap();
    assert_eq!(notify.program, site.path("conf/bin/tell"));
    assert_eq!(notify.arguments, ["--to", ""]);
    assert_eq!(notify.time_limit, Duration::from_secs(600));
    let is_chosen = |kind: &&&str| notify.events.iter().any(|chosen| chosen.is(kind));
    let chosen: Vec<&&str> = seatkeeper::events::What::KINDS.iter().filter(is_chosen).collect();
    assert_eq!(chosen[0], &"session.granted");
    assert!(
        chosen.len() > 1 && chosen[1..].iter().all(|kind| kind.starts_with("maintenance.")),
        "{chosen:?}"
    );
    let history = History {
        enabled: false,
        keep: Duration::from_secs(86_400),
        max_bytes: 16 << 20,
        keep_free_bytes: 0,
    };
    assert_eq!(config.history, history);
    let limits = Limits {
        connections: 1,
        connections_per_address: 2,
        sessions_per_connection: 3,
        requests_per_second: 4,
        queue_length: 5,
        waiters_per_feature: 6,
        waiters_per_client: 7,
        update_checks_per_minute: 8,
        frame_bytes: 4096,
        unread_bytes: 2_097_152,
        hello_time: Duration::from_millis(100),
        idle_time: Duration::from_secs(1),
    };
    assert_eq!(config.limits, limits);
}

#[test]
fn a_flag_overrides_the_file_and_its_path_starts_here() {
    let site = Site::with(&format!(
        "{LEAST}trusted_vendors = [\"file.pub\"]\nlisten = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\npolicy = \"f\"\n\
         signatures = \"required\"\nlog_format = \"text\"\n"
    ));
    let config = site
        .load(&[
            "--licenses",
            "l",
            "--trust",
            "a.pub",
            "--trust",
            "/b.pub",
            "--state",
            "s",
            "--listen",
            "127.0.0.1:3",
            "--listen",
            "[::]:4",
            "--http",
            "off",
            "--policy",
            "p",
            "--time-zone",
            "Asia/Tokyo",
            "--signatures",
            "optional",
            "--log-format",
            "json",
        ])
        .unwrap();
    assert_eq!(config.licenses, site.path("l"));
    assert_eq!(config.trusted_vendors, [site.path("a.pub"), "/b.pub".into()]);
    assert_eq!(config.state, site.path("s"));
    assert_eq!(config.admin_socket, site.path("s/admin.sock"));
    assert_eq!(config.listen, ["127.0.0.1:3".parse().unwrap(), "[::]:4".parse().unwrap()]);
    assert_eq!(config.http, None);
    assert_eq!(config.policy, Some(site.path("p")));
    assert_eq!(config.zone.name(), "Asia/Tokyo");
    assert_eq!(config.signatures, Signatures::Optional);
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn the_file_is_the_named_one_else_the_one_here_else_the_systems() {
    let site = Site::new();
    let error = site.error(&[]);
    assert_eq!(
        error,
        "there is no configuration: neither seatkeeper.toml nor etc/seatkeeper.toml exists; name a file with \
         --config, or say --licenses DIR --trust PUBFILE --state DIR"
    );
    std::fs::create_dir(site.path("etc")).unwrap();
    for name in ["etc/seatkeeper.toml", "seatkeeper.toml", "named.toml"] {
        std::fs::write(site.path(name), LEAST).unwrap();
        let arguments = if name == "named.toml" { &["--config", name][..] } else { &[] };
        assert_eq!(site.load(arguments).unwrap().file, Some(site.path(name)));
    }
    assert!(site.error(&["--config", "no.toml"]).starts_with("no.toml: the configuration cannot be read: "));
}

#[test]
fn flags_alone_are_enough() {
    let site = Site::new();
    let config =
        site.load(&["--licenses", "l", "--trust", "v.pub", "--state", "s", "--time-zone", "UTC"]).unwrap();
    assert_eq!((config.file, config.licenses, config.state), (None, site.path("l"), site.path("s")));
    assert!(site.error(&["--licenses", "l"]).starts_with("there is no configuration"));
}

#[test]
fn systemd_gives_the_state_and_the_place_of_the_admin_socket() {
    let mut site = Site::with("licenses = \"l\"\ntime_zone = \"UTC\"\n");
    assert_eq!(site.error(&[]), "seatkeeper.toml: state is not set; state = \"/var/lib/seatkeeper\"");
    site.around.state_directory = Some("/var/lib/seatkeeper".into());
    site.around.runtime_directory = Some("/run/seatkeeper".into());
    let config = site.load(&[]).unwrap();
    assert_eq!(config.state, Path::new("/var/lib/seatkeeper"));
    assert_eq!(config.admin_socket, Path::new("/run/seatkeeper/admin.sock"));
}

#[test]
fn readers_see_everything_on_loopback_only() {
    let config = Site::with(LEAST).load(&[]).unwrap();
    for (listener, readers) in [
        ("127.0.0.1:6200", Readers::All),
        ("127.9.9.9:1", Readers::All),
        ("[::1]:6200", Readers::All),
        ("[::ffff:127.0.0.1]:6200", Readers::All),
        ("0.0.0.0:6200", Readers::Counts),
        ("[::]:6200", Readers::Counts),
        ("10.0.0.1:6200", Readers::Counts),
    ] {
        assert_eq!(config.readers_on(&listener.parse().unwrap()), readers, "{listener}");
    }
    let config = Site::with(&format!("{LEAST}readers = \"all\"")).load(&[]).unwrap();
    assert_eq!(config.readers_on(&DEFAULT_LISTEN), Readers::All);
    assert_eq!(config.readers_on(&"0.0.0.0:1".parse().unwrap()), Readers::All);
}

#[test]
fn a_mistake_is_told_with_file_line_and_column() {
    for (lines, expected) in [
        ("lisen = 3\n", "seatkeeper.toml:4:1: unknown key \"lisen\"; the keys here are listen, http, "),
        ("fqdn = true\nfqdn = true\n", "seatkeeper.toml:5:1: duplicate key"),
        ("fqdn = \"yes\"\n", "seatkeeper.toml:4:8: invalid type: string \"yes\", expected a boolean"),
        ("fqdn = \n", "seatkeeper.toml:4:8: "),
        (
            "signatures = \"maybe\"\n",
            "seatkeeper.toml:4:14: unknown variant \"maybe\", expected \"required\" or \"optional\"",
        ),
        (
            "listen = \"localhost\"\n",
            "seatkeeper.toml:4:10: \"localhost\" is not an address to listen on: write an IP",
        ),
        ("listen = [\"127.0.0.1:1\", \"x\"]\n", "seatkeeper.toml:4:26: \"x\" is not an address to listen on"),
        (
            "listen = []\n",
            "seatkeeper.toml:4:10: listen names no address; leave it out for 127.0.0.1:6200, or",
        ),
        ("listen = [\"0.0.0.0:1\", \"0.0.0.0:1\"]\n", "seatkeeper.toml:4:24: 0.0.0.0:1 is listed twice"),
        ("listen = \"127.0.0.1:6199\"\n", "seatkeeper.toml: http and listen both name 127.0.0.1:6199"),
        (
            "http = \"no\"\n",
            "seatkeeper.toml:4:8: \"no\" is not an address to listen on: write an IP address and a port, such as \"0.0.0.0:6200\" or \"[::]:6200\", or \"off\"",
        ),
        (
            "heartbeat = 30\n",
            "seatkeeper.toml:4:13: invalid type: integer \"30\", expected a duration in quotes, such as \"30s\" or \"5m\"",
        ),
        (
            "heartbeat = \"30\"\n",
            "seatkeeper.toml:4:13: \"30\" is not a duration: write a whole number and ms, s, m, h or d",
        ),
        (
            "heartbeat = \"0s\"\n",
            "seatkeeper.toml:4:13: heartbeat = 0s is out of range: allowed is 100ms to 1h; leave it out for the default, 30s",
        ),
        (
            "lease = \"59s\"\n",
            "seatkeeper.toml:4:9: a lease of 59s with a heartbeat of 30s: one lost heartbeat would make a client suspect; make lease at least twice",
        ),
        (
            "resume_window = \"20m\"\n",
            "seatkeeper.toml:4:17: reap_after is 15m and resume_window 20m: a client that may still come back would have lost its seats; make reap_after at least resume_window",
        ),
        (
            "resume_window = \"8d\"\n",
            "seatkeeper.toml:4:17: resume_window = 8d is out of range: allowed is 0s to 7d; leave it out for the default, 5s",
        ),
        (
            "reap_after = \"100ms\"\n",
            "seatkeeper.toml:4:14: reap_after = 100ms is out of range: allowed is 200ms to 7d; leave it out for the default, 15m",
        ),
        (
            "heartbeat = \"5m\"\nlease = \"10m\"\n",
            "seatkeeper.toml: an idle_time of 5m with a heartbeat of 5m: ",
        ),
        ("host_ids = [\"ok\", \"\"]\n", "seatkeeper.toml:4:19: a host id has 1 to 256 bytes"),
        (
            "reminder_days = [30, 0]\n",
            "seatkeeper.toml:4:17: reminder_days are at most 10 numbers from 1 to 365",
        ),
        ("admin_group = \"no such group\"\n", "seatkeeper.toml:4:15: there is no group \"no such group\""),
        ("# é\nadmin_group = \"ü\" # ö\n", "seatkeeper.toml:5:15: there is no group \"ü\""),
        (
            "notify_command = [\"\"]\n",
            "seatkeeper.toml:4:19: notify_command names no program; notify_command = [\"",
        ),
        (
            "notify_command = [\"a\\u0000\"]\n",
            "seatkeeper.toml:4:19: notify_command has a zero byte, which no argument of a program can have",
        ),
        (
            "notify_events = [\"maintenance\"]\n",
            "seatkeeper.toml:4:18: \"maintenance\" is no kind of event; write one of session.granted, ",
        ),
        ("notify_events = [\"maint*\"]\n", "seatkeeper.toml:4:18: \"maint*\" is no kind of event; "),
        (
            "notify_events = []\n",
            "seatkeeper.toml:4:17: notify_events chooses nothing; leave notify_command out",
        ),
        (
            "notify_timeout_seconds = 0\n",
            "seatkeeper.toml:4:26: notify_timeout_seconds = 0 is out of range: allowed is 1 to 600; leave it out for the default, 30",
        ),
        (
            "[limits]\nconnections = 0\n",
            "seatkeeper.toml:5:15: connections = 0 is out of range: allowed is 1 to 1000000; leave it out for the default, 20000",
        ),
        (
            "[limits]\nframe_bytes = -1\n",
            "seatkeeper.toml:5:15: frame_bytes = -1 is out of range: allowed is 4096 to 65536",
        ),
        (
            "[limits]\nconections = 3\n",
            "seatkeeper.toml:5:1: unknown key \"conections\"; the keys here are connections, ",
        ),
        (
            "[limits]\nidle_time = \"59s\"\n",
            "seatkeeper.toml:5:13: an idle_time of 59s with a heartbeat of 30s: ",
        ),
    ] {
        let error = error_of(lines);
        assert!(error.starts_with(expected), "{lines}\n  says {error}\n  not  {expected}");
    }
}

#[test]
fn http_answers_other_machines_only_with_a_token() {
    for address in ["0.0.0.0:6199", "[::]:6199", "192.0.2.7:6199"] {
        let error = Site::with(&format!("{LEAST}http = \"{address}\"\n")).error(&[]);
        let says =
            format!("http = \"{address}\" answers the network, and no token is set that readers must know");
        assert!(error.starts_with(&format!("seatkeeper.toml:4:8: {says}")), "{error}");
        assert!(error.contains("http_token_file"), "{error}");
        let error = Site::with(LEAST).error(&["--http", address]);
        assert!(error.contains(&says), "{error}");
        let site = Site::with(&format!("{LEAST}http = \"{address}\"\nhttp_token_file = \"t\"\n"));
        assert_eq!(site.load(&[]).unwrap().http, Some(address.parse().unwrap()));
        assert_eq!(site.load(&["--http", "off"]).unwrap().http, None);
    }
    for here in ["127.0.0.1:0", "[::1]:6199", "[::ffff:127.0.0.1]:6199"] {
        assert!(Site::with(&format!("{LEAST}http = \"{here}\"\n")).load(&[]).is_ok(), "{here}");
    }
}

#[test]
fn a_bad_zone_is_told_at_its_place_or_with_its_flag() {
    let site = Site::with("licenses = \"l\"\nstate = \"s\"\n  time_zone = \"Europe/Berlim\"\n");
    assert!(
        site.error(&[])
            .starts_with("seatkeeper.toml:3:15: \"Europe/Berlim\" is not a time zone of this system")
    );
    let error = site.error(&["--time-zone", "Mars"]);
    assert!(error.starts_with("--time-zone: \"Mars\" is not a time zone"), "{error}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let site =
        Site::with("time_zone = \"X\"\nlease = \"1ms\"\n[limits]\nhello_time = \"1h\"\nconnections = 0\n");
    let error = site.error(&[]);
    let starts: Vec<&str> = error.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let expected =
        ["seatkeeper.toml:1:13:", "seatkeeper.toml:2:9:", "seatkeeper.toml:4:14:", "seatkeeper.toml:5:15:"];
    assert_eq!(starts[..4], expected, "{error}");
    assert_eq!(
        starts[4..],
        ["seatkeeper.toml:", "seatkeeper.toml:"],
        "licenses and state are missing: {error}"
    );
}

#[test]
fn a_rendered_error_shows_the_line_it_is_about() {
    let site =
        Site::with(&format!("{LEAST}heartbeat = \"2h\"\nlease = \"4h\"\n[limits]\nidle_time = \"4h\"\n"));
    let shown = site.load(&[]).unwrap_err().render(false);
    let shown = shown.replace(&format!("{}/", site.directory.path().display()), "");
    assert_eq!(
        shown,
        "\
error: heartbeat = 2h is out of range: allowed is 100ms to 1h
 --> seatkeeper.toml:4:13
  |
4 | heartbeat = \"2h\"
  |             ^^^^
  |
help: leave it out for the default, 30s"
    );
}

#[test]
fn the_path_of_the_admin_socket_fits_a_unix_socket() {
    let state = "d".repeat(110);
    let error = Site::with(LEAST).error(&["--state", &state]);
    assert!(error.contains("is too long; a Unix socket's path has at most 107 bytes"), "{error}");
    // Moving it mends it.
    let site = Site::with(&format!("{LEAST}admin_socket = \"/run/x.sock\"\n"));
    assert_eq!(site.load(&["--state", &state]).unwrap().admin_socket, Path::new("/run/x.sock"));
}

#[test]
fn a_wrong_command_line_exits_64_and_help_exits_0() {
    for (arguments, code) in [
        (&["--frobnicate"][..], 64),
        (&["--listen", "nowhere"], 64),
        (&["--signatures", "maybe"], 64),
        (&["--state", "a", "--state", "b"], 64),
        (&["surplus"], 64),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let error = Flags::try_parse_from([&["seatkeeperd"], arguments].concat()).unwrap_err();
        assert_eq!(seatkeeper::exit::from_clap(&error), code, "{arguments:?}");
    }
}

/// The repository's own file with every commented default made real.
#[test]
fn the_commented_defaults_of_the_repositorys_file_are_the_defaults() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("seatkeeper.toml")).unwrap();
    let load = |text: &str| {
        let site = Site::with(text);
        let mut config = site.load(&["--time-zone", "UTC"]).unwrap();
        // Each site is a directory of its own.
        config.file = None;
        for path in [&mut config.licenses, &mut config.state, &mut config.admin_socket] {
            *path = path.strip_prefix(site.directory.path()).unwrap().to_owned();
        }
        config.trusted_vendors.iter_mut().for_each(|path| *path = PathBuf::from(path.file_name().unwrap()));
        config
    };
    let is_key =
        |line: &str| line.starts_with('#') && line[1..].starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented: Vec<&str> =
        text.lines().map(|line| if is_key(line) { &line[1..] } else { line }).collect();
    assert!(uncommented.len() - text.lines().filter(|line| !is_key(line)).count() >= 16, "it has defaults");
    assert_eq!(load(&uncommented.join("\n")), load(&text));
    // And none is forgotten: the parser's own list of keys is in its error.
    for table in ["", "[history]\n", "[limits]\n"] {
        let error = error_of(&format!("{table}x = 1\n"));
        let keys = error.split("the keys here are ").nth(1).unwrap();
        for key in keys.split(", ") {
            let shown =
                text.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} =")));
            assert!(shown || ["history", "limits"].contains(&key), "{key} is not in seatkeeper.toml");
        }
    }
}

#[test]
fn the_repositorys_file_trusts_the_demo_vendor_and_keeps_its_state_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let around = Surroundings {
        directory: root.to_owned(),
        system_file: "/nonexistent".into(),
        runtime_directory: None,
        state_directory: None,
    };
    let flags = Flags::try_parse_from(["seatkeeperd", "--time-zone", "UTC"]).unwrap();
    let config = Config::load(&flags, &around).unwrap();
    assert_eq!(config.licenses, root.join("licenses"));
    assert_eq!(config.trusted_vendors, [root.join("licenses/vendor-demo/demo-2026.pub")]);
    assert_eq!(config.state, root.join("state"));
}

#[test]
fn the_operations_manual_states_every_default_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(root.join("docs/OPERATIONS.md")).unwrap();
    let file = std::fs::read_to_string(root.join("seatkeeper.toml")).unwrap();
    // seatkeeper.toml is held to the code by the test above.
    for line in file.lines() {
        let Some((key, value)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) else {
            continue;
        };
        let row = if key.starts_with(' ') {
            format!("| `{}` |", key.trim())
        } else {
            format!("| `{key}` | `{value}` |")
        };
        assert!(manual.contains(&row), "docs/OPERATIONS.md has no row {row}");
    }
    use seatkeeper::config::{history, limits};
    for bounds in [
        limits::CONNECTIONS,
        limits::CONNECTIONS_PER_ADDRESS,
        limits::SESSIONS_PER_CONNECTION,
        limits::REQUESTS_PER_SECOND,
        limits::QUEUE_LENGTH,
        limits::WAITERS_PER_FEATURE,
        limits::WAITERS_PER_CLIENT,
        limits::UPDATE_CHECKS_PER_MINUTE,
        limits::FRAME_BYTES,
        limits::UNREAD_BYTES,
        history::KEEP_DAYS,
        history::MAX_MEGABYTES,
    ] {
        let row =
            format!("| `{}` | `{}` | {} to {} |", bounds.key, bounds.default, bounds.least, bounds.most);
        assert!(manual.contains(&row), "docs/OPERATIONS.md has no row {row}");
    }
    use seatkeeper::exit;
    for code in
        [exit::OK, exit::USAGE, exit::UNAVAILABLE, exit::INTERNAL, exit::DISK, exit::TEMPORARY, exit::CONFIG]
    {
        assert!(
            manual.contains(&format!("\n| {code} | ")),
            "docs/OPERATIONS.md has no row for exit code {code}"
        );
    }
}
