"""What the fuzzers of messages begin with: good ones of every kind, made of their own descriptors, and whole treatments. Usage: seeds.py FOLDER; needs client_pb2, pen_pb2 and tests/interop.

FOLDER/chain: scripts of tests/chain/chain.h. FOLDER/library: turns of fuzz_library.c, one for each call, with its answer. FOLDER/fixture: what a fixture says. FOLDER/daemon: what
a pen says, for fuzz_daemon.c, and a plan.
"""
import os
import re
import struct
import sys

import client_pb2 as mnc
import pen_pb2 as mnp
from mnlink import frame, status

OUT = sys.argv[1]
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEN = "FUZZ"


def keep(fuzzer, name, data):
    os.makedirs(os.path.join(OUT, fuzzer), exist_ok=True)
    with open(os.path.join(OUT, fuzzer, name), "wb") as f:
        f.write(data)


def fill(message, depth=0, known=None):
    """Every field has something."""
    known = known or {}
    for f in message.DESCRIPTOR.fields:
        if f.containing_oneof is not None:
            continue
        many = f.label == f.LABEL_REPEATED
        if f.type == f.TYPE_MESSAGE:
            for _ in range(2 if many else 1):
                fill(getattr(message, f.name).add() if many else getattr(message, f.name), depth + 1, known)
            continue
        value = known.get(f.name, {f.TYPE_STRING: "text", f.TYPE_BYTES: b"12345678", f.TYPE_BOOL: True, f.TYPE_ENUM: f.enum_type and f.enum_type.values[1].number}.get(f.type, 3))
        if many:
            getattr(message, f.name).extend([value, value] if f.name not in known else value)
        else:
            setattr(message, f.name, value)
    return message


def body(message_type, name, message):
    """The field of a ClientMessage or ServerMessage, without the id."""
    m = message_type()
    getattr(m, name).CopyFrom(message)
    getattr(m, name).SetInParent()
    return m.SerializeToString()


def questions():
    with open(os.path.join(TOP, "proto/policy/screening.def")) as f:
        return re.findall(r"^SCREEN\((\w+), (\d+)", f.read(), re.M)


def plan(zones=(8, 9), **more):
    more.setdefault("numbing_min", 60)
    return mnc.Plan(subject="K-1", step=[mnc.PlanStep(zone=z, depth_um=500, stroke_rate_dhz=1000) for z in zones], answer=[mnc.Answer(item=item, yes=False) if hours == "0" else mnc.Answer(item=item) for item, hours in questions()], **more)


# ---- what pens say ----

FAST = ["depth_um", "stroke_rate_dhz", "motor_current_ma", "motor_duty_permille", "load_permille", "skin_contact"]


def batch():
    b = mnp.TelemetryBatch(boot_id=9, state=mnp.STATE_RUNNING, fault_word=1, strokes_session=5, dropped=0)
    for group, columns in ((b.fast, FAST), (b.slow, [f.name for f in mnp.SlowGroup.DESCRIPTOR.fields[4:]])):
        group.first_seq, group.t0_us, group.period_us, group.count = 1, 1000, 1000, 3
        for column in columns:
            getattr(group, column).extend([500, 1, -1])
    return b.SerializeToString()


def record(number, kind, **more):
    return mnp.Record(number=number, boot_id=9, t_us=1000 * number, kind=kind, **more).SerializeToString()


RECORDS = [
    record(1, mnp.RECORD_BOOT, boot=mnp.BootRecord(reset_cause=1, boot_count=1, firmware_version="1.0")),
    record(2, mnp.RECORD_FAULT, fault=mnp.FaultRecord(code=1401, raised=True, state=3, fault_word=1)),
    record(3, mnp.RECORD_CONFIG, config=mnp.ConfigRecord(generation=1, config=mnp.Config(depth_um=500))),
    record(4, mnp.RECORD_RUN, run=mnp.RunRecord(duration_ms=900, strokes=90, depth_peak_um=520, end=1, cartridge_uid=77, zone=8, treatment=1, cartridge_lot=5)),
    record(5, mnp.RECORD_RUN_BEGUN, run_begun=mnp.RunBegunRecord(treatment=1, zone=8, cartridge_uid=77, cartridge_lot=5, depth_um=500, stroke_rate_dhz=1000)),
]
RECORDS_REPLY = mnp.Records(record=RECORDS, oldest=1, newest=5, acked=0).SerializeToString()


def pen_messages():
    """Each with its frame's type."""
    for full_name, value in mnp.FrameType.items():
        name = full_name.removeprefix("TYPE_")
        reply = {"HELLO": "HelloReply", "INFO": "Info", "STATUS": "Status", "CONFIG_GET": "ConfigState", "CONFIG_SET": "ConfigState", "CONFIG_RESET": "ConfigState", "ARM": "ArmReply", "STOP": "Status",
                 "FAULT_CLEAR": "FaultClearReply", "RECORDS_ACK": "RecordsAckReply", "SELF_TEST": "Status", "PACE": "Pace", "FACTORY_GET": "Factory", "FACTORY_ENTER": "FactoryEntered",
                 "FACTORY_ARM": "ArmReply", "FACTORY_WRITE": "Factory", "FACTORY_LEAVE": "Status"}.get(name)
        if reply is not None:
            yield name, value | 0x8000, fill(getattr(mnp, reply)()).SerializeToString()
    yield "RECORDS_GET", mnp.TYPE_RECORDS_GET | 0x8000, RECORDS_REPLY
    yield "TELEMETRY", mnp.TYPE_TELEMETRY, batch()
    yield "PROGRESS", mnp.TYPE_PROGRESS, mnp.Progress(permille=500).SerializeToString()
    for code in mnp.ErrorCode.values():
        yield f"ERROR_{code}", mnp.TYPE_ARM | 0xC000, fill(mnp.Error(), known={"code": code, "fault_code": 1401, "max": code}).SerializeToString()


# ---- scripts of the whole chain ----

(ASK_A, ASK_B, WRITE_A, WAIT, SAY, PAYLOAD, FLIP, PACKET, CALL_A, CALL_B, JOURNAL, SILENT, RESTART, FAIL) = range(14)


def step(what, data=b""):
    return struct.pack("<BH", what, len(data)) + data


def ask(name, who=ASK_A, **fields):
    number = mnc.ClientMessage.DESCRIPTOR.fields_by_name[name]
    return step(who, body(mnc.ClientMessage, name, getattr(mnc, number.message_type.name)(**fields)))


def call(pen_type, message=None, who=ASK_A):
    return ask("call", who, serial=PEN, pen_type=pen_type, payload=message.SerializeToString() if message else b"")


def wait(ms):
    return step(WAIT, struct.pack("<H", ms))


def say(line):
    return step(SAY, line.encode())


JOURNAL_ID = 0x0101010101010101 & (2**63 - 1)  # as the chain has it made


def place(position):
    return mnc.Cursor(journal=JOURNAL_ID, position=position)


def lease(action, who=ASK_A, **more):
    return ask("lease", who, serial=PEN, action=action, **more)


def begun(**more):
    return lease(mnc.LEASE_TAKE) + ask("watch", on=True) + ask("session_begin", serial=PEN, plan=plan(**more)) + wait(300)


def armed(**more):
    return begun(**more) + b"".join(ask("session_arm", serial=PEN, config_generation=g) for g in (1, 2)) + wait(100)


def running(ms=500):
    return armed() + say("trigger press") + wait(ms)


END = say("trigger release") + wait(700) + ask("session_end", serial=PEN, completed=True) + wait(400)


def chain_scripts():
    yield "nothing", wait(10)
    yield "treatment", running(900) + END + ask("session_list", subject="K-1") + ask("adverse_event", session=1, what=1) + ask("session_list", number=1)
    yield "two_zones", running() + say("trigger release") + wait(700) + ask("session_select", serial=PEN, zone=9) + wait(100) + b"".join(ask("session_arm", serial=PEN, config_generation=g) for g in (2, 3)) + say("trigger press") + wait(500) + END
    yield "paused", running() + call(mnp.TYPE_STOP) + wait(600) + b"".join(ask("session_arm", serial=PEN, config_generation=g) for g in (1, 2)) + wait(100) + END
    yield "again_too_soon", running(900) + END + say("cartridge insert") + wait(400) + ask("session_check", serial=PEN, plan=plan()) + ask("session_begin", serial=PEN, plan=plan()) + wait(300) + ask("session_list", subject="K-1", before=9)
    yield "same_cartridge", running(900) + END + ask("session_begin", serial=PEN, plan=mnc.Plan(subject="K-2", step=plan().step, answer=plan().answer, numbing_min=60)) + wait(300)
    yield "fault", running() + say("inject 1401") + wait(600) + ask("records_read", serial=PEN, kind=[2], priorities="HML") + call(mnp.TYPE_FAULT_CLEAR, mnp.FaultClear(service=True)) + say("clear all") + wait(500) + call(mnp.TYPE_FAULT_CLEAR, mnp.FaultClear(service=True)) + END + b"".join(ask("flight_get", record=place(p), offset=0) for p in range(1, 16))
    yield "no_journal", step(JOURNAL, b"\0") + b"".join(ask(name) for name in ("records_read", "records_exported", "flight_get", "journal_verify", "journal_backup", "session_list", "adverse_event")) + begun() + ask("session_check", plan=plan())
    yield "flight", running() + say("inject 1101") + wait(2500) + END + b"".join(ask("flight_get", record=place(p), offset=o) for p in range(1, 16) for o in (0, 1000, 2**31)) + ask("flight_get", record=mnc.Cursor(journal=1, position=4))
    yield "looked_at_meanwhile", running() + ask("session_list", ASK_B) + ask("session_list", ASK_B, subject="K-1") + ask("session_list", ASK_B, number=1) + ask("adverse_event", ASK_B, session=1, what=99) + ask("adverse_event", ASK_B, session=9, what=1) + END + ask("session_begin", serial=PEN, plan=plan((11,))) + wait(300) + ask("session_list")
    yield "two_copies", ask("journal_backup", offset=0) + ask("journal_backup", ASK_B, offset=0) + ask("journal_backup", offset=2**63) + ask("journal_backup", ASK_B, offset=5) + step(CALL_A) + step(CALL_B)
    yield "waiting", b"".join(ask("records_read", wait=True) for _ in range(20)) + step(CALL_B) + ask("records_read", ASK_B, wait=True, priorities="H") + say("inject 1301") + wait(300) + ask("records_read", wait=True) + step(CALL_A)
    yield "unplugged", running() + say("unplug 0.5") + wait(2000) + END
    yield "power_cycled", running() + say("power-cycle") + wait(2000) + END
    yield "hung_up", running() + step(CALL_A) + wait(1000) + lease(mnc.LEASE_TAKE) + END
    yield "journal_gone", running() + step(JOURNAL, b"\0") + wait(600) + step(JOURNAL, b"\1") + wait(600) + END
    yield "taken_over", armed() + lease(mnc.LEASE_TAKE, ASK_B) + lease(mnc.LEASE_TAKE_OVER, ASK_B) + wait(300) + ask("session_end", ASK_B, serial=PEN) + wait(300)
    yield "handed_over", lease(mnc.LEASE_TAKE) + lease(mnc.LEASE_REQUEST, ASK_B, wait_ms=3000) + wait(100) + lease(mnc.LEASE_GIVE) + lease(mnc.LEASE_REQUEST, wait_ms=500) + wait(1000) + lease(mnc.LEASE_RELEASE, ASK_B)
    yield "silent", running() + step(SILENT, b"\1") + wait(3000) + step(SILENT, b"\0") + END
    yield "numbed", armed(numbing_min=1, numbing_waiver="it is only a test") + END
    yield "records", running(900) + END + b"".join(ask("records_read", after=mnc.Cursor(journal=j, position=0), serial=s, kind=k, priorities=p) for j in (0, JOURNAL_ID) for s, k, p in (("", [], ""), (PEN, [], ""), (PEN, [4], ""), ("", [2], "HM"), ("OTHER", [1, 2, 3, 4], "L"))) + b"".join(ask("records_read", wait=True, after=place(1000)) for _ in range(6)) + ask("records_read", ASK_B, wait=True, after=place(1000)) + ask("records_read", since_us=1, until_us=2**60) + ask("records_read", ASK_B, wait=True, serial="OTHER", after=place(1000)) + say("inject 1301") + wait(300) + say("inject 1302") + step(CALL_A) + wait(300) + ask("journal_verify") + b"".join(ask("journal_backup", offset=o) for o in (0, 32768, 65536, 131072, 2**63)) + ask("records_exported", through=place(2)) + ask("records_exported") + ask("flight_get") + ask("journal_backup", offset=0) + step(CALL_A) + wait(50)
    yield "streaming", ask("subscribe", serial=PEN, telemetry=True) + ask("subscribe", ASK_B, serial="", telemetry=True, decimation=10, latency_max_ms=5) + ask("monitor", ASK_B, on=True) + wait(300) + ask("monitor", ASK_B, on=False) + ask("list")
    yield "factory", lease(mnc.LEASE_TAKE) + b"".join(call(t, m) for t, m in ((mnp.TYPE_FACTORY_GET, None), (mnp.TYPE_FACTORY_ENTER, mnp.FactoryEnter()), (mnp.TYPE_FACTORY_ARM, mnp.FactoryArm(config_generation=1)), (mnp.TYPE_FACTORY_WRITE, mnp.Factory(udi="U")), (mnp.TYPE_FACTORY_LEAVE, mnp.FactoryLeave(for_good=True)))) + ask("factory_provoke", serial=PEN, quiet_ms=600) + ask("factory_provoke", serial=PEN, raw=b"MN" * 20) + wait(900)
    yield "calls", lease(mnc.LEASE_TAKE) + b"".join(call(t) for t in range(1, 36)) + call(mnp.TYPE_CONFIG_SET, mnp.ConfigSet(config=mnp.Config(depth_um=9999))) + call(mnp.TYPE_ECHO) + wait(500)
    yield "bad_cable", say("link drop=0.2 corrupt=0.1 duplicate=0.1") + running() + END
    yield "hangs", running() + say("hang") + wait(1000) + END
    yield "packets", step(PACKET, b"\x81MN") + step(PACKET, b"\xf1\0") + step(PACKET, b"\xf1\1FUZZ") + wait(300) + step(PACKET, b"\xf2\x81") + step(PACKET, b"\xf0ok") + step(PACKET, b"\0\1") + step(PACKET, b"\x82" + bytes(32)) + wait(300)
    yield "another_pen", step(PACKET, b"\xf1\0") + step(PACKET, b"\xf1\1ELSE") + wait(400)
    yield "simulate", ask("simulate", serial=PEN, command="truth") + ask("simulate", serial="NONE", command="truth") + wait(50)
    yield "restarted", running() + step(RESTART) + ask("session_list") + lease(mnc.LEASE_TAKE) + END + ask("session_list")
    yield "link_dropped", running() + step(PACKET) + wait(1500) + END
    yield "deaf", lease(mnc.LEASE_TAKE) + ask("watch", on=True) + ask("monitor", ASK_B, on=True) + step(SILENT, b"\2") + (ask("policy_get", text="limits:\n  - {name: depth_limit, value: 1200}\n" * 20) + ask("list") * 3) * 12 + wait(1000) + step(SILENT, b"\0") + wait(200)
    yield "flood", step(WRITE_A, b"".join(struct.pack("<I", len(m)) + m for m in (mnc.ClientMessage(id=i, list=mnc.List()).SerializeToString() for i in range(1, 400)))) + wait(100) + ask("list", ASK_B) + wait(200)
    yield "cartridges", b"".join(say("cartridge " + what) + wait(400) + ask("session_check", serial=PEN, plan=plan()) for what in ("remove", "insert needles=12 max_depth_um=300", "blank", "used", "expired", "foreign"))
    yield "refused", ask("session_begin", serial="@sim-1", plan=plan()) + ask("session_begin", serial="NONE", plan=plan()) + ask("session_begin", serial=PEN, plan=plan()) + begun() + ask("session_begin", serial=PEN, plan=plan()) + ask("session_select", serial=PEN, zone=3) + ask("session_arm", serial=PEN, config_generation=77) + ask("session_arm", ASK_B, serial=PEN, config_generation=1) + ask("session_end", ASK_B, serial=PEN) + ask("session_arm", serial="NONE") + ask("session_end", serial="NONE") + call(mnp.TYPE_CONFIG_SET, mnp.ConfigSet(config=mnp.Config(depth_um=700))) + ask("session_arm", serial=PEN, config_generation=1) + ask("session_arm", serial=PEN, config_generation=2) + say("unplug") + wait(100) + ask("session_arm", serial=PEN, config_generation=2) + ask("session_end", serial=PEN) + wait(4000)
    yield "armed_by_itself", lease(mnc.LEASE_TAKE) + call(mnp.TYPE_ARM, mnp.Arm(config_generation=0, zone=8, treatment=5)) + call(mnp.TYPE_ARM, mnp.Arm(config_generation=0, zone=8, treatment=5), ASK_B) + wait(300)
    yield "stop_all", running() + ask("call", ASK_B, pen_type=mnp.TYPE_STOP) + wait(500) + END
    yield "too_deep", begun() + END + lease(mnc.LEASE_TAKE) + ask("session_check", plan=mnc.Plan(subject="K", step=[mnc.PlanStep(zone=5, depth_um=2500, stroke_rate_dhz=1000)]))
    yield "many_pens", b"".join(step(PACKET, b"\xf1\0") + step(PACKET, b"\xf1\1" + name) + wait(300) for name in (b"", b"A" * 40, b"\x1b[31m", b"@x", b"\xff\xfe"))
    for what in (0, 1):
        for n in (1, 2, 3, 5, 9, 20):
            yield f"fails_{what}_{n}", step(FAIL, struct.pack("<BHB", what, n, n)) + running(300) + END + ask("session_list") + ask("records_read", after=place(0)) + ask("journal_backup", offset=0)
            yield f"fails_{what}_{n}_later", running(300) + step(FAIL, struct.pack("<BHB", what, n, n + 3)) + END + say("unplug 0.1") + wait(600)
            yield f"fails_{what}_{n}_again", step(FAIL, struct.pack("<BHB", what, n, 2)) + step(CALL_A) + step(PACKET) + step(JOURNAL, b"\1") + wait(300)
    yield "policy", ask("policy_get") + ask("policy_get", text="name: X\nlimits:\n  - {name: depth_limit, value: 1200}\nscreening:\n  - {item: NSAID, hours: 168, decision: BLOCK}\n") + ask("policy_get", text="zones:\n  - {zone: NOSE, cap_um: 99999}\n")
    for name, pen_type, payload in pen_messages():
        yield "made_up_" + name, step(PAYLOAD, struct.pack("<H", pen_type) + payload) + call(pen_type & 0x3FFF) + wait(200)
        yield "doubled_" + name, step(PAYLOAD, struct.pack("<H", pen_type) + payload + payload) + call(pen_type & 0x3FFF) + wait(200)
        yield "flipped_" + name, call(mnp.TYPE_STATUS) + step(FLIP, struct.pack("<HB", 3, 0x55)) + wait(200)
    for f in mnc.ClientMessage.DESCRIPTOR.fields:
        if f.message_type is not None:
            full = fill(getattr(mnc, f.message_type.name)(), known={"serial": PEN, "session": 1, "zone": 8, "raw": b"MN"})
            yield "request_" + f.name, step(ASK_A, body(mnc.ClientMessage, f.name, full)) + wait(50)


for name, script in chain_scripts():
    keep("chain", name, script)

# ---- calls of the library, each with its answer ----

with open(os.path.join(TOP, "tests/fuzz/fuzz_library.c")) as source:
    CALLS = re.findall(r"^    X\((.*?)\)\s*\\?$", source.read(), re.M)


def turn(number, data):
    return struct.pack("<BH", number, len(data)) + data


def server_bodies():
    known = {"kind": 4, "record": RECORDS[3], "batch": [batch()], "decision": 2, "code": 9}
    for f in mnc.ServerMessage.DESCRIPTOR.fields:
        if f.message_type is None:
            continue
        message = getattr(mnc, f.message_type.name)()
        if f.name == "call":
            for name, pen_type, payload in pen_messages():
                yield "call_" + name, body(mnc.ServerMessage, "call", mnc.CallReply(pen_type=pen_type, payload=payload))
        elif f.name == "records":
            rows = [mnc.JournalRecord(position=i, serial=PEN, volume=1, kind=i, host_us=5, host_bound_us=3, record=r) for i, r in enumerate(RECORDS, 1)]
            rows += [mnc.JournalRecord(position=9, serial=PEN, volume=1, kind=k, host_us=5, note=fill(mnc.Note())) for k in range(32, 41)]
            yield "records", body(mnc.ServerMessage, "records", mnc.RecordsReply(next=mnc.Cursor(journal=1, position=20), end=True, missed=1, record=rows))
        elif f.name == "telemetry":
            yield "telemetry", body(mnc.ServerMessage, "telemetry", mnc.Telemetry(pen_id=1, serial=PEN, batch=batch(), decimation=1)) * 1
        elif f.name == "flight":
            yield "flight", body(mnc.ServerMessage, "flight", mnc.FlightReply(offset=100, total=100, batch=[batch(), batch()]))
        elif f.name == "error":
            for code in mnc.ErrorCode.values():
                yield f"error_{code}", body(mnc.ServerMessage, "error", mnc.Error(code=code, text="no: 9 it is not to be"))
        else:
            yield f.name, body(mnc.ServerMessage, f.name, fill(message, known=known if f.name != "traffic" else {}))
    for kind, data in went_by():
        yield f"traffic_{kind}_{len(data)}", body(mnc.ServerMessage, "traffic", mnc.Traffic(number=1, time_us=5, kind=kind, name=PEN, pid=7, data=data))


def went_by():
    """What passes a monitor: its kind and its bytes."""
    yield mnc.TRAFFIC_CONTROL, b"\1"
    yield mnc.TRAFFIC_INTERRUPT_IN, status(5, 1, 9, 3, 4, 1)
    yield mnc.TRAFFIC_BULK_OUT, frame(mnp.TYPE_CONFIG_SET, fill(mnp.ConfigSet()).SerializeToString())
    yield mnc.TRAFFIC_BULK_IN, b"".join(frame(t, payload) for _, t, payload in pen_messages() if len(payload) < 60)
    yield mnc.TRAFFIC_BULK_IN, frame(mnp.TYPE_TELEMETRY, batch())
    yield mnc.TRAFFIC_BULK_IN, b"MN" + bytes(30)
    for f in mnc.ClientMessage.DESCRIPTOR.fields[1:]:
        yield mnc.TRAFFIC_TO_DAEMON, body(mnc.ClientMessage, f.name, fill(getattr(mnc, f.message_type.name)()))
    yield mnc.TRAFFIC_TO_PROGRAM, body(mnc.ServerMessage, "pens", fill(mnc.PenList()))
    yield mnc.TRAFFIC_TO_PROGRAM, body(mnc.ServerMessage, "journal_backup", fill(mnc.JournalBackupReply()))


BODIES = dict(server_bodies())
SUITS = {"pens": ["pens"], "pen": ["call_INFO", "call_STATUS"], "status": ["call_STATUS"], "config": ["call_CONFIG_GET"], "stop": ["call_STOP"], "self_test": ["call_SELF_TEST"], "faults": ["call_FAULT_CLEAR"], "policy": ["policy"], "session": ["session", "sessions"], "records": ["records"], "flight": ["flight"], "verify": ["journal_verify"], "backup": ["journal_backup"], "factory": ["call_FACTORY_GET", "call_FACTORY_ENTER", "call_FACTORY_ARM", "call_FACTORY_WRITE"], "daemon": ["daemon_info"], "simulate": ["simulate"], "list": ["pens"]}
for number, text in enumerate(CALLS):
    answers = [b for word, names in SUITS.items() if word in text for b in names] or ["done", "call_STOP"]
    for answer in answers + ["done", "error_9", "call_ERROR_6", "progress"]:
        keep("library", f"{number:02}_{answer}", b"\0" + turn(number, BODIES[answer]) + turn(number, BODIES["done"]))
for name, data in BODIES.items():
    keep("library", "event_" + name, b"\1" + turn(200, data) + turn(200, data))
for number in (17, 18):
    keep("library", f"{number}_refused", b"\0" + turn(number, body(mnc.ServerMessage, "session", mnc.SessionReply(finding=[fill(mnc.Finding()), mnc.Finding(decision=3, code=2001, name="NOSE", text="no")]))) + turn(number, body(mnc.ServerMessage, "session", mnc.SessionReply())))
for name in [n for n in BODIES if n.startswith(("error_", "call_ERROR"))]:
    keep("library", "answer_" + name, b"\0" + turn(6, BODIES[name]) + turn(17, BODIES[name]))
keep("library", "all", b"\1" + b"".join(turn(number, b"") for number in range(len(CALLS))))
keep("library", "raw", b"\1" + turn(255, b"\5\0\0\0abc"))

# ---- what a fixture says ----

def pieces(*texts):
    return b"\0" + b"".join(bytes([len(t)]) + t for t in texts)


keep("fixture", "answers", pieces(b'{"operation": "read", "strokes": 12', b'.5}\n', b'{}\n{"error": "no pen"}\n', b"nonsense\n"))
keep("fixture", "late", pieces(b"", b'{"a": [1, {"b": null}]}\n') * 2)
keep("fixture", "simulation", b"\1ok: strokes=12 heartbeat_ms=1.5 moved_ms=3 serial=AB-1")

# ---- a pen's own messages, and a plan ----

for name, pen_type, payload in pen_messages():
    types = [0x40, 0x41, 0x800B, 0x8001, 0xC00B, 0x8003, 0xFFFF, 0x0001]
    if pen_type in types:
        keep("daemon", name, bytes([1, types.index(pen_type), len(payload) & 255, len(payload) >> 8]) + payload)
keep("daemon", "plan", b"p" + plan().SerializeToString())
