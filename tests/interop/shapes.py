"""Every request in every shape, from every role: each is answered, in words where it is refused, and nobody is hung up. Usage: shapes.py SOCKET; speaks TAP.

The shapes are made of the messages' own descriptors: each field absent, as its type's nothing, huge, doubled, as another wire type; strings that are no text. Roles are those
of groups that mnd was started with: news operators, mail service, games factory (run as root).
"""
import grp
import os
import socket
import struct
import sys

import client_pb2 as mnc

PATH = sys.argv[1]
HUGE = 60000  # bytes: a message has 66 KiB
OBSERVER, OPERATOR, SERVICE, FACTORY = range(4)
GROUPS = {OBSERVER: [], OPERATOR: ["news"], SERVICE: ["mail"], FACTORY: ["games"]}
LEFT_OUT = {"pong"}  # it has no answer
NUMBER = {f.name: f.number for f in mnc.ClientMessage.DESCRIPTOR.fields}


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, wire, payload):
    return varint(number << 3 | wire) + (varint(len(payload)) + payload if wire == 2 else payload)


TEXTS = [b"", b"SIM-0001", b"x" * HUGE, b"%n%s%n%1000000s", b"\x1b[31m\r\n\x07", "äö€\u202e".encode(), b"\xff\xfe\xc3", b"a\0b", b"\xed\xa0\x80", b"../../etc/passwd", b"name: x\n", b"# nothing\n", b"--- \n---\n", b"&a [*a]", b"0" * 2000]
NUMBERS = [0, 1, 2, 31, 32, 63, 64, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]


def shapes(descriptor, depth=0):
    """Bodies of one message."""
    yield b""
    for f in descriptor.fields:
        if f.type == f.TYPE_MESSAGE:
            inner = list(shapes(f.message_type, depth + 1))
            few = inner if depth == 0 else inner[:: max(1, len(inner) // 12)]
            for body in few:
                if len(body) < HUGE:
                    yield field(f.number, 2, body)
            for n in (2, 17, 18, 24, 25, 1000):
                yield b"".join(field(f.number, 2, inner[1 % len(inner)] if len(inner[1 % len(inner)]) < 60 else b"") for _ in range(n))
        elif f.type in (f.TYPE_STRING, f.TYPE_BYTES):
            for text in TEXTS if depth < 2 else TEXTS[:8]:
                yield field(f.number, 2, text)
            yield field(f.number, 2, b"a") * 3
        else:
            for n in NUMBERS if depth < 2 else NUMBERS[:6]:
                yield field(f.number, 0, varint(n))
            if f.label == f.LABEL_REPEATED:
                yield field(f.number, 2, b"".join(varint(n) for n in NUMBERS * 100))
                yield field(f.number, 2, b"")
        yield field(f.number, 0 if f.type in (f.TYPE_STRING, f.TYPE_BYTES, f.TYPE_MESSAGE) else 5, b"\0" if f.type in (f.TYPE_STRING, f.TYPE_BYTES, f.TYPE_MESSAGE) else b"\0\0\0\0")
    # all that can be there, as somebody might who means it
    serial = next((f for f in descriptor.fields if f.name == "serial"), None)
    if serial is not None:
        for f in descriptor.fields:
            if f.type in (f.TYPE_UINT32, f.TYPE_ENUM, f.TYPE_UINT64, f.TYPE_BOOL):
                for n in NUMBERS[:8]:
                    yield field(serial.number, 2, b"SIM-0001") + field(f.number, 0, varint(n))
            elif f.type == f.TYPE_MESSAGE:
                for body in list(shapes(f.message_type, depth + 1))[::20]:
                    if len(body) < HUGE:
                        yield field(serial.number, 2, b"SIM-0001") + field(f.number, 2, body)
    yield field(2000, 2, b"of a later minor") + field(2001, 0, varint(7))


class Raw:
    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(PATH)
        self.id = 0
        self.ask(NUMBER["hello"], mnc.Hello(major=1, minor=6, client_name="shapes").SerializeToString())

    def read(self):
        def exactly(n):
            out = b""
            while len(out) < n:
                piece = self.s.recv(n - len(out))
                if not piece:
                    raise EOFError
                out += piece
            return out

        return exactly(struct.unpack("<I", exactly(4))[0])

    def ask(self, number, body):
        """The answer, decoded: it fails where a string is no UTF-8."""
        self.id += 1
        message = field(1, 0, varint(self.id)) + field(number, 2, body)
        self.s.sendall(struct.pack("<I", len(message)) + message)
        while True:
            m = mnc.ServerMessage.FromString(self.read())
            if m.WhichOneof("body") == "goodbye":
                raise EOFError(m.goodbye.reason)
            if m.id == self.id:
                return m
            if m.WhichOneof("body") == "ping":
                self.s.sendall(struct.pack("<I", 6) + field(1, 0, varint(999)) + field(NUMBER["pong"], 2, b""))


def as_role(role):
    """How many were asked, and what went wrong, in a process of that role."""
    os.setgroups([grp.getgrnam(g).gr_gid for g in GROUPS[role]])
    os.setgid(65534)
    os.setuid(1234)
    asked, wrong = 0, []
    c = Raw()
    for f in mnc.ClientMessage.DESCRIPTOR.fields:
        if f.type != f.TYPE_MESSAGE or f.name in LEFT_OUT:
            continue
        for body in shapes(f.message_type):
            asked += 1
            try:
                m = c.ask(f.number, body)
            except Exception as e:  # noqa: BLE001: whatever it is, it is a finding
                wrong.append((f.name, body[:80], repr(e)))
                c = Raw()
                continue
            if m.WhichOneof("body") == "error" and (len(m.error.text) < 8 or not m.error.text.isprintable()):
                wrong.append((f.name, body[:80], m.error.text))
            if len(wrong) > 20:
                return asked, wrong
    return asked, wrong


if __name__ == "__main__":
    for count, (role, name) in enumerate(((OBSERVER, "observer"), (OPERATOR, "operator"), (SERVICE, "service"), (FACTORY, "factory"))):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                asked, wrong = as_role(role)
            except BaseException as e:  # noqa: BLE001
                asked, wrong = 0, [repr(e)]
            os.write(w, f"{asked}\n{''.join(f'# {x}' + chr(10) for x in wrong[:20])}"[:60000].encode())
            os._exit(0)
        os.close(w)
        text = b""
        while piece := os.read(r, 65536):
            text += piece
        os.close(r)
        os.waitpid(pid, 0)
        asked, _, wrong = text.decode().partition("\n")
        print(f"{'not ok' if wrong or int(asked) < 500 else 'ok'} {500 + count} - interop.shapes.all_are_answered_in_words_to_{'an' if name[0] == 'o' else 'a'}_{name}")
        print(f"# {asked} requests\n{wrong}", end="", flush=True)
