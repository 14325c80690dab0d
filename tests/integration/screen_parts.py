"""Parts of dialogue.py: what is on the screen, on a terminal of every kind and size."""
import os, re, subprocess, time

from person import PROMPT, press, run_for, start_now, state
from terminal import Terminal


def screens(d, ok):
    t = start_now(d, "cheek:1.2mm:120Hz", "forehead:0.6mm", columns=100, rows=32)
    run_for(d, t, 1)
    strokes = re.search(r"CHEEK 1.20 mm 120 Hz +(\d+) strokes", t.seen())
    ok("one_line_of_state", sum("CHEEK 1.20 mm 120 Hz" in line for line in t.lines()) == 1 and strokes and int(strokes.group(1)) > 50, t.seen())
    t.key("n")
    t.until("FOREHEAD 0.60 mm")
    t.read(1)
    ok("strokes_are_those_of_the_zone", re.search(r"FOREHEAD 0.60 mm 100 Hz +0 strokes 0:00 +rest \d:\d\d +in all \d{2,} ", t.seen()), t.seen())
    for columns, rows in ((50, 24), (20, 5), (200, 50), (30, 8), (80, 24)):
        t.resize(columns, rows)
        t.screen.reset()
        t.read(0.8)  # it is drawn anew
        t.text, t.at = "", 0
        t.read(2.2)
        last = next((line for line in reversed(t.lines()) if line), "")
        ok(f"resized_to_{columns}x{rows}_it_stays_one_line", "\n" not in t.text and last.startswith("PAUSED") and len(last) <= columns, t.text + t.seen())
    t.key("?")
    t.until("these keys")
    t.key("x")
    t.until("these keys")
    ok("a_wrong_key_tells_the_keys", state(d)["state"] == "SAFE")
    for arrow in ("\x1b[C", "\x1b[1~", "\x1bOP"):  # their last bytes are keys here: c, 1 and p
        t.key(arrow)
        t.until("these keys")
    t.read(0.5)
    ok("an_arrow_is_no_letter", "There is no fault" not in t.plain() and "FOREHEAD 0.60 mm" in t.lines()[[i for i, x in enumerate(t.lines()) if x][-1]], t.seen())
    t.key("Z")
    t.until(r"1 CHEEK +1.20 mm, \d+ strokes in 0:01")
    t.until(r"2 FOREHEAD +0.60 mm, 0 strokes in 0:00, not treated yet")
    t.key("1")
    t.until(r"CHEEK 1.20 mm")
    ok("a_zone_by_its_number", True)
    t.key("\n")
    t.until("ARMED")
    press(d, t)
    t.read(0.5)
    d.sim("load", "1500")
    t.until(r"1101 MOTOR_STALL: motor stalled")
    t.until(r"-> take the needles off the skin")
    ok("a_fault_is_named_with_what_to_do", True)
    d.sim("load", "0")
    d.sim("trigger", "release")
    t.key("\n")
    t.until(r"c\s+clears what can be cleared|fault 1101|not SAFE")
    t.key("c")
    t.until(r"Cleared: 1101 MOTOR_STALL")
    t.key("z")
    t.until("broken off")
    t.key("2")
    t.until("FOREHEAD 0.60 mm")
    t.read(1)
    t.key("\n")
    t.until("ARMED")
    run_for(d, t, 1)
    t.key("e")
    t.until(r"CHEEK was broken off: it is\s+PARTIAL then")
    t.key("y")
    t.until("PARTIAL")
    ok("what_was_broken_off_is_not_completed", t.end() == 0 and re.search(r"CHEEK .* broken off", t.seen()), t.seen())


def terminals(d, ok):
    """Everything that draws, on every kind of terminal."""
    locales = {}
    for name in ("de_DE", "tr_TR"):  # where a comma is the point, and i not the small letter of I
        os.makedirs(d.dir + "/locales", exist_ok=True)
        made = subprocess.run(["localedef", "-i", name, "-f", "UTF-8", f"{d.dir}/locales/{name}.UTF-8"], capture_output=True)
        locales[name] = {"LC_ALL": name + ".UTF-8", "LOCPATH": d.dir + "/locales"} if made.returncode == 0 else None
        if locales[name] is None:
            ok(f"locale_{name}_was_made", False, made.stderr)
            continue
        p = subprocess.run(["mnctl", "config", "set", "SLOW-RATE=5hz", "depth=0.75mm"], env={**d.env, **locales[name]}, capture_output=True, text=True)
        p2 = subprocess.run(["mnctl", "session", "plan", "--zone", "chin:1.5mm", "--indication", "FINE_LINES"], env={**d.env, **locales[name]}, capture_output=True, text=True)
        p3 = subprocess.run(["mnctl", "config", "reset"], env={**d.env, **locales[name]}, capture_output=True, text=True)
        ok(f"words_and_figures_in_{name}", "depth       0.50 mm -> 0.75 mm" in p.stdout and "zone: CHIN, depth: 1.50mm" in p2.stdout and p3.returncode == 0, p.stdout + p.stderr + p2.stdout + p2.stderr)
    kinds = [("xterm-256color", {}), ("dumb", {}), ("no-such-terminal", {}), ("", {}), ("vt100", {}), ("xterm", {"NO_COLOR": "1"}), ("xterm", {"LC_ALL": "C"}), ("xterm", locales["de_DE"] or {}),
             ("xterm", locales["tr_TR"] or {})]
    for columns, rows in ((80, 24), (4, 4), (24, 2), (20, 5), (1, 1), (500, 200)):
        bad = []
        for term, more in kinds:
            t = Terminal("mnctl", "watch", "--seconds", "2", columns=columns, rows=rows, env={**d.env, "TERM": term, **more})
            end = time.monotonic() + 10
            while columns > 7 and "SIM-0001" not in t.text and time.monotonic() < end and t.read(0.05):
                pass  # what is resized has been drawn
            t.read(0.5)
            t.resize(max(1, columns // 2), max(1, rows // 2))
            if t.end() != 0 or ("SIM-0001" not in t.text and columns > 7):
                bad.append((term, more, t.code, t.text[-300:]))
        ok(f"watch_on_{columns}x{rows}", not bad, bad)
    bad = []
    for term, more in kinds:
        t = Terminal("mnctl", "list", env={**d.env, "TERM": term, **more})
        if t.end() != 0 or (("\x1b[" in t.text) != (term in ("xterm-256color", "xterm") and "NO_COLOR" not in more)):
            bad.append((term, more, t.text))
    ok("colour_only_where_it_is_shown", not bad, bad)
    t = Terminal("mnctl", "watch", env={**d.env, "TERM": "xterm"})
    t.until("q ends")
    t.read(0.5)
    ok("watch_shows_mm_and_hz", re.search(r"set 0.50 mm, 100.0 Hz +stroke 0.00 mm", t.seen()) and "no faults" in t.seen(), t.seen())
    d.sim("inject", "1401")
    t.until("charge the pen soon")
    d.sim("clear", "1401")
    ok("watch_says_what_to_do", True)
    d.sim("unplug")
    t.until("UNPLUGGED; the figures are")
    t.read(2.5)
    ok("watch_says_how_old_its_figures_are", re.search(r"the figures are [2-9] s old", t.seen()) and "no faults" not in t.seen(), t.seen())
    d.sim("replug", pen="SIM-0001")
    t.key("q")
    ok("q_ends_it", t.end() == 0)
    d.wait_until(lambda: "READY" in d.run("mnctl", "list").stdout)
    # Keys and questions on a terminal that cannot be written over.
    for term in ("dumb", "no-such-terminal"):
        zone = "chin:1mm" if term == "dumb" else "neck:1mm"
        t = start_now(d, zone)  # xterm
        t.key("\x03")
        t.end()
        d.run("mnctl", "session", "end")
        d.sim("cartridge", "insert", "uid=" + ("4d4e0000000000c1" if term == "dumb" else "4d4e0000000000c3"))
        d.clear_faults()
        t = Terminal("mnctl", "session", "start", "--subject", "K-" + term, "--indication", "scars", "--numbed", "40", "--zone", zone, env={**d.env, "TERM": term}, columns=20, rows=5)
        for i in range(1, 29):
            t.until(rf"\b{i} of 28")
            t.until(PROMPT)
            t.type("never" if i < 13 else "no")
        t.until(r"Arm it\?")
        t.type("yes")
        t.until("ARMED")
        run_for(d, t, 0.5)
        t.key("e")
        t.until("End")
        t.key("y")
        ok(f"a_session_on_{term.replace('-', '_')}", t.end() == 0 and "\x1b" not in t.text and "COMPLETED" in t.plain(), t.text[-800:])
        d.sim("cartridge", "insert", "uid=" + ("4d4e0000000000c2" if term == "dumb" else "4d4e0000000000c4"))
        d.clear_faults()


def help_fits(d, ok):
    names = re.findall(r"^  ([a-z]+) ", d.run("mnctl", "help").stdout, re.M)
    ok("help_has_groups", all(g in d.run("mnctl", "help").stdout for g in ("\nLook\n", "\nSet up\n", "\nTreat\n", "\nFind out what is wrong\n", "\nFor developers\n")))
    for columns in (40, 60, 80, 100, 200):
        bad = []
        for name in ["", "exit", *names]:
            t = Terminal("mnctl", "help", *([name] if name else []), columns=columns, rows=50, env={**d.env, "TERM": "dumb"})
            if t.end() != 0:
                bad.append((name, t.text))
            bad += [(name, line) for line in t.text.replace("\r", "").split("\n") if len(line) > columns and " " in line.strip()]
        ok(f"help_fits_{columns}_columns", not bad, bad[:3])
    for columns in (60, 80):
        bad = []
        for program in ("mnd", "penstub", "mn-factory"):
            t = Terminal(program, "--help", columns=columns, rows=50, env={**d.env, "TERM": "dumb"})
            t.end()
            bad += [(program, line) for line in t.text.replace("\r", "").split("\n") if len(line) > columns and " " in line.strip()]
        ok(f"help_of_the_others_fits_{columns}_columns", not bad, bad[:3])
    bad = [n for n in names if n not in ("help", "completion") and "\nExample\n" not in d.run("mnctl", n, "--help").stdout]
    ok("each_command_has_an_example", not bad, bad)


def tables_fit(d, ok):
    """What only shows, on 80 and 60 columns: no line is longer, and none is broken in a word."""
    t = start_now(d, "cheek:1.2mm:120Hz", "periorbital-outside-rim:0.5mm")
    run_for(d, t, 0.5)
    t.key("e")
    t.until(r"End the session\?")
    t.key("y")
    t.end()
    d.sim("inject", "1401")
    d.sim("inject", "1202")
    d.wait_until(lambda: "1401" in d.run("mnctl", "faults").stdout)
    whole = {w for line in d.run("mnctl", "policy", "show").stdout.split("\n") for w in line.split()}
    for columns in (80, 60):
        bad = []
        for words in (["list"], ["faults"], ["faults", "--table"], ["config"], ["policy", "show"], ["guide", "scars"], ["guide"], ["doctor"], ["records"], ["session", "list", "--subject", "K-1"], ["session", "show"],
                      ["session", "status"], ["session", "aftercare"], ["session", "check", "--subject", "K-1", "--zone", "cheek:1mm"]):
            if columns == 60 and words[0] in ("list", "session", "guide") and words != ["session", "aftercare"]:
                continue  # tables of figures, which are wider
            t = Terminal("mnctl", *words, columns=columns, rows=50, env={**d.env, "TERM": "dumb"})
            t.end()
            bad += [(words, line) for line in t.text.replace("\r", "").split("\n") if len(line) > columns]
            if words == ["policy", "show"]:
                bad += [(words, w) for line in t.text.replace("\r", "").split("\n") for w in line.split() if w not in whole]
        ok(f"tables_fit_{columns}_columns", not bad, bad[:5])


def completion(d, ok):
    def offers(*words):
        return d.run("mnctl", "complete", *words).stdout.split()

    ok("tab_offers_commands", {"list", "session", "doctor", "help"} <= set(offers("")))
    ok("tab_offers_zones", "CHEEK:" in offers("session", "start", "--zone", "") and "LIP_VERMILION:" not in offers("session", "start", "--zone", ""))
    ok("tab_offers_indications", "SCARS" in offers("session", "start", "--indication", "") and "SCARS" in offers("guide", ""))
    d.sim("inject", "1401")
    d.wait_until(lambda: "1401" in d.run("mnctl", "faults").stdout)
    ok("tab_offers_the_pens_faults", offers("faults", "clear", "") == ["1401"], offers("faults", "clear", ""))
    d.sim("clear", "1401")
    ok("tab_offers_all_faults_to_inject", "1101" in offers("sim", "inject", "") and len(offers("sim", "inject", "")) == 28)
    ok("tab_offers_serial_numbers", offers("--pen", "") == ["SIM-0001"])
    ok("tab_offers_files", offers("session", "start", "--answers", "") == [":file"])
    ok("tab_offers_settings", "depth_um=" in offers("config", "set", ""))
    p = d.run("bash", "-c", 'source <(mnctl completion bash); COMP_WORDS=(mnctl sess); COMP_CWORD=1; _mnctl; echo "${COMPREPLY[@]}"')
    ok("bash_completes", p.stdout.strip() == "session", p.stdout)
    ok("help_knows_completion", d.run("mnctl", "help", "completion").returncode == 0)


def words(d, ok):
    def says(name, code, pattern, *command):
        p = d.run("mnctl", *command)
        ok(name, p.returncode == code and re.search(pattern, p.stdout), f"{p.returncode}: {p.stdout}")

    says("capitals_are_the_same", 0, "depth +0.50 mm -> 1.20 mm", "CONFIG", "SET", "DEPTH=1.2MM")
    says("what_changed_and_only_that", 0, r"configuration 2\n  rate +100.0 Hz -> 120.0 Hz\n$", "config", "set", "rate=120hz")
    says("nothing_changed", 0, "nothing has changed", "config", "set", "rate=120hz")
    says("a_conflict_says_what_changed", 5, r"at \d, not 1; changed last \w+ 20\d\d-\d\d-\d\d \d\d:\d\d\s+(.|\n)*rate +100.0 Hz -> 120.0 Hz", "config", "set", "depth=1mm", "--if-generation", "1")
    says("a_generation_in_words", 2, "whole number", "config", "set", "depth=1mm", "--if-generation", "two")
    says("the_long_name_has_its_unit", 0, "depth +1.20 mm -> 1.00 mm", "config", "set", "depth_um=1000")
    path = d.dir + "/c.json"
    says("an_export_says_what_it_did", 0, f"SIM-0001: 6 settings are in {path}", "config", "export", path)
    ok("it_ends_with_a_line", open(path).read().endswith("}\n"))
    says("an_export_overwrites_nothing", 1, "is there already", "config", "export", path)
    says("but_by_force", 0, "6 settings", "config", "export", path, "--force")
    text = open(path).read().replace("SIM-0001", "SIM-0002")
    open(path, "w").write(text)
    says("another_pens_file_is_noted", 0, "is of pen SIM-0002, and this is SIM-0001", "config", "import", path)
    says("no_file_has_no_line", 2, r"nix.json: No such file", "config", "import", d.dir + "/nix.json")
    says("since_a_day_in_no_calendar", 2, "2026-02-30 is in no calendar", "records", "--since", "2026-02-30")
    says("since_yesterday", 0, "CONFIG", "records", "--since", "yesterday")
    says("since_monday", 0, "BOOT", "records", "--since", "monday")
    says("kind_session", 0, "^ +id", "records", "--kind", "session")
    says("a_misspelt_kind", 2, "did you mean fault", "records", "--kind", "fautl")
    says("records_say_what_changed", 0, r"configuration \d: depth 1.20 mm -> 1.00 mm\n", "records", "--kind", "config")
    says("a_refusal_ends_with_the_command_that_helps", 2, "See `mnctl help ping`", "ping", "--count", "many")
    says("and_not_with_two", 2, r"^mnctl: there is no setting \"nonsense\": `mnctl config show` lists them\n$", "config", "set", "nonsense=1")
    says("no_session_yet", 5, "there is no session yet: `mnctl session start`", "session", "show")
    d.sim("trigger", "press")
    d.wait_until(lambda: "its trigger is pressed" in d.run("mnctl", "doctor").stdout)
    says("doctor_sees_the_trigger", 0, "its trigger is pressed", "doctor")
    d.sim("trigger", "release")
    d.sim("inject", "1403")
    d.wait_until(lambda: "FAULT" in d.run("mnctl", "list").stdout)
    says("doctor_sees_a_pens_fault_and_its_cure", 1, r"BAD +SIM-0001 +1403 BATTERY_FAULT(.|\n)*next: pen SIM-0001: unplug and do not use this pen", "doctor")
    says("faults_say_what_to_do", 0, "-> unplug and do not use", "faults")
    d.sim("clear", "1403")
    d.clear_faults("--service")
    says("doctor_names_the_journal", 0, f"records are written to {d.dir}/journal.db", "doctor")
    d.sim("link", "drop=1")
    p = d.run("mnctl", "--timeout", "700", "info")
    ok("a_read_that_times_out_leaves_nothing_open", p.returncode == 6 and re.search("in time|not ready|unplugged", p.stdout) and "not known" not in p.stdout, p.stdout)
    p = d.run("mnctl", "--timeout", "700", "config", "set", "depth=0.5mm")
    ok("a_change_may", p.returncode in (4, 6), p.stdout)
