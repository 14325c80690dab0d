#!/bin/bash
# In the USB machine: bulk IN from a pen that floods, through mnd and through libusb alone, in turns. bench.sh DIRECTORY-OF-BUILD TURNS
set -u
bin=$1/bin turns=$2
export LD_LIBRARY_PATH=$1/sdk
dir=$(mktemp -d)
g=/sys/kernel/config/usb_gadget/flood
mkdir -p /run/udev $g $g/strings/0x409 $g/configs/c.1/strings/0x409 $g/functions/ffs.flood /dev/ffs
/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --subsystem-match=usb; udevadm settle
echo 0x1209 > $g/idVendor; echo 0x0001 > $g/idProduct
echo FLOOD > $g/strings/0x409/serialnumber
ln -s $g/functions/ffs.flood $g/configs/c.1/
mount -t functionfs flood /dev/ffs
"$bin/bench_usb" gadget /dev/ffs > "$dir/ready" 2> "$dir/gadget.log" &
for _ in {1..100}; do grep -q ready "$dir/ready" && break; sleep 0.1; done
echo dummy_udc.0 > $g/UDC
sleep 1
for ((i = 0; i < turns; i++)); do
    "$bin/bench_usb" bare 5
    "$bin/mnd" --socket "$dir/mnd.sock" 2> "$dir/mnd.log" & mnd=$!
    for _ in {1..100}; do grep -q "FLOOD at .*ready" "$dir/mnd.log" && break; sleep 0.1; done
    "$bin/bench_usb" mnd "$dir/mnd.sock" 5 || cat "$dir"/*.log
    kill $mnd; wait $mnd
done
