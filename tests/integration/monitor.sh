#!/bin/bash
# mnctl monitor: lines, JSON, and a capture that tshark decodes with the project's own .proto files. TAP.
bin=$1
top=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d)
export MN_SOCKET=$dir/mnd.sock PATH=$bin:$PATH
mnd --no-usb --sim=2 --socket "$MN_SOCKET" > "$dir/log" 2>&1 & mnd=$!
trap 'kill $mnd; wait $mnd; rm -rf "$dir"' EXIT
n=0
check() {
    local name=$1; shift
    n=$((n + 1))
    if "$@" > "$dir/why" 2>&1; then echo "ok $n - monitor.$name"; else echo "not ok $n - monitor.$name"; tail -n 20 "$dir/why" | cut -c1-300 | sed 's/^/# /'; fi
}
until mnctl list 2>/dev/null | grep -c 'READY *SAFE' | grep -qx 2; do sleep 0.05; done
P="mnctl --pen SIM-0001"
for um in 1210 1510; do echo "{\"config\": {\"depth_um\": $um}}" > "$dir/$um.json"; done # what the pen itself refuses
# while_monitoring FILE OPTIONS... -- COMMAND: what the monitor says while COMMAND runs.
while_monitoring() {
    local out=$1 options=() p; shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done; shift
    mnctl "${options[@]}" > "$out" 2> "$dir/err" & p=$!
    sleep 0.5
    "$@" > "$dir/said" 2>&1
    sleep 0.3
    kill $p; wait $p
}
lines() {
    while_monitoring "$dir/lines" --pen SIM-0001 monitor -- bash -c "$P config set depth=1.2mm; $P config import $dir/1210.json; mnctl --pen SIM-0002 ping --count 3"
    cut -c1-200 "$dir/lines"
    grep -q 'SIM-0001 .*-> .*CONFIG_SET #[0-9]* config {depth_um=1200}' "$dir/lines" && grep -q '<- .*CONFIG_SET reply #[0-9]* .*generation=1' "$dir/lines" &&
        grep -q 'CONFIG_SET error #.*code=ERROR_OUT_OF_RANGE .*field=depth_um value=1210 min=0 max=2500 step=50' "$dir/lines" &&
        grep -q '<= state=STATE_SAFE' "$dir/lines" && grep -q 'TELEMETRY .*depth_um=\[0 0 0 0 0 0 0 0 ... 50\]' "$dir/lines" && ! grep -q 'SIM-0002\|>>' "$dir/lines"
}
programs() {
    while_monitoring "$dir/lines" monitor --clients -- bash -c "$P config get depth; echo"
    cut -c1-200 "$dir/lines"
    grep -q '>> id=1 hello {major=1 minor=8 client_name=mnctl}' "$dir/lines" && grep -q '<< id=[0-9]* pens {pen=\[pen_id=1 serial=SIM-0001' "$dir/lines" &&
        grep -q '>> id=[0-9]* call {serial=SIM-0001 pen_type=4' "$dir/lines" && ! grep -q 'monitor\|traffic' "$dir/lines"
}
one_program() {
    local p
    mnctl --pen SIM-0002 list --watch > "$dir/watch" & p=$!
    until grep -q SIM-0002 "$dir/watch"; do sleep 0.02; done
    while_monitoring "$dir/lines" monitor --client $p -- mnctl --pen SIM-0002 sim unplug 0.2
    kill $p; wait $p
    cut -c1-200 "$dir/lines"
    grep -q "mnctl (pid $p) *<< pen {.*serial=SIM-0002 .*link=LINK_GONE" "$dir/lines" && ! grep -qv "(pid $p)" "$dir/lines"
}
json() {
    while_monitoring "$dir/json" --json monitor --clients -- bash -c "$P sim link corrupt=0.5; sleep 0.5; $P sim link good; $P config set rate=90Hz"
    python3 - "$dir/json" << 'PY'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
frames = [f for e in events for f in e.get("frames", [])]
assert any(f["type"] == "CONFIG_SET" and f["is"] == "request" and f["message"]["config"]["stroke_rate_dhz"] == 900 for f in frames)
assert all(len(f["message"]["fast"]["depth_um"]) == f["message"]["fast"]["count"] for f in frames if f["type"] == "TELEMETRY" and "fast" in f["message"])
assert any(e.get("wrong") == "bytes that are no frame" and e["bytes"] for e in events), "broken bytes are shown"
assert any("status" in e for e in events) and any("simulate" in e.get("message", {}) for e in events)
assert all(a["time_us"] <= b["time_us"] for a, b in zip(events, events[1:]))
assert not any(e.get("missed") for e in events)
PY
}
plugging_in() {
    while_monitoring "$dir/lines" monitor -- bash -c "$P sim unplug 0.2; sleep 0.5"
    grep -q '=> SESSION_RESET' "$dir/lines" && grep -q 'sim 1 .*-> .*HELLO #1 nonce=' "$dir/lines" && grep -q '<- .*HELLO reply #1 .*serial=SIM-0001' "$dir/lines"
}
capture() {
    rm -f "$dir/c.pcapng"
    while_monitoring "$dir/out" monitor --clients --pcapng "$dir/c.pcapng" -- bash -c "$P config set depth=1.5mm; $P config import $dir/1510.json; $P sim unplug 0.2; sleep 0.5"
    cat "$dir/err"; grep -Eq '[0-9]+ captured, 0 missed' "$dir/err"
}
tshark_with_protos() {
    tshark -X lua_script:"$bin/../mn.lua" -o "uat:protobuf_search_paths:\"$top/proto\",\"TRUE\"" -r "$dir/c.pcapng" "$@" 2> "$dir/tshark.err"
}
decoded() {
    tshark_with_protos -O mn,protobuf > "$dir/decoded" || { cat "$dir/tshark.err"; return 1; }
    grep -A 20 'Frame, CONFIG_SET$' "$dir/decoded" | grep -q 'depth_um = 1500 (uint32)' && grep -q 'Frame, CONFIG_SET error' "$dir/decoded" &&
        grep -q 'code = ERROR_OUT_OF_RANGE(3)' "$dir/decoded" && grep -q 'Frame, TELEMETRY' "$dir/decoded" && grep -q 'Message: mnp.HelloReply' "$dir/decoded" &&
        grep -q 'Message: mnc.ClientMessage' "$dir/decoded" && grep -q 'EP0 request: SESSION_RESET' "$dir/decoded" && grep -q 'Fault word: 0x00000000' "$dir/decoded" &&
        ! grep -qi 'malformed\|lua error' "$dir/decoded"
}
filtered() { [ "$(tshark_with_protos -Y 'mn.type == 5 && mn.is == "error" && mn.name == "SIM-0001"' | wc -l)" = 1 ]; }
piped() {
    mnctl monitor --pcapng - --seconds 1 | tshark -X lua_script:"$bin/../mn.lua" -r - > "$dir/piped" 2> "$dir/err"
    [ "$(grep -c 'BULK_IN: TELEMETRY' "$dir/piped")" -gt 10 ]
}
ends_by_itself() { timeout 5 mnctl monitor --seconds 0.5 > "$dir/out"; }
full_disk() { mnctl monitor --pcapng /dev/full --seconds 1; [ $? = 1 ]; }
wrong_words() { mnctl monitor --pcap x 2> "$dir/err"; [ $? = 2 ] && grep -q 'monitor takes --clients, --client PID, --requests, --pcapng FILE, --force and --seconds N, not --pcap' "$dir/err"; }
survives_the_daemon() {
    mnctl monitor > "$dir/lines" 2> "$dir/err" & local p=$!
    sleep 0.5; kill -9 $mnd; wait $mnd
    mnd --no-usb --sim=2 --socket "$MN_SOCKET" > "$dir/log" 2>&1 & mnd=$!
    sleep 0.5; : > "$dir/lines"; sleep 3
    kill $p; wait $p
    grep -q 'waiting for it' "$dir/err" && grep -q 'TELEMETRY' "$dir/lines"
}
check lines_of_one_pen lines
check programs_too programs
check one_program_alone one_program
check json_has_everything json
check plugging_in_is_seen_from_the_first_byte plugging_in
check a_capture_is_written capture
if command -v tshark > /dev/null; then
    check tshark_decodes_it_with_our_protos decoded
    check a_filter_finds_the_refusal filtered
    check a_pipe_to_wireshark piped
else
    for name in tshark_decodes_it_with_our_protos a_filter_finds_the_refusal a_pipe_to_wireshark; do n=$((n + 1)); echo "ok $n - monitor.$name # SKIP tshark is not installed"; done
fi
check ends_by_itself ends_by_itself
check full_disk_is_said full_disk
check wrong_words_are_said wrong_words
check it_survives_the_daemon survives_the_daemon
