#!/usr/bin/python3
"""A fixture of a simulated pen that is a USB gadget: JSON on lines in and out, as docs/factory.md has it. Its gauges read the model behind the pen, by
penstub's control socket; its hand on the cable is the gadget's UDC file. MN_GADGETS: a folder with control.N; gadget N has the string serial GADGET-N."""
import json
import os
import socket
import sys

port = sys.argv[1][1:].split("-", 1)[1]  # "@usb-1-4"
number = open(f"/sys/bus/usb/devices/{port}/serial").read().strip().split("-")[1]
udc = f"/sys/kernel/config/usb_gadget/pen{number}/UDC"


def say(line):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(5)
        s.connect(os.environ["MN_GADGETS"] + f"/control.{number}")
        s.send(line.encode())
        answer = s.recv(1024).decode()
    if not answer.startswith("ok"):
        raise RuntimeError(answer)
    words = [w.split("=", 1) for w in answer.split() if "=" in w]
    return {k: float(v) if v.replace(".", "", 1).replace("-", "", 1).isdigit() else v for k, v in words}


def cable(on):
    wanted = f"dummy_udc.{int(number) - 1}" if on else ""
    if open(udc).read().strip() != wanted:
        with open(udc, "w") as f:
            f.write(wanted + "\n")


def gauges():
    g = say("gauges")
    for name, start, end in (("heartbeat_to_rest_ms", g["heartbeat_ms"], g["moved_ms"]), ("cable_to_rest_ms", g["unplugged_ms"], g["moved_ms"]),
                             ("brake_to_cut_ms", g["loaded_ms"], g["cut_ms"]), ("cut_to_rest_ms", g["cut_ms"], g["moved_ms"])):
        g[name] = max(0, end - start)
    return g


def safe():
    for line in ("trigger release", "load 0", "clear all"):
        say(line)
    cable(True)


operations = {
    "hold": lambda q: say("contact 0"), "safe": lambda q: safe(), "mark": lambda q: say("mark"), "read": lambda q: gauges(), "scan": lambda q: say("label"),
    "trigger": lambda q: say("trigger " + ("press" if q["on"] else "release")), "brake": lambda q: say(f"load {q['permille']}"), "cable": lambda q: cable(q["on"]),
    "cartridge": lambda q: say("cartridge " + q["kind"]), "power_cycle": lambda q: say("power-cycle"), "watchdog": lambda q: say("hang"),
    "inject": lambda q: say(f"inject {q['code']}"), "clear": lambda q: say(f"clear {q['code']}"),
}
for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = operations[question["operation"]](question) or {}
    except Exception as e:  # whatever it is, the station is told
        answer = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(answer), flush=True)
