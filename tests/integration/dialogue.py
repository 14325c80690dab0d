#!/usr/bin/python3
"""mnctl's dialogues and screens as a person meets them: on a real terminal (a pty), at a person's pace, with pauses that are longer than every time-out,
wrong words, Ctrl-C, Ctrl-D, Ctrl-Z, a terminal of every kind and size. Each part has a daemon of its own, and they run side by side. TAP.

usage: dialogue.py BIN [PART...]
"""
import concurrent.futures, json, os, re, signal, subprocess, sys, time

BIN = os.path.abspath(sys.argv[1])
os.environ["PATH"] = BIN + ":" + os.environ["PATH"]
os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
for name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(name, None)

from terminal import Daemon, Tap, Terminal  # noqa: E402

PROMPT = r"> $"
LONG = 30  # s: longer than any time-out there is
SHORT = 3  # s: longer than a lease lives without an answer


def state(d, pen=0):
    return json.loads(d.run("mnctl", "--json", "list").stdout)[pen]


def answer_questions(t, first=1, pause=0, answers={}):
    for i in range(first, 29):
        question = t.until(rf"\b{i} of 28 ([^\n]*)\n").group(1)
        t.until(PROMPT)  # a person answers what is asked, not what is being written
        time.sleep(pause)
        t.type(next((a for word, a in answers.items() if word in question), "never" if question.startswith("When") else "no"))


def answer(t, question, text):
    t.until(question)
    t.until(PROMPT)
    t.type(text)


def begin(t, subject="K-1", zones=("cheek:1.2mm:120Hz",)):
    answer(t, "Subject", subject)
    answer(t, "Indication", "scars")
    for zone in zones:
        answer(t, r"Zone, depth and stroke rate|Another zone\?", zone)
    answer(t, r"Another zone\?", "")
    answer(t, "numbing applied", "40")


def start_now(d, *zones, **more):
    """A session that is armed, from a plan that nothing speaks against; typed as fast as can be."""
    words = [w for zone in zones for w in ("--zone", zone)]
    t = d.terminal("mnctl", "session", "start", "--subject", "K-1", "--indication", "scars", "--numbed", "40", *words, **more)
    answer_questions(t)
    t.until(r"Arm it\?")
    t.type("yes")
    t.until("ARMED")
    return t


def run_for(d, t, seconds, pen=None):
    d.sim("trigger", "press", pen=pen)
    t.until("RUNNING")
    t.read(seconds)
    d.sim("trigger", "release", pen=pen)
    t.until("The trigger was released")


def at_a_persons_pace(d, ok):
    t = d.terminal("mnctl", "session", "start")
    time.sleep(SHORT)
    begin(t)
    answer_questions(t)
    t.until(r"Arm it\?")
    ok("nothing_is_held_while_a_person_is_asked", state(d)["lease_name"] == "" and state(d)["state"] == "SAFE", state(d))
    time.sleep(LONG)
    t.type("yes")
    t.until("ARMED")
    ok("half_a_minute_at_the_last_question", state(d)["state"] == "ARMED" and state(d)["lease_name"].startswith("mnctl"), t.seen())
    time.sleep(SHORT)
    run_for(d, t, 1)
    time.sleep(LONG)
    t.key("\n")
    t.until("ARMED")
    ok("half_a_minute_between_two_runs", state(d)["state"] == "ARMED", t.seen())
    run_for(d, t, 1)
    t.key("e")
    t.until(r"End the session\?")
    time.sleep(SHORT)
    t.key("y")
    t.until("COMPLETED")
    ok("it_ends_well", t.end() == 0, t.seen())
    ok("its_card_is_the_last_one", "Treated: cheek" in d.run("mnctl", "session", "aftercare").stdout)


def three_seconds_at_every_question(d, ok):
    t = d.terminal("mnctl", "session", "start", "--subject", "K-7", "--numbed", "40", "--zone", "cheek:1mm")
    t.until("Indication")
    time.sleep(SHORT)
    t.type("none")
    answer_questions(t, pause=SHORT)
    t.until(r"Arm it\?")
    time.sleep(SHORT)
    t.type("yes")
    t.until("ARMED")
    ok("three_seconds_at_every_question", state(d)["state"] == "ARMED", t.seen())
    t.key("\x03")
    ok("ctrl_c_stops_and_leaves_it_open", t.end() == 0 and "stopped; session 1 is open" in t.folded() and state(d)["lease_name"] == "", t.seen())
    t = d.terminal("mnctl", "session", "resume")
    t.until(r"Arm it\?")
    t.key("\x1a")
    ok("ctrl_z_suspends_resume", os.WIFSTOPPED(os.waitpid(t.pid, os.WUNTRACED)[1]))
    os.kill(t.pid, signal.SIGCONT)
    t.until(r"Arm it\?")
    time.sleep(LONG)
    t.type("")
    t.until("Write yes or no")
    time.sleep(SHORT)
    t.type("yes")
    t.until("ARMED")
    ok("resume_waits_as_long", state(d)["state"] == "ARMED", t.seen())
    t.key("\x04")
    ok("ctrl_d_stops_and_leaves_it_open", t.end() == 0 and "session 1 is open" in t.folded() and d.wait_until(lambda: state(d)["state"] == "SAFE", 3), t.seen())


def every_mistake(d, ok):
    t = d.terminal("mnctl", "session", "start")

    def says(name, typed, pattern):
        t.until(r"> $")
        t.type(typed)
        try:
            t.until(pattern, 10)
            ok(name, True)
        except (TimeoutError, EOFError) as e:
            ok(name, False, e)

    says("an_empty_subject", "", "A treatment needs its subject's key")
    says("a_name_for_a_subject", "Jane Doe", "key of 1 to 32 printable characters")
    says("back_at_the_first_question", "back", "This is the first question")
    says("help_explains", "help", "Intervals and planned sessions are counted by it")
    says("and_says_how_to_go_back", "?", '"quit" ends here')
    says("a_new_subject_is_told", "K-1", "K-1 is new here")
    says("a_misspelt_indication", "skars", "did you mean SCARS")
    says("no_indication_at_all", "", "or none")
    says("an_indication_by_number", "3", "SCARS: 0 of 5 to 6 done")
    says("no_zone_at_all", "", "has one zone at the least")
    says("a_comma_for_a_point", "cheek:1,2mm", "write 1.2mm: a point, not a comma")
    says("a_depth_without_unit", "cheek:1.2", "write 1.2mm: it needs its unit")
    says("a_rate_without_unit", "cheek:1.2mm:120", "write 120Hz: it needs its unit")
    says("a_zone_without_depth", "cheek", "CHEEK needs a depth")
    says("a_misspelt_zone", "chek:1mm", "did you mean CHEEK")
    says("a_zone_that_is_never_treated", "lip vermilion:0.5mm", "LIP_VERMILION is never treated")
    says("too_deep_is_told_at_once", "forehead:1mm", "too deep for FOREHEAD: at most 0.75 mm")
    says("off_the_step", "cheek:1.23mm", "goes in steps of 0.05 mm: 1.20 mm or 1.25 mm")
    says("a_zone_of_small_letters_and_blanks", "cheek 1.2 mm 120 Hz", "planned: CHEEK, 1.20 mm at 120.0 Hz")
    says("another_depth_for_it", "cheek:1mm", "planned: CHEEK, 1.00 mm at 100.0 Hz")
    says("a_second_zone", "chin:1mm", "planned: CHIN")
    says("taken_out_again", "remove chin", "planned: CHEEK, 1.00 mm")
    says("one_that_is_not_there", "remove neck", "that zone is not planned")
    says("no_more_zones", "", "numbing applied")
    says("numbing_in_words", "a while ago", "write the minutes since then")
    says("numbing_in_the_future", "23:59:59", "write the minutes since then|no time of today")
    says("no_numbing", "", "Why is there none")
    says("an_empty_reason", "", "An empty reason is none")
    says("back_to_the_numbing", "back", "numbing applied")
    says("numbing_that_has_not_lasted", "5", r"numbed 5 min ago of 30: from \d\d:\d\d on")
    says("a_wrong_word", "last wek", "no time: write 3h, 5d")
    says("an_empty_answer", "", "an empty answer is none")
    says("yes_where_a_time_is_asked", "yes", "when was it")
    says("a_day_that_is_in_no_calendar", "2026-02-30", "in no calendar")
    says("a_day_to_come", "2099-01-01", "has not come yet")
    says("what_forbids_it_is_told_at_once", "today", r"BLOCK +2004 ISOTRETINOIN today: not before \w+ \d+ \w+")
    says("and_may_be_changed", "no", r"1 of 28")
    says("back_to_the_numbing_from_the_questions", "back", "numbing applied")
    says("now_it_has_lasted", "40", "1 of 28")
    says("answered_after_all", "never", "2 of 28")
    says("a_weekday_is_a_time", "yesterday", "BLOCK +2004 TOPICAL_RETINOID")
    says("go_on_all_the_same", "yes", "3 of 28")
    says("back_again", "back", "2 of 28")
    says("changed", "2 months ago", "3 of 28")
    t.type("never")
    for i in range(4, 14):
        t.until(rf"\b{i} of 28")
        t.until(PROMPT)
        t.type("never" if i < 13 else "no")
    says("neither_yes_nor_no", "perhaps", "neither yes nor no")
    t.type("no")
    t.until(r"\b15 of 28")
    t.until(PROMPT)
    t.type("no")
    t.until(r"\b16 of 28")
    t.type("yes")
    says("where_it_is", "elbow", "there is no zone")
    says("where_it_is_at_length", "chin, " * 50 + "elbows", "there is no zone .?elbows")
    says("elsewhere_does_not_matter", "neck, hands", "17 of 28")
    t.type("no")
    for i in range(18, 29):
        t.until(rf"\b{i} of 28")
        t.until(PROMPT)
        t.type("yes" if i == 22 else "no")
    says("who_has_confirmed_it", "Dr. No", "a clinician is a key")
    says("nobody_has", "", r"CONSULT +2004 BLOOD_DISORDER: a clinician has to confirm it")
    says("refused_and_asked_what_now", "back", "28 of 28")
    says("on_to_the_confirmation", "no", "who has confirmed")
    says("confirmed", "dr-17", r"Arm it\?")
    says("neither", "perhaps", "neither yes nor no")
    says("arm_is_not_enter", "", "Write yes or no")
    says("no_is_no", "no", "nothing was armed; what was answered is kept")
    ok("and_ends", t.end() == 5 and state(d)["state"] == "SAFE" and state(d)["lease_name"] == "", t.seen())
    t = d.terminal("mnctl", "session", "start")
    t.until(r"A plan was begun \d+ min ago and not used: subject K-1, 1 zones, 28 of\s+28 questions answered")
    t.type("yes")
    t.until(r"Arm it\?")
    ok("all_of_it_was_kept", "CHEEK, 1.00 mm" in t.plain(), t.seen())
    t.type("yes")
    t.until("ARMED")
    s = json.loads(d.run("mnctl", "--json", "session", "show").stdout)
    ok("and_is_what_was_answered", s["overrides"] == [{"name": "BLOOD_DISORDER", "reason": "dr-17"}] and s["indication"] == "SCARS", s)
    t.key("e")
    t.until(r"CHEEK is not treated: it is\s+UNTREATED then")
    t.key("q")
    t.until("It goes on")
    ok("e_by_mistake_ends_nothing", state(d)["state"] == "ARMED", t.seen())
    t.key("e")
    t.until(r"End the session\?")
    t.key("y")
    t.until("UNTREATED")
    ok("without_a_stroke_it_is_not_completed", t.end() == 0, t.seen())
    p = d.run("mnctl", "session", "aftercare")
    ok("and_there_is_no_card", p.returncode == 5 and "no needle has moved" in p.stdout, p.stdout)
    t = d.terminal("mnctl", "session", "start")
    t.until("Subject")
    ok("a_draft_that_was_used_is_gone", "A plan was begun" not in t.plain())
    t.type("quit")
    ok("quit_ends", t.end() == 5, t.seen())


def interrupted(d, ok):
    for name, strike in (("ctrl_c", "\x03"), ("ctrl_d", "\x04")):
        t = d.terminal("mnctl", "session", "start")
        if name == "ctrl_d":
            t.until(r"Go on with it\?")
            t.type("no")
        begin(t, subject="K-9")
        t.until(r"\b1 of 28")
        t.type("never")
        t.until(r"\b2 of 28")
        t.key(strike)
        ok(name + "_ends_the_dialogue", t.end() == 5 and "what was answered is kept" in t.folded(), t.seen())
    t = d.terminal("mnctl", "session", "start")
    t.until(r"subject K-9, 1 zones, 1 of\s+28")
    t.type("perhaps")
    t.until("neither yes nor no")
    t.type("yes")
    t.until(r"\b2 of 28")
    ok("the_next_one_goes_on_where_it_was", "1 of 28  When" not in t.plain(), t.seen())
    t.key("\x1a")
    pid, status = os.waitpid(t.pid, os.WUNTRACED)
    ok("ctrl_z_suspends", os.WIFSTOPPED(status))
    time.sleep(SHORT)
    os.kill(t.pid, signal.SIGCONT)
    t.until(r"\b2 of 28")
    t.resize(40, 12)
    t.type("never")
    answer_questions(t, first=3)
    t.until(r"Arm it\?")
    t.resize(100, 30)
    ok("and_goes_on_in_another_size", True)
    t.type("yes")
    t.until("ARMED")
    d.sim("trigger", "press")
    t.until("RUNNING")
    t.key("\x1a")
    pid, status = os.waitpid(t.pid, os.WUNTRACED)
    ok("a_suspended_program_controls_nothing", os.WIFSTOPPED(status) and d.wait_until(lambda: state(d)["state"] == "SAFE", 3) and state(d)["lease_name"] == "", state(d))
    d.sim("trigger", "release")
    time.sleep(SHORT)
    os.kill(t.pid, signal.SIGCONT)
    t.until("Back. Enter arms")
    t.key("\n")
    t.until("ARMED")
    ok("and_comes_back", state(d)["state"] == "ARMED", t.seen())
    os.kill(t.pid, signal.SIGTERM)
    ok("who_ends_it_stops_the_needles", t.end() == 0 and d.wait_until(lambda: state(d)["state"] == "SAFE", 3) and state(d)["lease_name"] == "", t.seen())


def typed_ahead(d, ok):
    t = d.terminal("bash", "--norc", "--noprofile", "-i")
    t.type("PS1='ready# '")
    t.until("ready# $")
    mark = d.dir + "/mark"
    t.type("mnctl session start")
    t.until("Subject")
    t.type(f"quit\ntouch {mark}\ntouch {mark}")
    t.until("ready# $")
    t.type("echo after")
    t.until("after\n")
    ok("what_was_typed_ahead_does_not_reach_the_shell", not os.path.exists(mark), t.seen())
    t.type("stty -a | tr ';' '\\n' | grep -ow icanon; stty -a | grep -ow echo")
    t.until("icanon")
    t.until("\necho")
    ok("the_terminal_is_as_it_was", True)
    t.type("exit")
    t.end()
    t = d.terminal("mnctl", "session", "start", "--subject", "K-2", "--indication", "scars", "--numbed", "40", "--zone", "chin:1mm")
    t.until(r"\b1 of 28")
    for i in range(28):
        t.type("never" if i < 12 else "no")
    t.type("yes")
    t.until(r"Arm it\?")
    t.read(2)
    ok("a_yes_that_was_typed_ahead_arms_nothing", state(d)["state"] == "SAFE" and t.lines()[[i for i, x in enumerate(t.lines()) if x][-1]] == ">", t.seen())
    t.key("\x03")
    t.end()


def nobody_there(d, ok):
    plan = d.dir + "/plan.yaml"
    text = d.run("mnctl", "session", "plan", "--subject", "K-3", "--zone", "cheek:1mm", "--numbed", "40").stdout
    open(plan, "w").write(text.replace('answer: ""', 'answer: "no"'))
    ok("a_plans_template_has_all_it_takes", all(w in text for w in ("# indication:", "numbing_waiver:", "# products:", "interval_override")), text)
    p = d.run("mnctl", "session", "check", plan)
    ok("and_is_a_good_one", p.returncode == 0 and "it may begin" in p.stdout, p.stdout)
    began = time.monotonic()
    p = d.run("mnctl", "session", "start", plan, "--yes")
    ok("a_program_without_a_person_keeps_nothing", time.monotonic() - began < 10 and "the input has ended: stopped; session 1 is open" in p.stdout and state(d)["lease_name"] == "" and d.wait_until(lambda: state(d)["state"] == "SAFE", 3),
       p.stdout)
    ok("a_second_start_names_the_way_out", "session 1 of pen SIM-0001 is open: `mnctl session resume`" in d.run("mnctl", "session", "start", plan, "--yes").stdout)
    p = d.run("sh", "-c", "mnctl session resume --yes <&-")
    ok("closed_input_is_ended_input", "session 1 is open" in p.stdout and state(d)["lease_name"] == "", p.stdout)
    p = d.run("mnctl", "session", "end")
    ok("nothing_was_treated", p.returncode == 0 and "UNTREATED" in p.stdout and "aftercare" not in p.stdout, p.stdout)
    p = d.run("mnctl", "session", "start", plan)
    ok("without_a_terminal_it_wants_yes", p.returncode == 2 and "--yes arms without asking" in p.stdout, p.stdout)


def a_terminal_that_takes_nothing(d, ok):
    """Ctrl-S, or a connection that hangs: nobody reads what is printed, for longer than a lease lives."""
    t = start_now(d, "cheek:1.2mm:120Hz")
    t.key("\x13")  # Ctrl-S
    for _ in range(3):
        d.sim("trigger", "press")
        time.sleep(1)
        d.sim("trigger", "release")
        time.sleep(1)
    time.sleep(LONG)
    ok("ctrl_s_loses_no_pen", state(d)["lease_name"].startswith("mnctl"), state(d))
    t.key("\x11")  # Ctrl-Q
    t.until("The trigger was released")
    t.key("\n")
    t.until("ARMED")
    ok("and_all_of_it_is_shown_then", state(d)["state"] == "ARMED", t.seen())
    t.key("\x13")
    t.key("\x03")
    ok("ctrl_c_ends_it_all_the_same", d.wait_until(lambda: state(d)["state"] == "SAFE", 3))
    t.key("\x11")
    ok("and_leaves_it_open", t.end() == 0 and "session 1 is open" in t.folded(), t.seen())


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
    d.sim("trigger", "press")
    t.until("RUNNING")
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


def others(d, ok):
    t = start_now(d, "cheek:1.2mm:120Hz")
    d.sim("trigger", "press")
    t.until("RUNNING")
    t.read(1.5)
    d.sim("unplug")
    t.until("The pen is gone")
    t.read(1)
    ok("the_count_stays_without_a_pen", re.search(r"NO PEN +CHEEK 1.20 mm 120 Hz +\d{2,} strokes", t.seen()), t.seen())
    d.sim("trigger", "release", pen="SIM-0001")
    d.sim("replug", pen="SIM-0001")
    t.until("The pen is back, with 1601 HOST_LINK_LOST: c clears it")
    t.key("c")
    t.until("Cleared: 1601 HOST_LINK_LOST")
    t.key("\n")
    t.until("ARMED")
    ok("and_it_goes_on", state(d)["state"] == "ARMED", t.seen())
    p = d.run("mnctl", "stop")
    t.until(r"Stopped by mnctl \(pid \d+\)")
    ok("who_stopped_it_is_named", True)
    d.sim("cartridge", "remove")
    t.until("The cartridge was taken out")
    d.sim("cartridge", "insert", "uid=4d4e0000000000aa")
    t.until(r"The cartridge in the pen: \w+, uid 4d4e0000000000aa")
    ok("another_cartridge_is_told", True)
    p = d.terminal("mnctl", "lease", "take-over")
    t.until(r"session 1 is still open: `mnctl session resume`")
    ok("a_take_over_leaves_the_way_back", t.end() == 5, t.seen())
    q = d.terminal("mnctl", "session", "resume")
    q.until(r"Arm it\?")
    q.type("yes")
    q.until(r"is controlled by mnctl")
    ok("who_controls_it_is_named", q.end() == 5, q.seen())
    p.key("\x03")
    p.end()
    d.run("mnctl", "session", "end")
    p = d.terminal("mnctl", "lease", "take")
    p.until("SIM-0001")
    d.sim("cartridge", "insert", "uid=4d4e0000000000ab")
    t = d.terminal("mnctl", "session", "start", "--subject", "K-5", "--indication", "scars", "--numbed", "40", "--zone", "chin:1mm")
    answer_questions(t)
    t.until(r"Arm it\?")
    t.type("yes")
    t.until(r"is controlled by mnctl")
    t.until(r"Arm it\?")
    ok("a_pen_that_is_taken_loses_no_answer", True)
    p.key("\x03")
    p.end()
    t.type("yes")
    t.until("ARMED")
    ok("and_is_armed_when_it_is_free", state(d)["state"] == "ARMED", t.seen())
    d.process.terminate()
    t.until(r"still open|hung up|ended")
    ok("a_daemon_that_ends_ends_it", t.end() in (5, 6), t.seen())


def continued(d, ok):
    """A session that was broken off is offered when its subject is named, with what is left of it."""
    t = start_now(d, "cheek:1.2mm:120Hz", "chin:1mm", "neck:0.5mm")
    run_for(d, t, 1.5)
    t.key("\x03")
    t.end()
    d.run("mnctl", "session", "end", "--aborted")
    d.sim("cartridge", "insert", "uid=4d4e0000000000e1")
    t = d.terminal("mnctl", "session", "start")
    answer(t, "Subject", "K-1")
    answer(t, "Session 1 of K-1 was broken off today", "perhaps")
    t.until("That is neither yes nor no")
    answer(t, "", "yes")
    answer(t, r"Why was it broken off\?", "")
    t.until("A continuation needs a reason")
    answer(t, "", "back")
    answer(t, r"Is this the rest of it\?", "yes")
    answer(t, r"Why was it broken off\?", "the light went out")
    t.until("What was left of it is planned")
    answer(t, "Indication", "back")
    answer(t, r"Is this the rest of it\?", "yes")
    answer(t, r"Why was it broken off\?", "the light went out")
    answer(t, "Indication", "scars")
    planned = t.until(r"(planned: CHIN[^?]*)Another zone\?").group(1)
    ok("what_is_left_is_planned", "CHIN, 1.00 mm" in planned and "NECK, 0.50 mm" in planned and "CHEEK" not in planned, t.seen())
    answer(t, "", "cheek:1.2mm:120Hz")
    answer(t, r"Another zone\?", "")
    answer(t, "numbing applied", "40")
    answer_questions(t)
    t.until(r"Arm it\?")
    t.type("yes")
    t.until("ARMED")
    ok("and_is_armed_at_once", state(d)["state"] == "ARMED", t.seen())
    run_for(d, t, 0.5)
    t.key("\x03")
    t.end()
    d.run("mnctl", "session", "end", "--aborted")
    p = d.run("mnctl", "session", "show")
    ok("and_recorded_with_its_reason", "the rest of session 1" in p.stdout and "the light went out" in p.stdout, p.stdout)
    t = d.terminal("mnctl", "session", "start")
    answer(t, "Subject", "K-1")
    answer(t, "Session 2 of K-1 was broken off today", "no")
    answer(t, "Indication", "quit")
    ok("no_is_an_answer", t.end() == 5, t.seen())
    t = d.terminal("mnctl", "session", "start")
    answer(t, r"Go on with it\?", "no")
    answer(t, "Subject", "K-2")
    t.until("K-2 is new here")
    t.until("Indication")
    ok("nobody_else_is_asked", "broken off" not in t.seen(), t.seen())
    t.key("\x03")
    t.end()


def two_pens(d, ok):
    t = d.terminal("mnctl", "session", "start")
    t.until(r"Which pen\?")
    time.sleep(SHORT)
    t.type("SIM-0003")
    t.until("Write the serial number of one of them")
    t.type("sim-0002")
    begin(t, subject="K-2")
    answer_questions(t)
    t.until(r"SIM-0002: CHEEK")
    t.until(r"Arm it\?")
    t.type("yes")
    t.until("ARMED")
    ok("the_chosen_one_is_armed", [p["state"] for p in json.loads(d.run("mnctl", "--json", "list").stdout)] == ["SAFE", "ARMED"])
    t.key("\x03")
    t.end()
    p = d.run("mnctl", "session", "check", "--subject", "K-2", "--zone", "chin:1mm")
    ok("a_check_needs_no_pen", p.returncode == 5 and "no pen was chosen" in p.stdout and "2005 not answered" in p.stdout, p.stdout)
    p = d.run("mnctl", "info")
    ok("what_only_shows_takes_all_pens", p.returncode == 0 and "SIM-0001" in p.stdout and "SIM-0002" in p.stdout, p.stdout)
    p = d.run("mnctl", "config", "get")
    ok("config_get_without_a_name", p.returncode == 0 and p.stdout.count("soft-start") == 2, p.stdout)
    p = d.run("mnctl", "watch", "--csv", "--seconds", "1")
    ok("watch_as_csv_takes_all_pens", {row.split(",")[0] for row in p.stdout.split("\n")[1:] if row} == {"SIM-0001", "SIM-0002"}, p.stdout[:500])
    p = d.run("mnctl", "config", "set", "depth=1mm")
    ok("what_changes_takes_one", p.returncode == 4 and "choose one with --pen" in p.stdout, p.stdout)
    path = d.dir + "/new.yaml"
    t = d.terminal("mnctl", "session", "plan", "--output", path)
    begin(t, subject="K-8")
    t.until(r"\b1 of 28")
    time.sleep(LONG)
    t.type("last wek")
    t.until("no time: write")
    t.type("never")
    answer_questions(t, first=2)
    ok("a_plan_is_asked_and_written", t.end() == 0 and "K-8" in open(path).read() and 'answer: "never"' in open(path).read(), t.seen())
    t = d.terminal("mnctl", "session", "plan", "--output", path)
    ok("a_file_that_is_there_is_refused_before_anything_is_asked", t.end() == 1 and "is there already" in t.folded() and "Subject" not in t.plain(), t.seen())


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
            t.read(0.7)
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


PARTS = {  # by how long they take, the longest first
    "three_seconds_at_every_question": (three_seconds_at_every_question, "1"), "at_a_persons_pace": (at_a_persons_pace, "1"), "terminals": (terminals, "1"), "every_mistake": (every_mistake, "1"),
    "interrupted": (interrupted, "1"), "a_terminal_that_takes_nothing": (a_terminal_that_takes_nothing, "1"), "screens": (screens, "1"), "others": (others, "1"), "continued": (continued, "1"), "help_fits": (help_fits, "1"), "tables_fit": (tables_fit, "1"), "two_pens": (two_pens, "2"), "typed_ahead": (typed_ahead, "1"),
    "nobody_there": (nobody_there, "1"), "words": (words, "1"), "completion": (completion, "1"),
}


def run_part(name):
    """Its results, in order: (name, good, why)."""
    part, pens = PARTS[name]
    d = Daemon(pens)
    results = []
    try:
        part(d, lambda n, good, why="": results.append((n, bool(good), why)))
    except (TimeoutError, EOFError, RuntimeError, OSError, subprocess.SubprocessError) as e:
        results.append((name + "_goes_on", False, e))
    code, log = d.end()
    results.append((name + "_mnd_ends_cleanly", code == 0, log))
    return results


if __name__ == "__main__":
    tap = Tap("dialogue")
    parts = sys.argv[2:] or list(PARTS)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # they wait, mostly
        for results in pool.map(run_part, parts, timeout=900):
            for n, good, why in results:
                tap.ok(n, good, why)
    tap.end()
