"""Pens, programs and daemons of other versions: older and newer minors, other majors, with fields and values that are not known
here, and without those that are needed. Usage: versions.py MNCTL SIM-SOCKET, MN_SOCKET in the environment; speaks TAP."""
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import client_pb2 as mnc
import pen_pb2 as mnp
from mnlink import ERROR, REPLY, Client, frame
from pen import BULK_IN, INTERRUPT_IN, Pen, plug_in
from mnlink import status
from tap import Tap

MNCTL, SIM, SOCKET = sys.argv[1], sys.argv[2], os.environ["MN_SOCKET"]
LATER = b"\xa2\x06\x05later" + b"\xa8\x06\x07"  # field 100, bytes; field 101, a number: of a minor that is to come
ok = Tap("versions").ok


def mnctl(*words, path=None):
    done = subprocess.run([MNCTL] + (["--socket", path] if path else []) + list(words), capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def pull_out(pen):
    pen.session = 0
    pen.sock.shutdown(socket.SHUT_RDWR)
    pen.sock.close()


def seen(c, condition, limit_s=8):
    """What the daemon says of its Python pens, until the condition holds."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        pens = [p for p in c.ask(list=mnc.List()).pens.pen if not p.serial.startswith("SIM")]
        if any(condition(p) for p in pens):
            return True, pens
        time.sleep(0.05)
    return False, pens


def ready(serial):
    return lambda p: p.serial == serial and p.link == mnc.LINK_READY


# ---- pens ----

class OlderPen(Pen):
    """Only what minor 0 cannot do without."""

    def hello_reply(self, hello):
        return mnp.HelloReply(nonce=hello.nonce, session=self.session, boot_id=self.boot_id, serial=self.serial, minor=0, window=1, frame_max=1024)


class NewerPen(Pen):
    """Fields, values, columns, types and records that nobody here knows."""

    def hello_reply(self, hello):
        reply = super().hello_reply(hello)
        reply.minor, reply.capabilities = 99, 0xFFFF
        # state 42 and cartridge 77, as bytes: Python's enums would not take them
        return reply.SerializeToString() + b"\x50\x2a\x88\x01\x4d" + LATER

    def config(self):
        state = super().config()
        state.config.MergeFromString(LATER)
        return state.SerializeToString() + LATER

    def batch(self):
        batch = mnp.TelemetryBatch.FromString(super().batch())
        batch.fast.MergeFromString(LATER)
        return batch.SerializeToString() + LATER

    def surprise(self):
        self.send(99, b"a type to come")
        self.sock.send(bytes([INTERRUPT_IN]) + status(42, 0x80000001, self.boot_id, 1, 1, self.generation, cartridge=77))
        record = mnp.Record(number=2, boot_id=self.boot_id, t_us=2)
        self.records.append(mnp.Record.FromString(record.SerializeToString() + b"\x20\x63" + LATER))  # kind 99
        self.sock.send(bytes([INTERRUPT_IN]) + status(3, 0, self.boot_id, 2, 2, self.generation))


class OtherMajorPen(Pen):
    def hello_reply(self, hello):
        return b"whatever that major says"


class ForgetfulPen(Pen):
    """Leaves one field of HELLO out."""
    missing = "session"

    def hello_reply(self, hello):
        reply = super().hello_reply(hello)
        if self.missing:
            reply.ClearField(self.missing)
        return reply


def pens():
    c = Client(SOCKET, mnc)
    c.ask(hello=mnc.Hello(major=1, minor=0, client_name="versions"))

    pen = plug_in(OlderPen(SIM, "OLDER-1"))
    ok("pen_of_an_older_minor_works", *seen(c, ready("OLDER-1")))
    code, text = mnctl("--pen", "OLDER-1", "config", "set", "depth=1mm")
    ok("pen_of_an_older_minor_is_configured", code == 0 and "0.50 mm -> 1.00 mm" in text, text)
    pull_out(pen)

    pen = plug_in(NewerPen(SIM, "NEWER-1"))
    ok("pen_of_a_newer_minor_works", *seen(c, ready("NEWER-1")))
    code, text = mnctl("--json", "list")
    ok("unknown_enum_values_are_shown_as_unknown", code == 0 and '"state": "UNKNOWN"' in text and '"cartridge": "UNKNOWN"' in text, text)
    code, text = mnctl("--pen", "NEWER-1", "config", "show")
    ok("unknown_settings_are_passed_over", code == 0 and "depth " in text and "auto-off" in text, text)
    code, text = mnctl("--pen", "NEWER-1", "watch", "--csv", "--seconds", "1")
    rows = [row.split(",") for row in text.splitlines()[1:]]
    ok("unknown_columns_are_passed_over", code == 0 and len(rows) > 500 and all(int(r[3]) == 100 + int(r[1]) % 20 for r in rows), text[:500])
    m = c.ask(subscribe=mnc.Subscribe(serial="NEWER-1", records=True))
    ok("records_as_before_minor_2_are_refused", m.error.code == mnc.ERROR_UNSUPPORTED and "update the client" in m.error.text, m.error.text)
    pen.surprise()
    for row in c.records(mnc.Cursor()):
        record = mnp.Record.FromString(row.record)
        if row.serial == "NEWER-1" and record.number == 2:
            break
    ok("a_record_of_an_unknown_kind_is_delivered", record.number == 2 and not record.HasField("kind"), record)
    ok("unknown_frame_types_harm_nobody", *seen(c, ready("NEWER-1")))
    pull_out(pen)

    for major, who in ((2, "daemon"), (0, "pen's firmware")):
        pen = OtherMajorPen(SIM, "MAJOR-1")
        pen.major = major
        plug_in(pen)
        sentence = f"the pen speaks protocol {major}, this mnd speaks 1: update the {who}"
        ok(f"pen_of_major_{major}_is_told_what_to_update", *seen(c, lambda p: p.last_error == sentence))
        code, text = mnctl("--pen", "", "info")
        ok(f"and_so_is_the_person_of_major_{major}", code == 4 and sentence in mnctl("list")[1], text)
        pull_out(pen)

    for missing, sentence in [(f, "the pen's HELLO lacks session, boot_id, serial or minor") for f in ("session", "boot_id", "serial", "minor")] + [
            (f, "the pen's HELLO names no usable window or frame size") for f in ("window", "frame_max")] + [
            ("nonce", "the pen answered an older HELLO")]:
        pen = ForgetfulPen(SIM, "FORGETS-1")
        pen.missing = missing
        plug_in(pen)
        ok(f"pen_without_{missing}_is_refused", *seen(c, lambda p: p.last_error == sentence and p.link == mnc.LINK_OPENING))
        pen.missing = None  # its next HELLO is whole
        ok(f"and_taken_once_it_has_{missing}", *seen(c, ready("FORGETS-1")))
        pull_out(pen)


# ---- programs ----

def raw(data):
    """What the daemon answers to one message, whatever that is; None: it hung up with a goodbye."""
    c = Client(SOCKET, mnc)
    c.sock.sendall(struct.pack("<I", len(data)) + data)
    m = c.receive()
    return None if m.WhichOneof("body") == "goodbye" else (c, m)


def programs():
    hello = mnc.ClientMessage(id=1, hello=mnc.Hello(major=1, minor=99, client_name="later"))
    hello.hello.MergeFromString(LATER)
    c, m = raw(hello.SerializeToString() + LATER)
    ok("program_of_a_newer_minor_with_unknown_fields", m.hello.major == 1 and m.hello.minor == 8, m)
    data = mnc.ClientMessage(id=2).SerializeToString() + b"\xf2\x07\x02hi"  # request 126
    c.sock.sendall(struct.pack("<I", len(data)) + data)
    m = c.receive()
    ok("an_unknown_request_is_refused_and_says_what_is_older",
       m.id == 2 and m.error.code == mnc.ERROR_UNSUPPORTED and "mnd 0.1.0 does not know this request: is it older" in m.error.text, m)
    for minor in (0, 1):
        _, m = raw(mnc.ClientMessage(id=1, hello=mnc.Hello(major=1, minor=minor)).SerializeToString())
        ok(f"program_of_minor_{minor}", m.hello.major == 1, m)
    for major, what in ((0, "client"), (2, "daemon")):
        _, m = raw(mnc.ClientMessage(id=1, hello=mnc.Hello(major=major, minor=7)).SerializeToString())
        ok(f"program_of_major_{major}_is_told_both_and_what_to_update", m.error.code == mnc.ERROR_VERSION and m.error.text ==
           f"mnd 0.1.0 speaks client protocol 1.8, you speak {major}.7: update the {what}", m)
    for name, message in (("major", mnc.Hello(minor=0)), ("minor", mnc.Hello(major=1))):
        _, m = raw(mnc.ClientMessage(id=1, hello=message).SerializeToString())
        ok(f"hello_without_{name}_is_refused", m.error.code == mnc.ERROR_MALFORMED, m)
    _, m = raw(mnc.ClientMessage(hello=mnc.Hello(major=1, minor=0)).SerializeToString())
    ok("a_message_without_id_is_refused", m.error.code == mnc.ERROR_MALFORMED and m.id == 0, m)
    for name, call in (("serial", mnc.Call(pen_type=2)), ("pen_type", mnc.Call(serial="SIM-0001"))):
        m = c.ask(call=call)
        ok(f"call_without_{name}_is_refused", m.error.code == mnc.ERROR_MALFORMED, m)
    m = c.ask(call=mnc.Call(serial="SIM-0001", pen_type=9999))
    ok("call_of_an_unknown_type_is_refused", m.error.code == mnc.ERROR_UNSUPPORTED and "9999" in m.error.text, m)


# ---- daemons: what libmn and mnctl make of them ----

def daemon(answer):
    """A daemon that answers each ClientMessage with answer(message), bytes or a ServerMessage, on a socket of its own."""
    path = tempfile.mktemp(prefix="daemon-", dir=os.path.dirname(SOCKET))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(4)

    def serve(sock):
        c = Client.__new__(Client)
        c.sock = sock
        try:
            while True:
                (length,) = struct.unpack("<I", c._exactly(4))
                out = answer(mnc.ClientMessage.FromString(c._exactly(length)))
                data = out if isinstance(out, bytes) else out.SerializeToString()
                sock.sendall(struct.pack("<I", len(data)) + data)
        except (EOFError, OSError):
            sock.close()

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return path


def hello_of(minor, extra=b""):
    def answer(m):
        if m.WhichOneof("body") == "hello":
            return mnc.ServerMessage(id=m.id, hello=mnc.HelloReply(major=1, minor=minor, daemon_version="9.9")).SerializeToString() + extra
        if m.WhichOneof("body") == "list":
            pen = mnc.PenInfo(serial="P-1", port="usb 1-1", capabilities=0xFFFF)
            pens = mnc.PenList(pen=[mnc.PenInfo.FromString(pen.SerializeToString() + (b"\x20\x63\x48\x63" + LATER if extra else b""))])
            return mnc.ServerMessage(id=m.id, pens=pens).SerializeToString() + extra
        return mnc.ServerMessage(id=m.id, error=mnc.Error(code=mnc.ERROR_UNSUPPORTED, text="this daemon does not know it"))
    return answer


def one_pen_of(minor):
    def answer(m):
        if m.WhichOneof("body") in ("list", "watch"):
            return mnc.ServerMessage(id=m.id, pens=mnc.PenList(pen=[mnc.PenInfo(serial="P-1", port="usb 1-1", link=mnc.LINK_READY)])).SerializeToString()
        return hello_of(minor)(m)
    return answer


def daemons():
    older, newer = daemon(hello_of(0)), daemon(hello_of(99, LATER))
    code, text = mnctl("list", path=older)
    ok("daemon_of_an_older_minor_works", code == 0 and "P-1" in text, text)
    code, text = mnctl("monitor", path=older)
    ok("what_an_older_daemon_does_not_know_is_said", code == 5 and "this daemon does not know it" in text, text)
    code, text = mnctl("--pen", "P-1", "watch", "--every", "10", "--seconds", "1", path=daemon(one_pen_of(3)))
    ok("an_older_daemon_cannot_pace_and_is_named", code == 5 and "speaks client protocol 1.3, and telemetry is paced since 1.4: update the daemon" in text, text)
    code, text = mnctl("list", path=newer)
    ok("daemon_of_a_newer_minor_with_unknown_fields_and_values", code == 0 and "P-1" in text and "UNKNOWN" in text, text)
    two = daemon(lambda m: mnc.ServerMessage(id=m.id, error=mnc.Error(code=mnc.ERROR_VERSION,
                                             text="mnd 2.0 speaks client protocol 2.0, you speak 1.1: update the client")))
    code, text = mnctl("list", path=two)
    ok("daemon_of_another_major_names_both", code == 3 and "speaks client protocol 2.0, you speak 1.1: update the client" in text, text)
    code, text = mnctl("doctor", path=two)
    ok("and_doctor_says_what_to_do", code == 1 and text.splitlines()[-1].startswith("next: install mnctl and mnd of the same release"), text)
    empty = daemon(lambda m: mnc.ServerMessage(id=m.id, hello=mnc.HelloReply()))
    code, text = mnctl("list", path=empty)
    ok("daemon_whose_hello_lacks_its_version_is_refused", code in (1, 3) and text.startswith("mnctl: "), text)
    nonsense = daemon(lambda m: b"zzzz")
    code, text = mnctl("list", path=nonsense)
    ok("a_daemon_that_is_none_is_said", code != 0 and "does not decode" in text, text)
    silent = daemon(lambda m: time.sleep(60))
    code, text = mnctl("--timeout", "500", "list", path=silent)
    ok("a_silent_daemon_has_a_deadline", code in (3, 6) and "answer" in text, (code, text))


pens()
programs()
daemons()
