"""mnd as systemd runs it: a passed socket, readiness, watchdog, stopping. Usage: systemd.py DIRECTORY-OF-BINARIES; TAP."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

bin_ = os.path.abspath(sys.argv[1])
dir_ = tempfile.mkdtemp()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(dir_ + "/notify")
notify.settimeout(10)
listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listening.bind(dir_ + "/mnd.sock")
listening.listen(5)
n = 0


def ok(name, condition):
    global n
    n += 1
    print(f"{'ok' if condition else 'not ok'} {n} - systemd.{name}", flush=True)


def until(word):
    for _ in range(10):
        if word in notify.recv(256):
            return True
    return False


pid = os.fork()
if pid == 0:
    os.dup2(listening.fileno(), 3, inheritable=True)
    own = str(os.getpid())
    env = dict(os.environ, NOTIFY_SOCKET=dir_ + "/notify", LISTEN_FDS="1", LISTEN_PID=own, WATCHDOG_USEC="400000", WATCHDOG_PID=own)
    os.execve(bin_ + "/mnd", ["mnd", "--no-usb", "--sim-socket", dir_ + "/sim"], env)
ok("says_when_it_is_ready", until(b"READY=1"))
ok("feeds_the_watchdog", until(b"WATCHDOG=1") and until(b"WATCHDOG=1"))
said = subprocess.run([bin_ + "/mnctl", "--socket", dir_ + "/mnd.sock", "list"], capture_output=True, text=True)
ok("serves_the_passed_socket", said.returncode == 0 and "no pen is plugged in" in said.stdout)
os.kill(pid, signal.SIGTERM)
ok("says_that_it_stops", until(b"STOPPING=1"))
_, status = os.waitpid(pid, 0)
ok("ends_well_and_leaves_systemds_socket", status == 0 and os.path.exists(dir_ + "/mnd.sock"))
shutil.rmtree(dir_)
