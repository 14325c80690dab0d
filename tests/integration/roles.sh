#!/bin/bash
# Who may do what: users of different groups at one daemon, and two programs at one pen. TAP.
suite=roles
. "$(dirname "$0")/says.sh"
bin=$1
dir=$(mktemp -d)
chmod 755 "$dir"
mkdir -m 777 "$dir/free"
cp "$bin"/../sdk/libmn.so.0 "$bin/mnctl" "$bin/mn-factory" "$dir" # where the user nobody can run it
export MN_SOCKET=$dir/mnd.sock PATH=$bin:$PATH LD_LIBRARY_PATH=$dir
export ASAN_OPTIONS=detect_leaks=0 # its search for leaks may not look at a process whose user was changed, and can wait for ever
[ "$(id -u)" = 0 ] || { echo "ok 1 - roles # SKIP only root can be another user"; exit 0; }
printf 'group: nogroup\noperator_group: games\nservice_group: news\nfactory_group: uucp\n' > "$dir/mnd.yaml"
mnd --no-usb --sim --socket "$MN_SOCKET" --config "$dir/mnd.yaml" > "$dir/log" 2>&1 & mnd=$!
trap 'kill $mnd 2>/dev/null; wait $mnd; rm -rf "$dir"' EXIT
until mnctl list 2>/dev/null | grep -q 'READY *SAFE'; do sleep 0.05; done
observer="setpriv --reuid nobody --regid nogroup --clear-groups $dir/mnctl"
operator="setpriv --reuid nobody --regid nogroup --groups games $dir/mnctl"
service="setpriv --reuid nobody --regid nogroup --groups games,news $dir/mnctl"
factory="setpriv --reuid nobody --regid uucp --groups nogroup $dir/mnctl"

says root_may_all 0 'you: factory' mnctl version
says an_observer 0 'you: observer' $observer version
says an_operator 0 'you: operator' $operator version
says service 0 'you: service' $service version
says factory 0 'you: factory' $factory version
says an_observer_sees 0 'SIM-0001 .*READY' $observer list
says an_observer_reads_records 0 'BOOT' $observer records
says an_observer_stops 0 'SIM-0001: stopped' $observer stop
says an_observer_configures_nothing 5 'this is for the role operator, and your user has the role observer: group games gives it' $observer config set depth=1mm
plan K-1 cheek:1mm > "$dir/plan.yaml"
says an_observer_begins_nothing 5 'this is for the role operator' $observer session start "$dir/plan.yaml" --yes
says an_observer_checks_nothing 5 'this is for the role operator' $observer session check "$dir/plan.yaml"
says an_observer_ends_nothing 5 'this is for the role operator' $observer session end
says an_observer_sees_sessions 0 'no session is open' $observer session status
says an_observer_takes_no_lease 5 'this is for the role operator' $observer lease take
says an_observer_clears_nothing 5 'this is for the role operator' $observer faults clear
says an_observer_simulates_nothing 5 'this is for the role operator' $observer sim inject 1401
says an_observer_copies_no_journal 1 'this is for the role operator' $observer records backup "$dir/free/x.db"
says an_operator_configures 0 'depth +0.50 mm -> 1.00 mm' $operator config set depth=1mm
says an_operator_clears_no_service_fault 5 'this is for the role service, and your user has the role operator: group news gives it' $operator faults clear --service
says an_operator_does_not_look_on 5 'this is for the role service' $operator monitor --seconds 1
says service_runs_no_factory 3 'your user has the role service, and this is for factory' ${service%mnctl}mn-factory run --slots 1 --database none --out "$dir/free/out"
says service_clears_service_faults 0 'cleared none' $service faults clear --service
says service_looks_on 0 '' $service monitor --seconds 0.2
says lease_is_free 0 'SIM-0001 +free' mnctl lease
$operator lease take > "$dir/held" 2>&1 & holder=$!
until grep -q 'you control it' "$dir/held"; do sleep 0.02; done
says lease_is_held 0 'SIM-0001 +mnctl \(pid [0-9]+\)' mnctl lease
says lease_in_the_list 0 'controlled by mnctl \(pid [0-9]+\)' $observer list
says another_is_told_who_has_it 5 'pen SIM-0001 is controlled by mnctl \(pid [0-9]+\)' $operator lease take
says and_changes_nothing 5 'pen SIM-0001 is controlled by mnctl' $operator config set depth=1mm
says an_operator_takes_nothing_over 5 'only the service role takes a lease over; your user is operator' $operator lease take-over
$service lease take-over > "$dir/taken" 2>&1 & taker=$!
until grep -q 'you control it' "$dir/taken"; do sleep 0.02; done
wait $holder; code=$?
says the_one_before_is_told 0 '^5$' echo $code
says with_a_sentence 0 'has taken control of pen SIM-0001 over from mnctl \(pid [0-9]+\); the needles were stopped' cat "$dir/held"
says and_it_is_recorded 0 'CONTROL .*has taken control of pen SIM-0001' mnctl records
says and_stands_among_the_overrides 0 'TAKEN_OVER +.*has taken control of pen SIM-0001 over from' mnctl records --overrides
kill -INT $taker; wait $taker
until mnctl lease | grep -q free; do sleep 0.02; done
$operator lease take --give > "$dir/held" 2>&1 & holder=$!
until grep -q 'you control it' "$dir/held"; do sleep 0.02; done
says a_request_is_given 0 'you control it' timeout --preserve-status -s INT 3 $operator lease request
wait $holder
says a_misspelt_word 2 'there is no lease tkae; did you mean take' mnctl lease tkae
