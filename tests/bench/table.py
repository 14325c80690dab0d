"""Medians of what the benchmarks printed (JSON objects on standard input, one a line), as tables: table.py RUNS [DOCUMENT]."""
import json
import os
import platform
import statistics
import sys

RUNS, DOCUMENT = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
MARKDOWN = bool(DOCUMENT)
rows = {}
for line in sys.stdin:
    row = json.loads(line)
    key = (row.pop("bench"), json.dumps(row.pop("of"), sort_keys=True))
    rows.setdefault(key, []).append(row)
medians = {}
for (bench, of), found in rows.items():
    medians.setdefault(bench, []).append((json.loads(of), {k: statistics.median(r[k] for r in found if k in r) for k in found[0]}))
out = []


def say(text=""):
    out.append(text)


def table(title, prose, head, body):
    if not body:
        return
    say(("## " if MARKDOWN else "") + title)
    if MARKDOWN:
        say()
    if prose:
        say(prose)
        if MARKDOWN:
            say()
    body = [[str(c) for c in line] for line in body]
    if MARKDOWN:
        say("| " + " | ".join(head) + " |")
        say("|" + "---|" * len(head))
        for line in body:
            say("| " + " | ".join(line) + " |")
    else:
        widths = [max(len(line[i]) for line in [head] + body) for i in range(len(head))]
        for line in [head] + body:
            say("  " + "   ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))))
    say()


def of(bench, **wanted):
    """The figures of the first row of these parameters; None."""
    return next((m for o, m in medians.get(bench, []) if all(o.get(k) == v for k, v in wanted.items())), None)


def ratio(a, b):
    return f"{a / b:.2f}" if b else "-"


def values(bench, name):
    return sorted({o[name] for o, _ in medians.get(bench, []) if name in o})


body = []
for placement in ("free", "split", "one"):
    floor = of("rtt", placement=placement, by="bare relay")
    for o, m in medians.get("rtt", []):
        if o["placement"] == placement and floor:
            body.append([o["by"], placement, f"{m['p50_us']:.1f}", f"{m['p99_us']:.1f}", ratio(m["p50_us"], floor["p50_us"]), f"{m['middle_cpu_us']:.1f}",
                         f"{m['cpu_us']:.1f}" if "cpu_us" in m else "-", ratio(m["cpu_us"], floor["cpu_us"]) if "cpu_us" in m else "-"])
table("Round trip", "64 bytes to a pen and back, 3000 times; CPU of the middle process, and of all three.",
      ["through", "placement", "p50 us", "p99 us", "to relay", "CPU middle us", "CPU all us", "to relay"], body)

body = []
for o, m in sorted(medians.get("fanout", []), key=lambda r: (r[0]["placement"], r[0]["pens"], r[0]["programs"])):
    floor = of("fanout", **{**o, "by": "bare relay"})
    if o["by"] == "mnd" and floor:
        body.append([o["pens"], o["programs"], o["placement"], f"{m['deliveries_per_s']:.0f}", f"{m['cpu_us_per_delivery']:.3f}", f"{floor['cpu_us_per_delivery']:.3f}",
                     ratio(m["cpu_us_per_delivery"], floor["cpu_us_per_delivery"]), f"{m['cpu_ns_per_sample']:.1f}", f"{m['wakeups_per_s']:.0f}",
                     f"{m['reader_wakeups_per_s']:.0f}", f"{m['holes']:.0f}"])
table("Fan-out", "Pens at 1 kHz, 20 batches a second each; CPU of mnd, and of a bare relay that writes the same bytes to as many sockets, one write each.",
      ["pens", "programs", "placement", "deliveries/s", "mnd us each", "relay us each", "ratio", "mnd ns a sample", "wake-ups/s", "readers' wake-ups/s", "samples missed"], body)

body = [[o["what"], o["pens"], o["programs"], f"{m['p50_us']:.0f}", f"{m['p99_us']:.0f}", f"{m['max_us']:.0f}"] for o, m in medians.get("fault", [])]
table("From a fault to a program", "One pen's faults, 200 times, alone and while 32 pens stream to 64 programs: that it has come, and that its record is on disk. The round trips are of the "
      "same program, at the same pace: everything has gone to sleep in between.", ["what", "pens", "programs", "p50 us", "p99 us", "max us"], body)

nobody = of("rude", beside="nobody")
body = [[o["beside"], f"{m['p50_us']:.1f}", f"{m['p99_us']:.1f}", ratio(m["p99_us"], nobody["p99_us"])] for o, m in medians.get("rude", [])]
table("Beside a program that behaves badly", "Round trips of a good program while 8 pens stream to 8 programs.", ["beside", "p50 us", "p99 us", "p99 to nobody's"], body)
body = [[o["through"], f"{m['p50_us']:.0f}", f"{m['p99_us']:.0f}", f"{m['max_us']:.0f}"] for o, m in medians.get("stop", [])]
table("STOP through floods", "Until the pen's answer is there, 1000 times.", ["through", "p50 us", "p99 us", "max us"], body)

body = [[o["what"], f"{m['ns_per_sample']:.2f}", f"{m['bytes_per_sample']:.2f}", f"{m['of_them_fast_group']:.2f}"] for o, m in medians.get("codec", [])]
table("What a fast sample costs", "10 s of a running pen.", ["what", "ns a sample", "bytes a sample", "of them the fast group's"], body)

body = []
for n in values("journal", "at_once"):
    found = {o["what"]: m["records_per_s"] for o, m in medians["journal"] if o["at_once"] == n}
    body.append([n] + [f"{found[w]:.0f}" for w in ("bare fdatasync", "bare SQLite", "the journal")] + [ratio(found["the journal"], found["bare SQLite"])])
table("Records on disk", "A second, waited for so many at once.", ["at once", "bare fdatasync", "bare SQLite", "the journal", "to SQLite"], body)

body = [[o["what"], f"{m['p50_ms']:.2f}", f"{m['max_ms']:.2f}"] for o, m in medians.get("startup", [])]
table("Startup", "From exec to the first program's connection, 20 times.", ["what", "p50 ms", "max ms"], body)
body = [[o["what"], f"{m['kib']:.0f}"] for o, m in medians.get("memory", [])]
table("Memory of mnd", "", ["what", "KiB"], body)

body = []
for n in values("peers", "subscribers"):
    for rate in values("peers", "rate_hz")[::-1]:
        found = {o["by"]: m for o, m in medians["peers"] if o["subscribers"] == n and o["rate_hz"] == rate}
        others = [m for by, m in found.items() if by != "mnd" and m["deliveries_per_s"] > 0]
        for by, m in found.items():
            if not m["deliveries_per_s"]:
                continue  # it has thrown its subscribers out
            if by == "mnd" and others:
                best = min(o["cpu_ns_per_delivery"] for o in others), max(o["deliveries_per_s"] for o in others)
            body.append([by, n, f"{rate} Hz" if rate else "flat out", f"{m['deliveries_per_s']:.0f}", f"{m['delivered_share'] * 100:.0f} %" if rate else "-", f"{m['cpu_percent']:.0f}",
                         f"{m['cpu_ns_per_delivery']:.0f}", ratio(m["cpu_ns_per_delivery"], best[0]) if by == "mnd" and others else "",
                         ratio(m["deliveries_per_s"], best[1]) if by == "mnd" and others else ""])
table("Beside what one would take instead", "32 sources of messages of 256 bytes, all of them to every subscriber; CPU of the broker with all its threads. The last columns: mnd's to the best of the others.",
      ["broker", "subscribers", "rate", "deliveries/s", "delivered", "CPU %", "CPU ns each", "CPU to best", "deliveries to best"], body)

body = [[o["slots"], f"{m['seconds']:.0f}", f"{m['seconds_per_pen']:.1f}", f"{m['cpu_factory_s']:.1f}", f"{m['cpu_mnd_s']:.1f}", f"{m['cpu_pens_s']:.1f}",
         ", ".join(f"{k[:-2]} {v:.0f}" for k, v in m.items() if k[:-2] in ("soak", "faults", "boot", "depth", "battery", "link", "calibrate"))] for o, m in medians.get("line", [])]
table("The factory line", "mn-factory's plan that ships, all slots at once; CPU of the whole run. A run is bound by what its steps wait for (the soak, faults that need a second, three boots): not by the station.",
      ["slots", "s", "s a pen", "CPU s of mn-factory", "of mnd", "of the pens", "longest steps, s"], body)

alone = of("usb", by="libusb alone")
body = [[o["by"], f"{m['mb_per_s']:.1f}", ratio(m["mb_per_s"], alone["mb_per_s"]) if alone else "-"] for o, m in medians.get("usb", [])]
table("USB", "Bulk IN from a pen that floods, in the virtual machine: an emulated processor, of which mnd, the program, the pen and the controller's driver each have their share.",
      ["by", "MB/s", "to libusb alone"], body)

text = "\n".join(out)
if not MARKDOWN:
    print(text, end="")
    sys.exit()
cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
notes = os.path.join(os.path.dirname(__file__), "notes.md")
with open(DOCUMENT, "w") as f:
    f.write(f"""# Performance

Written by `scripts/bench --peers --usb --document docs/performance.md`; run it again to repeat it, on a machine that does nothing else. Medians of {RUNS} runs; {cpu}, {os.cpu_count()}
processors, Linux {platform.release()}, release build. The machine is a virtual one that others use, too: figures mean something beside others of the same table only. Placement:
free is as the kernel likes, split has the measured process on one processor and all else on another, one has all on one processor.

{open(notes).read()}
{text}""")
print(f"{DOCUMENT} is written")
