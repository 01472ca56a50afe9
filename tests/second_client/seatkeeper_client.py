"""A client of seatkeeperd, written from docs/PROTOCOL.md and the golden vectors alone.

It exists to prove that the document is enough: nothing here was copied from, or checked against, the other
implementation. It has two halves. The first writes and reads every message of the protocol; the tables below are the
tables of the document, in its own words. The second, `Connection`, is a blocking client.

Python 3.9 or newer, standard library only. One connection belongs to one thread.
"""

import collections
import json
import os
import platform as _platform
import select
import socket
import struct
import sys
import time

VERSION = 1
MAGIC = b"SEAT"
DEFAULT_PORT = 6200

LENGTH_MIN = 6
HELLO_LENGTH_MAX = 4096
CLIENT_LENGTH_MAX = 65536
SERVER_LENGTH_MAX = 1048576

REFUSED = 0xBFFF

# ---------------------------------------------------------------------------------------------------------------------
# Errors


class SeatkeeperError(Exception):
    """The base of everything this module raises on purpose."""


class UsageError(SeatkeeperError):
    """The caller gave something that cannot be sent."""


class ProtocolError(SeatkeeperError):
    """Bytes that break the document. `fault` is one of the words of section 12."""

    def __init__(self, fault, text):
        super().__init__(f"{fault}: {text}")
        self.fault = fault


class Refusal(SeatkeeperError):
    """The server said no to one request. `details` is the parsed object, empty if there was none."""

    def __init__(self, code, message, details, call):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details
        self.call = call


class ConnectionEnded(SeatkeeperError):
    """The connection is over. `refusal` is the server's last word (a `Refused` with call 0), if there was one."""

    def __init__(self, text, refusal=None):
        super().__init__(text)
        self.refusal = refusal


class TimedOut(SeatkeeperError):
    """Nothing came in the time the caller allows. The connection is still good."""


# ---------------------------------------------------------------------------------------------------------------------
# The tables of the document: sections 4, 7, 8, 9 and 10. "name type, name type, ..."; `extras` ends every message.

_PARTS = {
    "Extra": "tag u16, bytes bytes",
    "Item": "vendor optional text, feature text, count u32",
    "Candidate": "version text, date optional text, line optional text",
    "Facts": "user text, host text, pid u32, platform text, offset_minutes i16, display optional text, "
             "project optional text, release_version optional text, release_date optional text, "
             "line_date optional text, host_ids list of HostId",
    "HostId": "kind text, value text",
    "Grant": "session u64, vendor text, feature text, count u32, version optional text, license_ends optional i64, "
             "soft_limit bool, notice optional text, license optional SignedLicense",
    "SignedLicense": "canonical bytes, key text",
    "Ended": "session u64, code text, message text, at i64",
    "Grace": "session u64, hours u32",
    "Hours": "hours u32",
    "FeatureName": "vendor optional text, feature text",
    "Loan": "session u64, ends_at i64, token bytes",
}

_MESSAGES = {
    0x0001: ("Hello", "magic 4 bytes, lowest u16, highest u16, install_id 16 bytes, program text, program_version text"),
    0x0002: ("Checkout", "request_key 16 bytes, secret 16 bytes, items list of Item, facts Facts, share optional text, "
                         "reservation_token optional text, wait_seconds optional u32"),
    0x0003: ("Checkin", "session u64, count u32"),
    0x0004: ("Heartbeat", "idle_seconds optional u32"),
    0x0005: ("Resume", "bundle u64, secret 16 bytes, facts Facts"),
    0x0006: ("Report", "what text, feature optional text, vendor optional text, cursor text, limit u32"),
    0x0007: ("Try", "items list of Item, facts Facts, share optional text, reservation_token optional text, "
                    "wait_seconds optional u32"),
    0x0008: ("Watch", "totals bool"),
    0x0009: ("Goodbye", ""),
    0x000A: ("Why", "vendor optional text, feature text, count u32, facts Facts, share optional text, "
                    "address optional text, asker_user text, asker_host text"),
    0x000B: ("Confirm", "bundle u64"),
    0x000C: ("GiveUp", "waiter u64"),
    0x000D: ("Cancel", "request_key 16 bytes, secret 16 bytes"),
    0x000E: ("UpdateCheck", "vendor optional text, feature text, installed optional Candidate, candidates list of Candidate"),
    0x000F: ("Events", "after optional u64, cursor text, limit u32, follow_ms u32, features list of FeatureName"),
    0x1001: ("Reload", ""),
    0x1002: ("Release", "session u64, bar_seconds optional u32, reason text"),
    0x1003: ("Shutdown", ""),
    0x1004: ("HostIds", "explain optional text"),
    0x1005: ("Book", "token text, items list of Item, seconds u32, facts Facts"),
    0x1006: ("Unbook", "token text"),
    0x1007: ("WriteOff", "borrow u64, reason text"),
    0x8001: ("Hello", "version u16, server_name text, server_version text, instance 16 bytes, heartbeat_ms u32, "
                      "lease_ms u32, client_frame_bytes_max u32, sessions_max u32"),
    0x8002: ("Granted", "bundle u64, sessions list of Grant, replayed bool, heartbeat_ms u32, lease_ms u32"),
    0x8003: ("Checkin", "session u64, count u32, remaining u32"),
    0x8004: ("Heartbeat", "sessions u32"),
    0x8005: ("Resume", "bundle u64, sessions list of Grant, ended list of Ended"),
    0x8006: ("Report", "json text, next text"),
    0x8007: ("Try", "details text"),
    0x8008: ("Watch", ""),
    0x8009: ("Goodbye", ""),
    0x800A: ("Why", "json text"),
    0x800B: ("Confirm", "bundle u64"),
    0x800C: ("GiveUp", "waiter u64"),
    0x800D: ("Cancel", ""),
    0x800E: ("UpdateCheck", "json text"),
    0x800F: ("Events", "json text, next text"),
    0x9001: ("Reload", "json text"),
    0x9002: ("Release", "session u64"),
    0x9003: ("Shutdown", ""),
    0x9004: ("HostIds", "json text"),
    0x9005: ("Book", "until i64"),
    0x9006: ("Unbook", "bookings u32"),
    0x9007: ("WriteOff", "borrow u64, ends_at i64"),
    0xBFFE: ("Waiting", "waiter u64, before u64"),
    0xBFFF: ("Refused", "code text, message text, details text"),
    0xC001: ("Expired", "session u64, feature text, license_ends i64"),
    0xC002: ("SessionEnded", "session u64, code text, message text, at i64"),
    0xC003: ("ResumedElsewhere", "bundle u64"),
    0xC004: ("Stopping", ""),
    0xC005: ("PoolChanged", "vendor text, feature text, old_total optional u32, new_total optional u32, reason text"),
    0xC006: ("SeatWanted", "session u64, feature text, seconds u32"),
    0xC007: ("Served", "waiter u64, bundle u64, sessions list of Grant"),
    0xC008: ("WaitEnded", "waiter u64, code text, message text, at i64"),
}


def _kind(words):
    """A type in the document's words, as a tuple that the writer and the reader can follow."""
    if words.startswith("optional "):
        return ("optional", _kind(words[len("optional "):]))
    if words.startswith("list of "):
        return ("list", _kind(words[len("list of "):]))
    if words in ("u16", "u32", "u64"):
        return ("unsigned", int(words[1:]))
    if words in ("i16", "i64"):
        return ("signed", int(words[1:]))
    if words in ("bool", "bytes", "text"):
        return (words,)
    if words.endswith(" bytes"):
        return ("fixed", int(words.split()[0]))
    if words in _PARTS:
        return ("part", words)
    raise AssertionError(f"no such type in the document: {words}")


def _table(text):
    fields = []
    for entry in filter(None, text.split(", ")):
        name, words = entry.split(" ", 1)
        fields.append((name, _kind(words)))
    return tuple(fields)


_EXTRAS = (("extras", ("list", ("part", "Extra"))),)
PARTS = {name: _table(text) for name, text in _PARTS.items()}
MESSAGES = {number: (name, _table(text) + _EXTRAS) for number, (name, text) in _MESSAGES.items()}
REQUESTS = {name: number for number, (name, _) in MESSAGES.items() if number < 0x8000}
EVENTS = {name: number for number, (name, _) in MESSAGES.items() if number >= 0xC000}

Message = collections.namedtuple("Message", "number name call fields")

# The extras that section 3 defines: (tag, name, the messages that may carry it, the type of its bytes).
GRACE = (4, "grace", ("Granted", "Resume", "Served"), ("list", ("part", "Grace")))
BORROW = (5, "borrow", ("Checkout", "Try"), ("part", "Hours"))
LOANS = (6, "loans", ("Granted", "Resume"), ("list", ("part", "Loan")))

# ---------------------------------------------------------------------------------------------------------------------
# Writing


def _write_integer(value, bits, out, where):
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{where}: an integer is needed, not {value!r}")
    if not 0 <= value < 1 << bits:
        raise UsageError(f"{where}: {value} does not fit into {bits} bits")
    if value <= 250:
        out.append(value)
    elif value < 1 << 16:
        out += b"\xfb" + struct.pack("<H", value)
    elif value < 1 << 32:
        out += b"\xfc" + struct.pack("<I", value)
    else:
        out += b"\xfd" + struct.pack("<Q", value)


def _write(kind, value, out, where):
    what = kind[0]
    if what == "unsigned":
        _write_integer(value, kind[1], out, where)
    elif what == "signed":
        half = 1 << (kind[1] - 1)
        if isinstance(value, bool) or not isinstance(value, int) or not -half <= value < half:
            raise UsageError(f"{where}: a signed integer of {kind[1]} bits is needed, not {value!r}")
        _write_integer(2 * value if value >= 0 else -2 * value - 1, kind[1], out, where)
    elif what == "bool":
        if not isinstance(value, bool):
            raise UsageError(f"{where}: True or False is needed, not {value!r}")
        out.append(1 if value else 0)
    elif what == "fixed":
        if not isinstance(value, (bytes, bytearray)) or len(value) != kind[1]:
            raise UsageError(f"{where}: exactly {kind[1]} bytes are needed")
        out += value
    elif what == "bytes":
        if not isinstance(value, (bytes, bytearray)):
            raise UsageError(f"{where}: bytes are needed, not {type(value).__name__}")
        _write_integer(len(value), 64, out, where)
        out += value
    elif what == "text":
        if not isinstance(value, str):
            raise UsageError(f"{where}: a text is needed, not {value!r}")
        try:
            raw = value.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{where}: the text cannot be written as UTF-8") from None
        _write_integer(len(raw), 64, out, where)
        out += raw
    elif what == "optional":
        if value is None:
            out.append(0)
        else:
            out.append(1)
            _write(kind[1], value, out, where)
    elif what == "list":
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"{where}: a list is needed, not {value!r}")
        _write_integer(len(value), 64, out, where)
        for index, item in enumerate(value):
            _write(kind[1], item, out, f"{where}[{index}]")
        if kind[1] == ("part", "Extra"):
            tags = [extra["tag"] for extra in value]
            if any(a >= b for a, b in zip(tags, tags[1:])):
                raise UsageError(f"{where}: the tags must ascend and none may come twice: {tags}")
    else:
        _write_fields(PARTS[kind[1]], value, out, where)


def _write_fields(table, values, out, where):
    if not isinstance(values, dict):
        raise UsageError(f"{where}: an object with fields is needed, not {values!r}")
    names = [name for name, _ in table]
    strange = sorted(set(values) - set(names))
    if strange:
        raise UsageError(f"{where}: there is no field {', '.join(strange)}")
    for name, kind in table:
        if name not in values:
            raise UsageError(f"{where}: the field {name} is missing")
        _write(kind, values[name], out, f"{where}.{name}")


def encode_body(number, fields):
    """The body of a message. A missing `extras` is written as none, since version 1 defines none."""
    if number not in MESSAGES:
        raise UsageError(f"there is no message 0x{number:04x}")
    name, table = MESSAGES[number]
    values = dict(fields)
    values.setdefault("extras", [])
    out = bytearray()
    _write_fields(table, values, out, name)
    return bytes(out)


def frame(number, call, body):
    """A frame around any body, also a wrong one: tests need those."""
    return struct.pack("<IHI", LENGTH_MIN + len(body), number, call) + body


def encode_frame(number, call, fields):
    """A whole frame of a message of the document."""
    return frame(number, call, encode_body(number, fields))


# ---------------------------------------------------------------------------------------------------------------------
# Reading


class _Reader:
    """Reads one body from its first to its last byte. Every length is checked against what is there before it is used."""

    _WIDTHS = {0xFB: (2, 250), 0xFC: (4, 0xFFFF), 0xFD: (8, 0xFFFFFFFF)}

    def __init__(self, body):
        self.body = body
        self.at = 0

    def left(self):
        return len(self.body) - self.at

    def take(self, count, where):
        if count > self.left():
            raise ProtocolError("truncated", f"{where} needs {count} bytes, {self.left()} are left")
        start, self.at = self.at, self.at + count
        return self.body[start:self.at]

    def integer(self, bits, where):
        first = self.take(1, where)[0]
        if first <= 250:
            return first
        if first not in self._WIDTHS:
            raise ProtocolError("malformed", f"{where}: no integer begins with {first:02x}")
        width, below = self._WIDTHS[first]
        if width * 8 > bits:
            raise ProtocolError("malformed", f"{where}: {width} bytes are too many for {bits} bits")
        value = int.from_bytes(self.take(width, where), "little")
        if value <= below:
            raise ProtocolError("number_not_shortest", f"{where}: {value} in {width + 1} bytes")
        return value

    def flag(self, where):
        byte = self.take(1, where)[0]
        if byte > 1:
            raise ProtocolError("malformed", f"{where}: {byte:02x} is neither 00 nor 01")
        return byte == 1

    def value(self, kind, where):
        what = kind[0]
        if what == "unsigned":
            return self.integer(kind[1], where)
        if what == "signed":
            folded = self.integer(kind[1], where)
            return folded // 2 if folded % 2 == 0 else -(folded // 2) - 1
        if what == "bool":
            return self.flag(where)
        if what == "fixed":
            return self.take(kind[1], where)
        if what == "bytes":
            return self.take(self.integer(64, where), where)
        if what == "text":
            raw = self.take(self.integer(64, where), where)
            try:
                return raw.decode("utf-8")
            except UnicodeDecodeError:
                raise ProtocolError("malformed", f"{where}: not UTF-8") from None
        if what == "optional":
            return self.value(kind[1], where) if self.flag(where) else None
        if what == "list":
            count = self.integer(64, where)
            if count > self.left():  # every item has one byte at least
                raise ProtocolError("truncated", f"{where}: {count} items in {self.left()} bytes")
            return [self.value(kind[1], f"{where}[{index}]") for index in range(count)]
        return self.fields(PARTS[kind[1]], where)

    def fields(self, table, where):
        return {name: self.value(kind, f"{where}.{name}") for name, kind in table}


def decode_body(number, body, known_tags=()):
    """The fields of a body. An odd extra whose tag is not in `known_tags` refuses the message; even ones are kept as
    they are, so that what was read can be written again, and otherwise ignored."""
    if number not in MESSAGES:
        raise ProtocolError("unknown_number", f"there is no message 0x{number:04x}")
    name, table = MESSAGES[number]
    reader = _Reader(bytes(body))
    fields = reader.fields(table, name)
    if reader.left():
        raise ProtocolError("trailing_bytes", f"{name}: {reader.left()} bytes after the last field")
    before = -1
    for extra in fields["extras"]:
        if extra["tag"] <= before:
            raise ProtocolError("malformed", f"{name}.extras: tag {extra['tag']} comes after {before}")
        before = extra["tag"]
        defined = before == BORROW[0] and name in BORROW[2]
        if before % 2 == 1 and not defined and before not in known_tags:
            raise ProtocolError("unknown_extra", f"{name}.extras: tag {before} is odd and not known")
    return fields


def grace_of(extras):
    """{session: hours} of an answer to Checkout or Resume. What cannot be read as a list of Grace is as good as absent."""
    for extra in extras:
        if extra["tag"] == GRACE[0]:
            reader = _Reader(bytes(extra["bytes"]))
            try:
                found = reader.value(GRACE[3], "grace")
            except ProtocolError:
                return {}
            return {} if reader.left() else {one["session"]: one["hours"] for one in found}
    return {}


def split_frame(data):
    """(number, call, body) of exactly one frame."""
    if len(data) < 4:
        raise ProtocolError("truncated", f"{len(data)} bytes are no frame")
    length = int.from_bytes(data[:4], "little")
    if length < LENGTH_MIN:
        raise ProtocolError("frame_too_short", f"the length is {length}, at least 6 is needed")
    if length > SERVER_LENGTH_MAX:
        raise ProtocolError("frame_too_long", f"the length is {length}")
    if len(data) < 4 + length:
        raise ProtocolError("truncated", f"the length is {length}, {len(data) - 4} bytes follow")
    if len(data) > 4 + length:
        raise ProtocolError("trailing_bytes", f"the length is {length}, {len(data) - 4} bytes follow")
    number, call = struct.unpack("<HI", data[4:10])
    return number, call, bytes(data[10:])


def decode_frame(data, known_tags=()):
    """A whole frame as a Message."""
    number, call, body = split_frame(data)
    fields = decode_body(number, body, known_tags)
    return Message(number, MESSAGES[number][0], call, fields)


# ---------------------------------------------------------------------------------------------------------------------
# The readable rendering of the vectors: bytes as hex, absent as null, everything else as JSON has it


def _plain(kind, value):
    if value is None:
        return None
    what = kind[0]
    if what in ("fixed", "bytes"):
        return value.hex()
    if what == "optional":
        return _plain(kind[1], value)
    if what == "list":
        return [_plain(kind[1], item) for item in value]
    if what == "part":
        return {name: _plain(inner, value[name]) for name, inner in PARTS[kind[1]]}
    return value


def _unplain(kind, value, where):
    if value is None:
        return None
    what = kind[0]
    if what in ("fixed", "bytes"):
        return from_hex(value, where)
    if what == "optional":
        return _unplain(kind[1], value, where)
    if what == "list" and isinstance(value, list):
        return [_unplain(kind[1], item, where) for item in value]
    if what == "part" and isinstance(value, dict):
        kinds = dict(PARTS[kind[1]])
        return {name: _unplain(kinds[name], inner, f"{where}.{name}") if name in kinds else inner
                for name, inner in value.items()}
    return value


def from_hex(value, where):
    """Bytes from hex, with an error that says which value was bad."""
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise UsageError(f"{where}: hex is needed, not {value!r}") from None


def to_plain(number, fields):
    """Decoded fields as the vectors and JSON show them."""
    return {name: _plain(kind, fields[name]) for name, kind in MESSAGES[number][1]}


def from_plain(number, plain):
    """The reverse of `to_plain`. Missing and strange fields are left for the writer to complain about."""
    name, table = MESSAGES[number]
    kinds = dict(table)
    return {field: _unplain(kinds[field], value, f"{name}.{field}") if field in kinds else value
            for field, value in plain.items()}


# ---------------------------------------------------------------------------------------------------------------------
# The client


def random_bytes():
    """16 bytes from the system's generator, for an install id, a request key or a secret."""
    return os.urandom(16)


def item(feature, count=1, vendor=None):
    """One item of a checkout."""
    return {"vendor": vendor, "feature": feature, "count": count}


def facts(user, host, **more):
    """The facts of a checkout. What is not given is taken from this machine, or absent."""
    known = {
        "user": user,
        "host": host,
        "pid": os.getpid(),
        "platform": this_platform(),
        "offset_minutes": (time.localtime().tm_gmtoff or 0) // 60,
        "display": None,
        "project": None,
        "release_version": None,
        "release_date": None,
        "line_date": None,
        "host_ids": [],
    }
    strange = sorted(set(more) - set(known))
    if strange:
        raise UsageError(f"facts: there is no field {', '.join(strange)}")
    known.update(more)
    return known


def this_platform():
    """os-arch in lower case. The document gives one example, so other systems than Linux are a guess."""
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(_platform.machine(), _platform.machine())
    return f"{system}-{machine}".lower()


def parse_address(server):
    """("tcp", host, port) or ("unix", path) from HOST:PORT, [HOST]:PORT, HOST, or unix:PATH."""
    if server.startswith("unix:"):
        return ("unix", server[len("unix:"):])
    host, port = server, str(DEFAULT_PORT)
    if server.startswith("["):
        host, closed, rest = server[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise UsageError(f"this is no address: {server}")
        port = rest[1:] or port
    elif ":" in server:
        host, _, port = server.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"this is no address: {server}; HOST:PORT is needed")
    return ("tcp", host, int(port))


def parse_object(text, where):
    """A JSON text that must be an object."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProtocolError("malformed", f"{where} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProtocolError("malformed", f"{where} is not a JSON object")
    return value


def refusal_of(message):
    """A `Refused` message as an exception to raise or to look at."""
    details = message.fields["details"]
    return Refusal(message.fields["code"], message.fields["message"],
                   parse_object(details, "Refused.details") if details else {}, message.call)


class Bundle:
    """What a client must keep of a checkout to ask again or to resume: its secret, its request and the answer."""

    def __init__(self, request, answer, install_id):
        self.request = request
        self.answer = answer
        self.install_id = install_id

    number = property(lambda self: self.answer["bundle"])
    sessions = property(lambda self: self.answer["sessions"])
    replayed = property(lambda self: self.answer["replayed"])
    secret = property(lambda self: self.request["secret"])
    request_key = property(lambda self: self.request["request_key"])
    facts = property(lambda self: self.request["facts"])


class Connection:
    """One connection to a server, blocking, for one thread.

    `request` sends and waits for the answer; `send` and `wait` do the two halves, so that many requests can be under
    way. Events that come meanwhile are kept for `events`. `held` maps each session that this connection holds to
    [bundle, seats], as far as answers and events have told. Nothing is sent behind the caller's back: who holds
    sessions calls `heartbeat` when `heartbeat_due_in` says so.
    """

    def __init__(self, server, install_id=None, program="second-client", program_version="1", timeout=10.0):
        self.timeout = timeout
        self.install_id = install_id if install_id is not None else random_bytes()
        self.program = program
        self.program_version = program_version
        self.server_hello = None
        self.held = {}
        self.unknown_events = 0
        self.ended = None
        self._length_max = HELLO_LENGTH_MAX
        self._events = collections.deque()
        self._answers = {}
        self._outstanding = {}
        self._next_call = 1
        self._buffer = bytearray()
        self._last_sent = time.monotonic()
        address = parse_address(server)
        try:
            if address[0] == "unix":
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self._socket.settimeout(timeout)
                self._socket.connect(address[1])
            else:
                self._socket = socket.create_connection(address[1:], timeout)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise ConnectionEnded(f"cannot connect to {server}: {error}") from None

    @classmethod
    def open(cls, server, **options):
        """Connects and says hello."""
        connection = cls(server, **options)
        try:
            connection.hello()
        except SeatkeeperError:
            connection.close()
            raise
        return connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- frames

    def send_raw(self, data):
        """Any bytes, unchecked: for tests of what the server does with wrong ones."""
        if self.ended:
            raise self.ended
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(data)
        except socket.timeout:
            # Part of a frame may be out, so nothing good can follow it.
            raise self._end(f"the server took nothing for {self.timeout} s")
        except OSError as error:
            # The server may have said why before it closed: that is worth more than the error of the socket.
            raise self._last_words(f"cannot send: {error}")
        self._last_sent = time.monotonic()

    def send(self, number, fields, call=None):
        """Sends a request without waiting and returns its call number."""
        if call is None:
            call = self._next_call
            while call in self._outstanding or call in self._answers:
                call = call % 0xFFFFFFFF + 1
            self._next_call = call % 0xFFFFFFFF + 1
        data = encode_frame(number, call, fields)
        if len(data) - 4 > self._length_max:
            raise UsageError(f"{MESSAGES[number][0]}: a length of {len(data) - 4} is above {self._length_max}")
        self.expect(call, number, fields)
        self.send_raw(data)
        return call

    def expect(self, call, number, fields=None):
        """Says that a request of this number is under way, when it was sent with `send_raw`. A Refused may answer it,
        and the answer that grants it."""
        if call in self._outstanding:
            raise UsageError(f"call {call} is still outstanding")
        self._outstanding[call] = (number, fields)

    def wait(self, call, timeout=None):
        """The answer to a call, a Message; a `Refused` is raised as a Refusal."""
        answer = self.answer(call, timeout)
        if answer.number == REFUSED:
            raise refusal_of(answer)
        return answer

    def answer(self, call, timeout=None):
        """The answer to a call, a Message, also if it is a `Refused`."""
        if call not in self._answers and call not in self._outstanding:
            raise UsageError(f"call {call} is not outstanding")
        deadline = self._deadline(timeout)
        while call not in self._answers:
            if not self._pump(deadline):
                raise TimedOut(f"no answer to call {call} in time")
        return self._answers.pop(call)

    def has_answer(self, call):
        """Whether the answer to a call has come and waits to be fetched."""
        return call in self._answers

    def request(self, name, timeout=None, **fields):
        """Sends a request by its name and waits for the answer's fields."""
        if name not in REQUESTS:
            raise UsageError(f"there is no request {name}")
        return self.wait(self.send(REQUESTS[name], fields), timeout).fields

    def wait_end(self, timeout=None):
        """Waits until the server closes and returns the ConnectionEnded, whose `refusal` is its last word or None."""
        deadline = self._deadline(timeout)
        while not self.ended:
            try:
                if not self._pump(deadline):
                    raise TimedOut("the server did not close the connection in time")
            except ConnectionEnded:
                break
        return self.ended

    def _deadline(self, timeout):
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _end(self, text, refusal=None):
        """Closes, and remembers why for whoever asks next."""
        if not self.ended:
            self.ended = ConnectionEnded(text, refusal)
            self._socket.close()
        return self.ended

    def _last_words(self, text):
        """Reads what the server sent before the connection broke, then ends it."""
        try:
            while self._pump(time.monotonic()):
                pass
        except SeatkeeperError:
            pass
        return self._end(text)

    def _pump(self, deadline):
        """Takes in one frame. False if the time is over; what has come of a frame is kept for the next try."""
        while True:
            if self.ended:
                raise self.ended
            try:
                whole = self._take_frame()
                if whole is not None:
                    self._dispatch(*whole)
                    return True
            except ProtocolError as error:
                # Section 5: a client that receives something which breaks the page closes the connection.
                self._end(f"the server broke the protocol: {error}")
                raise
            left = max(0.0, deadline - time.monotonic())
            try:
                if not select.select([self._socket], [], [], left)[0]:
                    return False
                data = self._socket.recv(65536)
            except OSError as error:
                raise self._end(f"the connection broke: {error}")
            if not data:
                rest = f", inside a frame ({len(self._buffer)} bytes of it came)" if self._buffer else ""
                raise self._end(f"the server closed the connection{rest}")
            self._buffer += data

    def _take_frame(self):
        """(number, call, body) of the first frame in the buffer, or None if it is not there in full. The limits are
        checked as soon as the bytes that tell are there."""
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "little")
        if length < LENGTH_MIN:
            raise ProtocolError("frame_too_short", f"a frame of length {length}")
        if length > SERVER_LENGTH_MAX:
            raise ProtocolError("frame_too_long", f"a frame of length {length}")
        if len(self._buffer) < 4 + length:
            return None
        data = bytes(self._buffer[:4 + length])
        del self._buffer[:4 + length]
        return split_frame(data)

    def _dispatch(self, number, call, body):
        if number >= 0xC000:
            if call != 0:
                raise ProtocolError("malformed", f"event 0x{number:04x} with call {call}")
            if number not in MESSAGES:
                self.unknown_events += 1
                return
            message = Message(number, MESSAGES[number][0], call, decode_body(number, body))
            self._note_event(message)
            self._events.append(message)
            return
        if number == REFUSED:
            message = Message(number, "Refused", call, decode_body(number, body))
            if call == 0:
                refusal = refusal_of(message)
                raise self._end(f"the server ended the connection: {refusal}", refusal)
        elif number not in MESSAGES or number <= 0x8000:
            raise ProtocolError("unknown_number", f"0x{number:04x} is no answer")
        if call not in self._outstanding:
            raise ProtocolError("malformed", f"0x{number:04x} answers call {call}, which is not outstanding")
        asked, fields = self._outstanding[call]
        if number != REFUSED:
            # A checkout may be answered by a place in the queue.
            if number != asked + 0x8000 and (number, asked) != (0xBFFE, 0x0002):
                raise ProtocolError("malformed", f"0x{number:04x} answers request 0x{asked:04x}")
            if number == 0x8001 and LENGTH_MIN + len(body) > HELLO_LENGTH_MAX:
                raise ProtocolError("frame_too_long", f"a hello of length {LENGTH_MIN + len(body)}")
            message = Message(number, MESSAGES[number][0], call, decode_body(number, body))
            self._note_answer(message)
        del self._outstanding[call]
        self._answers[call] = message

    def _note_answer(self, message):
        fields = message.fields
        if message.number in (0x8002, 0x8005):
            self._drop_bundle(fields["bundle"])
            for grant in fields["sessions"]:
                self.held[grant["session"]] = [fields["bundle"], grant["count"]]
        elif message.number == 0x8003:
            if fields["remaining"] == 0:
                self.held.pop(fields["session"], None)
            elif fields["session"] in self.held:
                self.held[fields["session"]][1] = fields["remaining"]

    def _note_event(self, message):
        if message.name == "SessionEnded":
            self.held.pop(message.fields["session"], None)
        elif message.name == "ResumedElsewhere":
            self._drop_bundle(message.fields["bundle"])

    def _drop_bundle(self, bundle):
        self.held = {session: entry for session, entry in self.held.items() if entry[0] != bundle}

    # -- requests

    def hello(self, lowest=VERSION, highest=VERSION, magic=MAGIC, extras=()):
        """The first request. Other values than the defaults are for tests."""
        answer = self.request("Hello", magic=magic, lowest=lowest, highest=highest, install_id=self.install_id,
                              program=self.program, program_version=self.program_version, extras=list(extras))
        if not lowest <= answer["version"] <= highest:
            raise self._end(f"the server picked version {answer['version']}, not one of {lowest} to {highest}")
        self.server_hello = answer
        self._length_max = min(CLIENT_LENGTH_MAX, answer["client_frame_bytes_max"])
        return answer

    def checkout_fields(self, items, facts, request_key=None, secret=None, share=None, reservation_token=None,
                        wait_seconds=None):
        """The fields of a Checkout, with a new request key and secret if none are given. Keep them until the answer is
        there: to ask again, `checkout_again` needs the very same."""
        return {
            "request_key": request_key if request_key is not None else random_bytes(),
            "secret": secret if secret is not None else random_bytes(),
            "items": items,
            "facts": facts,
            "share": share,
            "reservation_token": reservation_token,
            "wait_seconds": wait_seconds,
        }

    def checkout(self, items, facts, **options):
        """Takes the seats of all items, or none. A denial is raised as a Refusal."""
        return self.checkout_again(self.checkout_fields(items, facts, **options))

    def checkout_again(self, fields):
        """Sends a Checkout with exactly these fields."""
        return Bundle(fields, self.request("Checkout", **fields), self.install_id)

    def try_checkout(self, items, facts, share=None, reservation_token=None, wait_seconds=None):
        """What a checkout would say, as the parsed details. A denial is raised as a Refusal."""
        answer = self.request("Try", items=items, facts=facts, share=share, reservation_token=reservation_token,
                              wait_seconds=wait_seconds)
        return self._object(answer["details"], "Try.details")

    def checkin(self, session, count=0):
        """Gives back `count` seats of a session, 0 for all."""
        return self.request("Checkin", session=session, count=count)

    def heartbeat(self, idle_seconds=None):
        """A sign of life. Returns how many sessions the server thinks this connection holds."""
        return self.request("Heartbeat", idle_seconds=idle_seconds)["sessions"]

    def heartbeat_due_in(self):
        """Seconds until something must be sent; negative if it is late."""
        if self.server_hello is None:
            raise UsageError("the server states heartbeat_ms in its hello, which has not come yet")
        return self._last_sent + self.server_hello["heartbeat_ms"] / 1000 - time.monotonic()

    def resume(self, bundle, secret, facts):
        """Takes up a bundle that another connection, or an earlier run of the server, knew."""
        return self.request("Resume", bundle=bundle, secret=secret, facts=facts)

    def report_parts(self, what, feature=None, vendor=None, limit=0):
        """Each part of a report as a parsed object, following the cursors."""
        cursor = ""
        while True:
            answer = self.request("Report", what=what, feature=feature, vendor=vendor, cursor=cursor, limit=limit)
            yield self._object(answer["json"], "Report.json")
            cursor = answer["next"]
            if not cursor:
                return

    def report(self, what, feature=None, vendor=None, limit=0):
        """A whole report: the lists of all parts one after the other, everything else from the first part."""
        whole = None
        for part in self.report_parts(what, feature, vendor, limit):
            if whole is None:
                whole = part
                continue
            for name in ("features", "sessions", "licenses", "problems"):
                if isinstance(part.get(name), list):
                    whole.setdefault(name, []).extend(part[name])
        return whole

    def happened(self, after=None, cursor="", limit=0, follow_ms=0, features=()):
        """What happened on the server: the parsed object, and the cursor to go on with. `after` 0: all it remembers; None:
        what is to come. `features`: names, or (vendor, name)."""
        names = [name if isinstance(name, tuple) else (None, name) for name in features]
        features = [{"vendor": vendor, "feature": feature} for vendor, feature in names]
        answer = self.request("Events", after=after, cursor=cursor, limit=limit, follow_ms=follow_ms, features=features)
        return self._object(answer["json"], "Events.json"), answer["next"]

    def why(self, feature, facts, asker_user, asker_host, vendor=None, count=1, share=None, address=None):
        """What would happen if the user of `facts` asked for seats, and which rule decides, as the parsed object. Takes
        nothing. A Refusal means that the question was refused, not the seats."""
        answer = self.request("Why", vendor=vendor, feature=feature, count=count, facts=facts, share=share,
                              address=address, asker_user=asker_user, asker_host=asker_host)
        return self._object(answer["json"], "Why.json")

    def update_check(self, feature, candidates=(), installed=None, vendor=None):
        """Which versions would run, as the parsed object. A version is a text, or (version, date, line) with None for what is
        not stated. Takes nothing."""
        def candidate(version):
            version, date, line = (version, None, None) if isinstance(version, str) else version
            return {"version": version, "date": date, "line": line}
        answer = self.request("UpdateCheck", vendor=vendor, feature=feature,
                              installed=None if installed is None else candidate(installed),
                              candidates=[candidate(version) for version in candidates])
        return self._object(answer["json"], "UpdateCheck.json")

    def watch(self, totals):
        """Asks for PoolChanged events, or for no more of them."""
        self.request("Watch", totals=totals)

    def goodbye(self):
        """Ends the connection in order. The sessions stay: check them in first if they are to go."""
        self.request("Goodbye")
        self.close()

    def events(self, timeout=0.0, count=None):
        """The events that have come, and those that come within `timeout` seconds; with `count`, stops as soon as there
        are so many. If the connection ends meanwhile, what came before is returned; only with nothing to return the
        end is raised."""
        deadline = self._deadline(timeout)
        try:
            while count is None or len(self._events) < count:
                if not self._pump(deadline):
                    break
        except SeatkeeperError:
            if not self._events:
                raise
        found = []
        while self._events and (count is None or len(found) < count):
            found.append(self._events.popleft())
        return found

    def close(self, reset=False):
        """Closes the socket without a word. With `reset` the peer sees a broken connection, as after a crash."""
        if reset and not self.ended:
            # On, and no time: the kernel throws away what is unsent and sends a reset.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._end("this client closed the connection")

    def _object(self, text, where):
        try:
            return parse_object(text, where)
        except ProtocolError as error:
            self._end(f"the server broke the protocol: {error}")
            raise
