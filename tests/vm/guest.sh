#!/bin/bash
# In the USB machine: two pens on two controllers, through the real kernel, udevd with the real rule, and an unprivileged
# user. Speaks TAP. Usage: guest.sh DIRECTORY-OF-BINARIES PLUG-CYCLES STOPS
set -u
built=$1 cycles=$2 runs=$3
top=$(pwd)
own=$(mktemp -d) # not the checkout: the unprivileged users need not be able to enter that
bin=$own/bin
state=$own/state
export MN_SOCKET=$state/mnd.sock
n=0

ok() { n=$((n + 1)); echo "ok $n - vm.$1"; }
bad() {
    n=$((n + 1)); echo "not ok $n - vm.$1"
    sed 's/^/# /' "$state/why" 2>/dev/null
    tail -n 5 "$state/mnd.log" 2>/dev/null | sed 's/^/# mnd.log: /'
    tail -qn 5 "$state"/penstub.*.log 2>/dev/null | sed 's/^/# penstub: /'
}
# check NAME COMMAND...: passes if COMMAND does, which begins with both pens at rest and leaves nothing running.
check() {
    local name=$1; shift
    begin > "$state/begin" 2>&1 || { cat "$state/begin" > "$state/why"; bad "$name"; return; }
    if "$@" > "$state/why" 2>&1; then ok "$name"; else bad "$name"; fi
}
# end NAME COMMAND...: the same of what ends everything.
end() { local name=$1; shift; if "$@" > "$state/why" 2>&1; then ok "$name"; else bad "$name"; fi; }
# within SECONDS COMMAND...: tries until it succeeds. The machine is an emulated one, and may have other work: nothing is proved quick by this.
PATIENCE=5
within() {
    local end=$((${EPOCHREALTIME/./} + PATIENCE * $1 * 1000000)); shift
    until "$@"; do [ "${EPOCHREALTIME/./}" -lt $end ] || return 1; sleep 0.05; done
}
as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"; }
# The same as the last word of a background job: $! is then the program itself, and can be ended.
exec_as() { local user=$1; shift; exec setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"; }
mnctl() { as clinic "$bin/mnctl" "$@"; }
pen() { "$bin/penstub" --send "$state/control.$1" "$2"; }

prepare() {
    mkdir -p $bin $state; chmod 755 $own $bin; chmod 777 $state
    cp "$built"/bin/{mnd,mnctl,penstub} $bin/ && cp "$built"/sdk/libmn.so.0 $bin/ || exit 1
    export LD_LIBRARY_PATH=$bin
    groupadd -f mnd; useradd -M clinic 2>/dev/null; useradd -M outsider 2>/dev/null; usermod -aG mnd clinic
    mkdir -p /run/udev /etc/udev/rules.d; cp "$top/udev/70-mn.rules" /etc/udev/rules.d/
    /lib/systemd/systemd-udevd --daemon
    udevadm trigger --action=add --subsystem-match=usb; udevadm settle
}

# make_gadget I: the USB device, its function not yet served by any firmware.
make_gadget() {
    local g=/sys/kernel/config/usb_gadget/pen$1
    mkdir -p "$g" "$g/strings/0x409" "$g/configs/c.1/strings/0x409" "$g/functions/ffs.pen$1" "/dev/ffs-pen$1"
    echo 0x1209 > "$g/idVendor"; echo 0x0001 > "$g/idProduct"
    echo "VM-000$1" > "$g/strings/0x409/serialnumber"
    echo "Microneedling pen" > "$g/strings/0x409/product"
    echo pen > "$g/configs/c.1/strings/0x409/configuration"
    ln -s "$g/functions/ffs.pen$1" "$g/configs/c.1/"
    mount -t functionfs "pen$1" "/dev/ffs-pen$1"
}

# power_on I: the firmware starts, and the cable is in.
power_on() {
    rm -f "$state/ready.$1"
    "$bin/penstub" --ffs "/dev/ffs-pen$1" --serial "VM-000$1" --seed "$1$RANDOM" --nvm "$state/nvm.$1" --control "$state/control.$1" \
        > "$state/ready.$1" 2> "$state/penstub.$1.log" &
    stub[$1]=$!
    within 5 grep -q ready "$state/ready.$1" && plug "$1"
}
power_off() { unplug "$1"; kill "${stub[$1]}"; wait "${stub[$1]}" 2>/dev/null; }
plug() { echo "dummy_udc.$(($1 - 1))" > "/sys/kernel/config/usb_gadget/pen$1/UDC"; }
unplug() { echo > "/sys/kernel/config/usb_gadget/pen$1/UDC"; }

export ASAN_OPTIONS=quarantine_size_mb=1 # memory that was freed counts as free
start_mnd() { exec_as clinic "$bin/mnd" --socket $MN_SOCKET 2> $state/mnd.log & mnd=$!; }
ready() { mnctl --json list | tr -d ' \n' | grep -q "\"serial\":\"$1\",\"port\":\"[^\"]*\",\"link\":\"READY\""; }
absent() { ! mnctl list | grep -q "$1"; }
state_is() { mnctl --json list | tr -d ' \n' | grep -q "\"serial\":\"$1\".*\"state\":\"$2\""; }

# Both pens are ready and SAFE, each with its cable in and its own serial number, at one daemon of ours.
at_rest_are_both() { local all; all=$(mnctl --json list | tr -d ' \n'); [ "$(grep -o '"link":"READY"' <<< "$all" | wc -l)" = 2 ] && [ "$(grep -o '"state":"SAFE"' <<< "$all" | wc -l)" = 2 ]; }
# What a check that failed may have left: programs of ours, a pulled cable, a fault, a session.
end_what_is_left() {
    local p pid
    for p in /proc/[0-9]*; do
        pid=${p#/proc/}
        case $(readlink "$p/exe") in "$bin"/* | "$built"/bin/*) ;; *) continue ;; esac
        [[ " $mnd ${stub[*]} " == *" $pid "* ]] || { echo "left running: $(tr '\0' ' ' < "$p/cmdline")"; kill -KILL "$pid"; }
    done
}
begin() {
    local i
    end_what_is_left
    kill -0 $mnd || { start_mnd; within 5 test -S $MN_SOCKET; }
    for i in 1 2; do
        [ "$(cat /sys/kernel/config/usb_gadget/pen$i/strings/0x409/serialnumber)" = VM-000$i ] && kill -0 "${stub[$i]}" || {
            unplug $i; kill "${stub[$i]}"; wait "${stub[$i]}"
            echo VM-000$i > /sys/kernel/config/usb_gadget/pen$i/strings/0x409/serialnumber
            power_on $i
        }
        [ -n "$(cat /sys/kernel/config/usb_gadget/pen$i/UDC)" ] || plug $i
    done
    within 2 at_rest_are_both && return
    for i in 1 2; do
        pen $i "trigger release"; pen $i "clear all"
        mnctl --pen VM-000$i session end; mnctl --pen VM-000$i faults clear --service
    done
    within 10 at_rest_are_both && return
    echo "the pens do not come to rest:"; mnctl list
    return 1
}

both_pens_are_there() { within 10 ready VM-0001 && within 10 ready VM-0002 && mnctl list; }
nodes_belong_to_the_group() {
    local d
    for d in /dev/mn/VM-0001 /dev/mn/VM-0002; do
        [ "$(stat -Lc '%G %a' $d)" = "mnd 660" ] || { ls -lL $d; return 1; }
    done
    [ "$(cat /sys/bus/usb/devices/*/power/control | grep -c on)" -ge 2 ]
}
an_outsider_is_told_what_is_missing() {
    exec_as outsider "$bin/mnd" --socket $state/outsider.sock > $state/outsider.log 2>&1 &
    local p=$! r=1
    outsider_is_told() { as outsider "$bin/mnctl" --socket $state/outsider.sock list | tee /dev/stderr | grep -q "no permission: install udev/70-mn.rules"; }
    within 10 outsider_is_told && r=0
    kill $p; wait $p
    return $r
}
a_second_daemon_is_told_that_the_pen_is_held() {
    exec_as clinic "$bin/mnd" --socket $state/second.sock > $state/second.log 2>&1 &
    local p=$! r=1
    second_is_told() { as clinic "$bin/mnctl" --socket $state/second.sock list | tee /dev/stderr | grep -q "another program holds it"; }
    within 10 second_is_told && r=0
    kill $p; wait $p
    return $r
}
the_socket_is_not_for_outsiders() { as outsider "$bin/mnctl" list; [ $? = 3 ]; }
configuration_is_written_and_read_back() {
    mnctl --pen VM-0001 config set depth=1.2mm rate=120Hz && mnctl --pen VM-0002 config set depth=0.8mm &&
        [ "$(mnctl --pen VM-0001 config get depth)" = 1200 ] && [ "$(mnctl --pen VM-0001 config get rate)" = 1200 ] &&
        [ "$(mnctl --pen VM-0002 config get depth)" = 800 ]
}
pings_of_packet_multiples_come_back() {
    local size
    for size in 0 43 44 45 491 492 493 511 512 513 1002 1003; do
        mnctl --pen VM-0001 ping --count 5 --bytes $size || return 1
    done
}
# Every jump of the sample number must be announced in the last column: no hole is uncounted.
holes() { awk -F, 'NR > 1 { if (seen && $2 != next_seq + $10) bad++; missed += $10; next_seq = $2 + 1; seen = 1; lines++ }
                   END { printf "%d samples, %d missed and counted, %d uncounted holes\n", lines, missed, bad; exit !(lines >= least && bad == 0) }' least=$2 "$1"; }
both_stream_1_khz_for_30_s_without_an_uncounted_hole() {
    local a b
    mnctl --pen VM-0001 watch --csv --seconds 30 > $state/one.csv & a=$!
    mnctl --pen VM-0002 watch --csv --seconds 30 > $state/two.csv & b=$!
    wait $a $b
    holes $state/one.csv 25000 && holes $state/two.csv 25000
}
an_injected_fault_reaches_those_who_follow() {
    exec_as clinic $bin/mnctl faults --follow > $state/follow.txt & local p=$! r=1
    sleep 1
    pen 2 "inject 1403"
    within 3 grep -q "VM-0002.*raised.*1403 BATTERY_FAULT" $state/follow.txt && within 3 state_is VM-0002 FAULT && r=0
    pen 2 "clear 1403"; sleep 0.3
    mnctl --pen VM-0002 faults clear --service && within 3 grep -q "cleared.*1403" $state/follow.txt || r=1
    kill $p
    cat $state/follow.txt
    return $r
}
unbinding_in_mid_stream_removes_the_pen_and_binding_brings_it_back() {
    mnctl --pen VM-0001 watch --csv --seconds 10 > $state/stream.csv & local p=$! began
    sleep 2
    unplug 1; within 2 absent VM-0001 || return 1
    ready VM-0002 || return 1
    plug 1; began=${EPOCHREALTIME/./}
    within 2 ready VM-0001 || return 1
    echo "# back after $(((${EPOCHREALTIME/./} - began) / 1000)) ms" >&3
    wait $p
    holes $state/stream.csv 5000
}
a_stalled_pipe_is_cleared_and_the_session_begun_anew() {
    local i
    for i in 1 2 3; do
        pen 2 halt
        within 3 stalls_seen $i && within 3 ready VM-0002 && mnctl --pen VM-0002 ping --count 5 || return 1
    done
}
stalls_seen() { [ "$(grep -c "VM-0002: the pen stalled a pipe" $state/mnd.log)" -ge "$1" ]; }
# A session with the first pen, armed, until its program is ended.
treatment() {
    mnctl --pen VM-0001 session plan --subject "S-$RANDOM-$RANDOM" --zone cheek:1.2mm:120Hz --waive-numbing test | sed 's/answer: ""/answer: "no"/' > $state/plan.yaml
    chmod 644 $state/plan.yaml
    mnctl --pen VM-0001 session end > /dev/null 2>&1
    [ -p $state/typed ] || mkfifo $state/typed
    exec_as clinic $bin/mnctl --pen VM-0001 session start $state/plan.yaml --yes <> $state/typed # somebody is there: an input that does not end
}
# The motor turns, the cable is pulled: how long did the firmware let it turn? The model's own clock says.
pulling_the_cable_stops_the_needles() {
    treatment > $state/arm.txt & local p=$!
    within 20 grep -q ARMED $state/arm.txt && pen 1 "trigger press" && sleep 1
    pen 1 truth | grep -q "state=5" || { pen 1 truth; kill $p; return 1; }
    unplug 1
    stands() { pen 1 truth | grep "rate_hz=0.0"; }
    within 2 stands; local r=$? # how fast, by the pen's own clock: every_way_to_stop_is_fast_enough
    kill $p; wait $p; pen 1 "trigger release"; plug 1; within 3 ready VM-0001
    mnctl --pen VM-0001 faults clear
    return $r
}
# Each way to stop, a few times, by the clock of the pen's model; with a daemon of the test's own.
every_way_to_stop_is_fast_enough() {
    local r
    kill $mnd; wait $mnd
    power_off 1
    echo STOPPER > /sys/kernel/config/usb_gadget/pen1/strings/0x409/serialnumber
    "$bin/penstub" --ffs /dev/ffs-pen1 --serial STOPPER --seed 1 --nvm "$state/nvm.stopper" --control "$state/control.1" > "$state/ready.1" 2> "$state/penstub.stopper.log" &
    stub[1]=$!
    within 5 grep -q ready "$state/ready.1" && plug 1
    MN_STOPPING_RUNS=$runs MN_HARNESS_USB=1 MN_STOPPING_CONTROL=$state/control.1 MN_STOPPING_UDC=/sys/kernel/config/usb_gadget/pen1/UDC MN_STOPPING_UDC_NAME=dummy_udc.0 \
        "$built/bin/test_stopping"
    r=$?
    sed 's/^/# of the pen: /' "$state/penstub.stopper.log" >&3
    power_off 1
    echo VM-0001 > /sys/kernel/config/usb_gadget/pen1/strings/0x409/serialnumber
    start_mnd; power_on 1
    return $r
}
power_cycled_the_pen_keeps_configuration_and_records() {
    local before after
    mnctl --pen VM-0001 config set depth=1.2mm
    before=$(mnctl --pen VM-0001 --json info | tr -d ' \n' | grep -o '"records_newest":[0-9]*' | cut -d: -f2)
    power_off 1; within 3 absent VM-0001 || return 1
    power_on 1; within 5 ready VM-0001 || return 1
    after=$(mnctl --pen VM-0001 --json info | tr -d ' \n')
    echo "records before $before; after: $after"
    [ "$(mnctl --pen VM-0001 config get depth)" = 1200 ] && grep -q '"records_oldest":1,' <<< "$after" &&
        [ "$(grep -o '"records_acked":[0-9]*' <<< "$after" | cut -d: -f2)" -ge "$before" ] &&
        [ "$(grep -o '"records_newest":[0-9]*' <<< "$after" | cut -d: -f2)" -gt "$before" ]
}
wakeups() { awk '/^voluntary/ { n += $2 } END { print n }' /proc/$mnd/task/*/status; }
# at_rest WHAT: 0.1 % of a core is 5 ms in 5 s, which 100 wake-ups may just cost on a real processor.
at_rest() {
    local before after
    sleep 3; before=$(wakeups); sleep 5; after=$(wakeups)
    echo "# $1: $((after - before)) wake-ups in 5 s" >&3
    [ $((after - before)) -le 100 ]
}
mnd_is_at_rest_when_its_pens_are_gone() {
    local r
    unplug 1; unplug 2; within 5 absent VM-000; at_rest "both pens unplugged"; r=$?
    plug 1; plug 2
    return $r
}
bus_of() { local d; for d in /sys/bus/usb/devices/*; do [ "$(cat "$d/serial" 2>/dev/null)" = "$1" ] && cat "$d/busnum"; done; }
not_ready() { ! ready "$1"; }
a_suspended_port_is_said_and_its_pen_comes_back() {
    local bus r
    bus=$(bus_of VM-0001)
    python3 "$top/tests/vm/port.py" "$bus" suspend || return 1
    within 10 not_ready VM-0001 && ready VM-0002 && mnctl list && mnctl --pen VM-0002 ping --count 3; r=$?
    python3 "$top/tests/vm/port.py" "$bus" resume || return 1
    within 15 ready VM-0001 && mnctl --pen VM-0001 ping --count 3 || return 1
    mnctl --pen VM-0001 faults clear > $state/cleared 2>&1
    return $r
}
a_port_suspended_for_a_moment_loses_only_telemetry() {
    local bus p
    bus=$(bus_of VM-0001)
    mnctl --pen VM-0001 watch --csv --seconds 12 > $state/suspend.csv & p=$!
    sleep 1
    python3 "$top/tests/vm/port.py" "$bus" suspend && sleep 1 && python3 "$top/tests/vm/port.py" "$bus" resume || return 1
    within 10 ready VM-0001 && mnctl --pen VM-0001 ping --count 3 || return 1 # the kernel may enumerate it anew
    wait $p
    holes $state/suspend.csv 4000
}
make_foreign() {
    local g=/sys/kernel/config/usb_gadget/foreign
    modprobe usb_f_hid
    mkdir -p "$g/strings/0x409" "$g/configs/c.1/strings/0x409" "$g/functions/hid.usb0"
    echo 0x1209 > "$g/idVendor"; echo 0x0001 > "$g/idProduct"; echo FOREIGN > "$g/strings/0x409/serialnumber"
    echo 8 > "$g/functions/hid.usb0/report_length"; printf '\x06\x00\xff\x09\x01\xa1\x01\xc0' > "$g/functions/hid.usb0/report_desc"
    ln -s "$g/functions/hid.usb0" "$g/configs/c.1/"
}
somebody_elses_device_with_our_id_is_left_alone() {
    local r
    make_foreign; echo dummy_udc.2 > /sys/kernel/config/usb_gadget/foreign/UDC
    within 10 foreign_is_said && ready VM-0001 && ready VM-0002; r=$?
    unplug 1; unplug 2; within 5 absent VM-000; at_rest "a foreign device" || r=1
    plug 1; plug 2; within 10 ready VM-0001; within 10 ready VM-0002
    mnctl list; mnctl doctor | tee $state/doctor; grep -q 'FOREIGN at .* is not ready: .*not its interface' $state/doctor || r=1
    echo > /sys/kernel/config/usb_gadget/foreign/UDC
    within 5 no_foreign || r=1
    return $r
}
foreign_is_said() { mnctl list | grep -q "FAILED .*it has a pen's id, but not its interface and endpoints"; }
no_foreign() { ! foreign_is_said; }
# The hubs go with all that hangs on them. (Unbinding dummy_hcd itself would free what a streaming gadget still uses, and the kernel falls.)
two_hubs_gone_take_their_pens_and_bring_them_back() {
    local p r one two
    one=$(bus_of VM-0001) two=$(bus_of VM-0002)
    mnctl watch --pen VM-0002 --json --seconds 3 > $state/two.json & p=$!
    sleep 1
    echo $one-0:1.0 > /sys/bus/usb/drivers/hub/unbind; echo $two-0:1.0 > /sys/bus/usb/drivers/hub/unbind
    within 10 absent VM-000 && at_rest "both hubs gone"; r=$?
    wait $p
    echo $one-0:1.0 > /sys/bus/usb/drivers/hub/bind; echo $two-0:1.0 > /sys/bus/usb/drivers/hub/bind
    within 20 ready VM-0001 && within 20 ready VM-0002 && mnctl --pen VM-0001 ping --count 3 || r=1
    return $r
}
# The log counts, not mnctl: a program under a sanitizer takes half a second to start here.
said() { [ "$(grep -c "pen VM-0001 at .*: $1" $state/mnd.log)" -ge "$2" ]; }
# What mnd holds: descriptors, mappings, KiB of heap. The heap is where the C library has it, or the allocator of ASan or TSan; what a sanitizer keeps of it elsewhere is
# mapped by pieces of megabytes, whenever it likes. (A part of the growth is the quarantine of ASan, of 1 MiB at most.)
holds() {
    echo "$(ls /proc/$mnd/fd | wc -l) $(wc -l < /proc/$mnd/maps)" \
        "$(awk '/^[0-9a-f]+-/ { heap = /\[heap\]/ || /^7b..........-/ || /^6[0-3]..........-/ } /^Rss:/ && heap { sum += $2 } END { print sum + 0 }' /proc/$mnd/smaps)"
}
resident_kib() { awk '/^VmRSS/ { print $2 }' /proc/$mnd/status; }
plugging_again_and_again_grows_nothing() {
    local i ready gone before after kib
    for ((i = 1; i <= cycles; i++)); do
        gone=$(grep -c "pen VM-0001 at .*: gone" $state/mnd.log); ready=$(grep -c "pen VM-0001 at .*: ready" $state/mnd.log)
        unplug 1; within 10 said gone $((gone + 1)) || return 1
        plug 1; within 10 said ready $((ready + 1)) || return 1
        [ $i = $((cycles / 2)) ] && read -r -a before <<< "$(holds)" && kib=$(resident_kib)
    done
    read -r -a after <<< "$(holds)"
    echo "# $cycles cycles: descriptors ${before[0]} -> ${after[0]}, mappings ${before[1]} -> ${after[1]}, heap ${before[2]} -> ${after[2]} KiB, all $kib -> $(resident_kib) KiB" >&3
    [ "${after[2]}" -gt 0 ] && [ "${after[0]}" -le "${before[0]}" ] && [ "${after[1]}" -le $((before[1] + 4)) ] && [ "${after[2]}" -le $((before[2] + 64 + 2 * cycles)) ] || return 1
    [ $cycles -lt 100 ] || [ "$(resident_kib)" -le $((kib + 1024)) ] # fewer fill a sanitizer's own memory
}
doctor_finds_all_well() { mnctl doctor | tee $state/doctor; tail -n 1 $state/doctor | grep -q '^next: nothing: all is well' && [ "$(grep -c '^ok .*open in mnd' $state/doctor)" = 2 ]; }
doctor_names_the_program_that_holds_a_pen() {
    exec_as clinic "$bin/mnd" --socket $state/second.sock > $state/second.log 2>&1 & local p=$! r
    second_is_told() { as clinic "$bin/mnctl" --socket $state/second.sock list | grep -q "another program holds it"; }
    within 10 second_is_told
    "$bin/mnctl" --socket $state/second.sock doctor > $state/doctor; r=$?
    kill $p; wait $p
    cat $state/doctor
    [ $r = 1 ] && grep -q "BAD .*VM-0001 at /dev/bus/usb/.* is held by mnd, pid $mnd" $state/doctor && grep -q "^next: end mnd (pid $mnd)" $state/doctor
}
doctor_sees_that_the_rule_is_not_applied() {
    local node r
    node=$(readlink -f /dev/mn/VM-0001)
    chgrp root "$node"; mnctl doctor > $state/doctor; r=$?; chgrp mnd "$node"
    cat $state/doctor
    [ $r = 1 ] && grep -q 'is root:root, mode 0660, power/control on: the rule is not applied' $state/doctor && grep -q '^next: sudo udevadm control --reload' $state/doctor
}
doctor_sees_that_mnd_leaves_pens_alone() {
    "$bin/mnd" --no-usb --socket $state/third.sock > $state/third.log 2>&1 & local p=$!
    within 10 test -S $state/third.sock; kill $mnd; wait $mnd; sleep 1
    "$bin/mnctl" --socket $state/third.sock doctor > $state/doctor
    kill $p; wait $p; start_mnd; within 10 ready VM-0001
    cat $state/doctor
    grep -q 'mnd was told to leave real pens alone' $state/doctor && grep -q '^next: start mnd without --no-usb' $state/doctor
}
mnd_ends_cleanly() { kill $mnd; wait $mnd; }
# Their threads and exits are looked at by the sanitizer that they were built with.
the_pens_end_cleanly() {
    local i
    for i in 1 2; do kill "${stub[$i]}"; wait "${stub[$i]}" || { cat $state/penstub.$i.log; return 1; }; done
    ! grep -l "Sanitizer" $state/*.log
}

exec 3>&1
declare -a stub
prepare
make_gadget 1; make_gadget 2
start_mnd
power_on 1; power_on 2
within 5 test -S $MN_SOCKET
check both_pens_are_there both_pens_are_there
check nodes_belong_to_the_group nodes_belong_to_the_group
check an_outsider_is_told_what_is_missing an_outsider_is_told_what_is_missing
check a_second_daemon_is_told_that_the_pen_is_held a_second_daemon_is_told_that_the_pen_is_held
check the_socket_is_not_for_outsiders the_socket_is_not_for_outsiders
check configuration_is_written_and_read_back configuration_is_written_and_read_back
check pings_of_packet_multiples_come_back pings_of_packet_multiples_come_back
check both_stream_1_khz_for_30_s_without_an_uncounted_hole both_stream_1_khz_for_30_s_without_an_uncounted_hole
sed 's/^/# /' $state/why
check an_injected_fault_reaches_those_who_follow an_injected_fault_reaches_those_who_follow
check unbinding_in_mid_stream_removes_the_pen_and_binding_brings_it_back unbinding_in_mid_stream_removes_the_pen_and_binding_brings_it_back
sed 's/^/# /' $state/why
check a_stalled_pipe_is_cleared_and_the_session_begun_anew a_stalled_pipe_is_cleared_and_the_session_begun_anew
check pulling_the_cable_stops_the_needles pulling_the_cable_stops_the_needles
check every_way_to_stop_is_fast_enough every_way_to_stop_is_fast_enough
grep -a '^# .*\(to standstill\|not measured\)' $state/why
check power_cycled_the_pen_keeps_configuration_and_records power_cycled_the_pen_keeps_configuration_and_records
check mnd_is_at_rest_when_its_pens_are_gone mnd_is_at_rest_when_its_pens_are_gone
check both_pens_come_back both_pens_are_there
check a_port_suspended_for_a_moment_loses_only_telemetry a_port_suspended_for_a_moment_loses_only_telemetry
check a_suspended_port_is_said_and_its_pen_comes_back a_suspended_port_is_said_and_its_pen_comes_back
check doctor_finds_all_well doctor_finds_all_well
check doctor_names_the_program_that_holds_a_pen doctor_names_the_program_that_holds_a_pen
check doctor_sees_that_the_rule_is_not_applied doctor_sees_that_the_rule_is_not_applied
check doctor_sees_that_mnd_leaves_pens_alone doctor_sees_that_mnd_leaves_pens_alone
check somebody_elses_device_with_our_id_is_left_alone somebody_elses_device_with_our_id_is_left_alone
check two_hubs_gone_take_their_pens_and_bring_them_back two_hubs_gone_take_their_pens_and_bring_them_back
check plugging_again_and_again_grows_nothing plugging_again_and_again_grows_nothing
end mnd_ends_cleanly mnd_ends_cleanly
end the_pens_end_cleanly the_pens_end_cleanly
echo "1..$n"
