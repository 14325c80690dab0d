#!/bin/bash
# The SDK's examples, run against a daemon with one simulated pen. TAP.
bin=$1
dir=$(mktemp -d)
export MN_SOCKET=$dir/mnd.sock
"$bin/mnd" --no-usb --sim --socket "$MN_SOCKET" > "$dir/log" 2>&1 &
mnd=$!
trap 'kill $mnd; wait $mnd; rm -rf "$dir"' EXIT
n=0
check() { local name=$1; shift; n=$((n + 1)); if "$@" > "$dir/why" 2>&1; then echo "ok $n - examples.$name"; else echo "not ok $n - examples.$name"; sed 's/^/# /' "$dir/why"; fi; }
until "$bin/mnctl" list 2>/dev/null | grep -q "READY *SAFE"; do sleep 0.05; done
telemetry() { "$bin/example_telemetry" 5 | tee /dev/stderr | grep -c "samples from" | grep -qx 5; }
set_depth() { "$bin/example_set_depth" SIM-0001 900 | grep -q "depth 900 um, generation 1" && ! "$bin/example_set_depth" SIM-0001 901; }
wait_fault() {
    "$bin/example_wait_fault" > "$dir/out" & local p=$!
    until grep -q waiting "$dir/out"; do sleep 0.05; done
    "$bin/mnctl" sim inject 1403 && wait $p && grep -q "fault 1403" "$dir/out"
}
keep_records() { # killed twenty times, in the middle of what it does
    local i
    for i in $(seq 20); do
        "$bin/example_keep_records" "$dir/kept" & local p=$!
        "$bin/mnctl" config set depth=$((100 * i))um rate=$((60 + i))Hz > /dev/null
        sleep "0.0$((i % 7))"; kill -9 $p; wait $p 2> /dev/null
    done
    printf 'SIM-0001 1 9' >> "$dir/kept" # half a line: it died there
    "$bin/example_keep_records" "$dir/kept" & p=$!
    sleep 0.5; kill $p; wait $p 2> /dev/null
    "$bin/mnctl" records --export jsonl | python3 -c '
import json, sys
kept = [line.split() for line in open(sys.argv[1])]
there = [json.loads(line) for line in sys.stdin]
assert [int(k[-1].split(":")[1]) for k in kept] == [t["id"] for t in there], (len(kept), len(there))
assert len(there) > 20' "$dir/kept"
}
check telemetry telemetry
check set_depth_refuses_what_the_pen_refuses set_depth
check wait_fault_in_a_poll_loop wait_fault
check keep_records_sees_each_once_over_its_deaths keep_records
session() {
    "$bin/mnctl" sim clear all > /dev/null
    until "$bin/mnctl" faults clear --service | grep -q "left none"; do sleep 0.05; done  # the pen sees it with its next samples
    until "$bin/mnctl" list | grep -q "READY *SAFE"; do sleep 0.05; done
    "$bin/example_session" SIM-0001 K-1 > "$dir/out" & local p=$!
    until grep -q ARMED "$dir/out"; do sleep 0.05; done
    "$bin/mnctl" sim trigger press && sleep 0.5 && "$bin/mnctl" sim trigger release && wait $p && grep -E "^[1-9][0-9]* strokes, [1-9][0-9]* punctures" "$dir/out"
}
check session_is_armed_run_and_ended session
