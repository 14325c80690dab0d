#!/bin/bash
# In the USB machine: four pens off the line, on four controllers, through the real kernel, tested, calibrated and serialised at once. Speaks TAP.
# Usage: factory.sh DIRECTORY-OF-BINARIES
set -u
built=$1
top=$(pwd)
state=$(mktemp -d)
export MN_SOCKET=$state/mnd.sock MN_GADGETS=$state LD_LIBRARY_PATH=$built/sdk ASAN_OPTIONS=detect_leaks=1
n=0 pens=4
check() { local name=$1; shift; n=$((n + 1)); if "$@" > "$state/why" 2>&1; then echo "ok $n - vm.$name"; else echo "not ok $n - vm.$name"; sed 's/^/# /' "$state/why" | tail -n 40; fi; }
within() { local end=$((${EPOCHREALTIME/./} + $1 * 1000000)); shift; until "$@"; do [ "${EPOCHREALTIME/./}" -lt $end ] || return 1; sleep 0.1; done; }

mkdir -p /run/udev /etc/udev/rules.d; groupadd -f mnd; cp "$top/udev/70-mn.rules" /etc/udev/rules.d/
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=usb; udevadm settle
for ((i = 1; i <= pens; i++)); do
    g=/sys/kernel/config/usb_gadget/pen$i
    mkdir -p "$g/strings/0x409" "$g/configs/c.1/strings/0x409" "$g/functions/ffs.pen$i" "/dev/ffs-pen$i"
    echo 0x1209 > "$g/idVendor"; echo 0x0001 > "$g/idProduct"; echo "GADGET-$i" > "$g/strings/0x409/serialnumber"
    echo pen > "$g/configs/c.1/strings/0x409/configuration"
    ln -s "$g/functions/ffs.pen$i" "$g/configs/c.1/"
    mount -t functionfs "pen$i" "/dev/ffs-pen$i"
    "$built/bin/penstub" --ffs "/dev/ffs-pen$i" --fresh --seed "$i" --control "$state/control.$i" > "$state/ready.$i" 2> "$state/penstub.$i.log" & stub[i]=$!
    within 20 grep -q ready "$state/ready.$i" && echo "dummy_udc.$((i - 1))" > "$g/UDC"
done
"$built/bin/mnd" --socket "$MN_SOCKET" 2> "$state/mnd.log" & mnd=$!
within 20 test -S "$MN_SOCKET"
all_ready() { [ "$("$built/bin/mnctl" list | grep -c '^@usb-.* READY')" = $pens ]; }

four_pens_without_a_serial_number_are_there_by_their_ports() { within 20 all_ready; local r=$?; "$built/bin/mnctl" list; return $r; }
four_pens_are_tested_and_serialised_at_once() {
    "$built/bin/mn-factory" run "$top/tests/vm/factory/plan.yaml" --slots $pens --commit --plain --out "$state/out" --database "$state/db" | grep -v '/22 '
    local r=${PIPESTATUS[0]}
    tail -n 5 "$state/mnd.log"
    [ "$r" = 0 ] && [ "$(grep -l '"verdict": "PASS",' "$state"/out/*.json | wc -l)" = $pens ]
}
they_are_called_by_their_serial_numbers_now() { "$built/bin/mnctl" list; [ "$("$built/bin/mnctl" list | grep -c '^MN26-00000[1-4] .* READY  *SAFE')" = $pens ]; }
nothing_of_the_factory_is_possible_any_more() { ! "$built/bin/mn-factory" run "$top/tests/vm/factory/plan.yaml" --slots 1 --plain --out "$state/again" --database none; }
all_ends_cleanly() {
    local i
    kill $mnd; wait $mnd || return 1
    for ((i = 1; i <= pens; i++)); do kill "${stub[i]}"; wait "${stub[i]}" || return 1; done
    ! grep -l Sanitizer "$state"/*.log
}
for name in four_pens_without_a_serial_number_are_there_by_their_ports four_pens_are_tested_and_serialised_at_once they_are_called_by_their_serial_numbers_now \
    nothing_of_the_factory_is_possible_any_more all_ends_cleanly; do
    check $name $name
    [ $name != four_pens_are_tested_and_serialised_at_once ] || sed -n 's/^\(usb .*\|passed .*\)/# \1/p' "$state/why"
done
echo "1..$n"
