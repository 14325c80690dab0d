#!/bin/bash
# Wrong use, and what is said to it, to the letter: on stderr, with the exit code. And what mnctl doctor finds. TAP.
bin=$1
dir=$(mktemp -d)
chmod 755 "$dir"
cp "$bin"/../sdk/libmn.so.0 "$bin/mnctl" "$dir" # where the user nobody can run it
export MN_SOCKET=$dir/mnd.sock PATH=$bin:$PATH LD_LIBRARY_PATH=$dir
n=0
running=()
end() { for p in "${running[@]}"; do kill "$p" 2>/dev/null; wait "$p" 2>/dev/null; done; rm -rf "$dir"; }
trap end EXIT
# exactly NAME CODE SENTENCE COMMAND...
exactly() {
    local name=$1 want=$2 sentence=$3 code; shift 3
    "$@" > "$dir/out" 2> "$dir/err"; code=$?
    judge "$name" "$code" "$want" "$sentence"
}
# judge NAME CODE WANTED-CODE SENTENCE: on what stands in $dir/err.
judge() {
    n=$((n + 1))
    if [ "$2" = "$3" ] && [ "$(cat "$dir/err")" = "$4" ]; then echo "ok $n - wrong_use.$1"; return; fi
    echo "not ok $n - wrong_use.$1"; echo "# code $2, wanted $3; wanted: $4"; sed 's/^/# said: /' "$dir/err"
}
# finds NAME CODE PATTERN LAST-LINE COMMAND...: doctor says a line like PATTERN, and ends with LAST-LINE.
finds() {
    local name=$1 want=$2 pattern=$3 last=$4 code; shift 4
    n=$((n + 1))
    "$@" > "$dir/out" 2> "$dir/err"; code=$?
    if [ $code = "$want" ] && grep -qE -- "$pattern" "$dir/out" && tail -n 1 "$dir/out" | grep -qE -- "$last"; then echo "ok $n - doctor.$name"; return; fi
    echo "not ok $n - doctor.$name"; echo "# code $code, wanted $want; wanted: $pattern, then: $last"; sed 's/^/# out: /' "$dir/out"; sed 's/^/# err: /' "$dir/err"
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
start_mnd() {
    mnd --no-usb --socket "$MN_SOCKET" --sim-socket "$dir/sim" 2> "$dir/log" & mnd=$!; running+=($!)
    until mnctl list > /dev/null 2>&1; do sleep 0.02; done
}
start_pens() {
    penstub --connect "$dir/sim" --pens "$1" --control "$dir/control" 2> "$dir/penstub.log" & pens=$!; running+=($!)
    until [ "$(mnctl list --serials | grep -c SIM)" = "$1" ] && ! mnctl list | grep -qv 'READY *SAFE\|^SERIAL'; do sleep 0.02; done
}
# Starts a command that waits for a pen that does not answer, strikes, and judges what it says.
while_waiting() {
    local name=$1 want=$2 sentence=$3 code p; shift 3
    mnctl sim link drop=1 > "$dir/out"
    mnctl --timeout 20000 ping --count 1 > "$dir/out" 2> "$dir/err" & p=$!
    sleep 0.5
    "$@" > "$dir/out"
    wait $p; code=$?
    judge "$name" $code "$want" "$sentence"
}

try() { printf '%s: %s\nTry %s --help.' "$1" "$2" "$1"; }
exactly an_unknown_option 2 "$(try mnd 'there is no option --nonsense')" mnd --nonsense
exactly a_misspelt_option 2 "$(try mnd 'there is no option --jornal=x; did you mean --journal?')" mnd --jornal=x
exactly an_option_without_its_value 2 "$(try penstub '--pens needs a value')" penstub --pens
exactly an_option_with_a_value_too_many 2 "$(try mnd '--no-usb takes no value')" mnd --no-usb=3
exactly a_letter_that_is_no_option 2 "$(try penstub 'there is no option -z')" penstub -zh
exactly an_option_that_is_a_command_to_the_terminal 2 "$(try mnd 'there is no option --\x1b[31m')" mnd $'--\e[31m'
exactly daemon_not_running 3 "mnctl: mnd is not running at $dir/mnd.sock: start it (systemctl start mnd), or name another socket" mnctl list
finds no_socket 1 "^BAD +socket +$dir/mnd.sock does not exist" '^next: start the daemon: sudo systemctl start mnd.socket' mnctl doctor
touch "$dir/file"
finds a_file_for_a_socket 1 'file is no socket' "^next: name the daemon's socket" mnctl --socket "$dir/file" doctor
start_mnd
exactly no_pen 4 "mnctl: no pen is plugged in" mnctl info
finds no_pen 0 '^ok +mnd +version 0.1.0, pid [0-9]+, up' '^next: plug a pen in' mnctl doctor
nobody="setpriv --reuid nobody --regid nogroup --clear-groups $dir/mnctl"
if [ "$(id -u)" = 0 ]; then
    exactly no_permission_on_the_socket 3 \
        "mnctl: no permission on $dir/mnd.sock: your user must be in the socket's group (see ls -l), then log in anew" $nobody list
    finds a_socket_for_nobody 1 'and nobody is not in it' '^next: create group mnd' $nobody doctor
    chgrp games "$dir/mnd.sock"
    finds a_socket_for_a_group 1 'is for group games \(mode 0660\), and nobody is not in it' '^next: sudo usermod -aG games nobody, then log in anew' $nobody doctor
    chgrp root "$dir/mnd.sock"
else
    skip wrong_use.no_permission_on_the_socket "only root can be another user"
fi
start_pens 2
exactly two_pens_and_none_chosen 4 "mnctl: there are 2 pens; choose one with --pen: SIM-0001 SIM-0002" mnctl selftest
finds two_pens_and_all_is_well 0 'link of SIM-0001: [0-9]+ frames, 0 bad, 0 lost' '^next: nothing: all is well' mnctl doctor
mnctl --pen SIM-0001 sim link corrupt=0.3 > "$dir/out"; sleep 1
finds a_bad_cable 1 'BAD +sim .* link of SIM-0001: [0-9]+ frames, [1-9][0-9]* bad' '^next: give pen SIM-0001 another cable' mnctl doctor
finds json 1 '"well": false' '^}' mnctl --json doctor
kill $pens; wait $pens
start_pens 1
exactly unknown_setting 2 "mnctl: there is no setting \"nonsense\": \`mnctl config show\` lists them" mnctl config set nonsense=1
exactly out_of_range 2 "mnctl: depth=3mm: depth is 0.00 mm to 2.50 mm
See \`mnctl help config\`." mnctl config set depth=3mm
exactly off_the_step 2 "mnctl: depth=1210um: depth goes in steps of 0.05 mm: 1.20 mm or 1.25 mm
See \`mnctl help config\`." mnctl config set depth=1210um
exactly every_third_sample 5 "mnctl: one sample in 3 cannot be had: it is one in 1, 2, 5, 10, 20, 50, 100, 200, 500 or 1000" mnctl watch --every 3 --seconds 1
exactly no_latency 2 "mnctl: --latency needs a number, 5 to 2000
See \`mnctl help watch\`." mnctl watch --latency
exactly too_hasty 2 "mnctl: --latency: it is a whole number, 5 to 2000, not \"4\"
See \`mnctl help watch\`." mnctl watch --latency 4 --seconds 1
exactly disk_full_on_csv 1 "mnctl: cannot write the output: No space left on device" bash -c "mnctl watch --csv --seconds 3 > /dev/full"
exactly output_pipe_closed 1 "" bash -c "mnctl watch --csv --seconds 5 | head -n 1 > /dev/null; exit \${PIPESTATUS[0]}"
while_waiting pen_unplugged 6 "mnctl: the pen was unplugged while the request waited" mnctl sim unplug
mnctl --pen SIM-0001 sim link good > "$dir/out"; mnctl --pen SIM-0001 sim replug > "$dir/out"
until mnctl list | grep -q READY; do sleep 0.02; done
while_waiting daemon_killed 6 "mnctl: the daemon has hung up" kill -9 $mnd
wait $mnd 2> "$dir/out"
kill $pens; wait $pens
mnd --no-usb --socket "$MN_SOCKET" --sim --journal /nowhere/journal.db 2> "$dir/log" & mnd=$!; running+=($!)
until mnctl list 2> "$dir/err" | grep -q READY; do sleep 0.02; done
finds a_journal_that_cannot_be_written 1 '^BAD +journal +the journal /nowhere/journal.db cannot be opened' '^next: give the journal a place to write' mnctl doctor
mnctl session plan --subject K-1 --zone cheek:1mm > "$dir/plan.yaml"
exactly a_session_without_a_journal 1 "mnctl: pen SIM-0001: 2008 JOURNAL_UNWRITABLE: the journal /nowhere/journal.db cannot be opened: its folder is not there" \
    mnctl session start "$dir/plan.yaml" --yes

# A clock that is behind what the journal has seen.
kill $mnd; wait $mnd 2> "$dir/out"
start_with_journal() { mnd --no-usb --socket "$MN_SOCKET" --sim --journal "$dir/clock.db" 2> "$dir/log" & mnd=$!; running+=($!); until mnctl list 2> "$dir/err" | grep -q "READY *SAFE"; do sleep 0.02; done; }
start_with_journal
finds a_clock_that_is_right 0 '^ok +clock +it is not behind' '' mnctl doctor
finds the_clock_is_right 0 '^the clock is not behind what the journal has seen$' '' mnctl clock
kill $mnd; wait $mnd 2> "$dir/out"
python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute("UPDATE known SET latest_us = 4000000000000000"); d.commit()' "$dir/clock.db"
start_with_journal
finds a_clock_that_is_behind 1 '^BAD +clock +.*clock says 20[0-9-]+ .* the journal has seen 2096-10-02' '^next: set this machine.s clock right; if it is right now, mnctl clock confirm' mnctl doctor
finds and_its_own_command_says_so 5 'the journal has seen 2096-10-02' '' mnctl clock
finds service_confirms_it 0 '^the clock is confirmed: sessions may begin again, and no treatment counts as later than now$' '' mnctl clock confirm
finds and_it_is_right_then 0 '^the clock is not behind what the journal has seen$' '' mnctl clock

config() { printf "$2" > "$dir/mnd.yaml"; exactly "configuration_$1" 2 "mnd: $dir/mnd.yaml, $3" mnd --check-config --config "$dir/mnd.yaml"; }
config wrong_key 'max_clients: 10\nsokket: x\n' "line 2, column 1: there is no option sokket; did you mean socket"
config wrong_type 'max_clients: many\n' "line 1, column 14: max_clients is a whole number, 1 to 4096, not many: \"many\" is not a number"
config wrong_word 'group: mnd\nusb: maybe\n' "line 2, column 6: usb is true or false, not maybe"
config tab 'socket: /x\n\tgroup: mnd\n' "line 2, column 1: it begins with a tab; YAML is indented with spaces"
config out_of_range 'max_clients: 100000\n' "line 1, column 14: max_clients is a whole number, 1 to 4096, not 100000"
exactly configuration_absent 2 "mnd: $dir/nowhere.yaml: No such file or directory" mnd --check-config --config "$dir/nowhere.yaml"
printf 'sokket: x\n' > "$dir/mnd.yaml"
exactly configuration_wrong_at_start 2 "mnd: $dir/mnd.yaml, line 1, column 1: there is no option sokket; did you mean socket" mnd --config "$dir/mnd.yaml"
