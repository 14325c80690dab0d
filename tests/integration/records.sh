#!/bin/bash
# What pens have recorded, as a person asks for it: listed, followed, exported, checked, copied; and a fault with its plots, as
# text and as a page that a browser opens. TAP.
suite=records
. "$(dirname "$0")/says.sh"
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
export MN_SOCKET=$dir/mnd.sock PATH=$bin:$PATH LC_ALL=C.UTF-8
running=()
trap 'for p in "${running[@]}"; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done; rm -rf "$dir"' EXIT
start_mnd() { mnd --no-usb --socket "$MN_SOCKET" --sim-socket "$dir/sim" >> "$dir/log" 2>&1 & mnd=$!; running+=($!); until mnctl list > /dev/null 2>&1; do sleep 0.05; done; }
ready() { until [ "$(mnctl list | grep -c 'READY *\(SAFE\|FAULT\)')" = 2 ]; do sleep 0.05; done; }
start_mnd
penstub --connect "$dir/sim" --pens 2 2> "$dir/penstub.log" & running+=($!)
ready
P="mnctl --pen SIM-0001"
mnctl records --follow --kind fault,run --json > "$dir/followed" 2> "$dir/followed.err" & follower=$!; running+=($!)
says faults_show_without_any 5 'the journal has no fault' mnctl faults show
$P config set depth=1.2mm rate=120Hz > "$dir/out"
plan K-1 cheek:1.2mm:120Hz > "$dir/plan.yaml"
mkfifo "$dir/typed"; exec 7<> "$dir/typed" # somebody is there: an input that does not end
$P session start "$dir/plan.yaml" --yes > /dev/null 2>&1 <&7 & arm=$!
until mnctl list | grep -q 'SIM-0001 .*ARMED'; do sleep 0.05; done
$P sim trigger press > /dev/null; sleep 2
$P sim load 1800 > /dev/null; sleep 1.7
kill $arm 2> /dev/null; wait $arm 2> /dev/null
says list_shows_what_happened 0 'SIM-0001 +5 +FAULT +raised 1101 MOTOR_STALL \(H\) in RUNNING' mnctl records
says with_the_time_and_its_bound 0 '20[0-9-]+ [0-9:.]+ \+-[0-9.]+ ms +SIM-0001 +5 +FAULT' mnctl records
says one_pen 0 '^2$' bash -c 'mnctl --pen SIM-0002 records --json | wc -l' # the journal's beginning, and its boot
says a_run_is_recorded_before_the_needles_move 0 'RUN_BEGUN +the needles start: [0-9.]+ mm, [0-9.]+ Hz, CHEEK, cartridge' mnctl records
says one_kind 0 '^ +[0-9]+ .*RUN +[0-9.]+ s, [0-9]+ strokes, to 1[.][0-9]+ mm, CHEEK, ended by fault' mnctl records --kind run
says since 0 '^1$' bash -c 'mnctl records --since 10s --kind fault --json | grep -c MOTOR_STALL'
says until_long_ago 0 '^0$' bash -c 'mnctl records --until 2020-01-01 --json | wc -l'
says the_last_ones 0 'the last 1; --last N or --since shows more' mnctl records --last 1
says the_last_in_their_order 0 '^ok$' bash -c '
    for filter in "" "--kind fault" "--kind fault --priority H" "--since 1h" "--pen SIM-0001"; do
        [ "$(mnctl records --json --last 3 $filter)" = "$(mnctl records --json $filter | tail -n 3)" ] || echo "not with $filter"
    done
    cursor=$(mnctl records --json | tail -n 3 | head -n 1 | python3 -c "import json,sys; print(json.loads(sys.stdin.readline())[\"cursor\"])")
    [ "$(mnctl records --json --last 9 --after "$cursor" | wc -l)" = 2 ] && echo ok'
says a_script_goes_on_where_it_was 0 '^ok$' bash -c '
    all=$(mnctl records --json | wc -l); cursor=$(mnctl records --json | sed -n 3p | python3 -c "import json,sys; print(json.loads(sys.stdin.readline())[\"cursor\"])")
    [ $(mnctl records --json --after "$cursor" | wc -l) = $((all - 3)) ] && echo ok'
says export_csv 0 '^ok$' bash -c 'mnctl records --export csv | python3 -c "
import csv, sys
rows = list(csv.DictReader(sys.stdin))
print(\"ok\" if [r[\"kind\"] for r in rows if r[\"code\"] == \"1101\"] == [\"FAULT\"] and all(len(r) == 12 and None not in r for r in rows) else rows)"'
says export_to_a_file 0 '[0-9]+ records are in .*e.jsonl' mnctl records --export jsonl --output "$dir/e.jsonl"
echo "Dear board," > "$dir/letter"; ln -sf letter "$dir/link"
says an_export_writes_over_nothing 1 'letter: it is there already: name another file, or add --force' mnctl records --export csv --output "$dir/letter"
says nor_through_a_link 1 'link: it is a symbolic link: name the file itself' mnctl records --export csv --output "$dir/link" --force
says nor_does_a_capture 1 'letter: it is there already' mnctl monitor --pcapng "$dir/letter" --seconds 1
says nothing_was_touched 0 '^Dear board,$' cat "$dir/letter"
says by_force_it_does 0 'records are in .*letter' mnctl records --export csv --output "$dir/letter" --force
says times_have_their_offset 0 '^[1-9][0-9]*$' grep -cE '^[0-9]+,20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}[+-][0-9]{2}:[0-9]{2},' "$dir/letter"
says export_to_a_full_disk 1 'cannot write /dev/full: No space left on device' mnctl records --export csv --output /dev/full
says verify 0 'rows are as they were written' mnctl records verify
says backup 0 'is a copy of the journal' mnctl records backup "$dir/copy.db"
says backup_does_not_overwrite 1 'cannot write .*copy.db: File exists' mnctl records backup "$dir/copy.db"
says the_copy_is_checked_without_a_daemon 0 'rows are as they were written' mnd --verify-journal "$dir/copy.db"
sed -i 's/SIM-0001/SIM-0003/g' "$dir/copy.db"
# the journal's beginning, and perhaps the other pen's boot before this one's
says a_changed_copy_is_found 1 '[12] rows are as they were written; the next one was changed' mnd --verify-journal "$dir/copy.db"
says no_journal_to_check 1 '/nowhere cannot be read: unable to open database file' mnd --verify-journal /nowhere
says a_wrong_time 2 '--since: "yesterdayish" is no time: write 3h, 5d, 2w, yesterday' mnctl records --since yesterdayish
says a_wrong_kind 2 'there is no kind fualt; did you mean fault' mnctl records --kind fualt
says a_wrong_kind_far_behind 2 'there is no kind fualt; did you mean fault' mnctl records --kind fault,run,boot,config,session,fault,run,boot,config,session,fault,run,fualt
says a_wrong_word 2 'there is no records --folow; did you mean --follow' mnctl records --folow
says a_wrong_priority 2 '--priority takes some of H, M and L' mnctl records --priority X
says a_wrong_cursor 2 "--after takes a record's cursor" mnctl records --after 12
says output_needs_export 2 '--output goes with --export' mnctl records --output x
says fault_in_the_terminal 0 '1101 MOTOR_STALL raised, priority H' mnctl faults show
says with_its_plots 0 '^ +1500 \|.*$' mnctl faults show
says in_blocks 0 '▆████|█████' mnctl faults show
says without_utf8_too 0 '#####' env LC_ALL=C mnctl faults show
says fault_as_json 0 '^3000|^[2-6][0-9]{3}$' bash -c 'mnctl --json faults show | python3 -c "import json,sys; print(json.load(sys.stdin)[\"telemetry\"][\"samples\"])"'
says what_is_no_fault 5 'record 1 is no fault, but BEGUN' mnctl faults show 1
says what_is_not_there 5 'the journal has no record 999' mnctl faults show 999
says a_page 0 'fault.html' mnctl faults show --html "$dir/fault.html"
says a_page_on_a_full_disk 1 'cannot write /dev/full: No space left on device' mnctl faults show --html /dev/full
if command -v chromium > /dev/null; then
    timeout 120 /usr/bin/python3 "$here/page.py" "$dir/fault.html" > "$dir/page.json" 2> "$dir/page.err" || sed 's/^/# /' "$dir/page.err"
    page() { says "$1" 0 '^True$' /usr/bin/python3 -c "import json; p = json.load(open('$dir/page.json')); print($2)"; }
    page page_says_what_happened "'1101 MOTOR_STALL' in p['text'] and p['title'] == '1101 MOTOR_STALL, pen SIM-0001'"
    page page_draws_its_plots "len(p['plots']) == 3 and all(q['curve'] > 500 and q['height'] > 100 and q['colour'] == 'rgb(34, 119, 204)' for q in p['plots']) or p"
    page page_asks_the_network_for_nothing "p['requests'] == ['file://$dir/fault.html'] or p"
    page page_fits_a_phone "p['page_width'] == 360 and p['outside'] == 0 and p['smallest_text_px'] >= 12 or p"
else
    n=$((n + 1)); echo "ok $n - records.page # SKIP there is no chromium"
fi
kill -9 $mnd; wait $mnd 2>/dev/null
start_mnd; ready
mnctl --pen SIM-0002 sim inject 1403 > /dev/null
for _ in {1..400}; do ! grep -q 1403 "$dir/followed" || break; sleep 0.05; done
kill $follower; wait $follower 2>/dev/null
says followed_over_a_death_of_the_daemon 0 '^1101 None 1403$' /usr/bin/python3 -c "
import json
print(*[json.loads(line).get('code') for line in open('$dir/followed')])"
says and_said_so 0 'no record is missed' cat "$dir/followed.err"
ready
P="mnctl --pen SIM-0002"
plan K-2 cheek:1.2mm:120Hz > "$dir/plan.yaml"
$P sim clear 1403 > /dev/null
soon the_other_pen_is_well_again 0 'left none' $P faults clear --service
$P session start "$dir/plan.yaml" --yes > /dev/null 2>&1 <&7 & arm=$!; running+=($!)
until mnctl list | grep -q 'SIM-0002 .*ARMED'; do sleep 0.05; done
$P sim trigger press > /dev/null; sleep 1
$P sim power-cycle > /dev/null
until $P records --kind run | grep -q RUN; do sleep 0.05; done
says a_run_whose_power_went_has_no_figures 0 'RUN +for an unknown time, CHEEK, ended by loss of power' mnctl records --kind run
