"""Drives connections to a seatkeeperd from a script or a test in any language.

One JSON object per line on stdin is a command; for each, in order, one JSON object per line comes on stdout, flushed.
README.md lists the commands. Bytes are hex strings, as in the golden vectors.

    {"do":"connect","as":"a","server":"127.0.0.1:6200","install_id":"101112131415161718191a1b1c1d1e1f"}
    {"do":"checkout","as":"a","items":["cad"],"user":"ann","host":"ws7"}
    {"do":"goodbye","as":"a"}

It prints secrets, which a real client never does: it is for tests only.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import seatkeeper_client as sk  # noqa: E402  (the folder is no package)

FACTS = ("user", "host", "pid", "platform", "offset_minutes", "display", "project", "release_version", "release_date",
         "line_date", "host_ids")
# What every command may carry besides its own members.
ALWAYS = {"do", "as", "id"}
NOTHING = object()


class Command:
    """One line of input. Notes which members are asked for, so that a mistyped one is an error and not ignored."""

    def __init__(self, values):
        self.values = values
        self.used = set(ALWAYS)

    def get(self, name, default=NOTHING):
        self.used.add(name)
        if name not in self.values:
            if default is NOTHING:
                raise sk.UsageError(f"{self.values.get('do')} needs \"{name}\"")
            return default
        return self.values[name]

    def hex(self, name, default=NOTHING):
        value = self.get(name, default)
        return value if value is default else sk.from_hex(value, name)

    def timeout(self, default=None):
        value = self.get("timeout", default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
            raise sk.UsageError(f"timeout: seconds are needed, not {value!r}")
        return value

    def items(self):
        found = []
        for value in self.get("items"):
            if isinstance(value, str):
                value = {"feature": value}
            if not isinstance(value, dict) or "feature" not in value:
                raise sk.UsageError(f"items: a feature or an object with one is needed, not {value!r}")
            found.append({"vendor": None, "count": 1, **value})
        return found

    def facts(self, default=None):
        """The facts given in the command, over those of `default` (an earlier checkout) or of this machine."""
        given = {name: self.get(name) for name in FACTS if name in self.values}
        if default is not None:
            return {**default, **given}
        return sk.facts(**{"user": "ann", "host": "ws7", **given})

    def options(self, *names):
        return {name: self.get(name) for name in names if name in self.values}

    def check_all_used(self):
        strange = sorted(set(self.values) - self.used)
        if strange:
            raise sk.UsageError(f"{self.values.get('do')} does not know {', '.join(strange)}")


class Driver:
    """The named connections, and the bundles that were checked out over any of them."""

    def __init__(self):
        self.connections = {}
        self.bundles = {}
        self.checkouts = {}

    def run(self, values):
        """The answer to one command, as an object for JSON."""
        if not isinstance(values, dict):
            raise sk.UsageError("a command is a JSON object")
        command = Command(values)
        name = values.get("do")
        method = getattr(self, f"do_{name}", None) if isinstance(name, str) else None
        if method is None:
            known = ", ".join(sorted(entry[3:] for entry in dir(self) if entry.startswith("do_")))
            raise sk.UsageError(f"there is no command {name!r}; there are {known}")
        return method(command) or {}

    def connection(self, command):
        name = command.get("as", "main")
        if name not in self.connections:
            raise sk.UsageError(f"there is no connection {name!r}")
        return self.connections[name]

    # -- connections

    def do_connect(self, command):
        name = command.get("as", "main")
        options = {"install_id": command.hex("install_id", None), **command.options("program", "program_version")}
        if "timeout" in command.values:
            options["timeout"] = command.timeout()
        server, hello = command.get("server"), command.get("hello", True)
        versions = command.options("lowest", "highest")
        command.check_all_used()
        before = self.connections.get(name)
        if before is not None:
            if before.server_hello is not None and not before.ended:
                raise sk.UsageError(f"there is a connection {name!r} already")
            before.close()
        connection = self.connections[name] = sk.Connection(server, **options)
        shown = {"install_id": connection.install_id.hex()}
        if hello:
            connection.hello(**versions)
            shown.update(self.shown(0x8001, connection.server_hello))
        return shown

    def do_hello(self, command):
        """Hello on a connection made with "hello": false, or a second one."""
        connection = self.connection(command)
        options = command.options("lowest", "highest")
        magic = command.hex("magic", sk.MAGIC)
        command.check_all_used()
        return self.shown(0x8001, connection.hello(magic=magic, **options))

    def do_goodbye(self, command):
        connection = self.connection(command)
        command.check_all_used()
        connection.goodbye()

    def do_close(self, command):
        """Closes without a word; with "reset", as if this machine had crashed."""
        connection, reset = self.connection(command), command.get("reset", False)
        command.check_all_used()
        connection.close(reset=reset)

    def do_connections(self, command):
        command.check_all_used()
        return {"connections": {name: {"open": not connection.ended, "held": {str(session): seats for session, (_, seats)
                                                                               in connection.held.items()}}
                                for name, connection in self.connections.items()}}

    # -- seats

    def do_checkout(self, command):
        """With the request key of an earlier checkout here, what is not given is taken from that one."""
        connection = self.connection(command)
        before = self.checkouts.get(command.get("request_key", None), {})
        options = {"request_key": command.hex("request_key", None),
                   "secret": command.hex("secret", before.get("secret")),
                   "share": before.get("share"), "reservation_token": before.get("reservation_token"),
                   "wait_seconds": before.get("wait_seconds"),
                   **command.options("share", "reservation_token", "wait_seconds")}
        items = command.items() if "items" in command.values or not before else before["items"]
        fields = connection.checkout_fields(items, command.facts(before.get("facts")), **options)
        command.check_all_used()
        secrets = {"request_key": fields["request_key"].hex(), "secret": fields["secret"].hex()}
        self.checkouts[secrets["request_key"]] = fields
        try:
            bundle = connection.checkout_again(fields)
        except sk.SeatkeeperError as error:
            # The caller needs them to ask again.
            error.also = secrets
            raise
        self.bundles[bundle.number] = bundle
        return {**self.shown(0x8002, bundle.answer), **secrets}

    def do_try(self, command):
        connection, items, facts = self.connection(command), command.items(), command.facts()
        options = command.options("share", "reservation_token", "wait_seconds")
        command.check_all_used()
        return {"details": connection.try_checkout(items, facts, **options)}

    def do_checkin(self, command):
        connection, session, count = self.connection(command), command.get("session"), command.get("count", 0)
        command.check_all_used()
        return self.shown(0x8003, connection.checkin(session, count))

    def do_heartbeat(self, command):
        connection, idle = self.connection(command), command.get("idle_seconds", None)
        command.check_all_used()
        return {"sessions": connection.heartbeat(idle), "held": len(connection.held)}

    def do_resume(self, command):
        """Secret and facts default to those of the checkout, if this driver made it."""
        connection, number = self.connection(command), command.get("bundle")
        known = self.bundles.get(number) if isinstance(number, int) else None
        secret = command.hex("secret", known.secret if known else NOTHING)
        facts = command.facts(known.facts if known else None)
        command.check_all_used()
        return self.shown(0x8005, connection.resume(number, secret, facts))

    def do_report(self, command):
        """The whole report, or with "parts": true each part as it came."""
        connection, what = self.connection(command), command.get("what")
        options = command.options("feature", "vendor", "limit")
        parts = command.get("parts", False)
        command.check_all_used()
        if parts:
            return {"parts": list(connection.report_parts(what, **options))}
        return {"report": connection.report(what, **options)}

    # -- events

    def do_watch(self, command):
        connection, totals = self.connection(command), command.get("totals", True)
        command.check_all_used()
        connection.watch(totals)

    def do_events(self, command):
        """Those that have come and, with "timeout" and perhaps "count", those that come in that time. What is not an
        event ends the waiting no earlier."""
        connection = self.connection(command)
        timeout, count = command.timeout(0), command.get("count", None)
        command.check_all_used()
        try:
            found = connection.events(timeout, count)
        except sk.ConnectionEnded as error:
            return {"events": [], **self.end(error)}
        return {"events": [{"event": event.name, **self.shown(event.number, event.fields)} for event in found],
                **(self.end(connection.ended) if connection.ended else {"closed": False})}

    # -- below the library

    def do_request(self, command):
        """Any request by its name, fields as in the vectors, and its answer: the administrator's too."""
        connection, timeout = self.connection(command), command.timeout()
        return self.answer(connection, self.send(connection, command), timeout)

    def do_send(self, command):
        """The first half of `request`: for requests that are under way at the same time."""
        return {"call": self.send(self.connection(command), command)}

    def do_wait(self, command):
        """The second half."""
        connection, call, timeout = self.connection(command), command.get("call"), command.timeout()
        command.check_all_used()
        return self.answer(connection, call, timeout)

    def do_send_raw(self, command):
        """Any bytes. "expect": {"call": 7, "number": 4} says which answer to let through; `wait` then gives it."""
        connection, data, expected = self.connection(command), command.hex("hex"), command.get("expect", None)
        command.check_all_used()
        if expected is not None:
            if not isinstance(expected, dict) or set(expected) != {"call", "number"}:
                raise sk.UsageError("expect: an object with call and number is needed")
            connection.expect(expected["call"], expected["number"])
        connection.send_raw(data)
        return {"sent": len(data)}

    def do_wait_end(self, command):
        """Waits until the server closes the connection and says what its last word was."""
        connection, timeout = self.connection(command), command.timeout()
        command.check_all_used()
        return self.end(connection.wait_end(timeout))

    # -- helpers

    def send(self, connection, command):
        name, plain, call = command.get("request"), command.get("fields", {}), command.get("call", None)
        command.check_all_used()
        if name not in sk.REQUESTS:
            raise sk.UsageError(f"there is no request {name!r}; there are {', '.join(sk.REQUESTS)}")
        number = sk.REQUESTS[name]
        return connection.send(number, sk.from_plain(number, plain), call)

    def answer(self, connection, call, timeout):
        message = connection.wait(call, timeout)
        return {"call": call, "answer": message.name, "fields": sk.to_plain(message.number, message.fields)}

    def shown(self, number, fields):
        plain = sk.to_plain(number, fields)
        del plain["extras"]
        return plain

    def end(self, ended):
        return {"closed": True, "why": str(ended), "refused": refused(ended.refusal) if ended.refusal else None}


def refused(refusal):
    return {"code": refusal.code, "message": refusal.message, "details": refusal.details, "call": refusal.call}


def failed(error):
    """What went wrong, as an object for JSON. `kind` is for programs, `error` for people."""
    shown = {"ok": False, "error": str(error), **getattr(error, "also", {})}
    if isinstance(error, sk.Refusal):
        return {**shown, "kind": "refused", "refused": refused(error)}
    if isinstance(error, sk.ConnectionEnded):
        return {**shown, "kind": "closed", "refused": refused(error.refusal) if error.refusal else None}
    if isinstance(error, sk.TimedOut):
        return {**shown, "kind": "timeout"}
    if isinstance(error, sk.ProtocolError):
        return {**shown, "kind": "protocol", "fault": error.fault}
    return {**shown, "kind": "usage"}


def main():
    driver = Driver()
    for line in sys.stdin:
        if not line.strip():
            continue
        values = None
        try:
            values = json.loads(line)
            answer = {"ok": True, **driver.run(values)}
        except ValueError as error:
            answer = failed(sk.UsageError(f"the line is not JSON: {error}"))
        except (TypeError, AttributeError) as error:
            answer = failed(sk.UsageError(f"a member has the wrong type: {error}"))
        except sk.SeatkeeperError as error:
            answer = failed(error)
        if isinstance(values, dict):
            answer = {**{name: values[name] for name in ("id", "do", "as") if name in values}, **answer}
        print(json.dumps(answer, ensure_ascii=True), flush=True)


if __name__ == "__main__":
    main()
