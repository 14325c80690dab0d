"""Suspends or resumes the port of a root hub as its driver would: a control transfer to the hub. Usage: port.py BUS suspend|resume"""
import ctypes
import fcntl
import os
import struct
import sys
import time

USBDEVFS_CONTROL = 0xC0185500
SET_FEATURE, CLEAR_FEATURE, GET_STATUS = (0x23, 3), (0x23, 1), (0xA3, 0)
PORT_SUSPEND, C_PORT_SUSPEND = 2, 18
hub = os.open(f"/dev/bus/usb/{int(sys.argv[1]):03}/001", os.O_RDWR)


def control(request, value, length=0):
    data = ctypes.create_string_buffer(8)
    fcntl.ioctl(hub, USBDEVFS_CONTROL, struct.pack("=BBHHHI4xQ", *request, value, 1, length, 1000, ctypes.addressof(data)))
    return struct.unpack_from("<HH", data.raw)


if sys.argv[2] == "suspend":
    control(SET_FEATURE, PORT_SUSPEND)
else:
    control(CLEAR_FEATURE, PORT_SUSPEND)
    time.sleep(0.1)
state, _ = control(GET_STATUS, 0, 4)
suspended = bool(state & 1 << PORT_SUSPEND)
print(f"port status {state:#06x}")
sys.exit(suspended != (sys.argv[2] == "suspend"))
