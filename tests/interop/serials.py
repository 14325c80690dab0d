"""Pens whose serial numbers are none: each is refused in words, called by where it is plugged in, and no two are taken for one. Usage: serials.py MNCTL SIM-SOCKET, MN_SOCKET in the environment; TAP."""
import json
import subprocess
import sys
import time

from pen import Pen, plug_in
from tap import Tap

MNCTL, SIM = sys.argv[1:3]
SERIALS = ["\u00e4\u20ac", "\u00f6\u20ac", "A\tB", "\x1b[31mred", "x" * 33, "@sim-1"]
ok = Tap("interop.serials", 400).ok


def listed():
    return [p for p in json.loads(subprocess.run([MNCTL, "--json", "list"], stdout=subprocess.PIPE, timeout=20).stdout) if p["link"] != "READY"]


pens = [plug_in(Pen(SIM, serial)) for serial in SERIALS]
end = time.monotonic() + 20
while time.monotonic() < end and sum("printable ASCII" in p["last_error"] for p in listed()) < len(SERIALS):
    time.sleep(0.05)
found = listed()
ok("each_is_refused_in_words", len(found) == len(SERIALS) and all("printable ASCII" in p["last_error"] for p in found), found)
ok("and_shown_by_where_it_is", len({p["port"] for p in found}) == len(SERIALS) and not any(p["serial"].strip("?") for p in found if not p["serial"].startswith("@")), found)
ok("and_tried_again", all(p["retry_ms"] > 0 or p["link"] == "OPENING" for p in found), found)
p = subprocess.run([MNCTL, "list"], stdout=subprocess.PIPE, timeout=20)
ok("and_the_terminal_is_told_no_escape", b"\x1b" not in p.stdout and p.stdout.isascii(), p.stdout)
for pen in pens:
    pen.sock.close()
