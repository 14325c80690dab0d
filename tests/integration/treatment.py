"""A whole treatment from a terminal, as a practitioner would do it: typed into a real terminal (a pty), with the simulated pen's trigger pressed
and released by hand. Checks what is shown, and what is left behind. TAP.

usage: treatment.py BIN [--transcript FILE]    FILE: docs/treatment.md is made so
"""
import json, os, pty, re, select, shutil, subprocess, sys, tempfile, time

BIN = os.path.abspath(sys.argv[1])
TRANSCRIPT = sys.argv[3] if len(sys.argv) > 3 else None
DIR = tempfile.mkdtemp()
os.environ.update(MN_SOCKET=DIR + "/mnd.sock", PATH=BIN + ":" + os.environ["PATH"], TERM="dumb", NO_COLOR="1", LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
count, failed, shown = 0, 0, []


def ok(name, good, why=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - treatment.{name}")
    if not good:
        print("".join(f"# {line}\n" for line in str(why).splitlines()), end="")
    sys.stdout.flush()


def visible(raw):
    """What a person sees: a line that was written over is seen as it was last."""
    lines = []
    for line in raw.replace("\r\n", "\n").split("\n"):
        parts = [p for p in re.split(r"\r|\x1b\[K", line) if p.strip()]
        lines.append(parts[-1].rstrip() if parts else "")
    return "\n".join(lines)


class Terminal:
    def __init__(self, *words):
        self.raw, self.at = "", 0
        self.words = words
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(words[0], words)

    def until(self, pattern, seconds=20):
        end = time.time() + seconds
        while True:
            m = re.compile(pattern).search(self.raw, self.at)
            if m:
                self.at = m.end()
                return m
            if time.time() > end:
                raise TimeoutError(f"{pattern!r} was not seen; what was: {visible(self.raw[self.at:])}")
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    more = os.read(self.fd, 65536).decode()
                except OSError:
                    more = ""
                if not more:
                    raise EOFError(f"it ended before {pattern!r} was seen: {visible(self.raw[self.at:])}")
                self.raw += more

    def type(self, line):
        os.write(self.fd, (line + "\n").encode())

    def end(self):
        while True:
            try:
                more = os.read(self.fd, 65536).decode()
            except OSError:
                break
            if not more:
                break
            self.raw += more
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        shown.append("$ " + " ".join(self.words) + "\n" + visible(self.raw).strip("\n"))
        return code


def run(*words, show=True):
    p = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if show:
        shown.append("$ " + " ".join(words) + "\n" + p.stdout.strip("\n"))
    return p


def sim(*words):
    run("mnctl", "sim", *words, show=False)


def press(t, seconds):
    t.until(r"ARMED  ")
    sim("trigger", "press")
    t.until(r"RUNNING")
    time.sleep(seconds)
    sim("trigger", "release")
    t.until(r"the trigger was released")


def main():
    answers = {"NSAID": "5d", "shaved": "today", "hyperpigmentation": "yes"}
    t = Terminal("mnctl", "session", "start", "--subject", "K-0042", "--indication", "scars", "--zone", "cheek:1.2mm:120Hz", "--zone", "forehead:0.6mm:100Hz",
                 "--product", "serum")
    t.until(r"Numbing lasts 29 min for 1200 um")
    t.until(r"How many minutes ago was it applied\?")
    t.type("35")
    for i in range(1, 25):
        question = t.until(rf"\b{i}/24 (.*?) \((?:never|yes)[^)]*\) ").group(1)
        if i == 3:
            t.type("last week")  # a person types what she thinks
            t.until(r"how long ago: never, today, 5h, 3d, 2w")
        t.type(next((a for word, a in answers.items() if word in question), "never" if question.startswith("When") else "no"))
    t.until(r"HYPERPIGMENTATION: the key of the clinician who has confirmed it")
    t.type("dr-17")
    t.until(r"CHEEK: 1.20 mm at 120.0 Hz \(configuration \d+\)")
    t.until(r"Arm it\?")
    ok("nothing_is_armed_before_it_was_asked_for", json.loads(run("mnctl", "--json", "list", show=False).stdout)[0]["state"] == "SAFE")
    t.type("yes")
    press(t, 2)
    t.type("")
    press(t, 1)
    t.type("n")
    t.until(r"PAUSED +FOREHEAD")
    t.type("")
    press(t, 1)
    t.type("e")
    t.until(r"mnctl session aftercare 1 prints the card")
    ok("it_ends_well", t.end() == 0)
    ok("the_summary_says_what_was_done", re.search(r"CHEEK +1200 um 120.0 Hz +2 +\d{3}", visible(t.raw)) and re.search(r"FOREHEAD +600 um 100.0 Hz +1 +\d{2,3}", visible(t.raw)),
       visible(t.raw))
    ok("findings_are_shown", all(w in t.raw for w in ("NSAID 120 h ago: WARN", "SHAVED 0 h ago: WARN", "HYPERPIGMENTATION: WARN, confirmed by a clinician")), visible(t.raw))
    card = run("mnctl", "session", "aftercare", "1")
    ok("the_card_has_due_times", card.returncode == 0 and len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d  ", card.stdout)) == 6, card.stdout)
    j = json.loads(run("mnctl", "--json", "session", "aftercare", "1", show=False).stdout)
    due = {r["name"]: (r["due_us"] - j["ended_us"]) // 3600_000_000 for r in j["not_before"]}
    ok("the_times_are_the_sources", due == {"WASH": 4, "MAKE_UP": 48, "EXERCISE": 72, "RETINOID": 168, "NSAID_AGAIN": 168, "SUN": 336}, due)
    page = DIR + "/card.html"
    run("mnctl", "session", "aftercare", "1", "--html", page, show=False)
    html = open(page).read()
    ok("the_page_needs_nothing_else", "@page{size:A5" in html and "http" not in html and html.count("<tr>") == 6, html)
    ok("of_ice_nothing_is_said", not re.search(r"\bice\b", html + card.stdout, re.I))
    s = json.loads(run("mnctl", "--json", "session", "show", "1", show=False).stdout)
    ok("overrides_are_recorded", s["overrides"] == [{"name": "HYPERPIGMENTATION", "reason": "dr-17"}], s["overrides"])
    ok("products_are_recorded", s["products"] == ["SERUM"], s["products"])
    ok("no_answers_are_stored_but_findings", "answer" not in json.dumps(s) and {f["name"] for f in s["findings"]} == {"NSAID", "SHAVED", "HYPERPIGMENTATION"}, s["findings"])
    ok("planned_against_done", "SCARS: 1 of 5 to 6 done" in run("mnctl", "session", "list", "--subject", "K-0042").stdout)
    ok("a_misspelt_event", "did you mean BLEEDING" in run("mnctl", "session", "event", "1", "bleding", show=False).stdout)
    ok("an_adverse_event", "SWELLING is recorded; call a doctor, at once" in run("mnctl", "session", "event", "1", "swelling").stdout)
    ok("stands_with_its_session", "afterwards SWELLING" in run("mnctl", "session", "show", "1").stdout)
    sim("cartridge", "insert")
    time.sleep(0.3)
    run("mnctl", "faults", "clear", show=False)
    plan = DIR + "/plan.yaml"
    text = run("mnctl", "session", "plan", "--subject", "K-0042", "--zone", "cheek:1mm", "--numbed", "40", show=False).stdout.replace('answer: ""', 'answer: "no"')
    open(plan, "w").write(text)
    p = run("mnctl", "session", "check", plan, show=False)
    ok("too_soon_is_refused", p.returncode == 5 and "2002 CHEEK was treated 0 d ago: at least 7 d" in p.stdout and "it would be refused" in p.stdout, p.stdout)
    t = Terminal("mnctl", "session", "start", plan.replace(DIR + "/", DIR + "/"), "--zone", "chin:1mm")
    t.until(r"2002 INTERVAL_TOO_SHORT")
    ok("and_not_begun", t.end() == 5)
    shown.pop()
    open(plan, "w").write(text.replace("CHEEK", "CHIN"))
    t = Terminal("mnctl", "session", "start", plan)
    t.until(r"Arm it\?")
    t.type("no")
    ok("who_says_no_arms_nothing", t.end() == 5 and "not armed; session 2 is open" in t.raw, visible(t.raw))
    shown.pop()
    ok("status_shows_it", re.search(r"session 2 .*PREPARED", run("mnctl", "session", "status", show=False).stdout))
    t = Terminal("mnctl", "session", "resume")
    t.until(r"Arm it\?")
    t.type("yes")
    t.until(r"ARMED  ")
    t.type("x")
    t.until(r"Enter arms again")
    os.write(t.fd, b"\x03")
    ok("ctrl_c_stops_and_leaves_it_open", t.end() == 0 and "stopped; session 2 is open" in t.raw, visible(t.raw))
    shown.pop()
    for _ in range(20): # STOP is answered before the pen's status says so
        state = json.loads(run("mnctl", "--json", "list", show=False).stdout)[0]["state"]
        if state == "SAFE":
            break
        time.sleep(0.05)
    ok("the_pen_is_safe_then", state == "SAFE", state)
    p = run("mnctl", "session", "end", "--aborted", show=False)
    ok("another_one_ends_it", p.returncode == 0 and "ABORTED" in p.stdout, p.stdout)


def write_transcript():
    with open(TRANSCRIPT, "w") as f:
        f.write("# A treatment from a terminal\n\nWhat a practitioner types and sees, with a simulated pen whose trigger was pressed and released meanwhile; a line that is\n"
                "written over is shown as it was last. `tests/integration/treatment.py build/release/bin --transcript docs/treatment.md` writes this page; what\n"
                "the commands do, docs/sessions.md says.\n")
        for block in shown:
            f.write("\n```\n" + block + "\n```\n")


mnd = subprocess.Popen(["mnd", "--no-usb", "--sim", "--socket", os.environ["MN_SOCKET"]], stderr=open(DIR + "/log", "w"))
try:
    while "SAFE" not in run("mnctl", "list", show=False).stdout:
        time.sleep(0.1)
    main()
except (TimeoutError, EOFError) as e:
    ok("goes_on", False, e)
finally:
    mnd.terminate()
    ok("mnd_ends_cleanly", mnd.wait() == 0, open(DIR + "/log").read())
    shutil.rmtree(DIR)
if TRANSCRIPT and not failed:
    write_transcript()
print(f"1..{count}")
sys.exit(failed != 0)
