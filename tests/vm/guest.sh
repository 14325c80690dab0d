#!/bin/bash
# In the USB machine: two pens on two controllers, through the real kernel, udevd with the real rule, and an unprivileged
# user. Speaks TAP. Usage: guest.sh DIRECTORY-OF-BINARIES
set -u
built=$1
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
}
# check NAME COMMAND...: passes if COMMAND does.
check() { local name=$1; shift; if "$@" > "$state/why" 2>&1; then ok "$name"; else bad "$name"; fi; }
# within SECONDS COMMAND...: tries until it succeeds.
within() {
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000)); shift
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

start_mnd() { exec_as clinic "$bin/mnd" --socket $MN_SOCKET 2> $state/mnd.log & mnd=$!; }
ready() { mnctl --json list | tr -d ' \n' | grep -q "\"serial\":\"$1\",\"port\":\"[^\"]*\",\"link\":\"READY\""; }
absent() { ! mnctl list | grep -q "$1"; }
state_is() { mnctl --json list | tr -d ' \n' | grep -q "\"serial\":\"$1\".*\"state\":\"$2\""; }

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
    sleep 4
    as outsider "$bin/mnctl" --socket $state/outsider.sock list | tee /dev/stderr | grep -q "no permission: install udev/70-mn.rules" && r=0
    kill $p; wait $p
    return $r
}
a_second_daemon_is_told_that_the_pen_is_held() {
    exec_as clinic "$bin/mnd" --socket $state/second.sock > $state/second.log 2>&1 &
    local p=$! r=1
    sleep 4
    as clinic "$bin/mnctl" --socket $state/second.sock list | tee /dev/stderr | grep -q "another program holds it" && r=0
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
# The motor turns, the cable is pulled: how long did the firmware let it turn? The model's own clock says.
pulling_the_cable_stops_the_needles() {
    exec_as clinic $bin/mnctl --pen VM-0001 arm > $state/arm.txt & local p=$!
    within 3 grep -q ARMED $state/arm.txt && pen 1 "trigger press" && sleep 1
    pen 1 truth | grep -q "state=5" || { pen 1 truth; kill $p; return 1; }
    unplug 1; sleep 0.4
    pen 1 truth; pen 1 truth | grep -q "rate_hz=0.0"; local r=$?
    kill $p; wait $p; pen 1 "trigger release"; plug 1; within 3 ready VM-0001
    mnctl --pen VM-0001 faults clear
    return $r
}
power_cycled_the_pen_keeps_configuration_and_records() {
    local before after
    before=$(mnctl --pen VM-0001 --json info | tr -d ' \n' | grep -o '"records_newest":[0-9]*' | cut -d: -f2)
    power_off 1; within 3 absent VM-0001 || return 1
    power_on 1; within 5 ready VM-0001 || return 1
    after=$(mnctl --pen VM-0001 --json info | tr -d ' \n')
    echo "records before $before; after: $after"
    [ "$(mnctl --pen VM-0001 config get depth)" = 1200 ] && grep -q '"records_oldest":1,' <<< "$after" &&
        grep -q '"records_acked":0,' <<< "$after" &&
        [ "$(grep -o '"records_newest":[0-9]*' <<< "$after" | cut -d: -f2)" -gt "$before" ]
}
mnd_is_idle_when_its_pens_are_gone() {
    local a b
    unplug 1; unplug 2; sleep 1
    a=$(awk '{ print $14 + $15 }' /proc/$mnd/stat); sleep 5; b=$(awk '{ print $14 + $15 }' /proc/$mnd/stat)
    echo "$((b - a)) ticks of 10 ms in 5 s"
    plug 1; plug 2
    [ $((b - a)) -le 5 ]
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
check power_cycled_the_pen_keeps_configuration_and_records power_cycled_the_pen_keeps_configuration_and_records
check mnd_is_idle_when_its_pens_are_gone mnd_is_idle_when_its_pens_are_gone
check both_pens_come_back both_pens_are_there
check mnd_ends_cleanly mnd_ends_cleanly
check the_pens_end_cleanly the_pens_end_cleanly
echo "1..$n"
