"""An independent pen on the simulated link: connects to the daemon, answers, streams, raises a fault. Usage: pen.py SIM-SOCKET.
It ends by itself when the daemon hangs up, and prints what it saw."""
import socket
import sys
import threading
import time

import pen_pb2 as mnp
from mnlink import ERROR, REPLY, Frame, frame, status

CONTROL, BULK_OUT, BULK_IN, INTERRUPT_IN, PORT, ATTACH = 0x00, 0x01, 0x81, 0x82, 0xF0, 0xF1
SERIAL = "PYTHON-1"


class Pen:
    major = 1

    def __init__(self, path, serial=SERIAL):
        self.serial = serial
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(path)
        self.boot_id, self.session, self.sequence, self.count, self.generation = 0x1234, 0, 0, 0, 3
        self.depth_um, self.fault_word, self.seq, self.lock = 500, 0, 0, threading.RLock()
        self.records = [mnp.Record(number=1, boot_id=self.boot_id, t_us=1, kind=mnp.RECORD_BOOT, boot=mnp.BootRecord(boot_count=1))]
        self.replies = {}
        self.sock.send(bytes([ATTACH, 1]) + serial.encode())

    def send(self, type_, payload=b"", correlation=0):
        with self.lock:
            self.sock.send(bytes([BULK_IN]) + frame(type_, payload, self.session, self.sequence, correlation, self.major))
            self.sequence = self.sequence + 1 & 0xFFFF

    def status(self):
        self.count += 1
        self.sock.send(bytes([INTERRUPT_IN]) + status(mnp.STATE_SAFE, self.fault_word, self.boot_id, self.count, len(self.records), self.generation))

    def answer(self, f, message, error=False):
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        self.replies[f.correlation] = (f.type | (ERROR if error else REPLY), payload)
        self.send(*self.replies[f.correlation], f.correlation)

    def config(self):
        return mnp.ConfigState(config=mnp.Config(depth_um=self.depth_um, stroke_rate_dhz=1000), generation=self.generation)

    def hello_reply(self, hello):
        return mnp.HelloReply(nonce=hello.nonce, session=self.session, boot_id=self.boot_id, serial=self.serial, minor=9,
                              firmware_version="py", window=2, capabilities=3, frame_max=1024, state=mnp.STATE_SAFE, fault_word=0,
                              config_generation=self.generation, records_oldest=1, records_newest=len(self.records), records_acked=0)

    def batch(self):
        batch = mnp.TelemetryBatch(boot_id=self.boot_id, state=mnp.STATE_SAFE, fault_word=self.fault_word, dropped=0)
        g = batch.fast
        g.first_seq, g.t0_us, g.period_us, g.count = self.seq, self.seq * 1000, 1000, 20
        g.depth_um.extend([100] + [1] * 19)   # deltas: 100, 101, ... 119
        for column in (g.stroke_rate_dhz, g.motor_current_ma, g.motor_duty_permille, g.load_permille, g.skin_contact):
            column.extend([0] * 20)
        self.seq += 20
        return batch.SerializeToString()

    def on_frame(self, f):
        if f.type == mnp.TYPE_HELLO:
            self.session, self.sequence, self.replies = 0x5E55, 0, {}
            self.answer(f, self.hello_reply(mnp.Hello.FromString(f.payload)))
        elif f.session != self.session:
            return
        elif f.correlation in self.replies and f.type != mnp.TYPE_HEARTBEAT:
            self.send(*self.replies[f.correlation], f.correlation)
        elif f.type == mnp.TYPE_CONFIG_GET:
            self.answer(f, self.config())
        elif f.type == mnp.TYPE_CONFIG_SET:
            self.depth_um = mnp.ConfigSet.FromString(f.payload).config.depth_um
            self.generation += 1
            self.answer(f, self.config())
        elif f.type == mnp.TYPE_ECHO:
            self.answer(f, f.payload)
        elif f.type == mnp.TYPE_RECORDS_GET:
            first = mnp.RecordsGet.FromString(f.payload).__getattribute__("from")
            page = [r.SerializeToString() for r in self.records if r.number >= first]
            self.answer(f, mnp.Records(record=page, oldest=1, newest=len(self.records), acked=0))
        elif f.type != mnp.TYPE_HEARTBEAT:
            self.answer(f, mnp.Error(code=mnp.ERROR_UNSUPPORTED, text="not in Python"), error=True)

    def stream(self):
        while True:
            time.sleep(0.02)
            if not self.session:
                continue
            try:
                self.send(mnp.TYPE_TELEMETRY, self.batch())
            except OSError:
                return

    def run(self):
        threading.Thread(target=self.stream, daemon=True).start()
        while True:
            packet = self.sock.recv(4096)
            if not packet:
                return
            if packet[0] == CONTROL:
                if packet[1] == 1:
                    self.session = 0
                self.sock.send(bytes([CONTROL, 0]))
            elif packet[0] == BULK_OUT:
                self.on_frame(Frame(packet[1:]))
            elif packet[0] == PORT and packet[1:] == b"inject 1302":
                self.fault_word = 1 << 11
                self.records.append(mnp.Record(number=2, boot_id=self.boot_id, t_us=2, kind=mnp.RECORD_FAULT,
                                               fault=mnp.FaultRecord(code=1302, raised=True, state=mnp.STATE_SAFE)))
                self.sock.send(bytes([PORT]) + b"ok")
                self.status()


def plug_in(pen):
    """It runs beside the test, until it is pulled out."""

    def run():
        try:
            pen.run()
        except OSError:
            pass  # pulled out

    threading.Thread(target=run, daemon=True).start()
    return pen


if __name__ == "__main__":
    Pen(sys.argv[1]).run()
