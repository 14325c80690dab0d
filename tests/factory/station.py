#!/usr/bin/python3
"""What the tests of mn-factory share: a station with simulated pens, plans, records. Of each record the schema is checked."""
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import jsonschema

BIN, SUITE = os.path.abspath(sys.argv[1]), sys.argv[2]
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SCHEMA = json.load(open(f"{TOP}/docs/factory-record.schema.json"))
LIMITS = f"{TOP}/factory/plans/mn-1.limits.yaml"
folder = tempfile.mkdtemp(prefix="mn-factory-")
results = []  # of each test, whether it passed


def ok(name, good, why=""):
    results.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(results)} - factory.{name}", flush=True)
    if not good:
        print("\n".join("# " + line for line in str(why).splitlines()[-40:]), flush=True)


class Station:
    """A daemon with its pens, and runs of mn-factory there."""

    def __init__(self, pens, *stub, fresh=True):
        self.dir = tempfile.mkdtemp(dir=folder)
        self.env = dict(os.environ, MN_SOCKET=f"{self.dir}/mnd.sock")
        log = open(f"{self.dir}/log", "w")
        self.mnd = subprocess.Popen([f"{BIN}/mnd", "--no-usb", "--socket", self.env["MN_SOCKET"], "--sim-socket", f"{self.dir}/sim"], stderr=log)
        self.stub = subprocess.Popen([f"{BIN}/penstub", "--connect", f"{self.dir}/sim", "--pens", str(pens), *(["--fresh"] if fresh else []), "--control",
                                      f"{self.dir}/control", *stub], stderr=log)
        self.runs = 0
        self.database = f"{self.dir}/station.db"
        self.until(lambda: self.mnctl("list").count("READY") == pens)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.mnd.poll() is not None:
            ok("mnd_lives_as_long_as_its_station", False, f"it ended with {self.mnd.returncode}\n{self.log()}")
        for p in (self.stub, self.mnd):
            if p.poll() is None:
                p.terminate()
                p.wait(20)

    def log(self):
        """What mnd has said that is no everyday matter."""
        return "\n".join([line for line in open(f"{self.dir}/log") if not re.search(r": (ready, firmware|gone$)|is controlled by", line)][-30:])

    def until(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.mnctl("list"))
            time.sleep(0.05)

    def mnctl(self, *words):
        return subprocess.run([f"{BIN}/mnctl", *words], env=self.env, capture_output=True, text=True).stdout

    def say(self, slot, line):
        return self.mnctl("--pen", f"@sim-{slot}", "sim", *line.split())

    def start(self, plan, *options, env=None):
        self.runs += 1
        self.out = f"{self.dir}/out{self.runs}"
        return subprocess.Popen([f"{BIN}/mn-factory", "run", plan, "--plain", "--out", self.out, *([] if "--database" in options else ["--database", self.database]), *options],
                                env={**self.env, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, plan, *options, seconds=600, env=None):
        p = self.start(plan, *options, env=env)
        try:
            self.text = p.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            p.kill()
            self.text = p.communicate()[0] + "\nit did not end"
        self.code = p.returncode
        return self.code

    def factory(self, *words):
        return subprocess.run([f"{BIN}/mn-factory", *words, "--database", self.database], env=self.env, capture_output=True, text=True).stdout

    def station(self):
        return json.loads(self.factory("station", "--json"))

    def records(self):
        found = []
        for path in glob.glob(f"{self.out}/*.json"):
            record = json.load(open(path))
            jsonschema.validate(record, SCHEMA)
            found.append(record)
        return sorted(found, key=lambda r: int(r["slot"].split()[1]))


plans = 0


def plan(steps, limits=None, more="", program=None, fixture="simulated"):
    """Writes a plan of these lines; limits: lines of a file of limits, else those that ship."""
    global plans
    plans += 1
    if limits is not None:
        with open(f"{folder}/limits{plans}.yaml", "w") as f:
            f.write("name: test\nlimits:\n" + "".join(f"  - {{{line}}}\n" for line in limits))
    for name, text in (program or {}).items():
        with open(f"{folder}/{name}", "w") as f:
            f.write(text)
        os.chmod(f"{folder}/{name}", 0o755)
    path = f"{folder}/plan{plans}.yaml"
    with open(path, "w") as f:
        f.write(f"name: test {plans}\nlimits: {LIMITS if limits is None else f'limits{plans}.yaml'}\nfixture: {fixture}\nphases:\n  - name: one\n    steps:\n")
        f.write("".join(f"      - {{{line}}}\n" for line in steps) + more)
    return path


def step(record, name):
    return next(s for s in record["steps"] if s["name"] == name)


def verdicts(record):
    return {s["name"]: s["verdict"] for s in record["steps"]}


def sha256(path):
    return hashlib.sha256(open(path, "rb").read()).hexdigest()
