"""Frames and messages, written from proto/PROTOCOL.md and the .proto files alone: no line of C was looked at."""
import socket
import struct

MAGIC = 0x4E4D
MAJOR = 1
PADDED = 1
REPLY, ERROR = 0x8000, 0xC000


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(type_, payload=b"", session=0, sequence=0, correlation=0, major=MAJOR):
    padded = (16 + len(payload) + 4) % 64 == 0
    head = struct.pack("<HBBHHHHI", MAGIC, major, PADDED if padded else 0, len(payload), sequence, correlation, type_, session)
    return head + payload + struct.pack("<I", crc32c(head + payload)) + (b"\0" if padded else b"")


class Frame:
    def __init__(self, data):
        magic, self.major, self.flags, length, self.sequence, self.correlation, self.type, self.session = struct.unpack_from("<HBBHHHHI", data)
        assert magic == MAGIC and len(data) == 16 + length + 4 + (self.flags & PADDED), "not one whole frame"
        self.payload = data[16:16 + length]
        (crc,) = struct.unpack_from("<I", data, 16 + length)
        assert crc == crc32c(data[:16 + length]), "bad CRC"


def status(state, fault_word, boot_id, count, records_newest, generation, trigger=0, cartridge=1, dropped=0):
    body = struct.pack("<BBBBIIIIII", 1, state, trigger, cartridge, fault_word, boot_id, count, records_newest, generation, dropped)
    return body + struct.pack("<I", crc32c(body))


class Client:
    """The daemon's socket, section 4."""

    def __init__(self, path, messages):
        self.pb = messages
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.id = 0
        self.events = []

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError("the daemon hung up")
            data += more
        return data

    def receive(self):
        (length,) = struct.unpack("<I", self._exactly(4))
        return self.pb.ServerMessage.FromString(self._exactly(length))

    def send(self, **body):
        self.id += 1
        data = self.pb.ClientMessage(id=self.id, **body).SerializeToString()
        self.sock.sendall(struct.pack("<I", len(data)) + data)
        return self.id

    def ask(self, **body):
        id_ = self.send(**body)
        while True:
            message = self.receive()
            if message.HasField("id") and message.id == id_ and message.WhichOneof("body") != "progress":
                return message
            self.events.append(message)

    def event(self, kind):
        while True:
            for i, message in enumerate(self.events):
                if message.WhichOneof("body") == kind:
                    return self.events.pop(i)
            self.events.append(self.receive())

    def records(self, after=None):
        """Every record behind a place (None: from now on), then each as it comes: section 4.2."""
        reply = self.ask(records_read=self.pb.RecordsRead(after=after)).records
        while True:
            yield from reply.record
            reply = self.ask(records_read=self.pb.RecordsRead(after=reply.next, wait=True)).records
