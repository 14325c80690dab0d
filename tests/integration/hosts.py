#!/usr/bin/python3
"""How hosts are set up: closed descriptors, signals, sockets that a service manager passes, a log that nobody reads, no descriptors left, other users, pens in their order, two of one name, udev's links.
usage: hosts.py BIN [PART...]. TAP."""
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from terminal import Daemon, Tap  # noqa: E402

os.environ["PATH"] = sys.argv[1] + ":" + os.environ["PATH"]
tap = Tap("hosts")


def processor_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_of(d):
    return open(d.dir + "/log").read()


def closed_descriptors():
    """With 0, 1 or 2 closed no file and no connection gets that number, and a result that cannot be written is an error."""
    d = Daemon("1")
    commands = ("mnctl list", "mnctl --json list", "mnctl version", "mnctl config show", "mnctl help", "mnctl policy show", "mnctl watch --json --seconds 0.3", "mnctl records", "mnctl doctor", "mnctl faults --table",
                "mn-factory list", "mn-factory check mn-1", "mn-factory version", "mn-factory help", "mnd --version", "mnd --help", "penstub --help", "penstub --version")
    wrong = []
    for command in commands:
        for how in ("<&-", "2>&-", "<&- 2>&-"):
            p = subprocess.run(["bash", "-c", f"{command} {how}"], stdout=subprocess.PIPE, env=d.env, timeout=60)
            if p.returncode != 0 or len(p.stdout) < 10:
                wrong.append((command, how, p.returncode))
        for how in (">&-", ">&- <&-", ">&- 2>&- <&-", "> /dev/full"):
            p = subprocess.run(["bash", "-c", f"{command} {how}"], env=d.env, timeout=60, stderr=subprocess.PIPE)
            if p.returncode == 0 or ("2>&-" not in how and not p.stderr):
                wrong.append((command, how, p.returncode, p.stderr))
    tap.ok("a_closed_descriptor_is_nobody_else_s", not wrong, wrong)
    tap.ok("nothing_is_written_into_the_connection", "disconnected" not in log_of(d), log_of(d))
    code, log = d.end()
    tap.ok("closed_descriptors_mnd_ends_cleanly", code == 0, log)
    p = subprocess.run(["bash", "-c", f"timeout 5 mnd --no-usb --sim=1 --socket {d.dir}x.sock --journal {d.dir}x.db <&- >&- 2>&- & sleep 1; mnctl --socket {d.dir}x.sock list; kill %1; wait %1"],
                       stdout=subprocess.PIPE, text=True)
    tap.ok("mnd_without_any_descriptor", "SIM-0001" in p.stdout and p.returncode == 0, p)


def signals():
    d = Daemon("1")
    for name in ("USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "HUP", "PIPE", "RTMIN", "RTMAX", "WINCH", "URG", "XFSZ"):
        d.process.send_signal(getattr(signal, "SIG" + name))
    time.sleep(0.5)
    tap.ok("no_signal_ends_it_by_the_way", d.process.poll() is None and "SIM-0001" in d.run("mnctl", "list").stdout, log_of(d))
    d.process.send_signal(signal.SIGQUIT)
    code = d.process.wait(20)
    tap.ok("quit_ends_it_as_term_does", code == 0 and "SIGQUIT: stopping all needles, then ending" in log_of(d), log_of(d))


def reload():
    folder = tempfile.mkdtemp()
    policy, config = folder + "/policy.yaml", folder + "/mnd.yaml"

    def write(path, text):
        open(path + ".new", "w").write(text)
        os.rename(path + ".new", path)

    def depth_limit():
        return re.search(r"depth_limit +([0-9.]+ [um]m)", d.run("mnctl", "policy", "show").stdout).group(1)

    def hup(wanted):
        d.process.send_signal(signal.SIGHUP)
        return d.wait_until(lambda: re.search(wanted, log_of(d)))

    write(policy, "name: Nord\nlimits:\n  - {name: depth_limit, value: 1200}\n")
    write(config, f"policy: {policy}\nlog_level: info\nmax_clients: 50\n")
    d = Daemon("1", "--config", config)
    tap.ok("the_policy_that_it_began_with", depth_limit() == "1200 um", depth_limit())
    write(policy, "name: Nord\nlimits:\n  - {name: depth_limit, value: 1.1mm}\n")
    write(config, f"policy: {policy}\nlog_level: debug\nmax_clients: 60\n")
    tap.ok("hup_reads_policy_and_log_level", hup("log_level is debug") and d.wait_until(lambda: depth_limit() == "1100 um"), log_of(d))
    tap.ok("and_says_what_it_cannot_change", "max_clients is another one now, and is not changed while mnd runs: restart it" in log_of(d), log_of(d))
    write(policy, "name: Nord\nlimits:\n  - {name: depth_limit, value: 042}\n")
    tap.ok("a_bad_policy_stays_out", hup("the policy that was in force stays in force\n") and depth_limit() == "1100 um", log_of(d))
    write(config, "usb: no\n")
    tap.ok("a_bad_configuration_changes_nothing", hup("nothing is changed: .*usb is true or false, not no") and depth_limit() == "1100 um", log_of(d))
    write(config, f"policy: {policy}\n")
    write(policy, "name: Nord\nlimits:\n  - {name: depth_limit, value: 900}\n")
    text = d.run("mnctl", "session", "plan", "--subject", "K-1", "--zone", "cheek:1mm", "--waive-numbing", "a test").stdout.replace('answer: ""', 'answer: "no"')
    open(folder + "/plan.yaml", "w").write(text)
    t = d.terminal("mnctl", "session", "start", folder + "/plan.yaml", "--yes")
    t.until("ARMED")
    tap.ok("no_policy_changes_under_an_open_session", hup("stays in force while treatment sessions are open") and depth_limit() == "1100 um", log_of(d))
    t.key("\x03")
    t.end()
    d.run("mnctl", "session", "end")
    d.process.send_signal(signal.SIGHUP)
    tap.ok("and_it_does_when_that_has_ended", d.wait_until(lambda: depth_limit() == "900 um"), log_of(d))
    write(config, "log_level: info\n")
    tap.ok("a_policy_that_is_gone_is_said", hup("there is no policy of a site any more: the defaults are in force") and depth_limit() == "1.50 mm", log_of(d))
    code, log = d.end()
    tap.ok("reload_mnd_ends_cleanly", code == 0, log)


def passed(*sockets, words=(), names=None):
    """mnd with these descriptors passed as a service manager does: (exit code or None after a second, log)."""
    folder = tempfile.mkdtemp()
    fds = [s.fileno() for s in sockets]

    def hand_over():
        kept = [os.dup(fd) for fd in fds]
        for i, fd in enumerate(kept):
            os.dup2(fd, 20 + i)
        for i in range(len(kept)):
            os.dup2(20 + i, 3 + i, True)

    env = {**os.environ, "LISTEN_FDS": str(len(fds)), **({"LISTEN_FDNAMES": names} if names else {})}
    log = open(folder + "/log", "w")
    p = subprocess.Popen(["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", "mnd", "--no-usb", "--journal", folder + "/j.db", *words], env=env, close_fds=False, preexec_fn=hand_over, stderr=log)
    end = time.monotonic() + 20
    while p.poll() is None and "ready at" not in open(folder + "/log").read() and time.monotonic() < end:
        time.sleep(0.02)
    answer = None
    if p.poll() is None:
        path = sockets[0].getsockname()
        answer = subprocess.run(["mnctl", "--socket", path, "version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        p.terminate()
    return p.wait(20), open(folder + "/log").read(), answer


def passed_sockets():
    folder = tempfile.mkdtemp()

    def unix(name, kind=socket.SOCK_STREAM, listening=True):
        s = socket.socket(socket.AF_UNIX, kind)
        s.bind(f"{folder}/{name}")
        if listening:
            s.listen()
        return s

    tcp = socket.socket()
    tcp.bind(("127.0.0.1", 0))
    tcp.listen()
    cases = {
        "a_socket_of_the_network_is_refused": ([tcp], "passed a listening stream socket of the kind IPv4 \\(pens\\)"),
        "a_datagram_socket_is_refused": ([unix("d", socket.SOCK_DGRAM, False)], "passed a datagram socket of the kind Unix"),
        "a_socket_that_does_not_listen_is_refused": ([unix("n", listening=False)], "which does not listen \\(Accept=yes\\?\\)"),
        "a_connection_is_refused": ([socket.socketpair()[0]], "which does not listen \\(Accept=yes\\?\\)"),
        "a_file_is_refused": ([open("/etc/passwd")], "passed no socket"),
    }
    for name, (sockets, sentence) in cases.items():
        code, log, _ = passed(*sockets, names="pens")
        tap.ok(name, code == 1 and re.search(sentence, log), (code, log))
    code, log, _ = passed(unix("a"), unix("b"), names="one:two")
    tap.ok("two_sockets_are_refused", code == 1 and "(one)" in log and "(two)" in log, (code, log))
    code, log, answer = passed(unix("g"))
    tap.ok("a_listening_unix_socket_is_served", code == 0 and "mnd 0." in answer, (code, log, answer))
    code, log, answer = passed(unix("h"), words=("--socket", folder + "/other"))
    tap.ok("another_path_is_said_to_be_unused", code == 0 and f"where the service manager listens, and not at {folder}/other" in log, (code, log))


def process_groups():
    d = Daemon("1")
    stub = subprocess.run(["pgrep", "-P", str(d.process.pid)], stdout=subprocess.PIPE, text=True).stdout.split()
    for pid in [d.process.pid, *map(int, stub)]:  # as a service manager does with all of a service
        os.kill(pid, signal.SIGTERM)
    code = d.process.wait(20)
    tap.ok("term_to_all_of_a_service_is_no_error", code == 0 and "error" not in log_of(d), log_of(d))
    d = Daemon("1")
    stub = int(subprocess.run(["pgrep", "-P", str(d.process.pid)], stdout=subprocess.PIPE, text=True).stdout)
    os.kill(stub, signal.SIGSTOP)
    d.process.terminate()
    try:
        code = d.process.wait(20)
    except subprocess.TimeoutExpired:
        code = None
        d.process.kill()
    tap.ok("a_stopped_child_is_not_waited_for", code is not None and not os.path.exists(f"/proc/{stub}"), log_of(d))


def garbage(path, n):
    for _ in range(n):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        try:
            s.connect(path)
            s.send(b"GET / HTTP/1.0\r\n\r\n")
            s.recv(99)
        except OSError:
            pass
        s.close()


def the_log():
    d = Daemon("1")
    garbage(d.socket, 3000)
    lines = len(log_of(d).splitlines())
    tap.ok("garbage_does_not_flood_the_log", lines < 100, lines)
    tap.ok("the_log_mnd_ends_cleanly", d.end()[0] == 0)
    folder = tempfile.mkdtemp()
    os.mkfifo(folder + "/fifo")
    reader = subprocess.Popen(["sh", "-c", f"exec sleep 60 < {folder}/fifo"])
    path = folder + "/s"
    mnd = subprocess.Popen(["sh", "-c", f"exec mnd --no-usb --sim=1 --log-level debug --socket {path} --journal {folder}/j 2> {folder}/fifo"])
    list_ = lambda: subprocess.run(["mnctl", "--socket", path, "list"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30).stdout  # noqa: E731
    end = time.monotonic() + 20
    while "SIM-0001" not in list_() and time.monotonic() < end:
        time.sleep(0.05)
    for _ in range(60):  # a debug line is not limited: this fills the pipe
        garbage(path, 50)
    tap.ok("nobody_reads_the_log_and_it_answers", "SIM-0001" in list_())
    mnd.terminate()
    try:
        code = mnd.wait(20)
    except subprocess.TimeoutExpired:
        code = None
        mnd.kill()
    reader.kill()
    tap.ok("and_it_ends_when_it_shall", code == 0, code)


def no_descriptors():
    folder = tempfile.mkdtemp()
    path = folder + "/s"
    mnd = subprocess.Popen(["mnd", "--no-usb", "--sim-socket", folder + "/sim", "--socket", path, "--journal", folder + "/j"], stderr=open(folder + "/log", "w"),
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
    while not os.path.exists(path):
        time.sleep(0.02)
    stub = subprocess.Popen(["penstub", "--connect", folder + "/sim", "--pens", "20"], stderr=subprocess.DEVNULL)
    time.sleep(2)
    before, began = processor_s(mnd.pid), time.monotonic()
    time.sleep(2)
    used = (processor_s(mnd.pid) - before) / (time.monotonic() - began)
    tap.ok("without_descriptors_it_does_not_spin", used < 0.5, used)
    p = subprocess.run(["mnctl", "--socket", path, "list"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    tap.ok("and_a_program_is_told_why", "no descriptor left for another program" in p.stdout, p.stdout)
    log = open(folder + "/log").read()
    tap.ok("and_the_log_says_it_once", 1 <= log.count("for a moment: Too many open files") <= 4, log)
    stub.terminate()
    stub.wait()
    mnd.terminate()
    tap.ok("no_descriptors_mnd_ends_cleanly", mnd.wait(20) == 0, log)


def pens_in_their_order():
    """A daemon that begins to listen while they connect."""
    path = tempfile.mkdtemp() + "/sim"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(16)
    listener.settimeout(10)
    stub = subprocess.Popen(["penstub_refused", "--connect", path, "--pens", "8"], stderr=subprocess.DEVNULL)
    pens = [listener.accept()[0] for _ in range(8)]
    serials = [re.search(rb"SIM-\d+", pen.recv(4096)).group().decode() for pen in pens]
    tap.ok("pens_come_in_their_order_whenever_the_daemon_comes", serials == sorted(serials), serials)
    stub.terminate()
    tap.ok("and_penstub_ends", stub.wait(20) == 0)


def twins():
    folder = tempfile.mkdtemp()
    d = Daemon("1", "--sim-socket", folder + "/sim")
    twin = subprocess.Popen(["penstub", "--connect", folder + "/sim", "--serial", "SIM-0001"], stderr=subprocess.DEVNULL)
    listed = lambda: d.run("mnctl", "list").stdout  # noqa: E731
    tap.ok("the_second_pen_of_a_serial_number_says_when_it_is_tried_again", d.wait_until(lambda: re.search(r"in use.*tried again in\s+[1-5] s", listed(), re.S)), listed())
    waits = [p["retry_ms"] for p in json.loads(d.run("mnctl", "--json", "list").stdout)]
    tap.ok("and_how_long_as_a_number", sorted(waits)[0] == 0 and 0 < sorted(waits)[-1] <= 5000, waits)
    d.sim("unplug", pen="@sim-1")
    began = time.monotonic()
    tap.ok("and_is_taken_at_once_when_the_first_goes", d.wait_until(lambda: "SAFE" in listed() and "tried again" not in listed()) and time.monotonic() - began < 3, (time.monotonic() - began, listed()))
    twin.terminate()
    twin.wait()
    code, log = d.end()
    tap.ok("twins_mnd_ends_cleanly", code == 0, log)


def as_user(uid, *words):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *words]


def other_users():
    if os.geteuid() != 0:
        tap.skip("a_journal_of_another_user_is_named_with_the_remedy", "needs root")
        return
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    d = Daemon("1", "--journal", folder + "/j")
    d.end()
    os.chown(folder, 4242, 4242)
    log = open(folder + "/log", "w+")
    mnd = subprocess.Popen(as_user(4242, "mnd", "--no-usb", "--sim=1", "--socket", folder + "/s", "--journal", folder + "/j"), stderr=log)
    doctor = lambda: subprocess.run(["mnctl", "--socket", folder + "/s", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout  # noqa: E731
    end, said = time.monotonic() + 20, ""
    while "belongs to user" not in said and time.monotonic() < end:
        said = " ".join(doctor().split())
    tap.ok("a_journal_of_another_user_is_named_with_the_remedy", "belongs to user 0, and mnd runs as user 4242: sudo chown 4242" in said, said)
    mnd.terminate()
    tap.ok("and_mnd_ends_cleanly", mnd.wait(20) == 0)
    # A user namespace that knows one user only: to mnd every stranger looks as nobody does, who is its own user, too.
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    mnd = subprocess.Popen(as_user(65534, "unshare", "--user", "--map-user=65534", "--map-group=65534", "mnd", "--no-usb", "--sim=1", "--socket", folder + "/s", "--journal", folder + "/j"),
                           stderr=open(folder + "/log", "w"))
    end = time.monotonic() + 20
    while not os.path.exists(folder + "/s") and time.monotonic() < end and mnd.poll() is None:
        time.sleep(0.05)
    if not os.path.exists(folder + "/s"):
        mnd.kill()
        tap.skip("a_user_whom_the_namespace_does_not_know_is_an_observer", "no user namespaces here")
        return
    os.chmod(folder + "/s", 0o666)
    said = ""
    end = time.monotonic() + 20
    while "SAFE" not in said and time.monotonic() < end:
        said = subprocess.run(as_user(4242, "mnctl", "--socket", folder + "/s", "list"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
    p = subprocess.run(as_user(4242, "mnctl", "--socket", folder + "/s", "--pen", "SIM-0001", "config", "set", "depth=1.2mm"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    tap.ok("a_user_whom_the_namespace_does_not_know_is_an_observer", p.returncode != 0 and "the role observer" in " ".join(p.stdout.split()), (said, p.stdout))
    mnd.terminate()
    tap.ok("namespace_mnd_ends_cleanly", mnd.wait(20) == 0)


def udev_links():
    """The rule, by udev itself, for a device made by umockdev, in a mount namespace where it can make what it likes."""
    rules = os.path.join(os.path.dirname(sys.argv[1]), "udev/70-mn.rules")
    path = "/devices/pci0000:00/0000:00:14.0/usb1/1-1"
    script = ("mount -t tmpfs t /run && mount -t tmpfs t /dev && mknod -m 666 /dev/null c 1 3 && mkdir -p /run/udev/rules.d && cp {0} /run/udev/rules.d/ && "
              "umockdev-run -d {1} -- udevadm test -a add /sys{2}")
    if os.geteuid() != 0 or not os.path.exists("/usr/bin/umockdev-run"):
        tap.skip("a_serial_number_makes_a_link_or_none", "needs root and umockdev")
        return
    wrong = []
    for serial, link in (("MN26-000001", "mn/MN26-000001"), ("A_b-9", "mn/A_b-9"), ("A B", ""), ("../sda", ""), ("../../../tmp/x", ""), ("A/B", ""), ("", ""), ("\u00e4\u20ac", ""), ("-x", ""), (None, "")):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(f"P: {path}\nN: bus/usb/001/005\nE: DEVNAME=/dev/bus/usb/001/005\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nE: BUSNUM=001\nE: DEVNUM=005\nE: MAJOR=189\nE: MINOR=4\n"
                    "A: idVendor=1209\\n\nA: idProduct=0001\\n\n" + (f"A: serial={serial}\\n\n" if serial is not None else ""))
            f.flush()
            os.chmod(f.name, 0o644)
            p = subprocess.run(["unshare", "-m", "bash", "-c", script.format(os.path.abspath(rules), f.name, path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        said = p.stdout.decode(errors="replace")
        links = re.findall(r"DEVLINKS=(.*)", said)
        if "GROUP" not in said.upper() or (links[0] if links else "") != ("/dev/" + link if link else ""):
            wrong.append((serial, links, said[-1500:]))
    tap.ok("a_serial_number_makes_a_link_or_none", not wrong, wrong)


for part in (closed_descriptors, signals, reload, passed_sockets, process_groups, the_log, no_descriptors, pens_in_their_order, twins, other_users, udev_links):
    if sys.argv[2:] == [] or part.__name__ in sys.argv[2:]:
        part()
tap.end()
