#!/usr/bin/python3
"""mn-factory as a station uses it, with simulated pens. TAP. Usage: test.py BIN SUITE; suites: verdicts; line (eight pens, and every rule), sanitized (the rules only: for builds under a sanitizer), defects (each defect is found
by the step that should, and by no other), good (a hundred good pens)."""
import csv
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from station import BIN, LIMITS, SUITE, TOP, Station, folder, ok, plan, results, sha256, step, verdicts


# ---- eight pens ----

def eight_pens():
    with Station(8) as st:
        began = time.monotonic()
        code = st.run("mn-1", "--slots", "8", "--commit")
        records = st.records()
        ok("eight_pens_pass_the_plan_that_ships_at_once", code == 0 and [r["verdict"] for r in records] == ["PASS"] * 8, st.text)
        print(f"# 8 pens in {time.monotonic() - began:.0f} s")
        ok("their_records_name_plan_and_limits_by_their_hashes",
           all(r["plan"]["sha256"] == sha256(f"{TOP}/factory/plans/mn-1.yaml") and r["limits"]["sha256"] == sha256(LIMITS) for r in records))
        ok("each_has_its_own_serial_number_now", all(f"MN26-00000{i}" in st.mnctl("list") for i in range(1, 9)) and "@sim" not in st.mnctl("list"), st.mnctl("list"))
        gains = [m["value"] for r in records for m in step(r, "calibrate")["attempts"][0]["measurements"] if m["name"] == "depth_gain_pct"]
        worst = max(abs(m["value"]) for r in records for m in step(r, "depth")["attempts"][0]["measurements"] if m["name"].startswith("depth_error"))
        ok("calibration_finds_what_each_pen_is_off_by_and_corrects_it", max(map(abs, gains)) > 2 and worst < 10, f"gains {gains}, worst {worst} um")
        check_reports(st, records)
        ok("a_pen_that_has_left_the_factory_is_not_let_in_again",
           st.run(plan(["step: calibrate"]), "--slots", "1") == 3 and "has left the factory for good" in st.records()[0]["steps"][0]["attempts"][0]["error"]["text"], st.text)
        summary = json.loads(subprocess.run([f"{BIN}/mn-factory", "station", "--database", f"{st.dir}/station.db", "--json"], capture_output=True, text=True).stdout)
        ok("the_station_remembers_every_run", summary["runs"] == 9 and summary["pens"] == 8 and summary["first_pass_yield"] == 1.0, summary)
        one = json.loads(subprocess.run([f"{BIN}/mn-factory", "station", "MN26-000003", "--database", f"{st.dir}/station.db", "--json"], capture_output=True, text=True).stdout)
        ok("and_one_pen_s_past", one["runs"] == 1 and one["latest"][0]["serial"] == "MN26-000003", one)


def check_reports(st, records):
    r = subprocess.run(["xmllint", "--noout", "--schema", f"{TOP}/tests/factory/junit.xsd", f"{st.out}/junit.xml"], capture_output=True, text=True)
    xml = open(f"{st.out}/junit.xml").read()
    ok("junit_is_what_build_servers_read", r.returncode == 0 and xml.count("<testsuite ") == 8 and xml.count("<testcase ") == 8 * 22, r.stderr)
    ok("junit_has_the_values_in_system_out", re.search(r"depth_error_1000_um = -?[0-9.]+ um, at least -100, at most 100: PASS", xml) is not None)
    rows = list(csv.DictReader(open(f"{st.out}/measurements.csv")))
    values = sum(len(a["measurements"]) for r in records for s in r["steps"] for a in s["attempts"])
    ok("csv_has_every_measurement", len(rows) == values and {"run", "serial", "step", "name", "value", "min", "max", "verdict"} <= set(rows[0]), f"{len(rows)} of {values}")
    r = subprocess.run(["/usr/bin/python3", f"{TOP}/tests/integration/page.py", f"{st.out}/report.html"], capture_output=True, text=True)
    seen = json.loads(r.stdout) if r.returncode == 0 else {}
    captions = [f["caption"] or "" for f in seen.get("figures", [])]
    ok("the_page_draws_depth_and_rate_of_every_pen_within_their_limits",
       [f["shapes"] for f in seen.get("figures", []) if f["caption"] and f["caption"].startswith("Error of")] == [8, 8], seen.get("figures"))
    ok("the_page_has_the_spread_of_every_measurement", sum(c.startswith("depth: ") for c in captions) == 8 and all(f["shapes"] > 0 for f in seen["figures"]), captions)
    ok("the_page_says_yield_capability_and_every_pen",
       "100.0 %\nfirst-pass yield" in seen.get("text", "") and any(row[:2] == ["depth", "depth_error_1000_um"] and row[5] == "8" and row[8] == "" for row in seen["rows"] if len(row) == 9)
       and sum("PASS" in row for row in seen["rows"]) == 8, seen.get("text", "")[:2000])
    ok("the_page_asks_the_network_for_nothing_and_fits_a_phone", len(seen.get("requests", [])) == 1 and seen["page_width"] <= 360, seen.get("requests"))


# ---- the rules ----

ECHO_STEP = "#!/bin/sh\nread line\nprintf '%s\\n' '{answer}'\n{more}"


def rules():
    with Station(2) as st:
        # What a step's program does.
        a_program = plan(["name: label, program: good.sh", "name: second, program: good.sh"],
                         ["step: label, name: grey, min: 1, max: 3", "step: second, name: grey, max: 9"],
                         program={"good.sh": ECHO_STEP.format(answer='{"measurements": [{"name": "grey", "unit": "%", "value": 2}, {"name": "ink", "value": "black"}]}', more="")})
        ok("a_program_is_a_step", st.run(a_program, "--slots", "2") == 0 and step(st.records()[0], "label")["attempts"][0]["measurements"][0]["value"] == 2, st.text)
        cases = {
            "an_exception_in_a_step_is_an_error": ("echo Traceback >&2; exit 1", "ERROR", "without an answer"),
            "an_answer_that_is_no_json_is_an_error": ("read l; echo hello", "ERROR", "no JSON object"),
            "a_program_that_says_it_cannot_is_an_error": ("read l; echo '{\"error\": \"printer is off\", \"measurements\": [{\"name\": \"grey\", \"value\": 2}]}'", "ERROR", "printer is off"),
            "a_bad_exit_code_is_an_error_whatever_was_measured": ("read l; echo '{\"measurements\": [{\"name\": \"grey\", \"value\": 2}]}'; exit 3", "ERROR", "ended with code 3"),
            "a_step_that_takes_too_long_is_an_error": ("read l; sleep 30", "ERROR", "the time limit of 1 s is over"),
            "a_measurement_that_was_not_made_fails": ("read l; echo '{}'", "FAIL", None),
            "a_value_of_another_type_fails": ("read l; echo '{\"measurements\": [{\"name\": \"grey\", \"value\": \"2\"}]}'", "FAIL", None),
        }
        for name, (script, wanted, words) in cases.items():
            p = plan(["name: label, program: bad.sh, time_limit_s: 1"], ["step: label, name: grey, min: 1, max: 3"], program={"bad.sh": "#!/bin/sh\n" + script + "\n"})
            began = time.monotonic()
            code = st.run(p, "--slots", "1")
            attempt = step(st.records()[0], "label")["attempts"][-1]
            ok(name, code == {"ERROR": 3, "FAIL": 1}[wanted] and st.records()[0]["verdict"] == wanted and (words is None or words in attempt["error"]["text"])
               and time.monotonic() - began < 10, st.text + json.dumps(attempt))
        ok("nothing_of_a_program_stays_behind", subprocess.run(["pgrep", "-f", "^sleep 30$"], capture_output=True).returncode != 0)

        p = plan(["name: label, program: bad.sh, retries: 2"], ["step: label, name: grey, min: 1, max: 3"],
                 program={"bad.sh": f"#!/bin/sh\nread l\necho x >> {folder}/tries\necho \"{{\\\"measurements\\\": [{{\\\"name\\\": \\\"grey\\\", \\\"value\\\": $(wc -l < {folder}/tries)}}]}}\"\n"})
        shutil.copy(p, p + ".keep")
        open(f"{folder}/tries", "w").write("x\n" * 7)
        st.run(p, "--slots", "1")
        tries = step(st.records()[0], "label")["attempts"]
        ok("retries_are_bounded_and_every_attempt_is_kept", [a["measurements"][0]["value"] for a in tries] == [8, 9, 10] and st.records()[0]["verdict"] == "FAIL", tries)
        os.remove(f"{folder}/tries")
        st.run(p, "--slots", "1")
        ok("the_last_attempt_decides", len(step(st.records()[0], "label")["attempts"]) == 1 and st.records()[0]["verdict"] == "PASS", st.text)

        # A station whose round trips take long, and a pen that has replied at once each time, by its own clock.
        st.say(1, "link delay=1:120")
        code = st.run(plan(["step: link, parameters: echoes=9"]), "--slots", "1", seconds=120)
        ok("a_busy_station_is_an_error_and_no_pen_s_fault", code == 3 and st.records()[0]["verdict"] == "ERROR" and "too busy to measure" in st.text, st.text)
        st.say(1, "link good")
        ok("and_the_same_pen_passes_there_later", st.run(plan(["step: link, parameters: echoes=9"]), "--slots", "1") == 0, st.text)

        # What goes wrong on the way.
        ok("a_slot_without_a_pen_leaves_a_record", st.run(plan(["step: current"]), "--slot", "sim 77", seconds=60) == 3 and st.records()[0]["verdict"] == "ERROR"
           and st.records()[0]["serial"] == "" and "did not come" in st.records()[0]["error"]["text"], st.text)
        ok("without_commit_nothing_is_written", st.run(plan(["step: calibrate", "step: identity", "step: leave"]), "--slots", "1") == 5
           and verdicts(st.records()[0]) == {"calibrate": "PASS", "identity": "SKIPPED", "leave": "SKIPPED"} and "@sim-1" in st.mnctl("list"), st.text)
        st.run(plan(["name: label, program: bad.sh", "step: calibrate", "step: identity", "step: leave"], None), "--slots", "1", "--commit")
        bad = plan(["step: calibrate", "name: label, program: bad2.sh", "step: identity"],
                   ["step: label, name: grey, max: 0", "step: calibrate, name: depth_gain_pct, max: 50", "step: identity, name: serial, equals: as written"],
                   program={"bad2.sh": ECHO_STEP.format(answer='{"measurements": [{"name": "grey", "value": 2}]}', more="")})
        ok("nothing_is_written_into_a_pen_that_has_failed", st.run(bad, "--slots", "1", "--commit", "--keep-going") == 1
           and verdicts(st.records()[0])["identity"] == "SKIPPED" and "@sim-1" in st.mnctl("list"), st.text)

        open(f"{folder}/wrong.key", "w").write("not the factory's")
        text = open(plan(["step: calibrate"])).read()
        open(f"{folder}/keyed.yaml", "w").write(text.replace("fixture:", f"key_file: {folder}/wrong.key\nfixture:"))
        ok("another_key_does_not_open_a_pen", st.run(f"{folder}/keyed.yaml", "--slots", "1") == 3
           and "does not answer the challenge" in st.records()[0]["steps"][0]["attempts"][0]["error"]["text"], st.text)

        broken = plan(["step: current"], None, fixture="broken.py", program={"broken.py": "#!/bin/sh\nwhile read l; do echo '{\"error\": \"gauge is off\"}'; done\n"})
        ok("a_fixture_that_cannot_is_the_fixture_s_error", st.run(broken, "--slots", "1") == 3 and st.records()[0]["error"]["kind"] == "fixture"
           and "gauge is off" in st.records()[0]["error"]["text"], st.text)
        blank = plan(["name: label, program: good.sh"], ["step: label, name: grey, max: 3"], fixture="blank.py",
                     program={"blank.py": "#!/bin/sh\nwhile read l; do case $l in *scan*) echo '{\"serial\": \"\", \"udi\": \"\"}';; *) echo '{}';; esac; done\n"})
        ok("a_blank_serial_leaves_a_record", st.run(blank, "--slots", "1") == 0 and st.records()[0]["serial"] == "" and st.records()[0]["verdict"] == "PASS", st.text)
        interrupted_runs(st)
        killed_runs(st)
        ok("two_stations_do_not_share_a_pen", two_at_once(st))


def interrupted_runs(st):
    """Ctrl-C in mid-run: needles at rest, the plan's teardown done, the record says so."""
    p = plan(["step: soak, parameters: seconds=60"], None, more="teardown:\n  - {name: off, program: off.sh}\n",
             program={"off.sh": f"#!/bin/sh\nread l\necho done >> {folder}/teardown\necho '{{}}'\n"})
    run = st.start(p, "--slots", "2")
    st.until(lambda: st.mnctl("list").count("RUNNING") == 2)
    run.send_signal(signal.SIGINT)
    text = run.communicate(timeout=30)[0]
    moving = [st.say(i, "truth") for i in (1, 2)]
    ok("ctrl_c_stops_the_needles_and_does_the_teardown", run.returncode == 4 and all("rate_hz=0.0" in m and "trigger=0" in m for m in moving)
       and open(f"{folder}/teardown").read() == "done\ndone\n", text + "".join(moving))
    ok("and_its_record_says_aborted", [r["verdict"] for r in st.records()] == ["ABORTED"] * 2 and verdicts(st.records()[0])["off"] != "SKIPPED", text)


def killed_runs(st):
    """kill -9 at any time: a valid record is there, and says interrupted; the needles stop, because the lease is lost."""
    good = []
    for delay in (0.0, 0.3, 0.9, 1.7, 2.9):
        run = st.start(plan(["step: calibrate", "step: current"]), "--slots", "2")
        time.sleep(0.15 + delay)
        run.kill()
        run.wait()
        kinds = [r["verdict"] for r in st.records()]
        good.append(set(kinds) <= {"INTERRUPTED"} and (delay == 0 or len(kinds) == 2))
    st.until(lambda: all("rate_hz=0.0" in st.say(i, "truth") for i in (1, 2)), 5)
    for i in (1, 2):
        st.say(i, "trigger release")
    ok("kill_9_leaves_a_valid_record_that_says_interrupted", all(good), good)
    r = subprocess.run([f"{BIN}/mn-factory", "report", st.out, "--junit", f"{st.out}/again.xml", "--html", f"{st.out}/again.html"], capture_output=True, text=True)
    ok("and_a_report_can_still_be_made_of_it", r.returncode == 0 and "INTERRUPTED" in open(f"{st.out}/again.xml").read()
       and subprocess.run(["xmllint", "--noout", "--schema", f"{TOP}/tests/factory/junit.xsd", f"{st.out}/again.xml"], capture_output=True).returncode == 0, r.stderr)
    ok("the_next_run_finds_the_pens_as_if_nothing_had_been", st.run(plan(["step: calibrate"]), "--slots", "2") == 0, st.text)


def two_at_once(st):
    first = st.start(plan(["step: soak, parameters: seconds=3"]), "--slots", "1")
    st.until(lambda: "RUNNING" in st.mnctl("list"))
    out = st.out
    code = st.run(plan(["step: current"]), "--slots", "1")
    refused = "is controlled by mn-factory" in st.records()[0]["steps"][0]["attempts"][0]["error"]["text"]
    first.communicate(timeout=60)
    st.out = out
    return code == 3 and refused and st.records()[0]["verdict"] in ("PASS", "FAIL")  # 3 s are fewer strokes than the limits want


# ---- what is said is what happened ----

IDENTITY = ["step: enumerate", "step: calibrate", "step: identity", "step: leave"]


def verdict_rules():
    """A dry run, one label on two pens, a pen that is done, and a shorter plan."""
    with Station(2) as st:
        p = plan(IDENTITY)
        code = st.run(p, "--slots", "1")
        r = st.records()[0]
        page = open(f"{st.out}/report.html").read()
        xml = open(f"{st.out}/junit.xml").read()
        ok("a_plan_that_was_not_carried_out_whole_is_no_pass", code == 5 and r["verdict"] == "DRY_RUN" and "DRY RUN" in st.text and "nothing was written: identity, leave skipped" in st.text
           and "passed 0" in st.text, st.text)
        ok("nor_on_the_page_or_for_a_build_server", "DRY RUN: nothing was written" in page and ">PASS<" not in page and xml.count("<skipped") == 2, page[:3000])
        s = st.station()
        ok("nor_in_the_yield", s["pens"] == 0 and s["passed"] == 0 and s["by_verdict"] == {"DRY_RUN": 1}, s)
        ok("with_commit_it_passes", st.run(p, "--slots", "1", "--commit") == 0 and st.records()[0]["verdict"] == "PASS" and "MN26-000001" in st.mnctl("list"), st.text)
        began = time.monotonic()
        code = st.run(p, "--slots", "1", "--commit")
        ok("a_pen_that_is_done_is_no_run", code == 1 and st.records() == [] and "DONE" in st.text and "take it out" in st.text and "ERROR" not in st.text and time.monotonic() - began < 8, st.text)
        s = st.station()
        ok("and_the_yield_is_as_it_was", s["runs"] == 2 and s["pens"] == 1 and s["passed"] == 1, s)
        st.run(plan(["step: enumerate"]), "--slots", "1")
        s = st.station()
        ok("a_shorter_plan_says_nothing_of_it", s["runs"] == 3 and s["pens"] == 1 and s["passed"] == 1 and len(s["plans"]) == 2, s)
    # The same labels on other pens: at the same station, and where only the daemon's journal knows.
    with Station(1) as other:
        other.database = f"{st.dir}/station.db"
        code = other.run(p, "--slots", "1", "--commit")
        r = other.records()[0]
        ok("a_serial_number_is_given_once", code == 3 and r["verdict"] == "ERROR" and re.search(r"MN26-000001 was given to another pen on 20\d\d-\d\d-\d\d, run ", r["error"]["text"])
           and r["error"]["kind"] == "label" and r["serial"] == "" and r["label"] == "MN26-000001" and "@sim-1" in other.mnctl("list"), other.text)
        s = other.station()
        ok("and_the_pen_that_has_it_is_as_it_was", s["passed"] == 1 and s["pens"] == 1 and s["yield"] == 1.0 and json.loads(other.factory("station", "MN26-000001", "--json"))["runs"] == 3, s)
        code = other.run(p, "--slots", "1", "--commit", "--relabel")
        ok("relabelled_it_is_in_the_record", code == 0 and other.records()[0]["relabel"] is True and "MN26-000001" in other.mnctl("list"), other.text)
    with Station(1) as third:
        third.run(p, "--slots", "1", "--commit", "--database", "none")
        third.stub.terminate()
        third.stub.wait()
        third.stub = subprocess.Popen([f"{BIN}/penstub", "--connect", f"{third.dir}/sim", "--pens", "1", "--fresh", "--seed", "1"], stderr=subprocess.DEVNULL)
        third.until(lambda: "@sim" in third.mnctl("list") and "READY" in third.mnctl("list"))
        code = third.run(p, "--slots", "1", "--commit", "--database", "none")
        ok("the_journal_knows_it_too", code == 3 and "mnd's journal knows another pen called MN26-000001" in third.text, third.text)
    with Station(2) as st:
        twice = plan(IDENTITY, fixture="one.py", program={"one.py": "#!/bin/sh\nwhile read l; do case $l in *scan*) echo '{\"serial\": \"MN26-9\", \"udi\": \"U9\"}';; *) echo '{}';; esac; done\n"})
        st.run(twice, "--slots", "2", "--commit")
        errors = [r["error"]["text"] for r in st.records() if r.get("error", {}).get("kind") == "label"]
        ok("one_label_on_two_pens_at_once_is_one_too_many", len(errors) == 1 and "is the label of the pen at sim" in errors[0], st.text)
        run = st.start(plan(["step: soak, parameters: seconds=60"]), "--slots", "2")
        st.until(lambda: st.mnctl("list").count("RUNNING") == 2)
        run.send_signal(signal.SIGINT)
        text = run.communicate(timeout=60)[0]
        ok("an_aborted_run_says_where_and_that_all_is_safe", run.returncode == 4 and "aborted in soak" in text and "the pens are SAFE; 0 were written for good" in text, text)


# ---- slots ----

def slots():
    with Station(4) as st:
        run = st.start(plan(["step: soak, parameters: seconds=4"], ["step: soak, name: motor_max_c, max: 70"]), "--slots", "4")
        st.until(lambda: st.mnctl("list").count("RUNNING") == 4)
        st.say(2, "unplug")
        text = run.communicate(timeout=120)[0]
        records = st.records()
        ok("a_pen_that_is_pulled_out_is_an_error_of_the_pen_and_delays_no_other",
           [r["verdict"] for r in records] == ["PASS", "ERROR", "PASS", "PASS"] and step(records[1], "soak")["attempts"][0]["error"]["kind"] == "pen"
           and max(r["seconds"] for i, r in enumerate(records) if i != 1) < 12, text)
        st.say(2, "replug")
        st.until(lambda: st.mnctl("list").count("READY") == 4)

        run = st.start(plan(["step: soak, parameters: seconds=20"]), "--slots", "4")
        st.until(lambda: st.mnctl("list").count("RUNNING") == 4)
        for i in (1, 2, 3, 4):
            st.say(i, "unplug")
        text = run.communicate(timeout=120)[0]
        errors = [step(r, "soak")["attempts"][0]["error"] for r in st.records()]
        ok("a_hub_that_goes_is_the_fixture_s_error", run.returncode == 3 and all(e["kind"] == "fixture" and "hub sim" in e["text"] for e in errors), text + json.dumps(errors))
        for i in (1, 2, 3, 4):
            st.say(i, "replug")
        st.until(lambda: st.mnctl("list").count("READY") == 4)

        log = f"{folder}/turns"
        p = plan(["name: printer, program: printer.sh, at_once: 1"], ["step: printer, name: x, max: 1"],
                 program={"printer.sh": f"#!/bin/sh\nread l\necho in >> {log}\nsleep 0.3\necho out >> {log}\necho '{{\"measurements\": [{{\"name\": \"x\", \"value\": 1}}]}}'\n"})
        ok("what_there_is_once_is_used_by_one_slot_at_a_time", st.run(p, "--slots", "4") == 0 and open(log).read() == "in\nout\n" * 4, st.text)

        run = st.start(plan(["step: current"]), "--slots", "2", "--repeat")
        st.until(lambda: len(glob.glob(f"{st.out}/*.json")) == 2 and all(r["verdict"] == "PASS" for r in st.records()))
        st.say(1, "unplug 0.5")
        st.until(lambda: len(glob.glob(f"{st.out}/*.json")) == 3 and all(r["verdict"] == "PASS" for r in st.records()))
        run.send_signal(signal.SIGINT)
        text = run.communicate(timeout=30)[0]
        ok("with_repeat_the_next_pen_in_a_slot_is_the_next_run", run.returncode == 0 and [r["slot"] for r in st.records()] == ["sim 1", "sim 1", "sim 2"], text)
        dead = st.start(plan(["step: link, parameters: echoes=50000, time_limit_s: 20"]), "--slots", "4")
        st.until(lambda: len(glob.glob(f"{st.out}/*.json")) == 4)
        subprocess.run([f"{BIN}/mnctl", "--pen", "@sim-3", "sim", "link", "drop=1"], env=st.env, capture_output=True)
        text = dead.communicate(timeout=120)[0]
        ok("a_dead_pen_delays_no_other", [r["verdict"] == "PASS" for r in st.records()] == [True, True, False, True] and dead.returncode in (1, 3), text)


def slow_disk():
    """Each sync takes longer than a program may be silent that holds a pen (2 s): no slot waits for its own record, nor for another's place in the history."""
    with Station(2) as st:
        p = plan(["step: calibrate", "step: current"])
        began = time.monotonic()
        code = st.run(p, "--slots", "2", env={"LD_PRELOAD": f"{BIN}/slow_disk.so", "MN_DISK_MS": "2500"})
        ok("a_slow_disk_costs_no_slot_its_pen", code == 0 and "did not answer" not in st.log() and [r["verdict"] for r in st.records()] == ["PASS"] * 2 and st.station()["runs"] == 2
           and time.monotonic() - began > 15, st.text + st.log())


def busy_station():
    """The daemon stands still for a moment, as on a machine with too much to do: the pen stops for want of heartbeats, which is the station's error and no pen's, and is tried again."""
    with Station(1) as st:
        run = st.start(plan(["step: current"]), "--slots", "1")
        st.until(lambda: "RUNNING" in st.mnctl("list"))
        st.mnd.send_signal(signal.SIGSTOP)
        time.sleep(1)
        st.mnd.send_signal(signal.SIGCONT)
        text = run.communicate(timeout=120)[0]
        attempts = step(st.records()[0], "current")["attempts"]
        ok("a_station_that_was_too_busy_for_a_heartbeat_tries_again", run.returncode == 0 and [a["verdict"] for a in attempts] == ["ERROR", "PASS"]
           and "this station is too busy" in attempts[0]["error"]["text"], text + json.dumps(attempts))


def words():
    def run(*argv):
        return subprocess.run([f"{BIN}/mn-factory", *argv], capture_output=True, text=True, env=dict(os.environ, MN_SOCKET=f"{folder}/nobody"))

    for name, argv, code, said in (
            ("help_teaches", ["--help"], 0, "Exit codes"), ("no_words_are_wrong_words", [], 2, "usage:"), ("a_misspelt_command_gets_a_hint", ["rnu"], 2, "did you mean run?"),
            ("a_misspelt_option_is_said", ["run", "--comit"], 2, "there is no option --comit; did you mean --commit?"), ("steps_are_listed", ["list"], 0, "calibrate"),
            ("a_step_says_what_it_measures", ["list", "brake"], 0, "recovery_ms, ms"), ("a_wrong_step_is_said", ["list", "brakes"], 2, "no step brakes"),
            ("the_plan_that_ships_is_checked", ["check", "mn-1"], 0, "22 steps, 102 limits"), ("a_plan_that_is_not_there_is_said", ["check", "mn1"], 2, "there is no plan mn1; did you mean mn-1?"), ("nor_is_a_far_one", ["check", "quick"], 2, "there is no plan quick"), ("a_path_is_said_as_it_is", ["check", "./mn-2.yaml"], 2, "mn-2.yaml: No such file"),
            ("without_a_daemon_it_says_so", ["run", "mn-1"], 3, "nobody"), ("no_history_is_said", ["station", "--database", f"{folder}/none.db"], 3, "there is no history"),
            ("no_records_are_said", ["report", folder], 3, "no record"), ("slots_are_counted", ["run", "--slots", "65"], 2, "1 to 64"), ("slots_are_whole", ["run", "--slots", "2x"], 2, "whole number"),
            ("an_out_that_is_a_file_is_refused_first", ["run", "mn-1", "--out", __file__], 3, "cannot write into the folder"), ("nor_may_it_be_a_device", ["run", "mn-1", "--out", "/dev/null/x"], 3, "Not a directory"),
            ("a_record_that_is_a_fifo_is_refused", ["report", "/dev/zero"], 3, "it is a device, not a file"),
            ("it_completes", ["completion", "bash"], 0, "complete -F"), ("its_version", ["version"], 0, "mn-factory 0.")):
        r = run(*argv)
        ok(name, r.returncode == code and said in r.stdout + r.stderr, f"{r.returncode}: {r.stdout}{r.stderr}")


# ---- defects ----

def defects():
    rows = re.findall(r"^DEFECT\((\w+), (\w+),", open(f"{TOP}/firmware-stub/port/defects.def").read(), re.M)
    rows += [(f"deaf {code}", "faults") for code in re.findall(r"^FAULT\(\d+, (\d+),", open(f"{TOP}/proto/faults.def").read(), re.M)]
    for_good = [r for r in rows if r[1] in ("identity", "leave")]
    others = [r for r in rows if r not in for_good]
    print(f"# {len(rows)} defects: what each is, the step that should find it, the steps that did")
    batches = [(others[:32], ["--keep-going"]), (others[32:], ["--keep-going"]), (for_good, ["--commit"])]
    runs = side_by_side([(len(batch), ["--defects", ",".join(name for name, _ in batch)], options) for batch, options in batches])
    for (batch, _), (_, text, records) in zip(batches, runs):
        before = results.count(False)
        for (name, wanted), r in zip(batch, records):
            found = [s["name"] for s in r["steps"] if s["verdict"] in ("FAIL", "ERROR")]
            bad = [f"{m['name']} = {m.get('value', 'unset')}" for s in r["steps"] for m in (s["attempts"] or [{"measurements": []}])[-1]["measurements"] if m["verdict"] in ("FAIL", "UNSET")]
            print(f"# {name:16} {wanted:11} {','.join(found):11} {', '.join(bad)[:100]}")
            right = found == [wanted] and r["verdict"] == "FAIL" and (not name.startswith("deaf ") or [b.split(" ")[0] for b in bad] == [f"fault_{name[5:]}"])
            ok(f"found.{name.replace(' ', '_')}", right, json.dumps([r.get("error"), r["verdict"], [s for s in r["steps"] if s["name"] in found and s["name"] != "faults"]]))
        if len(records) != len(batch):
            ok("a_record_of_every_pen", False, text)
        if results.count(False) > before:
            print("\n".join("# " + line for line in text.splitlines()[-30:]), flush=True)


def good():
    runs = side_by_side([(50, ["--seed", "1000"], ["--commit"]), (50, ["--seed", "1100"], ["--commit"])])
    text = "\n".join(line for _, said, _ in runs for line in said.splitlines() if "FAIL" in line or "ERROR" in line)
    ok("a_hundred_good_pens_give_no_false_failure", [r["verdict"] for _, _, records in runs for r in records] == ["PASS"] * 100, text)


def side_by_side(stations):
    """The plan that ships at several stations, each a little later than the one before: (code, text, records) of each."""
    results = [None] * len(stations)

    def work(i, pens, stub, options):
        time.sleep(20 * i)
        with Station(pens, *stub) as st:
            began = time.monotonic()
            st.run("mn-1", "--slots", str(pens), *options)
            results[i] = (st.code, st.text + "\n" + st.log(), st.records())
            print(f"# {pens} pens in {time.monotonic() - began:.0f} s", flush=True)

    threads = [threading.Thread(target=work, args=(i, *station)) for i, station in enumerate(stations)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return [r or (None, "it did not run", []) for r in results]


try:
    for suite in {"line": (eight_pens, rules, verdict_rules, slots, slow_disk, busy_station, words), "sanitized": (rules, verdict_rules, slots), "verdicts": (verdict_rules, words), "disk": (slow_disk,), "busy": (busy_station,), "defects": (defects,), "good": (good,)}[SUITE]:
        suite()
finally:
    subprocess.run(["rm", "-rf", folder])
print(f"1..{len(results)}")
sys.exit(False in results)
