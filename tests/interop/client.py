"""An independent client on the daemon's socket. Usage: client.py SOCKET; speaks TAP."""
import sys
import time

import client_pb2 as mnc
import pen_pb2 as mnp
from mnlink import ERROR, REPLY, Client

n = 0


def ok(name, condition):
    global n
    n += 1
    print(f"{'ok' if condition else 'not ok'} {n} - interop.client.{name}", flush=True)


def call(c, serial, type_, message=None, reply=None):
    m = c.ask(call=mnc.Call(serial=serial, pen_type=type_, payload=message.SerializeToString() if message else b""))
    if m.WhichOneof("body") != "call":
        return m, None
    return m, (mnp.Error if (m.call.pen_type & ERROR) == ERROR else reply).FromString(m.call.payload)


c = Client(sys.argv[1], mnc)
m = c.ask(list=mnc.List())
ok("hello_comes_first", m.error.code == mnc.ERROR_MALFORMED)
m = c.ask(hello=mnc.Hello(major=9, minor=0))
ok("another_major_is_told_both_versions", m.error.code == mnc.ERROR_VERSION and "9.0" in m.error.text and "1.0" in m.error.text)
m = c.ask(hello=mnc.Hello(major=1, minor=7, client_name="interop"))
ok("a_later_minor_is_welcome", m.hello.major == 1)
m = c.ask(watch=mnc.Watch(on=True))
pen = next(p for p in m.pens.pen if p.serial == "SIM-0001")
ok("pens_are_listed", pen.link == mnc.LINK_READY and pen.simulated)

m, config = call(c, "SIM-0001", mnp.TYPE_CONFIG_GET, None, mnp.ConfigState)
ok("configuration_is_read", m.call.pen_type == mnp.TYPE_CONFIG_GET | REPLY and config.config.depth_um == 500)
m, config = call(c, "SIM-0001", mnp.TYPE_CONFIG_SET, mnp.ConfigSet(config=mnp.Config(depth_um=750), expected_generation=config.generation), mnp.ConfigState)
ok("and_written", config.config.depth_um == 750 and config.generation == 1)
m, error = call(c, "SIM-0001", mnp.TYPE_CONFIG_SET, mnp.ConfigSet(config=mnp.Config(depth_um=750), expected_generation=0), mnp.ConfigState)
ok("a_conflict_names_the_generation", error.code == mnp.ERROR_CONFLICT and error.generation == 1)
m, error = call(c, "SIM-0001", mnp.TYPE_CONFIG_SET, mnp.ConfigSet(), mnp.ConfigState)
ok("an_absent_field_is_refused", error.code == mnp.ERROR_MALFORMED)
m, _ = call(c, "SIM-0001", mnp.TYPE_HELLO)
ok("what_is_the_daemons_own_is_not_passed_on", m.error.code == mnc.ERROR_UNSUPPORTED)
m, _ = call(c, "NO-SUCH", mnp.TYPE_INFO)
ok("no_such_pen", m.error.code == mnc.ERROR_NO_PEN)

c.ask(subscribe=mnc.Subscribe(serial="SIM-0001", telemetry=True))
expected, good = None, True
for _ in range(20):
    t = mnp.TelemetryBatch.FromString(c.event("telemetry").telemetry.batch)
    if not t.HasField("fast"):
        continue
    good &= expected is None or t.fast.first_seq == expected
    expected = t.fast.first_seq + t.fast.count
    good &= all(len(column) == t.fast.count for column in (t.fast.depth_um, t.fast.stroke_rate_dhz, t.fast.motor_current_ma,
                                                          t.fast.motor_duty_permille, t.fast.load_permille, t.fast.skin_contact))
ok("telemetry_decodes_and_has_no_hole", good and expected is not None)
m = c.ask(simulate=mnc.Simulate(serial="SIM-0001", command="inject 1401"))
ok("simulation_is_told", m.simulate.answer.startswith("ok"))
numbers = []
for row in c.records(mnc.Cursor(journal=0, position=0)):
    if row.HasField("note"):
        ok("a_journal_begins_with_a_note", row.kind == mnc.JOURNAL_BEGUN and row.position == 1 and row.note.journal != 0)
        continue
    record = mnp.Record.FromString(row.record)
    numbers.append(record.number)
    if record.kind == mnp.RECORD_FAULT:
        break
ok("records_come_in_order_from_the_first", numbers == list(range(1, len(numbers) + 1)))
ok("a_fault_is_a_record", row.kind == mnc.JOURNAL_FAULT and record.fault.code == 1401 and record.fault.raised)
ok("and_has_the_hosts_time_with_its_bound", abs(row.host_us / 1e6 - time.time()) < 5 and 0 < row.host_bound_us < 500000)
event = c.event("pen")
while not event.pen.fault_word:
    event = c.event("pen")
ok("and_an_event_with_the_whole_fault_word", event.pen.fault_word == 1 << 16)
m = c.ask(call=mnc.Call(pen_type=mnp.TYPE_STOP))
ok("stop_of_all_pens", m.WhichOneof("body") == "done")
