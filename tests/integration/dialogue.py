#!/usr/bin/python3
"""mnctl's dialogues and screens as a person meets them: on a real terminal (a pty), at a person's pace, with pauses that are longer than every time-out,
wrong words, Ctrl-C, Ctrl-D, Ctrl-Z, a terminal of every kind and size. Each part has a daemon of its own, and they run side by side. TAP.

usage: dialogue.py BIN [PART...]
"""
import concurrent.futures, os, subprocess, sys

BIN = os.path.abspath(sys.argv[1])
os.environ["PATH"] = BIN + ":" + os.environ["PATH"]
os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="detect_leaks=0")
for name in ("NO_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(name, None)

import dialogue_parts, screen_parts  # noqa: E402
from terminal import Daemon, Tap  # noqa: E402

PARTS = {  # by how long they take, the longest first
    "three_seconds_at_every_question": (dialogue_parts.three_seconds_at_every_question, "1"),
    "at_a_persons_pace": (dialogue_parts.at_a_persons_pace, "1"),
    "terminals": (screen_parts.terminals, "1"),
    "every_mistake": (dialogue_parts.every_mistake, "1"),
    "interrupted": (dialogue_parts.interrupted, "1"),
    "a_terminal_that_takes_nothing": (dialogue_parts.a_terminal_that_takes_nothing, "1"),
    "screens": (screen_parts.screens, "1"),
    "others": (dialogue_parts.others, "1"),
    "continued": (dialogue_parts.continued, "1"),
    "help_fits": (screen_parts.help_fits, "1"),
    "tables_fit": (screen_parts.tables_fit, "1"),
    "two_pens": (dialogue_parts.two_pens, "2"),
    "typed_ahead": (dialogue_parts.typed_ahead, "1"),
    "nobody_there": (dialogue_parts.nobody_there, "1"),
    "words": (screen_parts.words, "1"),
    "completion": (screen_parts.completion, "1"),
}


def run_part(name):
    """Its results, in order: (name, good, why)."""
    part, pens = PARTS[name]
    d = Daemon(pens)
    results = []
    try:
        part(d, lambda n, good, why="": results.append((n, bool(good), why)))
    except (TimeoutError, EOFError, RuntimeError, OSError, subprocess.SubprocessError) as e:
        results.append((name + "_goes_on", False, e))
    code, log = d.end()
    results.append((name + "_mnd_ends_cleanly", code == 0, log))
    return results


if __name__ == "__main__":
    tap = Tap("dialogue")
    parts = sys.argv[2:] or list(PARTS)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:  # they wait, mostly
        for results in pool.map(run_part, parts, timeout=900):
            for n, good, why in results:
                tap.ok(n, good, why)
    tap.end()
