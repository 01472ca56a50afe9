"""Checks a running seatkeeperd against what docs/PROTOCOL.md promises.

    python3 tests/second_client/scenario.py --server 127.0.0.1:6200 --feature cad --seats 4

Nobody else may use the feature meanwhile, and the policy must let one user on one host take all its seats. Each check
uses connections of its own and gives back what it took. One line for each check; the exit code is 0 if none failed,
1 if one did, 2 if the run could not begin.
"""

import argparse
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import seatkeeper_client as sk  # noqa: E402  (the folder is no package)

HELLO, CHECKOUT, CHECKIN, HEARTBEAT, RESUME, REPORT, TRY, WATCH, GOODBYE = range(1, 10)
CODES_LATER = {"busy", "rate_limited", "shutting_down"}
FAULTS = {"frame_too_long", "frame_too_short", "unknown_number", "message_too_long", "truncated", "trailing_bytes",
          "too_much", "number_not_shortest", "malformed", "unknown_extra", "field"}
U64_MAX = (1 << 64) - 1


class Failed(Exception):
    """The server does not do what the document says."""


class Skipped(Exception):
    """This check says nothing about this server."""


def same(found, wanted, what):
    if found != wanted:
        raise Failed(f"{what}: {found!r}, not {wanted!r}")


def true(condition, text):
    if not condition:
        raise Failed(text)


def refused(action, code, what):
    """Runs an action that must be refused with this code (or one of these) and returns the refusal."""
    codes = (code,) if isinstance(code, str) else tuple(code)
    try:
        got = action()
    except sk.Refusal as refusal:
        if refusal.code not in codes:
            raise Failed(f"{what}: refused with {refusal.code} ({refusal}), not {' or '.join(codes)}") from None
        return refusal
    raise Failed(f"{what}: granted ({got!r}), not refused with {' or '.join(codes)}")


def fault_of(refusal, fault, what):
    """The `fault` of a bad_request: this one, or with None any word that the document has."""
    found = refusal.details.get("fault")
    true(found in FAULTS, f"{what}: the details name no fault of section 12: {refusal.details!r}")
    if fault is not None:
        same(found, fault, f"{what}: fault")


def closed(connection, what, code=None):
    """The server must close now. With a code, its last word must be a Refused with call 0; without, none."""
    try:
        end = connection.wait_end()
    except sk.TimedOut:
        raise Failed(f"{what}: the connection was not closed") from None
    if code is None:
        true(end.refusal is None, f"{what}: a second Refused came, with call 0: {end.refusal}")
    else:
        true(end.refusal is not None, f"{what}: closed without a Refused of call 0")
        same(end.refusal.code, code, f"{what}: the last word")
    return end.refusal


class Stage:
    """What a check works with: connections and checkouts, all of which are undone after it."""

    def __init__(self, options):
        self.options = options
        self.connections = []
        self.bundles = []
        self.facts = sk.facts(options.user, options.host, platform=options.platform or sk.this_platform(),
                              release_version=options.release_version, release_date=options.release_date)

    def item(self, count=1, feature=None):
        return sk.item(feature or self.options.feature, count, self.options.vendor)

    def connect(self, install_id=None):
        """A connection before its hello."""
        connection = sk.Connection(self.options.server, install_id=install_id, timeout=self.options.timeout,
                                   program="second-client-scenario")
        self.connections.append(connection)
        return connection

    def open(self, install_id=None):
        connection = self.connect(install_id)
        connection.hello()
        return connection

    def fields(self, connection, count=1, **more):
        return connection.checkout_fields([self.item(count)], self.facts, **more)

    def checkout(self, connection, count=1, **more):
        return self.checkout_again(connection, self.fields(connection, count, **more))

    def checkout_again(self, connection, fields):
        bundle = connection.checkout_again(fields)
        self.bundles.append(bundle)
        return bundle

    def granted(self, connection, fields, message):
        """Notes a grant that was asked for with `send`."""
        bundle = sk.Bundle(fields, message.fields, connection.install_id)
        self.bundles.append(bundle)
        return bundle

    def try_out(self, connection, count=1):
        return connection.try_checkout([self.item(count)], self.facts)

    def free_is(self, count, what):
        """Exactly so many seats can be had, asked over a connection of its own and taking nothing."""
        with self.open() as probe:
            if count:
                try:
                    self.try_out(probe, count)
                except sk.Refusal as refusal:
                    raise Failed(f"{what}: {count} seats should be free, but: {refusal}") from None
            try:
                self.try_out(probe, count + 1)
            except sk.Refusal as refusal:
                true(refusal.code not in CODES_LATER | {"bad_request"}, f"{what}: {refusal}")
                return
            raise Failed(f"{what}: {count + 1} seats can be had, only {count} should be free")

    def undo(self):
        """Gives back every seat of the check: what its connections hold, then what its bundles still have, resumed over
        new connections. Returns what went wrong."""
        wrong = []
        for connection in self.connections:
            try:
                for session in list(connection.held) if not connection.ended else ():
                    connection.checkin(session)
            except sk.SeatkeeperError:
                pass  # the bundles tell whether anything is left
        for bundle in self.bundles:
            try:
                with self.open(bundle.install_id) as connection:
                    answer = connection.resume(bundle.number, bundle.secret, bundle.facts)
                    for grant in answer["sessions"]:
                        connection.checkin(grant["session"])
            except sk.Refusal as refusal:
                if refusal.code != "already_removed":
                    wrong.append(f"bundle {bundle.number} cannot be given back: {refusal}")
            except sk.SeatkeeperError as error:
                wrong.append(f"bundle {bundle.number} cannot be given back: {error}")
        for connection in self.connections:
            connection.close()
        return wrong


CHECKS = []


def check(section):
    """Registers a check; its name is that of the function, and the section is where the promise stands."""
    def register(function):
        CHECKS.append((function.__name__, section, function))
        return function
    return register


CALL = 4000000000  # for hand-made frames: far from those that the library counts up


def send_bytes(connection, number, body, call=CALL):
    """Sends a hand-made request and returns its answer, which is raised if it is a refusal."""
    connection.expect(call, number)
    connection.send_raw(sk.frame(number, call, body))
    return connection.wait(call)


def goes_on(connection, what):
    try:
        connection.heartbeat()
    except sk.SeatkeeperError as error:
        raise Failed(f"{what}: the connection should go on, but: {error}") from None


def hello_fields(connection, **other):
    return {"magic": sk.MAGIC, "lowest": 1, "highest": 1, "install_id": connection.install_id, "program": "scenario",
            "program_version": "1", **other}


def extra_heartbeat(*extras):
    """The body of a heartbeat with these (tag, bytes) extras, in any order."""
    out = bytearray(b"\x00")
    sk._write_integer(len(extras), 64, out, "extras")
    for tag, data in extras:
        sk._write_integer(tag, 16, out, "tag")
        sk._write_integer(len(data), 64, out, "bytes")
        out += data
    return bytes(out)


# ---------------------------------------------------------------------------------------------------------------------
# Sections 2 to 5: frames, layout, the connection


@check("5")
def hello_is_answered(stage):
    first, second = stage.open().server_hello, stage.open().server_hello
    same(first["version"], 1, "version")
    true(0 < first["heartbeat_ms"] <= first["lease_ms"],
         f"heartbeat_ms {first['heartbeat_ms']} and lease_ms {first['lease_ms']} do not fit together")
    true(6 <= first["client_frame_bytes_max"] <= 65536, f"client_frame_bytes_max is {first['client_frame_bytes_max']}")
    true(first["sessions_max"] > 0, "sessions_max is 0")
    same(second["instance"], first["instance"], "instance on a second connection, the daemon being the same")


@check("5")
def version_is_picked(stage):
    for lowest, highest in ((1, 1), (1, 300), (0, 1), (0, 65535)):
        same(stage.connect().hello(lowest=lowest, highest=highest)["version"], 1, f"version for {lowest} to {highest}")


@check("5, 11")
def no_common_version(stage):
    for lowest, highest, code in ((2, 2, "server_too_old"), (2, 65535, "server_too_old"), (0, 0, "client_too_old")):
        connection = stage.connect()
        what = f"versions {lowest} to {highest}"
        refused(lambda: connection.hello(lowest=lowest, highest=highest), code, what)
        closed(connection, what)


@check("5")
def wrong_magic(stage):
    connection = stage.connect()
    fault_of(refused(lambda: connection.hello(magic=b"SEAL"), "bad_request", "magic SEAL"), None, "magic SEAL")
    closed(connection, "magic SEAL")


@check("5")
def first_frame_is_no_hello(stage):
    connection = stage.connect()
    refused(connection.heartbeat, "bad_request", "a heartbeat first")
    closed(connection, "a heartbeat first")


@check("5")
def damaged_hello_closes(stage):
    for what, spoil in (("a trailing byte", lambda body: body + b"\x00"), ("a cut body", lambda body: body[:-1]),
                        ("an unknown odd extra", lambda body: body[:-1] + b"\x01\x01\x00")):
        connection = stage.connect()
        body = spoil(sk.encode_body(HELLO, hello_fields(connection)))
        refused(lambda: send_bytes(connection, HELLO, body), "bad_request", f"hello with {what}")
        closed(connection, f"hello with {what}")


@check("3, 5")
def hello_with_even_extra(stage):
    connection = stage.connect()
    connection.hello(extras=[{"tag": 2, "bytes": b""}, {"tag": 65534, "bytes": b"\x00\xff"}])
    goes_on(connection, "hello with even extras")


@check("5")
def second_hello_is_refused(stage):
    connection = stage.open()
    try:
        connection.request("Hello", extras=[], **hello_fields(connection))
        raise Failed("a second hello was granted")
    except sk.Refusal:
        pass
    goes_on(connection, "after a second hello")


@check("2, 5")
def first_frame_limit(stage):
    connection = stage.connect()
    body = sk.encode_body(HELLO, hello_fields(connection))[:-1]  # without the list of extras, written here by hand
    # tag 2 is one byte, the length of its bytes three, the list one
    filled = body + b"\x01\x02" + b"\xfb" + (4096 - 6 - len(body) - 5).to_bytes(2, "little")
    filled += bytes(4096 - 6 - len(filled))
    same(send_bytes(connection, HELLO, filled).fields["version"], 1, "hello of length 4096")
    connection = stage.connect()
    # Only the length is sent: it is enough to be refused, and nothing unread makes the kernel throw the answer away.
    connection.send_raw((4097).to_bytes(4, "little"))
    fault_of(closed(connection, "first length 4097", "bad_request"), "frame_too_long", "first length 4097")
    connection = stage.connect()
    connection.send_raw(b"GET ")
    fault_of(closed(connection, "the first four bytes of HTTP", "bad_request"), "frame_too_long", "GET")


@check("2, 5")
def frame_limits(stage):
    most = stage.open().server_hello["client_frame_bytes_max"]
    connection = stage.open()
    if most >= 300:
        # Nine bytes are no filling: 6 of the frame, the optional, the list, the tag; 3 more say how much filling there is.
        body = extra_heartbeat((2, bytes(most - 6 - 3 - 3)))
        same(6 + len(body), most, "the length of the frame made here")
        same(send_bytes(connection, HEARTBEAT, body).fields["sessions"], 0, f"a heartbeat of length {most}")
    connection.send_raw((most + 1).to_bytes(4, "little"))
    fault_of(closed(connection, f"length {most + 1}", "bad_request"), "frame_too_long", f"length {most + 1}")
    for length in (0, 5):
        connection = stage.open()
        connection.send_raw(length.to_bytes(4, "little"))
        fault_of(closed(connection, f"length {length}", "bad_request"), "frame_too_short", f"length {length}")
    connection = stage.open()
    connection.send_raw(b"\xff\xff\xff\xff")
    closed(connection, "length 4294967295", "bad_request")


@check("5")
def unknown_request_numbers(stage):
    connection = stage.open()
    for number in (0x0000, 0x0010, 0x0FFF, 0x3FFF, 0x4000, 0x7FFF):
        for body in (b"\x00", b"", b"\xff\xff\xff"):
            what = f"request 0x{number:04x}"
            fault_of(refused(lambda: send_bytes(connection, number, body), "bad_request", what), "unknown_number", what)
    goes_on(connection, "after unknown requests")


@check("4, 5")
def numbers_of_a_server(stage):
    for number in (0x8000, 0x8004, 0xBFFF, 0xC002, 0xFFFF):
        connection = stage.open()
        connection.send_raw(sk.frame(number, 9, b"\x00"))
        closed(connection, f"0x{number:04x} from a client", "bad_request")


@check("5")
def call_zero(stage):
    connection = stage.open()
    connection.send_raw(sk.encode_frame(HEARTBEAT, 0, {"idle_seconds": None}))
    closed(connection, "a heartbeat with call 0", "bad_request")


@check("3, 5")
def damaged_bodies(stage):
    connection = stage.open()
    for what, number, body, fault in (
            ("a trailing byte", HEARTBEAT, "00 00 00", "trailing_bytes"),
            ("no body", HEARTBEAT, "", "truncated"),
            ("no extras", HEARTBEAT, "00", "truncated"),
            ("an optional of 2", HEARTBEAT, "02 00", None),
            ("a bool of 2", WATCH, "02 00", None),
            ("5 in three bytes", CHECKIN, "fb0500 00 00", "number_not_shortest"),
            ("65535 in five bytes", CHECKIN, "fcffff0000 00 00", "number_not_shortest"),
            ("a u32 in nine bytes", CHECKIN, "00 fd0000000001000000 00", None),
            ("an integer that begins with ff", CHECKIN, "ff 00 00", None),
            ("a text that is not UTF-8", REPORT, "02 c328 00 00 00 00 00", None),
            ("a text longer than the frame", REPORT, "fdffffffffffffffff 00", None),
            ("a list longer than the frame", TRY, "fcffffffff 00", None)):
        refusal = refused(lambda: send_bytes(connection, number, bytes.fromhex(body)), "bad_request", what)
        fault_of(refusal, fault, what)
    goes_on(connection, "after damaged bodies")


@check("3")
def extras(stage):
    connection = stage.open()
    for what, tags in (("tag 0", [0]), ("tag 2", [2]), ("tags 2, 500 and 65534", [2, 500, 65534])):
        try:
            send_bytes(connection, HEARTBEAT, extra_heartbeat(*((tag, b"\x01\x02") for tag in tags)))
        except sk.Refusal as refusal:
            raise Failed(f"{what} must be ignored: {refusal}") from None
    for what, tags, fault in (("tag 1", [1], "unknown_extra"), ("tags 2 and 65535", [2, 65535], "unknown_extra"),
                              ("tags 4, 2", [4, 2], None), ("tag 2 twice", [2, 2], None)):
        body = extra_heartbeat(*((tag, b"") for tag in tags))
        fault_of(refused(lambda: send_bytes(connection, HEARTBEAT, body), "bad_request", what), fault, what)
    goes_on(connection, "after extras")


@check("5")
def frames_in_pieces(stage):
    connection = stage.open()
    connection.expect(CALL, HEARTBEAT)
    for byte in sk.encode_frame(HEARTBEAT, CALL, {"idle_seconds": 7}):
        connection.send_raw(bytes([byte]))
    same(connection.wait(CALL).fields["sessions"], 0, "sessions")


@check("5")
def pipelined_requests(stage):
    connection = stage.open()
    calls = range(CALL, CALL + 20)
    for call in calls:
        connection.expect(call, HEARTBEAT)
    connection.send_raw(b"".join(sk.encode_frame(HEARTBEAT, call, {"idle_seconds": None}) for call in calls))
    for call in reversed(calls):
        same(connection.wait(call).fields["sessions"], 0, f"call {call}")
    same(connection.events(0.0), [], "events of a connection that holds nothing")


@check("5")
def seats_are_decided_in_order(stage):
    seats, connection = stage.options.seats, stage.open()
    every, one = stage.fields(connection, seats), stage.fields(connection, 1)
    first, second = connection.send(CHECKOUT, every), connection.send(CHECKOUT, one)
    granted = stage.granted(connection, every, connection.wait(first))
    refused(lambda: stage.granted(connection, one, connection.wait(second)), "no_seats",
            "one seat, asked for right behind all")
    again = stage.fields(connection, seats)
    back = connection.send(CHECKIN, {"session": granted.sessions[0]["session"], "count": 0})
    third = connection.send(CHECKOUT, again)
    same(connection.wait(back).fields["remaining"], 0, "remaining")
    stage.granted(connection, again, connection.wait(third))


@check("5")
def limits_on_fields(stage):
    connection = stage.open()
    good = {"items": [stage.item()], "facts": stage.facts, "share": None, "reservation_token": None,
            "wait_seconds": None}
    wrong = [
        ("no items", {"items": []}),
        ("65 items", {"items": [stage.item(1, f"feature{n}") for n in range(65)]}),
        ("count 0", {"items": [stage.item(0)]}),
        ("count 2147483648", {"items": [stage.item(2147483648)]}),
        ("a feature of 257 bytes", {"items": [stage.item(1, "f" * 257)]}),
        ("a share of 257 bytes", {"share": "s" * 257}),
        ("a token with a newline", {"reservation_token": "a\nb"}),
    ]
    for what, other in (("a user of 257 bytes", {"user": "u" * 257}), ("a user with U+0000", {"user": "a\0b"}),
                        ("a host with U+007F", {"host": "a\x7fb"}), ("a project with U+0085", {"project": "a\x85b"}),
                        ("a user of 129 letters, 258 bytes", {"user": "é" * 129}),
                        ("offset 1441", {"offset_minutes": 1441}), ("offset -1441", {"offset_minutes": -1441}),
                        ("33 host ids", {"host_ids": [{"kind": "CUSTOM", "value": str(n)} for n in range(33)]})):
        wrong.append((what, {"facts": {**stage.facts, **other}}))
    for what, other in wrong:
        for name, more in (("Try", {}), ("Checkout", {"request_key": sk.random_bytes(), "secret": sk.random_bytes()})):
            what_here = f"{name} with {what}"
            refusal = refused(lambda: connection.request(name, **{**good, **other, **more}), "bad_request", what_here)
            fault_of(refusal, "field", what_here)
    longest = {"project": "p" * 256, "offset_minutes": 1440, "display": ":0"}
    try:
        connection.request("Try", **{**good, "facts": {**stage.facts, **longest}})
    except sk.Refusal as refusal:
        true(refusal.code != "bad_request", f"facts at their limits: {refusal}")
    goes_on(connection, "after fields over their limits")


# ---------------------------------------------------------------------------------------------------------------------
# Sections 5 and 6: seats and sessions


@check("7, 12")
def update_check_takes_nothing(stage):
    feature, vendor, connection = stage.options.feature, stage.options.vendor, stage.open()
    stage.checkout(connection, stage.options.seats)
    answer = connection.update_check(feature, ["1.0", ("1.0", "2010-01-01", None), "x"], installed="1.0", vendor=vendor)
    same(answer["schema"], 1, "schema of an update check")
    same([one["version"] for one in answer["answers"]], ["1.0", "1.0", "x"], "the versions, in their order")
    for one in answer["answers"]:
        true(one["will_run"] == (one["code"] == "GRANT"), f"will_run against the code: {one}")
        if one["will_run"] and not one["unlimited"]:
            same(one["seats_free"], 0, "free seats of an update check while all are taken")
    true(answer["advice"] in ("update_available", "update_needs_renewal", "up_to_date"), f"advice: {answer['advice']}")
    same(answer["maintenance"].keys() >= {"state", "end", "days_left"}, True, "members of maintenance")
    empty = connection.update_check(feature, vendor=vendor)
    same(isinstance(empty["answers"], list), True, "answers without candidates")
    same(len(connection.update_check(feature, ["1.0"] * 64, vendor=vendor)["answers"]), 64, "the most candidates")
    for candidates, field in ((["1.0"] * 65, "candidates"), (["1" * 257], "candidates.version"),
                              ([("1.0", "\n", None)], "candidates.date"), ([("1.0", None, "x" * 257)], "candidates.line")):
        refusal = refused(lambda: connection.update_check(feature, candidates, vendor=vendor), "bad_request", field)
        fault_of(refusal, "field", f"{field} over its limit")
        same(refusal.details.get("field"), field, "the field")
    refused(lambda: connection.update_check("no-such-feature", ["1.0"]), "unknown_feature", "an unknown feature")
    same(connection.heartbeat(), 1, "sessions after an update check")
    goes_on(connection, "after an update check")


@check("7")
def try_takes_nothing(stage):
    seats, connection = stage.options.seats, stage.open()
    details = stage.try_out(connection, seats)
    if "total" in details and not details.get("unlimited"):
        same(details["total"], seats, "total in the details of Try")
    same(connection.heartbeat(), 0, "sessions after Try")
    stage.checkout(connection, seats)
    refused(lambda: stage.try_out(connection, 1), "no_seats", "Try with every seat taken")


@check("7, 11, 12")
def checkout_to_the_last_seat(stage):
    seats, holder, other = stage.options.seats, stage.open(), stage.open()
    if seats > 1:
        first = stage.checkout(holder, seats - 1)
        same([grant["count"] for grant in first.sessions], [seats - 1], "seats of the grant")
    last = stage.checkout(other, 1)
    same(len(last.sessions), 1, "sessions of one item")
    same(last.sessions[0]["feature"].lower(), stage.options.feature.lower(), "feature")
    same(last.replayed, False, "replayed")
    true(last.answer["heartbeat_ms"] > 0 and last.answer["lease_ms"] > 0, "the grant states no heartbeat_ms or lease_ms")
    for connection in (holder, other, stage.open()):
        refusal = refused(lambda: stage.checkout(connection, 1), "no_seats", "one seat more than there are")
        details = refusal.details
        true(refusal.message, "the refusal has no sentence for a person")
        for name, wanted in (("total", seats), ("used", seats), ("free", 0)):
            same(details.get(name), wanted, f"{name} in the details {details!r}")
        if {"active", "suspect", "borrowed"} <= set(details):
            same(details["active"] + details["suspect"] + details["borrowed"], seats, "active + suspect + borrowed")
        same(str(details.get("feature", stage.options.feature)).lower(), stage.options.feature.lower(),
             "feature in the details")
        if "holders" in details:
            names = {entry.get("user") for entry in details["holders"]}
            same(names, {stage.options.user}, "users in holders")
            true(sum(entry.get("count", 0) for entry in details["holders"]) <= seats, "holders have more than all seats")
    same(holder.heartbeat() + other.heartbeat(), 2 if seats > 1 else 1, "sessions counted by both heartbeats")


@check("7")
def all_items_or_none(stage):
    seats, connection = stage.options.seats, stage.open()
    missing = "no-such-feature-" + sk.random_bytes().hex()
    refused(lambda: connection.checkout([stage.item(1, missing)], stage.facts), "unknown_feature", "unknown feature")
    refused(lambda: connection.checkout([stage.item(), stage.item(1, missing)], stage.facts), "unknown_feature",
            "one feature known, the other not")
    same(connection.heartbeat(), 0, "sessions after a refused checkout")
    stage.free_is(seats, "after a refused checkout")


@check("10")
def case_does_not_matter(stage):
    connection = stage.open()
    swapped = stage.options.feature.swapcase()
    bundle = stage.checkout_again(connection, connection.checkout_fields([stage.item(1, swapped)], stage.facts))
    same(bundle.sessions[0]["feature"].lower(), swapped.lower(), "feature")


@check("6")
def asking_again_takes_no_second_seat(stage):
    seats, connection = stage.options.seats, stage.open()
    bundle = stage.checkout(connection, 1)
    for what, where in (("the same connection", connection), ("another connection", stage.open(connection.install_id))):
        again = stage.checkout_again(where, bundle.request)
        same(again.replayed, True, f"replayed over {what}")
        same(again.number, bundle.number, f"bundle over {what}")
        same([grant["session"] for grant in again.sessions], [grant["session"] for grant in bundle.sessions],
             f"sessions over {what}")
        same(where.heartbeat(), 1, f"sessions counted over {what}")
        stage.free_is(seats - 1, f"asked again over {what}")
    same(connection.heartbeat(), 0, "sessions of the connection that asked first")
    refused(lambda: stage.checkout_again(where, {**bundle.request, "secret": sk.random_bytes()}), "bad_request",
            "a known request key with a wrong secret")
    session = bundle.sessions[0]["session"]
    refused(lambda: connection.checkin(session), "resumed_elsewhere", "checkin over the connection that asked first")
    same(where.checkin(session)["remaining"], 0, "remaining")
    refused(lambda: stage.checkout_again(where, bundle.request), "already_removed", "asked again after all was checked in")


@check("6")
def same_key_of_another_installation(stage):
    if stage.options.seats < 2:
        raise Skipped("needs two seats")
    first, second = stage.open(), stage.open()
    bundle = stage.checkout(first, 1)
    other = stage.checkout_again(second, {**bundle.request, "secret": sk.random_bytes()})
    same(other.replayed, False, "replayed for another install id")
    true(other.number != bundle.number, "two installations share a bundle")


@check("6")
def checkin_in_part(stage):
    seats, connection = stage.options.seats, stage.open()
    if seats < 2:
        raise Skipped("needs two seats")
    session = stage.checkout(connection, seats).sessions[0]["session"]
    answer = connection.checkin(session, 1)
    same((answer["session"], answer["count"], answer["remaining"]), (session, 1, seats - 1), "checkin of one seat")
    same(connection.heartbeat(), 1, "sessions after a checkin in part")
    stage.free_is(1, "after a checkin of one seat")
    refused(lambda: connection.checkin(session, seats), "bad_request", "a count above what the session has")
    other = stage.open()
    taken = stage.checkout(other, 1)
    same(other.checkin(taken.sessions[0]["session"], 1)["remaining"], 0, "remaining of a session of one seat")
    answer = connection.checkin(session, 0)
    same((answer["count"], answer["remaining"]), (seats - 1, 0), "checkin of all the rest")
    same(connection.heartbeat(), 0, "sessions after a full checkin")
    refused(lambda: connection.checkin(session), "already_removed", "checkin of a session that has ended")


@check("6")
def checkin_in_part_is_seen_by_a_resume(stage):
    if stage.options.seats < 2:
        raise Skipped("needs two seats")
    connection = stage.open()
    bundle = stage.checkout(connection, 2)
    connection.checkin(bundle.sessions[0]["session"], 1)
    connection.close(reset=True)
    answer = stage.open(connection.install_id).resume(bundle.number, bundle.secret, bundle.facts)
    same([grant["count"] for grant in answer["sessions"]], [1], "seats after a resume")
    same(answer["ended"], [], "ended")


@check("6")
def checkin_of_something_unknown(stage):
    holder, other = stage.open(), stage.open()
    session = stage.checkout(holder, 1).sessions[0]["session"]
    for what, number, code in (("no session", U64_MAX, "unknown_session"),
                               ("a session of another connection", session, "resumed_elsewhere")):
        for count in (0, 1):
            refused(lambda: other.checkin(number, count), code, f"checkin of {what}")
    goes_on(other, "after checkins of something unknown")
    same(holder.heartbeat(), 1, "sessions of the one who holds it")


@check("6")
def resume_takes_its_own_bundle(stage):
    """Two checkouts and a resume of one of them: a resume takes its own bundle and no other."""
    if stage.options.seats < 2:
        raise Skipped("needs two seats")
    first = stage.open()
    one, two = stage.checkout(first, 1), stage.checkout(first, 1)
    true(one.number != two.number, "two checkouts share a bundle")
    same(first.heartbeat(), 2, "sessions after two checkouts")
    second = stage.open(first.install_id)
    second.resume(one.number, one.secret, one.facts)
    same((first.heartbeat(), second.heartbeat()), (1, 1), "sessions after a resume of one bundle")


@check("6")
def abrupt_close_and_resume(stage):
    seats, connection = stage.options.seats, stage.open()
    bundle = stage.checkout(connection, seats)
    connection.close(reset=True)
    third = stage.open()
    refused(lambda: stage.checkout(third, 1), "no_seats", "a seat of a client whose connection broke a moment ago")
    back = stage.open(connection.install_id)
    same(back.heartbeat(), 0, "sessions before the resume")
    refused(lambda: back.resume(bundle.number, sk.random_bytes(), bundle.facts), "unknown_session", "wrong secret")
    refused(lambda: back.resume(U64_MAX, bundle.secret, bundle.facts), "unknown_session", "unknown bundle")
    for what, other in (("user", {"user": stage.options.user + "-other"}), ("host", {"host": "other-host"}),
                        ("release_version", {"release_version": "99.1"}),
                        ("release_date", {"release_date": "1999-12-31"})):
        refused(lambda: back.resume(bundle.number, bundle.secret, {**bundle.facts, **other}), "bad_request",
                f"resume with another {what}")
    refused(lambda: third.resume(bundle.number, bundle.secret, bundle.facts), "bad_request",
            "resume with another install id")
    same(back.heartbeat() + third.heartbeat(), 0, "sessions after refused resumes")
    answer = back.resume(bundle.number, bundle.secret,
                         {**bundle.facts, "pid": 1, "display": "elsewhere", "project": None})
    same(answer["bundle"], bundle.number, "bundle")
    same([(grant["session"], grant["count"]) for grant in answer["sessions"]],
         [(grant["session"], grant["count"]) for grant in bundle.sessions], "sessions")
    same(answer["ended"], [], "ended")
    same(back.heartbeat(), 1, "sessions after the resume")
    same(back.checkin(bundle.sessions[0]["session"])["remaining"], 0, "remaining")
    refused(lambda: back.resume(bundle.number, bundle.secret, bundle.facts), "already_removed",
            "resume of a bundle that has ended")


@check("6, 9")
def resumed_elsewhere(stage):
    old = stage.open()
    bundle = stage.checkout(old, 1)
    new = stage.open(old.install_id)
    new.resume(bundle.number, bundle.secret, bundle.facts)
    events = old.events(stage.options.timeout, count=1)
    same([(event.name, event.fields.get("bundle")) for event in events], [("ResumedElsewhere", bundle.number)],
         "events of the old connection")
    same(old.heartbeat(), 0, "sessions of the old connection")
    same(new.heartbeat(), 1, "sessions of the new connection")
    refused(lambda: old.checkin(bundle.sessions[0]["session"]), "resumed_elsewhere", "checkin over the old connection")
    same(old.events(0.0), [], "more events of the old connection")
    same(new.events(0.0), [], "events of the new connection")
    # And back again: which connection is the older does not matter.
    old.resume(bundle.number, bundle.secret, bundle.facts)
    same([event.name for event in new.events(stage.options.timeout, count=1)], ["ResumedElsewhere"],
         "events after it went back")
    same((old.heartbeat(), new.heartbeat()), (1, 0), "sessions after it went back")


@check("5, 6")
def heartbeats_count_sessions(stage):
    connection = stage.open()
    same(connection.heartbeat(), 0, "sessions at first")
    session = stage.checkout(connection, 1).sessions[0]["session"]
    same(connection.heartbeat(), 1, "sessions after a checkout")
    for idle in (0, 250, 251, 65536, 4294967295):
        same(connection.heartbeat(idle), 1, f"sessions, idle for {idle} s")
    connection.checkin(session)
    same(connection.heartbeat(), 0, "sessions after the checkin")


@check("5")
def goodbye_keeps_the_sessions(stage):
    connection = stage.open()
    bundle = stage.checkout(connection, 1)
    beats = [connection.send(HEARTBEAT, {"idle_seconds": None}) for _ in range(5)]
    last = connection.send(GOODBYE, {})
    connection.wait(last)
    for call in beats:
        true(connection.has_answer(call), "the answer to Goodbye came before that to an earlier request")
    closed(connection, "after Goodbye")
    answer = stage.open(connection.install_id).resume(bundle.number, bundle.secret, bundle.facts)
    same(len(answer["sessions"]), 1, "sessions after Goodbye and a resume")


@check("5")
def goodbye_comes_after_reports(stage):
    connection = stage.open()
    asked = {"what": "status", "feature": None, "vendor": None, "cursor": "", "limit": 0}
    reports = [connection.send(REPORT, asked) for _ in range(40)]
    connection.wait(connection.send(GOODBYE, {}))
    for call in reports:
        true(connection.has_answer(call), "the answer to Goodbye came before that to a report")
    answers = [connection.answer(call) for call in reports]
    true(sum(a.number != sk.REFUSED for a in answers) >= 16, "fewer than 16 reports were made at once")
    for refusal in (sk.refusal_of(a) for a in answers if a.number == sk.REFUSED):
        same(refusal.code, "busy", "a report too many")
    closed(connection, "after Goodbye")


@check("5")
def a_last_word_survives_what_was_not_read(stage):
    for _ in range(20):
        connection = stage.open()
        # The server reads no frame behind a length it refuses, but what lies there must not reset the connection.
        connection.send_raw(b"\xff\xff\xff\x7f" + bytes(100_000))
        fault_of(closed(connection, "bytes behind a bad length", "bad_request"), "frame_too_long", "a bad length")


# ---------------------------------------------------------------------------------------------------------------------
# Reports, events, administrators


@check("7, 12")
def reports(stage):
    connection = stage.open()
    stage.checkout(connection, 1)
    for what in ("status", "features", "sessions", "licenses", "problems"):
        try:
            parts = list(connection.report_parts(what))
        except sk.Refusal as refusal:
            # Section 12: below `all` these three are closed to a reader.
            if refusal.code == "not_permitted" and what in ("sessions", "licenses", "problems"):
                continue
            raise Failed(f"report {what}: {refusal}") from None
        for part in parts:
            same(part.get("schema"), 1, f"schema in the report {what}")
        if what != "status":
            true(isinstance(parts[0].get(what), list), f"the report {what} has no list {what}: {sorted(parts[0])}")
            whole = connection.report(what)[what]
            paged = list(connection.report_parts(what, limit=1))
            for part in paged:
                same(part.get("schema"), 1, f"schema in a part of {what}")
                true(len(part.get(what, [])) <= 1, f"a part of {what} has more items than the limit of 1")
            same(sum(len(part.get(what, [])) for part in paged), len(whole), f"items of {what}, read one by one")
            if what in ("features", "sessions"):
                true(whole, f"the report {what} is empty while a seat is taken")


@check("7, 12")
def report_of_one_feature(stage):
    connection = stage.open()
    for what in ("features", "explain"):
        try:
            found = connection.report(what, feature=stage.options.feature, vendor=stage.options.vendor)
        except sk.Refusal as refusal:
            if refusal.code == "not_permitted" and what == "explain":
                continue
            raise Failed(f"report {what}: {refusal}") from None
        same(found.get("schema"), 1, f"schema in the report {what}")
        if what == "features":
            true(len(found["features"]) >= 1, "the feature is not in the report on it")


@check("5, 7")
def wrong_reports(stage):
    connection = stage.open()
    for what, arguments in (("weather", {}), ("", {}), ("Status", {}), ("explain", {}),
                            ("status", {"feature": "f" * 257}), ("status", {"vendor": "a\tb"})):
        name = f"report {what!r} {arguments or ''}".strip()
        fault_of(refused(lambda: connection.report(what, **arguments), "bad_request", name), "field", name)
    goes_on(connection, "after wrong reports")


@check("7")
def watch(stage):
    connection = stage.open()
    for totals in (True, True, False):
        connection.watch(totals)
    stage.checkout(connection, 1)
    names = {event.name for event in connection.events(0.0)}
    true("PoolChanged" not in names, "PoolChanged without a change of a total")


@check("4, 5")
def admin_requests_over_tcp(stage):
    connection = stage.open()
    held = stage.checkout(connection, 1).sessions[0]["session"]
    for name, fields in (("Reload", {}), ("Release", {"session": held, "bar_seconds": None, "reason": ""}),
                         ("HostIds", {"explain": None}), ("Shutdown", {})):
        refused(lambda: connection.request(name, **fields), "not_permitted", name)
    same(connection.heartbeat(), 1, "sessions after refused administrator's requests")
    same(stage.open().server_hello["instance"], connection.server_hello["instance"], "instance")


@check("5")
def slow_hello_is_closed(stage):
    if not stage.options.slow:
        raise Skipped("takes ten seconds; --slow runs it")
    connection = stage.connect()
    connection.send_raw(sk.encode_frame(HELLO, 1, hello_fields(connection))[:20])
    try:
        connection.wait_end(20)
    except sk.TimedOut:
        raise Failed("half a hello was waited for longer than 20 s") from None


@check("6")
def everything_was_given_back(stage):
    stage.free_is(stage.options.seats, "at the end")
    stage.checkout(stage.open(), stage.options.seats)


# ---------------------------------------------------------------------------------------------------------------------


def run(function, options):
    """("ok", ""), ("skip", why) or ("FAIL", what)."""
    stage = Stage(options)
    try:
        function(stage)
        result = ("ok", "")
    except Skipped as why:
        result = ("skip", str(why))
    except Failed as error:
        result = ("FAIL", str(error))
    except sk.SeatkeeperError as error:
        # The line of the check that met it says what was asked.
        line = next((entry for entry in reversed(traceback.extract_tb(error.__traceback__))
                     if entry.name == function.__name__), None)
        where = f" (line {line.lineno}: {line.line})" if line else ""
        result = ("FAIL", f"{type(error).__name__}: {error}{where}")
    wrong = stage.undo()
    if wrong and result[0] != "FAIL":
        result = ("FAIL", "; ".join(wrong))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="HOST:PORT")
    parser.add_argument("--feature")
    parser.add_argument("--seats", type=int, help="how many seats the feature has; 2 or more check more")
    parser.add_argument("--vendor", help="needed where two vendors sell the feature")
    parser.add_argument("--user", default="ann")
    parser.add_argument("--host", default="ws7")
    parser.add_argument("--platform", help="os-arch; that of this machine if not given")
    parser.add_argument("--release-version", help="what the program says its version is")
    parser.add_argument("--release-date", help="what the program says its day is, YYYY-MM-DD")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for any answer (10)")
    parser.add_argument("--only", action="append", metavar="CHECK", help="run this check; may be given several times")
    parser.add_argument("--list", action="store_true", help="name the checks, run nothing")
    parser.add_argument("--slow", action="store_true", help="also those that wait for a time limit of the server")
    options = parser.parse_args()
    if options.list:
        for name, section, _ in CHECKS:
            print(f"{name} (section {section})")
        return 0
    if not options.server or not options.feature or not options.seats or options.seats < 1:
        parser.error("--server, --feature and --seats (1 or more) are needed")
    strange = sorted(set(options.only or ()) - {name for name, _, _ in CHECKS})
    if strange:
        parser.error(f"there is no check {', '.join(strange)}")

    try:
        # Whatever the checks do over their connections, this one must go on being served (section 5).
        witness = sk.Connection.open(options.server, timeout=options.timeout, program="second-client-witness")
    except sk.SeatkeeperError as error:
        print(f"cannot begin: {error}", file=sys.stderr)
        return 2
    counts = {"ok": 0, "skip": 0, "FAIL": 0}
    for name, section, function in CHECKS:
        if options.only and name not in options.only:
            continue
        result, text = run(function, options)
        if result != "FAIL":
            try:
                same(witness.heartbeat(), 0, "sessions of a connection that holds none")
            except (Failed, sk.SeatkeeperError) as error:
                result, text = "FAIL", f"another connection was harmed: {error}"
        counts[result] += 1
        print(f"{result:4} {name} (section {section})" + (f": {text}" if text else ""), flush=True)
    witness.close()
    print(f"{counts['ok']} ok, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
