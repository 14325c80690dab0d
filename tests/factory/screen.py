#!/usr/bin/python3
"""mn-factory's live view on terminals of every kind and size, with a pen that fails: what is seen while it works, and what stays at its end. TAP.

usage: screen.py BIN [--show]    --show: the screens as text
"""
import json, os, re, subprocess, sys, tempfile, time

BIN, SHOW = os.path.abspath(sys.argv[1]), "--show" in sys.argv
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, f"{TOP}/tests/integration")
os.environ["PATH"] = BIN + ":" + os.environ["PATH"]
os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
os.environ.pop("NO_COLOR", None)

from terminal import Tap, Terminal  # noqa: E402

tap = Tap("factory_screen")
folder = tempfile.mkdtemp(prefix="mn-screen-")
env = {**os.environ, "MN_SOCKET": folder + "/mnd.sock", "HOME": folder}


def write(name, text, mode=0o644):
    with open(f"{folder}/{name}", "w") as f:
        f.write(text)
    os.chmod(f"{folder}/{name}", mode)


def label_step(name, seconds):
    write(name, f"#!/bin/sh\nread l\nsleep {seconds}\necho '{{\"measurements\": [{{\"name\": \"x\", \"value\": 1}}]}}'\n", 0o755)


def pens():
    return subprocess.run(["mnctl", "list"], env=env, capture_output=True, text=True).stdout.count("READY")


def start(*options, columns=80, rows=24, term="xterm-256color", more={}):
    start.runs += 1
    return Terminal("mn-factory", "run", folder + "/plan.yaml", "--slots", "3", "--out", f"{folder}/out{start.runs}", "--database", "none", *options, columns=columns, rows=rows,
                    env={**env, "TERM": term, **more}, cwd=folder)


start.runs = 0
label_step("printer.sh", 0.7)
write("plan.yaml", "name: Line of three\nlimits: limits.yaml\nfixture: simulated\nphases:\n  - name: one\n    steps:\n      - {step: rails}\n      - {name: printer, program: printer.sh, at_once: 1}\n"
                   "      - {step: battery}\n      - {step: current}\n      - {step: calibrate}\n      - {step: identity}\n")
write("limits.yaml", "name: L\nlimits:\n  - {step: rails, name: vbus_error_pct, min: -3, max: 3}\n  - {step: printer, name: x, max: 1}\n  - {step: battery, name: sag_mv, max: 250}\n"
                     "  - {step: current, name: current_ma, min: 80, max: 250}\n"
                     "  - {step: calibrate, name: depth_gain_pct, min: -8, max: 8}\n  - {step: identity, name: serial, equals: as written}\n")
log = open(folder + "/log", "w")
mnd = subprocess.Popen(["mnd", "--no-usb", "--socket", env["MN_SOCKET"], "--sim-socket", folder + "/sim"], stderr=log)
stub = subprocess.Popen(["penstub", "--connect", folder + "/sim", "--pens", "3", "--fresh", "--defects", "battery_sag"], stderr=log)
end = time.monotonic() + 30
while pens() < 3 and time.monotonic() < end:
    time.sleep(0.1)

try:
    for columns, rows in ((60, 12), (80, 24), (200, 50)):
        t = start(columns=columns, rows=rows)
        waiting = seen = ""
        deadline = time.monotonic() + 60
        while t.is_alive() and time.monotonic() < deadline:
            t.read(0.1)
            now = t.seen()
            if "waits for" in now:
                waiting = now
            if "FAIL" in now and "sag_mv" in now and "Did not pass" not in now:
                seen = now
        code = t.end()
        size = f"{columns}x{rows}"
        tap.ok(f"who_waits_for_whom_on_{size}", re.search(r"printer: waits for sim \d", waiting), waiting or t.seen())
        tap.ok(f"the_verdict_and_its_reason_on_{size}", "FAIL" in seen and re.search(r"battery: sag_mv is \d+", seen), seen or t.seen())
        tap.ok(f"progress_and_what_is_not_written_on_{size}", re.search(r"[#.]{8,} +\d+ %", seen) and "DRY RUN" in seen and re.search(r"fail(ed)? 1  error", seen) and re.search(r"\d+:\d\d left", seen), seen)
        tap.ok(f"each_line_fits_on_{size}", all(len(line) <= columns for line in seen.split("\n")) and len(seen.split("\n")) <= rows, seen)
        last = t.all_lines() if rows > 12 else t.plain()
        tap.ok(f"what_failed_where_stays_on_{size}", code == 1 and "Did not pass:" in last and re.search(r"FAIL +sim 1 +MN26-\d+ +battery: sag_mv is \d+(\.\d+)? mV, at +most 250", re.sub(r"\s+", " ", last)), last)
        if SHOW:
            print(f"\n--- {columns} x {rows}, while it works\n{waiting}\n--- a pen has failed\n{seen}\n--- at its end\n{t.all_lines()}\n")
    bad = []
    for term, columns, rows in (("dumb", 80, 24), ("no-such-terminal", 80, 24), ("", 80, 24), ("xterm", 4, 4), ("xterm", 24, 2), ("xterm", 20, 5), ("xterm", 1, 1), ("xterm", 500, 200), ("vt100", 80, 24)):
        t = start(columns=columns, rows=rows, term=term)
        t.read(1)
        t.resize(max(1, columns // 2), max(1, rows // 2))
        t.read(0.5)
        t.resize(columns, rows)
        code = t.end(60)
        records = len([n for n in os.listdir(f"{folder}/out{start.runs}") if n.endswith(".json")])
        if code != 1 or records != 3:
            bad.append((term, columns, rows, code, records, t.plain()[-400:]))
    tap.ok("every_kind_and_size_of_terminal", not bad, bad)
    t = start(columns=80, rows=24, more={"NO_COLOR": "1"})
    t.end(60)
    tap.ok("without_colour_where_it_is_not_wanted", not re.search(r"\x1b\[[0-9;]*3[1-3]m", t.text), t.text[-300:])
    t = start(columns=80, rows=24)
    t.until(r"\d %", 60)
    t.key("\x13")  # Ctrl-S: the terminal takes nothing any more
    time.sleep(3)
    t.key("\x03")
    end = time.monotonic() + 30
    verdicts = []
    while verdicts != ["ABORTED"] * 3 and time.monotonic() < end:
        time.sleep(0.2)
        verdicts = [json.load(open(f"{folder}/out{start.runs}/{n}"))["verdict"] for n in os.listdir(f"{folder}/out{start.runs}") if n.endswith(".json")]
    tap.ok("ctrl_c_stops_the_needles_whatever_the_terminal_takes", verdicts == ["ABORTED"] * 3, verdicts)
    t.key("\x11")
    tap.ok("and_it_ends_when_it_can_say_so", t.end(60) == 4, t.plain()[-500:])
    write("asks.sh", "#!/bin/sh\nread l\nexec < /dev/tty || exit 9\nread answer\n", 0o755)
    write("plan2.yaml", "name: Asks\nlimits: limits2.yaml\nfixture: simulated\nphases:\n  - name: one\n    steps:\n      - {name: lamp, program: asks.sh, time_limit_s: 20}\n")
    write("limits2.yaml", "name: L\nlimits:\n  - {step: lamp, name: x, max: 1}\n")
    began = time.monotonic()
    t = Terminal("mn-factory", "run", folder + "/plan2.yaml", "--slots", "1", "--out", folder + "/asks", "--database", "none", "--plain", env=env, cwd=folder)
    code = t.end(60)
    tap.ok("a_step_that_asks_a_person_fails_at_once", code == 3 and time.monotonic() - began < 10 and "ERROR" in t.plain(), f"{code}, {time.monotonic() - began:.1f} s: {t.plain()}")
    t = start("--repeat", columns=80, rows=24)
    t.until("put in the next", 60)
    tap.ok("with_repeat_it_says_what_is_next", True)
    t.key("\x03")
    tap.ok("ctrl_c_ends_it_safely", t.end(60) in (1, 4) and "pens are SAFE" in t.plain() or "aborted 0" in t.plain(), t.plain()[-500:])
except (TimeoutError, EOFError) as e:
    tap.ok("goes_on", False, e)
stub.terminate()
stub.wait()
mnd.terminate()
tap.ok("mnd_ends_cleanly", mnd.wait() == 0, open(folder + "/log").read()[-500:])
subprocess.run(["rm", "-rf", folder])
tap.end()
