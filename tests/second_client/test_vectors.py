"""Holds the second client against the golden vectors.

Every vector is read and compared with its readable rendering, written again and compared byte by byte; every cut and a
byte too many must be refused, and a changed byte must be refused or be another message that is written back as the same
bytes. The examples of docs/PROTOCOL.md are checked too: its hex lines (section 13) and its tables of values (section 3).

    python3 tests/second_client/test_vectors.py [--vectors FOLDER] [--document FILE] [-v]
"""

import argparse
import json
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import seatkeeper_client as sk  # noqa: E402  (the folder is no package)

ROOT = os.path.dirname(os.path.dirname(HERE))
PLACES = {
    "vectors": os.path.join(ROOT, "crates", "wire", "tests", "vectors"),
    "document": os.path.join(ROOT, "docs", "PROTOCOL.md"),
}


def vectors():
    """(file name, parsed vector) of all vectors; it is an error if there are none."""
    folder = PLACES["vectors"]
    names = sorted(name for name in os.listdir(folder) if name.endswith(".json")) if os.path.isdir(folder) else []
    if not names:
        raise AssertionError(f"no vectors in {folder}")
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield name, json.load(file)


def document():
    with open(PLACES["document"], encoding="utf-8") as file:
        return file.read()


def packed(kind, value):
    out = bytearray()
    sk._write(kind, value, out, "value")
    return bytes(out)


class Vectors(unittest.TestCase):
    def each(self):
        for name, vector in vectors():
            with self.subTest(vector=name):
                yield vector, bytes.fromhex(vector["frame"])

    def test_read_and_write(self):
        for vector, frame in self.each():
            message = sk.decode_frame(frame)
            self.assertEqual((message.number, message.name, message.call),
                             (vector["number"], vector["message"], vector["call"]))
            plain = sk.to_plain(message.number, message.fields)
            self.assertEqual(plain, vector["fields"])
            self.assertEqual(list(plain), list(vector["fields"]), "the order of the fields")
            self.assertEqual(sk.encode_frame(message.number, message.call, message.fields), frame)
            # From the readable rendering alone, without what was read before.
            fields = sk.from_plain(vector["number"], vector["fields"])
            self.assertEqual(sk.encode_frame(vector["number"], vector["call"], fields), frame)

    def test_every_cut_is_refused(self):
        for vector, frame in self.each():
            for end in range(len(frame)):
                with self.assertRaises(sk.ProtocolError, msg=f"frame cut to {end} bytes"):
                    sk.decode_frame(frame[:end])
            body = frame[10:]
            for end in range(len(body)):
                # The frame is whole, its length right: it is the body that ends too early.
                with self.assertRaises(sk.ProtocolError, msg=f"body cut to {end} bytes"):
                    sk.decode_frame(sk.frame(vector["number"], vector["call"], body[:end]))

    def test_a_byte_too_many_is_refused(self):
        for vector, frame in self.each():
            for byte in (b"\x00", b"\x01", b"\xff"):
                with self.assertRaises(sk.ProtocolError):
                    sk.decode_frame(frame + byte)
                with self.assertRaises(sk.ProtocolError) as caught:
                    sk.decode_frame(sk.frame(vector["number"], vector["call"], frame[10:] + byte))
                self.assertEqual(caught.exception.fault, "trailing_bytes")

    def test_changed_bytes(self):
        for _, frame in self.each():
            for at in range(len(frame)):
                # Every single bit turned over, and the values that mean something at the start of a field.
                for value in {frame[at] ^ 1 << bit for bit in range(8)} | {0, 1, 2, *range(0xF9, 0x100)}:
                    changed = frame[:at] + bytes([value]) + frame[at + 1:]
                    try:
                        message = sk.decode_frame(changed)
                    except sk.ProtocolError:
                        continue
                    again = sk.encode_frame(message.number, message.call, message.fields)
                    self.assertEqual(again, changed, f"byte {at} set to {value:02x}")

    def test_every_message_has_a_least_and_a_full_vector(self):
        found = {(vector["number"], vector["name"]) for _, vector in vectors()}
        wanted = {(number, name) for number in sk.MESSAGES for name in ("least", "full")}
        self.assertEqual(sorted(wanted - found), [], "messages without a vector")
        self.assertEqual(sorted({number for number, _ in found} - set(sk.MESSAGES)), [], "vectors of unknown messages")


class Document(unittest.TestCase):
    def test_tables_of_the_document_are_the_tables_of_the_client(self):
        """So that a change of the document that this client has not followed is seen."""
        text = document()
        parts = dict(re.findall(r"^### (?:0x)?(\w+)[^\n]*\n(.*?)(?=^##|\Z)", text, re.M | re.S))
        rows = {title: ", ".join(f"{name} {kind}" for name, kind in
                                 re.findall(r"^\| (\w+) \| ([^|]+?) \|", body, re.M) if (name, kind) != ("field", "type"))
                for title, body in parts.items()}
        self.assertEqual({name: rows.get(name) for name in sk._PARTS}, sk._PARTS)
        for number, (name, fields) in sk._MESSAGES.items():
            with self.subTest(message=name, number=hex(number)):
                wanted = f"{fields}, extras list of Extra" if fields else "extras list of Extra"
                self.assertEqual(rows.get(f"{number:04x}"), wanted)

    def test_session_in_hex(self):
        section = document().split("## 13. A session in hex")[1].split("## 14.")[0]
        frames, names = [b""], []
        for line in re.findall(r"^    [<>] ([^\n]*)$", section, re.M):
            data, _, note = line.partition(";")
            if note.startswith(" length"):
                frames.append(b"")
            if re.match(r" 0x[0-9a-f]{4} \w+$", note):
                names.append(note.split())
            frames[-1] += bytes.fromhex(data)
        frames = frames[1:]
        self.assertEqual(len(frames), len(names))
        self.assertGreaterEqual(len(frames), 8)
        for frame, (number, name) in zip(frames, names):
            with self.subTest(message=name, number=number):
                message = sk.decode_frame(frame)
                self.assertEqual((message.number, message.name), (int(number, 16), name))
                self.assertEqual(sk.encode_frame(message.number, message.call, message.fields), frame)

    def test_values_of_section_3(self):
        unsigned, signed, text = ("unsigned", 64), ("signed", 64), ("text",)
        optional = ("optional", text)
        # What the first cell of the table says, as values and the type they are written as.
        meant = {
            "u32 250": (unsigned, [250]),
            "u32 251": (unsigned, [251]),
            "u16, u32 or u64 65535": (unsigned, [65535]),
            "u32 or u64 65536": (unsigned, [65536]),
            "u64 4294967296": (unsigned, [4294967296]),
            "i16 0, −1, 1, 60, −720": (("signed", 16), [0, -1, 1, 60, -720]),
            "i64 1893456000 (2030-01-01T00:00:00Z)": (signed, [1893456000]),
            'text "cad"': (text, ["cad"]),
            'text "é"': (text, ["é"]),
            'optional text, absent; "4.2"': (optional, [None, "4.2"]),
            'list of two texts "a", "bc"': (("list", text), [["a", "bc"]]),
        }
        section = document().split("## 3. Layout")[1].split("### Extras")[0].split("Examples:")[1]
        rows = {left: re.findall(r"`([0-9a-f ]+)`", right)
                for left, right in re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", section, re.M) if "`" in right}
        self.assertEqual(set(rows), set(meant), "the examples in the table")
        for left, (kind, values) in meant.items():
            with self.subTest(example=left):
                self.assertEqual([bytes.fromhex(shown).hex(" ") for shown in rows[left]],
                                 [packed(kind, value).hex(" ") for value in values])


class Additions(unittest.TestCase):
    """Why, SeatWanted, idle times and the extra of grace, from the page alone."""

    def test_why_is_written_as_a_request(self):
        facts = sk.facts("ann", "ws7", platform="linux-x86_64", pid=0)
        fields = {"vendor": None, "feature": "cad", "count": 1, "facts": facts, "share": None,
                  "address": "192.0.2.7", "asker_user": "root", "asker_host": "lic01"}
        frame = sk.encode_frame(0x000A, 5, fields)
        message = sk.decode_frame(frame)
        self.assertEqual((message.name, message.call), ("Why", 5))
        self.assertEqual({**message.fields, "extras": []}, {**fields, "extras": []})
        self.assertEqual(sk.REQUESTS["Why"], 0x000A)

    def test_seat_wanted_is_an_event(self):
        body = bytes.fromhex("11 03 63 61 64 1e 00")
        self.assertEqual(sk.decode_body(0xC006, body), {"session": 17, "feature": "cad", "seconds": 30, "extras": []})
        self.assertEqual(sk.EVENTS["SeatWanted"], 0xC006)

    def test_a_heartbeat_says_how_long_the_user_was_idle(self):
        self.assertEqual(sk.encode_body(0x0004, {"idle_seconds": None}).hex(" "), "00 00")
        self.assertEqual(sk.encode_body(0x0004, {"idle_seconds": 0}).hex(" "), "01 00 00")
        self.assertEqual(sk.encode_body(0x0004, {"idle_seconds": 600}).hex(" "), "01 fb 58 02 00")

    def test_grace_is_read_from_its_extra(self):
        tag, name, messages, _ = sk.GRACE
        self.assertIn(f"| {tag} | `{name}` | {', '.join(messages)} | list of Grace |", document())
        found = {vector["message"] for _, vector in vectors() if vector["name"] == "grace"}
        self.assertEqual(found, set(messages))
        for _, vector in vectors():
            extras = sk.decode_frame(bytes.fromhex(vector["frame"])).fields["extras"]
            wanted = {17: 24, (1 << 64) - 1: 168} if vector["name"] == "grace" else {}
            self.assertEqual(sk.grace_of(extras), wanted, vector["message"])
        good = bytes.fromhex("01 11 18")
        self.assertEqual(sk.grace_of([{"tag": 4, "bytes": good}]), {17: 24})
        for bad in (good[:-1], good + b"\x00", b"", bytes.fromhex("01 fb 05 00 18"), b"\xff"):
            self.assertEqual(sk.grace_of([{"tag": 4, "bytes": bad}]), {}, bad.hex())
        self.assertEqual(sk.grace_of([{"tag": 2, "bytes": good}]), {})


    def test_hours_and_loans_are_the_extras_of_the_document(self):
        for tag, name, messages, _ in (sk.BORROW, sk.LOANS):
            self.assertRegex(document(), rf"\| {tag} \| `{name}` \| {', '.join(messages)} \|")
        found = {"Checkout": 0, "Granted": 0, "Resume": 0, "Try": 0}
        for _, vector in vectors():
            if vector["name"] != "borrow":
                continue
            (extra,) = sk.decode_frame(bytes.fromhex(vector["frame"])).fields["extras"]
            tag, _, messages, kind = sk.BORROW if extra["tag"] == sk.BORROW[0] else sk.LOANS
            self.assertEqual(extra["tag"], tag)
            self.assertIn(vector["message"], messages)
            reader = sk._Reader(bytes(extra["bytes"]))
            value = reader.value(kind, "extra")
            self.assertEqual(reader.left(), 0)
            self.assertTrue(value)
            found[vector["message"]] += 1
        self.assertNotIn(0, found.values(), found)
        # Anywhere else the tag is odd and unknown.
        with self.assertRaises(sk.ProtocolError):
            sk.decode_body(0x0003, bytes.fromhex("11 00 01 05 01 18"))


class Layout(unittest.TestCase):
    """What section 3 says a reader refuses, and the limits of the writer."""

    def refused(self, number, body, fault):
        with self.assertRaises(sk.ProtocolError) as caught:
            sk.decode_body(number, bytes.fromhex(body))
        if fault:
            self.assertEqual(caught.exception.fault, fault)

    def test_refused(self):
        self.refused(0x0003, "fb0500 00 00", "number_not_shortest")
        self.refused(0x0003, "fbfa00 00 00", "number_not_shortest")
        self.refused(0x0003, "fcffff0000 00 00", "number_not_shortest")
        self.refused(0x0003, "fdffffffff00000000 00 00", "number_not_shortest")
        self.refused(0x0003, "00 fd0000000001000000 00", None)  # a u32 in nine bytes
        self.refused(0x0003, "fe 00 00", None)
        self.refused(0x0003, "ff 00 00", None)
        self.refused(0x0004, "02 00", None)  # the first byte of an optional
        self.refused(0x0008, "02 00", None)  # a bool
        self.refused(0xBFFF, "01 ff 00 00 00", None)  # not UTF-8
        self.refused(0xBFFF, "03 eda080 00 00 00", None)  # half a surrogate pair is not UTF-8
        self.refused(0xBFFF, "fdffffffffffffffff", None)  # a text longer than memory
        self.refused(0x0009, "fdffffffffffffffff", None)  # a list longer than memory
        self.refused(0x0009, "fcffffffff 00 00", None)

    def test_extras(self):
        self.assertEqual(sk.decode_body(0x0009, bytes.fromhex("01 02 00"))["extras"], [{"tag": 2, "bytes": b""}])
        self.refused(0x0009, "01 01 00", "unknown_extra")
        self.assertEqual(sk.decode_body(0x0009, bytes.fromhex("01 01 00"), known_tags={1})["extras"][0]["tag"], 1)
        self.refused(0x0009, "02 04 00 02 00", None)
        self.refused(0x0009, "02 02 00 02 00", None)

    def test_numbers_fit(self):
        for bits in (16, 32, 64):
            with self.assertRaises(sk.UsageError):
                packed(("unsigned", bits), 1 << bits)
            with self.assertRaises(sk.UsageError):
                packed(("unsigned", bits), -1)
        for value in (-32769, 32768):
            with self.assertRaises(sk.UsageError):
                packed(("signed", 16), value)

    def test_addresses(self):
        self.assertEqual(sk.parse_address("lic:7000"), ("tcp", "lic", 7000))
        self.assertEqual(sk.parse_address("lic"), ("tcp", "lic", 6200))
        self.assertEqual(sk.parse_address("[::1]:7000"), ("tcp", "::1", 7000))
        self.assertEqual(sk.parse_address("unix:/run/s"), ("unix", "/run/s"))
        for bad in (":7000", "lic:", "lic:0", "lic:x", "[::1", "lic:70000"):
            with self.assertRaises(sk.UsageError, msg=bad):
                sk.parse_address(bad)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", default=PLACES["vectors"], help="the folder with the golden vectors")
    parser.add_argument("--document", default=PLACES["document"], help="the protocol document")
    ours, rest = parser.parse_known_args()
    PLACES.update(vectors=ours.vectors, document=ours.document)
    unittest.main(argv=[sys.argv[0]] + rest)
