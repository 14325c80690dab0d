#!/usr/bin/python3
"""A whole treatment from a terminal, as a practitioner would do it: typed by hand, with the simulated pen's trigger pressed and released meanwhile.
Checks what is shown, and what is left behind. TAP.

usage: treatment.py BIN [--pace SECONDS] [--size COLUMNSxROWS] [--transcript FILE]    pace: of thinking at each question; size: of the terminal [100x32];
FILE: docs/treatment.md is made so, at 10 s
"""
import json, os, re, sys, time

BIN = os.path.abspath(sys.argv[1])
os.environ["PATH"] = BIN + ":" + os.environ["PATH"]
os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")

from person import run_for  # noqa: E402
from terminal import Daemon, Tap  # noqa: E402


def option(name, otherwise):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else otherwise


PACE = float(option("--pace", 0))
TRANSCRIPT = option("--transcript", None)
COLUMNS, ROWS = (int(n) for n in option("--size", "100x32").split("x"))
tap = Tap("treatment")
ok = tap.ok
d = Daemon("1")
shown, screens = [], []


def think():
    time.sleep(PACE)


def run(*words, show=True):
    p = d.run(*words)
    if show:
        shown.append("$ " + " ".join(words) + "\n" + p.stdout.strip("\n"))
    return p


def end(t):
    code = t.end()
    shown.append("$ " + " ".join(t.words) + "\n" + t.all_lines().strip("\n"))
    return code


def screen(t, what):
    t.read(0.5)
    screens.append((what, t.columns, t.rows, t.seen()))


def treat():
    """From an empty terminal to the card."""
    answers = {"aspirin": "5d", "shaved": "today", "blood disorder": "yes"}
    t = d.terminal("mnctl", "session", "start", columns=COLUMNS, rows=ROWS)
    for question, answer in (("Subject", "K-0042"), ("Indication", "scars"), ("Zone, depth and stroke rate", "cheek:1.2mm:120Hz"), (r"Another zone\?", "forehead:0.6mm"), (r"Another zone\?", ""),
                             ("It lasts 30 min for 1.20 mm", "35")):
        t.until(question)
        t.until(r"> $")
        think()
        if question.startswith("Zone"):
            screen(t, "The zones, with what is allowed there")
        t.type(answer)
    for i in range(1, 29):
        question = t.until(rf"\b{i} of 28 ([^\n]*)\n").group(1)
        t.until(r"> $")
        think()
        if i == 3:
            t.type("last wek")  # a person types what she thinks
            t.until("no time: write 3h, 5d")
            think()
        t.type(next((a for word, a in answers.items() if word in question), "never" if question.startswith("When") else "no"))
    t.until("BLOOD_DISORDER: who has confirmed")
    think()
    t.type("dr-17")
    t.until("CHEEK, 1.20 mm at 120.0 Hz")
    t.until(r"Arm it\?")
    think()
    screen(t, "The last question: what will be applied")
    ok("nothing_is_armed_before_it_was_asked_for", json.loads(run("mnctl", "--json", "list", show=False).stdout)[0]["state"] == "SAFE")
    t.type("yes")
    t.until("ARMED")
    run_for(d, t, 2)
    think()
    t.key("\n")
    t.until("ARMED")
    run_for(d, t, 1)
    t.key("n")
    t.until("FOREHEAD 0.60 mm")
    think()
    t.key("\n")
    t.until("ARMED")
    run_for(d, t, 1)
    screen(t, "Under way: one line of state, and above it what has happened")
    t.key("e")
    t.until(r"End the session\?")
    think()
    t.key("y")
    t.until("prints the card")
    ok("it_ends_well", end(t) == 0, t.seen())
    wide = COLUMNS >= 90  # a narrower table leaves out the runs and the punctures
    figures = r"{} +(\d+) +(\d+) +\d+\.\d s" if wide else r" *(\d+) +\d+\.\d s"
    rows = [re.search(zone + " Hz +" + figures.format(runs), t.plain()) for zone, runs in (("CHEEK +1.20 mm 120.0", 2), ("FOREHEAD +0.60 mm 100.0", 1))]
    ok("the_summary_says_what_was_done", all(row and int(row[1]) > 0 and (not wide or int(row[2]) == 12 * int(row[1])) for row in rows), t.plain()[-1500:])
    ok("findings_are_shown", all(w in t.plain() for w in ("ASPIRIN_OR_SUPPLEMENT 5 days ago: a warning until", "SHAVED today: a warning until", "BLOOD_DISORDER: confirmed by a clinician")), t.plain()[-3000:])


def left_behind():
    card = run("mnctl", "session", "aftercare")
    ok("the_card_has_due_days", card.returncode == 0 and "Treated: cheek, forehead" in card.stdout and len(re.findall(r"^  \w{3} \d+ \w{3}", card.stdout, re.M)) == 10, card.stdout)
    j = json.loads(run("mnctl", "--json", "session", "aftercare", "1", show=False).stdout)
    due = {r["name"]: (r["due_us"] - j["ended_us"]) // 3600_000_000 for r in j["not_before"]}
    ok("the_times_are_the_sources", due == {"WASH": 4, "SUNSCREEN": 24, "BOTOX_OR_FILLER": 24, "MAKE_UP": 48, "EXERCISE": 72, "SUPPLEMENTS_AGAIN": 72, "EXFOLIANT_AGAIN": 168, "RETINOID": 168, "NSAID_AGAIN": 168,
                                              "SUN": 336}, due)
    page = d.dir + "/card.html"
    run("mnctl", "session", "aftercare", "1", "--html", page, show=False)
    html = open(page).read()
    ok("the_page_needs_nothing_else", "http" not in html and html.count("<tr>") == 10 and html.count("<section") == 2 and html.count('class="urgent"') == 1, html)
    ok("of_ice_nothing_is_said", not re.search(r"\bice\b", html + card.stdout, re.I))
    s = json.loads(run("mnctl", "--json", "session", "show", "1", show=False).stdout)
    ok("overrides_are_recorded", s["overrides"] == [{"name": "BLOOD_DISORDER", "reason": "dr-17"}], s["overrides"])
    rows = json.loads(run("mnctl", "--json", "records", "--overrides", show=False).stdout)
    ok("overrides_are_audited", [(r["code"], r["name"], r["reason"], r["session"], r["subject"]) for r in rows] == [("CONFIRMED", "BLOOD_DISORDER", "dr-17", 1, "K-0042")] and
       rows[0]["by"].startswith("mnctl (pid "), rows)
    text = run("mnctl", "records", "--overrides").stdout
    ok("in_words", "CONFIRMED" in text and "session 1 of K-0042, pen SIM-0001: BLOOD_DISORDER: dr-17 (mnctl (pid " in " ".join(text.split()), text)
    ok("no_answers_are_stored_but_findings", "answer" not in json.dumps(s) and {f["name"] for f in s["findings"]} == {"ASPIRIN_OR_SUPPLEMENT", "SHAVED", "BLOOD_DISORDER", "history", "subject"}, s["findings"])
    ok("it_is_completed", s["end"] == "COMPLETED" and not any(z["broken_off"] for z in s["zones"]), s)
    ok("planned_against_done", "SCARS: 1 of 5 to 6 done" in run("mnctl", "session", "list", "--subject", "K-0042").stdout)
    ok("a_misspelt_event", "did you mean BLEEDING" in run("mnctl", "session", "event", "1", "bleding", show=False).stdout)
    ok("an_adverse_event", "SWELLING is recorded; call a doctor, at once" in run("mnctl", "session", "event", "1", "swelling").stdout)
    uid, lot = s["cartridges"][0]["uid"], s["cartridges"][0]["lot"]
    ok("what_was_used_has_its_uid_and_lot", len(s["cartridges"]) == 1 and s["cartridges"][0]["strokes"] == sum(z["strokes"] for z in s["zones"]) > 0, s["cartridges"])
    p = run("mnctl", "session", "list", "--cartridge", uid, show=False)
    ok("a_recall_by_cartridge", p.returncode == 0 and "K-0042" in p.stdout, p.stdout)
    ok("a_recall_by_lot", "K-0042" in run("mnctl", "session", "list", "--lot", str(lot), show=False).stdout)
    ok("of_another_lot_there_is_none", run("mnctl", "session", "list", "--lot", str(lot + 1), show=False).stdout == "no sessions\n")
    p = run("mnctl", "session", "list", "--cartridge", "12xy", show=False)
    ok("a_misspelt_cartridge", p.returncode == 2 and "up to 16 hexadecimal digits" in p.stdout, p.stdout)
    ok("stands_with_its_session", "afterwards SWELLING" in run("mnctl", "session", "show").stdout)


def once_more():
    d.sim("cartridge", "insert")
    d.clear_faults()
    plan = d.dir + "/plan.yaml"
    text = run("mnctl", "session", "plan", "--subject", "K-0042", "--zone", "cheek:1mm", "--numbed", "40", "--product", "serum", show=False).stdout.replace('answer: ""', 'answer: "no"')
    open(plan, "w").write(text)
    p = run("mnctl", "session", "check", plan, show=False)
    ok("too_soon_is_refused", p.returncode == 5 and re.search(r"2002 CHEEK may be treated again from \w+ \d+ \w+( \d+)?:\s+last \w+ \d+ \w+, in session 1", p.stdout) and "it would be refused" in p.stdout, p.stdout)
    t = d.terminal("mnctl", "session", "start", plan, "--zone", "chin:1mm")
    t.until("2002 CHEEK may be treated again from")
    t.until(r"It would be refused. What now\?")
    t.type("quit")
    ok("and_not_begun", t.end() == 5 and "what was answered is kept" in t.plain(), t.seen())
    open(plan, "w").write(text.replace("CHEEK", "CHIN", 1).replace("zone: CHEEK", "zone: CHIN"))
    t = d.terminal("mnctl", "session", "start", plan)
    t.until(r"Arm it\?")
    t.type("no")
    ok("who_says_no_arms_nothing", t.end() == 5 and "nothing was armed" in t.plain(), t.seen())
    ok("and_begins_nothing", "no session is open" in run("mnctl", "session", "status", show=False).stdout)
    t = d.terminal("mnctl", "session", "start", plan)
    t.until(r"Arm it\?")
    t.type("yes")
    t.until("ARMED")
    t.key("\x03")
    ok("ctrl_c_stops_and_leaves_it_open", t.end() == 0 and "stopped; session 2 is open" in t.plain(), t.seen())
    ok("products_are_recorded", json.loads(run("mnctl", "--json", "session", "show", show=False).stdout)["products"] == ["SERUM"])
    ok("the_pen_is_safe_then", d.wait_until(lambda: json.loads(run("mnctl", "--json", "list", show=False).stdout)[0]["state"] == "SAFE", 2))
    p = run("mnctl", "session", "end", "--aborted", show=False)
    ok("another_one_ends_it", p.returncode == 0 and "ABORTED" in p.stdout, p.stdout)


def write_transcript():
    with open(TRANSCRIPT, "w") as f:
        f.write("# A treatment from a terminal\n\nWhat a practitioner types and sees, at her own pace, with a simulated pen whose trigger was pressed and released meanwhile; behind `>` stands\n"
                "what was typed. `tests/integration/treatment.py build/release/bin --pace 10 --transcript docs/treatment.md` writes this page; what the commands do,\ndocs/sessions.md says.\n")
        for block in shown:
            f.write("\n```\n" + block + "\n```\n")
        f.write("\n## Three screens of it\n")
        for what, columns, rows, text in screens:
            f.write(f"\n{what} ({columns} x {rows}):\n\n```\n{text}\n```\n")


try:
    treat()
    left_behind()
    once_more()
except (TimeoutError, EOFError) as e:
    ok("goes_on", False, e)
code, log = d.end()
ok("mnd_ends_cleanly", code == 0, log)
if TRANSCRIPT and not tap.failed:
    write_transcript()
tap.end()
