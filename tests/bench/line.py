#!/usr/bin/python3
"""The factory line's throughput: the plan that ships, with simulated pens, at 1, 8 and 32 slots. A line of JSON for each: seconds from start to end, per pen, and
the processor time of mn-factory, mnd and the simulation. Usage: line.py BIN"""
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

BIN = os.path.abspath(sys.argv[1])


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


for pens in (1, 8, 32):
    folder = tempfile.mkdtemp()
    env = dict(os.environ, MN_SOCKET=f"{folder}/mnd.sock")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    mnd = subprocess.Popen([f"{BIN}/mnd", "--no-usb", "--socket", env["MN_SOCKET"], "--sim-socket", f"{folder}/sim"], **quiet)
    stub = subprocess.Popen([f"{BIN}/penstub", "--connect", f"{folder}/sim", "--pens", str(pens), "--fresh"], **quiet)
    time.sleep(2)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    code = subprocess.run([f"{BIN}/mn-factory", "run", "mn-1", "--slots", str(pens), "--commit", "--out", f"{folder}/out", "--database", f"{folder}/db"], env=env, **quiet).returncode
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    steps = {}
    for name in os.listdir(f"{folder}/out"):
        if name.endswith(".json"):
            for step in json.load(open(f"{folder}/out/{name}"))["steps"]:
                steps.setdefault(step["name"], []).append(sum(a["seconds"] for a in step["attempts"]))
    longest = sorted(((sum(v) / len(v), k) for k, v in steps.items()), reverse=True)[:5]
    print(json.dumps({"bench": "line", "of": {"slots": pens}, "passed": int(code == 0), "seconds": round(seconds, 1), "seconds_per_pen": round(seconds / pens, 2),
                      "cpu_factory_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2), "cpu_mnd_s": cpu_s(mnd.pid), "cpu_pens_s": cpu_s(stub.pid),
                      **{f"{k}_s": round(v, 1) for v, k in longest}}), flush=True)
    for p in (stub, mnd):
        p.terminate()
        p.wait()
    shutil.rmtree(folder)
