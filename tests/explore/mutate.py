#!/usr/bin/python3
"""Does a mistake in what keeps a patient safe show? Mistakes are put into the code by rule, one at a time: every comparison, every "and" and "or", every
"not", every constant of a limit, every statement that is a call, every returned truth, in the files below. Each must make a test fail.

usage: mutate.py BUILD [--every N] [--from N] [--files NAME[,NAME...]] [--list] [--limit SECONDS]
  BUILD     a release build: its generated headers and libraries are used
  --every N every N-th mutant of each file [1]; --from K: the K-th first
  --files   only these, by a part of their names
  --list    says which there are, and runs none

It prints what was noticed, file by file, with the survivors, and one line of TAP: at the most 3 % may survive. Survivors that change nothing are named in tests/explore/equivalent.txt, with the reason."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORE, DAEMON = "firmware-stub/core", "daemon"
SURVIVORS_MAX = 0.03  # of those that were tried, in all
# The files, and the tests that must notice: unit programs, each built of the sources and libraries behind it.
FIRMWARE = ["cartridge.c", "command.c", "command_factory.c", "detect.c", "factory.c", "faults.c", "link.c", "motor.c", "nvm.c", "pen.c", "pen_records.c", "pen_status.c", "records.c", "settings.c", "used.c"]
TREATMENT = ["control/lease.c", "treatment/treatment.c", "policy/policy.c", "treatment/plan.c", "journal/past.c", "treatment/history.c"]
WORDS = {"core": ["tests/unit/core_words.c"], "core_requests": ["tests/unit/core_words.c"], "running": ["tests/unit/treated.c"], "arming": ["tests/unit/treated.c"], "past": ["tests/unit/past_words.c"], "past_kept": ["tests/unit/past_words.c"]}
OWN = {"factory.c": ["calibration"], "records.c": ["nvm"], "settings.c": ["nvm"], "pen.c": [], "pen_records.c": [], "pen_status.c": [], "command.c": ["requests"], "command_factory.c": ["factory"], "treatment.c": ["treatment", "outcome"]}  # others: of their name
RIG = ["pen", "pen_tells", "core", "core_requests", "running", "arming", "faults", "factory"]  # the whole firmware
JOURNAL = ["past", "past_kept", "history", "lists"]  # on a journal
SEQUENCED = ["control/control.c", "treatment/sessions.c", "treatment/admission.c", "treatment/checks.c", "treatment/steering.c"]  # by sequences of events on the whole daemon; a long list of which these are to see what may move, not what is said
WRAPPED = re.findall(r"\w+", re.search(r"foreach\(call (.*) \$\{MN_FAILING\}\)", open(os.path.join(TOP, "tests/CMakeLists.txt")).read())[1]) + re.findall(
    r"\w+", re.search(r"set\(MN_FAILING ([^)]*)\)", open(os.path.join(TOP, "tests/CMakeLists.txt")).read())[1])
DECISIONS = ["lease", "outcome", "plan", "policy", "treatment"]  # pure
EXPLORATION = ["explore", "firmware", "firmware_state", "treatments", "test_explore"]
UNITS = RIG + JOURNAL + DECISIONS + ["calibration", "cartridge", "detect", "faults", "link", "motor", "nvm", "requests", "used"]
ROOMS = ["base", "link", "journal", "telemetry", "pen", "hub", "client", "control", "policy", "treatment", "server"]
ROOM_LIBRARIES = [f"daemon/libmnd_{r}.a" for r in ROOMS] + ["daemon/libmnd_config.a"]
EXPLORED = ["control/lease.c", "treatment/treatment.c", "policy/policy.c"]  # and the exploration of leases and sessions is for these


def option(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def code_of(line):
    """The line without its comment and with its strings and preprocessor lines blanked, of the same length."""
    if line.lstrip().startswith(("#", "*", "/*", "//")):
        return " " * len(line)
    line = re.sub(r"/\*.*?(\*/|$)|//.*$", lambda m: " " * len(m.group()), line)
    return re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', lambda m: " " * len(m.group()), line)


COMPARISONS = {"==": ["!="], "!=": ["=="], "<=": ["<", ">"], ">=": [">", "<"], "<": ["<=", ">="], ">": [">=", "<="]}


def mutants_of(path):
    """(line number, column, old, new) by rule, in the order of the text."""
    with open(os.path.join(TOP, path)) as source:
        lines = source.read().split("\n")
    comment = asserted = False
    for number, line in enumerate(lines):
        if asserted or line.lstrip().startswith("static_assert("):  # nothing of it runs
            asserted = not line.endswith(";")
            continue
        if comment or (line.lstrip().startswith("/*") and "*/" not in line):
            comment = "*/" not in line
            continue
        code = code_of(line)
        tie = re.search(r"(\S+) ([<>]) (\S+) \? (\S+) : (\S+);", code)  # the greater, or the less, of two: where they are equal it is the same
        for m in re.finditer(r"==|!=|<=|>=|(?<![<\-])<(?![<=])|(?<![>\-])>(?![>=])", code):
            if m.group() in "<>" and "#include" in line:
                continue
            for new in COMPARISONS[m.group()]:
                if tie and m.start() == tie.start(2) and new[0] == m.group() and {tie[1], tie[3]} == {tie[4], tie[5]}:
                    continue
                yield number, m.start(), m.group(), new
        for m in re.finditer(r"&&|\|\|", code):
            yield number, m.start(), m.group(), "||" if m.group() == "&&" else "&&"
        for m in re.finditer(r"(?<![\w=])!(?=[\w(])", code):
            yield number, m.start(), "!", ""
        for m in re.finditer(r"\breturn (true|false);", code):
            yield number, m.start(1), m.group(1), "false" if m.group(1) == "true" else "true"
        for m in re.finditer(r"^    [A-Z][A-Z0-9_]+ = (\d+),", code):
            yield number, m.start(1), m.group(1), str(int(m.group(1)) * 2 + 1)
        m = re.match(r"^\s+([a-z_]+\([^;]*\);)\s*$", code)
        if m and not re.match(r"(return|if|for|while|switch|sizeof|assert|static_assert|va_end)\b", m.group(1)) and "=" not in m.group(1).split("(")[0]:
            yield number, m.start(1), line[m.start(1):m.start(1) + len(m.group(1))], ";"
        m = re.match(r"^\s+(?:[\w>.\-\[\]]+) (\|=|&=|\+=|-=)", code)
        if m:
            yield number, m.start(1), m.group(1), {"|=": "&=", "&=": "|=", "+=": "-=", "-=": "+="}[m.group(1)]


NO_MISTAKE = (0, 0, "", "")


def apply(path, mutant, out):
    number, column, old, new = mutant
    with open(os.path.join(TOP, path)) as source:
        lines = source.read().split("\n")
    line = lines[number]
    assert line[column:column + len(old)] == old, (path, mutant, line)
    lines[number] = line[:column] + new + line[column + len(old):]
    with open(out, "w") as f:
        f.write("\n".join(lines))


class Bench:
    """The sources compiled once; a mutant is one object more, linked into each test."""

    def __init__(self, build, work):
        self.build, self.work = os.path.abspath(build), work
        packages = subprocess.run(["pkg-config", "--cflags", "libsystemd", "libusb-1.0"], capture_output=True, text=True).stdout.split()
        self.flags = ["-O1", "-g0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-w", "-std=gnu17", "-D_GNU_SOURCE", f'-DMN_SOURCE_DIR="{TOP}"', "-DMN_USB_VID=0x1209", "-DMN_USB_PID=0x0001",
                      "-I" + os.path.join(self.build, "generated"), *packages]
        self.objects = {}

    def folders(self, path):
        """Where the includes of a file are: the firmware and the rooms of the daemon have headers of the same names."""
        tests, firmware = ["proto", "common", "tests/unit", "tests/explore", "tests/chain"], [CORE, "firmware-stub/port"]
        doors = [os.path.join(self.build, "doors", r) for r in ROOMS]
        if path.startswith("daemon/"):
            return [os.path.dirname(path), *doors, *tests]
        if os.path.basename(path) in [f"test_{t}.c" for t in JOURNAL + DECISIONS] + ["visits.c", "past_words.c"]:
            return ["daemon/control", "daemon/treatment", "daemon/journal", *doors, *tests]
        return [*firmware, "daemon/control", "daemon/treatment", *doors, *tests]

    def compile(self, path, source, out):
        """path is that of the original, if source is a mutant of it."""
        return subprocess.run(["gcc", *["-I" + os.path.join(TOP, d) for d in self.folders(path)], *self.flags, "-c", source, "-o", out], capture_output=True, text=True)

    def prepare(self):
        sources = [f"{CORE}/{f}" for f in sorted(os.listdir(os.path.join(TOP, CORE))) if f.endswith(".c")] + ["firmware-stub/port/vpen.c", "firmware-stub/port/line.c", "tests/unit/rig.c", "tests/unit/memory.c", "tests/unit/core_words.c", "tests/unit/treated.c", "tests/unit/visits.c", "tests/unit/past_words.c"]
        sources += [f"tests/unit/test_{t}.c" for t in UNITS] + [f"daemon/{f}" for f in TREATMENT] + [f"tests/explore/{f}.c" for f in EXPLORATION] + ["tests/chain/test_sequences.c"]
        for s in sources:
            out = os.path.join(self.work, s.replace("/", "+") + ".o")
            r = self.compile(s, os.path.join(TOP, s), out)
            if r.returncode != 0:
                sys.exit(r.stderr)
            self.objects[s] = out

    def links(self, path, mutated, folder):
        """The tests of a file, as commands to link and programs to run."""
        firmware = path.startswith(CORE)
        if path.removeprefix("daemon/") in SEQUENCED:
            program = os.path.join(folder, "sequences")
            libraries = [f"{self.build}/{a}" for a in ("tests/libchain.a", "tests/libpen_end.a", "firmware-stub/libvpen.a", "firmware-stub/libpen_core.a", *ROOM_LIBRARIES, "proto/libpen_nanopb.a",
                                                       "proto/libpen_pbc.a", "proto/libclient_pbc.a", "proto/libframe.a", "common/libcommon.a")]
            yield ["gcc", self.objects["tests/chain/test_sequences.c"], mutated, *[f"-Wl,--wrap={w}" for w in WRAPPED], "-Wl,--start-group", *libraries, "-Wl,--end-group", "-lprotobuf-nanopb", "-lprotobuf-c",
                   "-lsqlite3", "-lnettle", "-lsystemd", "-lusb-1.0", "-lyaml", "-lcmocka", "-lm", "-lpthread", "-o", program], [program]
            return
        own = OWN.get(os.path.basename(path), [os.path.basename(path)[:-2]])
        for t in own + [t for t in (RIG if firmware else JOURNAL) if t not in own]:  # its own first: it is likely to notice
            program = os.path.join(folder, t)
            if firmware:
                parts = [o for s, o in self.objects.items() if (s.startswith(CORE) or s.startswith("firmware-stub/port") or s in ("tests/unit/rig.c", "tests/unit/memory.c", *WORDS.get(t, []))) and s != path]
                libraries = [f"{self.build}/proto/libpen_nanopb.a", f"{self.build}/proto/libframe.a", "-lprotobuf-nanopb", "-lnettle", "-lcmocka", "-lm", "-lpthread"]
            else:
                parts = [o for s, o in self.objects.items() if s.startswith(("daemon/", "tests/unit/visits", *WORDS.get(t, []))) and s != path]
                libraries = ["-Wl,--start-group", *[f"{self.build}/{a}" for a in ROOM_LIBRARIES], "-Wl,--end-group", f"{self.build}/proto/libpen_pbc.a", f"{self.build}/proto/libclient_pbc.a", f"{self.build}/proto/libframe.a",
                             f"{self.build}/common/libcommon.a", "-lprotobuf-c", "-lsqlite3", "-lnettle", "-lsystemd", "-lusb-1.0", "-lyaml", "-lcmocka", "-lm", "-lpthread"]
            yield ["gcc", self.objects[f"tests/unit/test_{t}.c"], mutated, *parts, *libraries, *(["-Wl,--wrap=malloc,--wrap=realloc"] if t == "history" else []), "-o", program], [program]
        if path.removeprefix("daemon/") in EXPLORED:
            program = os.path.join(folder, "explore")
            parts = [o for s, o in self.objects.items() if (s.startswith((CORE, "firmware-stub/port", "tests/explore")) or s in [f"daemon/{f}" for f in EXPLORED]) and s != path]
            yield ["gcc", mutated, *parts, f"{self.build}/proto/libpen_nanopb.a", f"{self.build}/proto/libframe.a", "-lprotobuf-nanopb", "-lnettle", "-lcmocka", "-lm", "-lpthread", "-o",
                   program], [program, "*leases*"]

    def killed(self, path, mutant, limit):
        """By what; "" if by nothing, None if it does not compile (which is no mutant)."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            source, mutated = os.path.join(folder, os.path.basename(path)), os.path.join(folder, "mutated.o")
            apply(path, mutant, source)
            if self.compile(path, source, mutated).returncode != 0:
                return None
            for link, program in self.links(path, mutated, folder):
                r = subprocess.run([*link, "-fsanitize=address,undefined"], capture_output=True, text=True)
                if r.returncode != 0:
                    sys.exit(r.stderr)
                try:
                    if subprocess.run(program, capture_output=True, timeout=limit).returncode != 0:
                        return os.path.basename(program[0])
                except subprocess.TimeoutExpired:
                    return os.path.basename(program[0]) + ", in time"
        return ""


def equivalents():
    with open(os.path.join(TOP, "tests/explore/equivalent.txt")) as f:
        return {tuple(line.split(" | ")[:3]) for line in f.read().split("\n") if line.count(" | ") == 3}


def name_of(path, mutant):
    number, column, old, new = mutant
    with open(os.path.join(TOP, path)) as source:
        lines = source.read().split("\n")
    line = lines[number]
    heads = [m[1] for m in (re.match(r"[a-z].*?(\w+)\(", above) for above in lines[:number + 1]) if m]  # the function in which it stands
    return f"{os.path.basename(path)} {heads[-1] if heads else ''}", line.strip(), f"{old} -> {new or 'nothing'}" + (f" ({line[:column].count(old) + 1})" if line.count(old) > 1 else "")


def main():
    every, first, limit = int(option("--every", 1)), int(option("--from", 0)), float(option("--limit", 60))
    wanted = option("--files")
    paths = [f"{CORE}/{f}" for f in FIRMWARE] + [f"{DAEMON}/{f}" for f in TREATMENT + (SEQUENCED if wanted is not None else [])]
    paths = [p for p in paths if wanted is None or any(w in p for w in wanted.split(","))]
    work = tempfile.mkdtemp()
    failed, totals = False, [0, 0, 0, 0]
    try:
        bench = Bench(sys.argv[1], work)
        if "--list" not in sys.argv:
            bench.prepare()
        known = equivalents()
        for i, path in enumerate(paths, 1):
            mutants = list(mutants_of(path))[first::every]
            if "--list" in sys.argv:
                print(len(mutants), path)
                continue
            if (by := bench.killed(path, NO_MISTAKE, limit)) != "":
                sys.exit(f"{by} fails without a mistake in {path}")
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                results = list(pool.map(lambda m: bench.killed(path, m, limit), mutants))
            none = sum(r is None for r in results)
            survivors = [name_of(path, m) for m, r in zip(mutants, results) if r == ""]
            equivalent = [s for s in survivors if s in known]
            survivors = [s for s in survivors if s not in known]
            tried = len(mutants) - none - len(equivalent)
            totals = [a + b for a, b in zip(totals, (tried, tried - len(survivors), len(equivalent), len(survivors)))]
            print(f"# {os.path.basename(path)} ({tried - len(survivors)} of {tried} are noticed, {len(equivalent)} change nothing)", flush=True)
            for s in survivors:
                print("# survives: " + " | ".join(s), flush=True)
        failed = totals[0] > 0 and totals[3] > SURVIVORS_MAX * totals[0]
        print(f"{'not ok' if failed else 'ok'} 1 - explore.mutate\n1..1")
        print("# in all: {} mutants, {} noticed, {} that change nothing, {} survive".format(*totals))
    finally:
        shutil.rmtree(work)
    sys.exit(failed)


main()
