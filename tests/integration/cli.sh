#!/bin/bash
# mnctl as a person types it: the right words, the wrong ones, and what it says and returns. TAP.
suite=cli
. "$(dirname "$0")/says.sh"
bin=$1
dir=$(mktemp -d)
export MN_SOCKET=$dir/mnd.sock PATH=$bin:$PATH
mnd --no-usb --sim=2 --socket "$MN_SOCKET" > "$dir/log" 2>&1 &
mnd=$!
trap 'kill $mnd 2>/dev/null; wait $mnd; rm -rf "$dir"' EXIT
until mnctl list 2>/dev/null | grep -c 'READY *SAFE' | grep -qx 2; do sleep 0.05; done
P="mnctl --pen SIM-0001"

says list_shows_both 0 'SIM-0002 .*READY +SAFE' mnctl list
says list_json_is_json 0 '^2$' bash -c 'mnctl --json list | python3 -c "import json,sys; print(len(json.load(sys.stdin)))"'
says two_pens_and_none_chosen 4 'there are 2 pens; choose one with --pen: SIM-000. SIM-000.' mnctl selftest
says a_unique_prefix_is_enough 0 'SIM-0002' mnctl --pen sim-0002 info
says an_ambiguous_prefix_is_not 4 'there are 2 pens' mnctl --pen SIM info
says no_such_pen 4 "no pen's serial number begins with XYZ" mnctl --pen XYZ info
says a_misspelt_command 2 'there is no command lsit; did you mean list\?' mnctl lsit
says a_misspelt_setting 2 'there is no setting dpeth; did you mean depth\?' $P config set dpeth=1mm
says a_misspelt_verb 2 'there is no config exprot; did you mean export\?' $P config exprot
says values_with_units 0 'depth +0.50 mm -> 1.20 mm' $P config set depth=1.2mm rate=120.5Hz soft-start=0.5s
says they_arrived 0 '^1205$' $P config get rate
says a_wrong_unit 2 'depth=3Hz: "Hz" is none of its units' $P config set depth=3Hz
says out_of_range_names_range_and_unit 2 'depth is 0.00 mm to 2.50 mm' $P config set depth=3mm
says not_a_number 2 '"deep" is not a number' $P config set depth=deep
says off_the_step 2 'depth goes in steps of 0.05 mm: 1.20 mm or 1.25 mm' $P config set depth=1210um
says off_is_zero 0 'fast-rate +1000 Hz -> off' $P config set fast-rate=off
says compare_and_set 5 'the configuration is at 2, not 0; changed last' $P config set depth=1mm --if-generation 0
says export_to_a_file 0 'SIM-0001: 6 settings are in' $P config export "$dir/c.json"
says reset 0 'depth +0.50 mm' $P config reset
says diff_shows_what_would_change 1 'depth +0.50 mm -> 1.20 mm' $P config diff "$dir/c.json"
says import_brings_it_back 0 'depth +0.50 mm -> 1.20 mm' $P config import "$dir/c.json"
says diff_is_silent_then 0 'SIM-0001 has what' $P config diff "$dir/c.json"
echo '{"config": {"depth_um": "deep"}}' > "$dir/bad.json"
says import_of_nonsense 2 'depth_um is not a whole number' $P config import "$dir/bad.json"
echo '{' > "$dir/bad.json"
says import_of_no_json 2 'bad.json, line' $P config import "$dir/bad.json"
says import_of_no_file 2 'nowhere.json' $P config import "$dir/nowhere.json"
says fault_injected 0 '^ok' $P sim inject 1403
soon faults_now 0 '1403 +BATTERY_FAULT +H +service' $P faults
plan K-1 cheek:1mm > "$dir/plan.yaml"
says a_session_with_a_fault 5 'pen SIM-0001: the pen is not SAFE: stop it, and clear its faults, first' $P session start "$dir/plan.yaml" --yes
says clear_while_the_cause_is_there 5 '1403 stays' $P faults clear 1403
says cause_gone 0 '^ok' $P sim clear 1403
says clear_needs_service 5 '1403 stays: .*, or it needs --service' $P faults clear 1403
soon clear_by_service 0 'cleared 1403 BATTERY_FAULT; left none' $P faults clear --service
says clear_of_no_fault 2 'no fault has the code 9999' $P faults clear 9999
says table_has_28_rows 0 '^28$' bash -c 'mnctl faults --table | wc -l'
says ping 0 '20 of 20 answered' $P ping --count 20 --bytes 512
says ping_of_the_daemon 0 'mnd: 5 of 5 answered' mnctl ping --daemon --count 5
says ping_too_large 2 '--bytes: it is a whole number, 0 to 1003, not "1004"' $P ping --bytes 1004
says selftest 0 'self-test passed' $P selftest
says watch_csv 0 '' bash -c "$P config set fast-rate=1000; $P watch --csv --seconds 2 > $dir/w.csv; awk -F, 'NR > 2 && \$2 != last + 1 { exit 1 } { last = \$2 } END { exit NR < 1500 }' $dir/w.csv"
says watch_every_hundredth 0 '' bash -c "$P watch --csv --every 100 --latency 200 --seconds 2 > $dir/w.csv; awk -F, 'NR > 2 && \$2 != last + 100 { exit 1 } { last = \$2 } END { exit NR < 12 }' $dir/w.csv"
says watch_json_lines 0 '' bash -c "$P --json watch --seconds 1 | head -n 3 | python3 -c 'import json,sys; [json.loads(l)[\"fast\"][\"depth_um\"] for l in sys.stdin]'"
says watch_lines 0 'SAFE +stroke 0.00 mm' bash -c "$P watch --seconds 2 | cat"
says output_pipe_closed 1 '' bash -c "$P watch --csv --seconds 5 | head -n 1 > /dev/null; exit \${PIPESTATUS[0]}"
says disk_full 1 'cannot write the output: No space left on device' bash -c "$P watch --csv --seconds 3 > /dev/full"
says unplug 0 '^ok' $P sim unplug
says gone_from_the_list 0 '^1$' bash -c 'mnctl --json list | python3 -c "import json,sys; print(len(json.load(sys.stdin)))"'
says replug 0 '^ok' $P sim replug
soon back_in_the_list 0 'SIM-0001.*READY' mnctl list
says sim_of_nonsense 5 'error: unknown command' $P sim dance
says stop_all 0 'all pens: stopped' mnctl stop --all
says policy_page_is_the_policy 0 '^ok$' bash -c "mnctl policy show --markdown | diff - $(cd "$(dirname "$0")/../.." && pwd)/docs/policy.md && echo ok"
says policy_json 0 '^17 28$' bash -c 'mnctl --json policy show | python3 -c "import json,sys; p = json.load(sys.stdin); print(len(p[\"zones\"]), len(p[\"questions\"]))"'
printf 'name: Nord\nlimits:\n  - {name: depth_limit, value: 1200}\n' > "$dir/site.yaml"
says policy_check 0 'a good policy of Nord; 1 figures are not the defaults' mnctl policy check "$dir/site.yaml"
says policy_diff 1 'limits +depth_limit +1500 um -> 1200 um' mnctl policy diff "$dir/site.yaml"
says policy_check_without_a_daemon 0 'is a good policy of Nord, SHA-256 [0-9a-f]{64}' mnd --check-policy "$dir/site.yaml"
printf 'name: Nord\nlimits:\n  - {name: depth_limit, value: 1600}\n' > "$dir/site.yaml"
says a_policy_that_allows_too_much 5 'depth_limit is 1500 um, and 1600 is less strict: less strict is only 2000 with source: S4' mnctl policy check "$dir/site.yaml"
says a_daemon_with_it_does_not_start 1 'the treatment policy is not taken: .*1600 is less strict' mnd --no-usb --socket "$dir/other.sock" --policy "$dir/site.yaml"
says policy_of_no_file 2 'nowhere.yaml: No such file' mnctl policy check "$dir/nowhere.yaml"
says policy_misspelt 2 'there is no policy shwo; did you mean show' mnctl policy shwo
says session_misspelt 2 'there is no session strat; did you mean start' mnctl session strat
plan K-1 cheek:1mm | sed 's/item: KELOID, answer: "no"/item: KELOID, answer: "yes", zones: CHIN/' > "$dir/places.yaml"
says a_place_of_what_counts_everywhere 2 'places.yaml, line [0-9]+.*KELOID: it counts wherever it is, and takes no zones' mnctl session check "$dir/places.yaml"
says nothing_behind_a_rate_is_overlooked 2 'rate is not|no number|none of its units' mnctl session plan --zone "cheek:1mm:120Hz                        junk"
says session_of_a_misspelt_zone 2 'there is no zone chek; did you mean CHEEK' mnctl session plan --zone chek:1mm
says session_of_a_misspelt_indication 2 '--indication: there is no indication skars; did you mean SCARS' mnctl session plan --indication skars
says session_of_a_name 2 '--subject: the subject is a key of 1 to 32 printable characters without blanks, not "Jane Doe"' mnctl session plan --subject 'Jane Doe'
says a_subject_of_any_printable_signs_is_read_back 0 '^subject: "K\\"4\\\\2"' bash -c "mnctl session plan --subject 'K\"4\\2' > '$dir/odd.yaml'; mnctl session check '$dir/odd.yaml' 2>&1 | grep -q libyaml && exit 1; cat '$dir/odd.yaml'"
says session_zone_without_depth 2 '--zone: CHEEK needs a depth: CHEEK:1.2mm' mnctl session plan --zone cheek
says session_unknown_option 2 'session start takes no --now' mnctl session start --now
says session_without_a_terminal 2 'there is no terminal: --yes arms without asking' $P session start
says session_of_no_file 2 'nowhere.yaml: No such file' $P session check "$dir/nowhere.yaml"
printf 'subjekt: K\n' > "$dir/bad.yaml"
says session_file_with_a_misspelt_key 2 'bad.yaml, line 1, column 1: there is no option subjekt; did you mean subject' $P session check "$dir/bad.yaml"
: > "$dir/bad.yaml"
says session_file_that_is_empty 2 'bad.yaml is empty' $P session check "$dir/bad.yaml"
says session_check_finds_what_is_missing 5 'BLOCK +2005 not answered: When was isotretinoin last taken' $P session check --subject K-1 --zone cheek:1mm
says session_show_of_none 5 'there is no session 99' mnctl session show 99
says session_end_of_none 5 'no session of pen SIM-0001 is open' $P session end
says session_json 0 '^\[\]$' bash -c "mnctl --json session status | tr -d ' \n'; echo"
says policy_in_the_terminal 0 'NSAID +within 7 d: BLOCK' mnctl policy show
says guide_lists_indications 0 'SCARS +5 to 6' mnctl guide
says guide_says_how_deep_and_how_long_before 0 'FOREHEAD +0.75 mm +30 min +bony' mnctl guide scars
says guide_knows_where_never 0 'LIP_VERMILION +never' mnctl guide fine-lines
says guide_misspelt 2 'there is no indication scras; did you mean SCARS' mnctl guide scras
says version 0 'mnctl 0.1.0, libmn 0.1.0, mnd 0.1.0' mnctl version
says help_of_a_command 0 'usage: mnctl .*config' mnctl help config
says help_exit 0 '6  no answer' mnctl help exit
says completion 0 'complete -F _mnctl mnctl' mnctl completion bash
says completion_is_valid_bash 0 '' bash -c 'mnctl completion bash | bash -n'
says daemon_of_wrong_option 2 'Try mnd --help' mnd --sim=0
says check_config 2 'line 1, column 1: there is no option sokket' bash -c "echo 'sokket: x' > $dir/c.yaml; mnd --check-config --config $dir/c.yaml"
says check_config_right 0 'is right' bash -c "echo 'usb: false' > $dir/c.yaml; mnd --check-config --config $dir/c.yaml"
says a_second_daemon_does_not_steal_the_socket 1 'is in use: another program listens there' mnd --no-usb --socket "$MN_SOCKET"
says penstub_help 0 'usage: penstub' penstub --help
says penstub_wrong 2 'Try penstub --help' penstub --connect x --speed fast
kill $mnd; wait $mnd; code=$?
n=$((n + 1)); [ $code = 0 ] && echo "ok $n - cli.mnd_ends_cleanly" || echo "not ok $n - cli.mnd_ends_cleanly"
says daemon_not_running 3 'mnd is not running at .*: start it' mnctl list
