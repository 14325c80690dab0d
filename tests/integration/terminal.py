"""A person at a terminal, for tests: a program on a pty of a given size and kind, what is typed into it, and what is seen on its screen (pyte, a
terminal emulator that is not ours). Also TAP, and a daemon with simulated pens in a folder of its own. $MN_SHOW names a file that gets all that was
seen on each terminal.
"""
import codecs, fcntl, os, pty, re, select, shutil, signal, struct, subprocess, sys, tempfile, termios, time

import pyte


class Terminal:
    """words run in it at once; text is all that came, screen what stands there now."""

    def __init__(self, *words, columns=80, rows=24, env=None, cwd=None):
        self.words, self.columns, self.rows = words, columns, rows
        self.text, self.at, self.code = "", 0, None
        self.screen = pyte.HistoryScreen(columns, rows, history=10000)
        self.stream = pyte.Stream(self.screen)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            if cwd:
                os.chdir(cwd)
            self._size(0, columns, rows)
            os.execvpe(words[0], words, {**os.environ, "TERM": "xterm-256color", **(env or {})})
        self._size(self.fd, columns, rows)

    @staticmethod
    def _size(fd, columns, rows):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self._size(self.fd, columns, rows)
        self.screen.resize(rows, columns)

    def read(self, seconds):
        """What comes within so much time, and no longer; False: nothing more will come."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if not select.select([self.fd], [], [], max(0, left))[0]:
                return True
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                more = b""
            if not more:
                return False
            more = self.decoder.decode(more)
            self.text += more
            self.stream.feed(more)

    def until(self, pattern, seconds=30):
        """Waits for what was not seen before; the match. A blank of the pattern is any white space: lines are wrapped."""
        end = time.monotonic() + seconds
        wanted = re.compile(re.sub(r" \+?", r"\\s+", pattern))
        while True:
            m = wanted.search(self.plain(), self.at)
            if m:
                self.at = m.end()
                return m
            if time.monotonic() > end:
                raise TimeoutError(f"{pattern!r} was not seen in {' '.join(self.words)}; since the last: {self.since()}")
            if not self.read(0.05) and not wanted.search(self.plain(), self.at):
                raise EOFError(f"{' '.join(self.words)} ended before {pattern!r} was seen; since the last: {self.since()}")

    def since(self):
        text = self.plain()[self.at:]
        return text if len(text) < 3000 else text[:1500] + " ... " + text[-1500:]

    def plain(self):
        """All that came, without escape sequences, and a wrapped line as one."""
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\r", "", self.text)
        return text

    def folded(self):
        return re.sub(r"\s+", " ", self.plain())

    def type(self, text, enter=True):
        os.write(self.fd, (text + ("\n" if enter else "")).encode())

    def key(self, key):
        os.write(self.fd, key.encode())

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def seen(self):
        """The screen as text, without empty lines at its end."""
        return "\n".join(self.lines()).rstrip()

    def all_lines(self):
        """What scrolled away, and the screen."""
        past = ["".join(row[x].data for x in range(self.columns)).rstrip() for row in self.screen.history.top]
        return "\n".join(past + self.lines()).rstrip()

    def is_alive(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def end(self, seconds=30):
        """Its exit code; it must end by itself."""
        end = time.monotonic() + seconds
        while self.is_alive():
            self.read(0.05)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"{' '.join(self.words)} did not end: {self.plain()[-1500:]}")
        self.read(0)
        os.close(self.fd)
        if "MN_SHOW" in os.environ:
            with open(os.environ["MN_SHOW"], "a") as f:
                f.write(f"$ {' '.join(self.words)}\n{self.all_lines()}\n\n")
        return self.code

    def kill(self):
        if self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Tap:
    def __init__(self, suite):
        self.suite, self.count, self.failed = suite, 0, 0

    def ok(self, name, good, why=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {self.suite}.{name}")
        if not good:
            print("".join(f"# {line}\n" for line in str(why).splitlines()), end="")
        sys.stdout.flush()
        return good

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {self.suite}.{name} # SKIP {why}")

    def end(self):
        print(f"1..{self.count}")
        sys.exit(self.failed != 0)


class Daemon:
    """mnd with simulated pens; its folder is the home of all that runs with it."""

    def __init__(self, pens="1", *words):
        self.dir = tempfile.mkdtemp()
        self.socket = self.dir + "/mnd.sock"
        self.env = {**os.environ, "MN_SOCKET": self.socket, "HOME": self.dir, "XDG_STATE_HOME": self.dir + "/state", "ASAN_OPTIONS": "detect_leaks=0"}
        self.process = subprocess.Popen(["mnd", "--no-usb", f"--sim={pens}", "--socket", self.socket, "--journal", self.dir + "/journal.db", *words], stderr=open(self.dir + "/log", "w"),
                                        env=self.env)
        end = time.monotonic() + 30
        while self.run("mnctl", "list").stdout.count(" SAFE ") + self.run("mnctl", "list").stdout.count("FACTORY") < int(pens.split(",")[0]) and time.monotonic() < end:
            time.sleep(0.05)

    def run(self, *words, **more):
        return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=self.env, timeout=60, **more)

    def sim(self, *words, pen=None):
        p = self.run("mnctl", *(["--pen", pen] if pen else []), "sim", *words)
        if p.returncode != 0:
            raise RuntimeError(f"sim {' '.join(words)}: {p.stdout}")

    def terminal(self, *words, **more):
        return Terminal(*words, env=self.env, **more)

    def wait_until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def clear_faults(self, *options):
        """Until none is left: a pen sees with its next samples that a cause is gone, and not before."""
        if not self.wait_until(lambda: "left none" in self.run("mnctl", "faults", "clear", *options).stdout):
            raise RuntimeError("faults stay: " + self.run("mnctl", "faults").stdout)

    def end(self):
        self.process.terminate()
        code = self.process.wait()
        log = open(self.dir + "/log").read()
        shutil.rmtree(self.dir, ignore_errors=True)
        return code, log
