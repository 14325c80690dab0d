"""What a person does at mnctl's dialogue, for the parts of dialogue.py."""
import json, time

PROMPT = r"> $"
LONG = 30  # s: longer than any time-out there is
SHORT = 3  # s: longer than a lease lives without an answer


def state(d, pen=0):
    return json.loads(d.run("mnctl", "--json", "list").stdout)[pen]


def answer_questions(t, first=1, pause=0, answers={}):
    for i in range(first, 29):
        question = t.until(rf"\b{i} of 28 ([^\n]*)\n").group(1)
        t.until(PROMPT)  # a person answers what is asked, not what is being written
        time.sleep(pause)
        t.type(next((a for word, a in answers.items() if word in question), "never" if question.startswith("When") else "no"))


def answer(t, question, text):
    t.until(question)
    t.until(PROMPT)
    t.type(text)


def begin(t, subject="K-1", zones=("cheek:1.2mm:120Hz",)):
    answer(t, "Subject", subject)
    answer(t, "Indication", "scars")
    for zone in zones:
        answer(t, r"Zone, depth and stroke rate|Another zone\?", zone)
    answer(t, r"Another zone\?", "")
    answer(t, "numbing applied", "40")


def start_now(d, *zones, **more):
    """A session that is armed, from a plan that nothing speaks against; typed as fast as can be."""
    words = [w for zone in zones for w in ("--zone", zone)]
    t = d.terminal("mnctl", "session", "start", "--subject", "K-1", "--indication", "scars", "--numbed", "40", *words, **more)
    answer_questions(t)
    t.until(r"Arm it\?")
    t.type("yes")
    t.until("ARMED")
    return t


def arm_again(d, t, pen=None):
    """What a person does when the pen has lost its host, as it does on a machine that stands still for a quarter of a second."""
    d.sim("trigger", "release", pen=pen)
    t.until("PAUSED")
    t.key("c")
    d.wait_until(lambda: "HOST_LINK_LOST" not in d.run("mnctl", "faults").stdout)
    t.key("\n")
    t.until("ARMED")


def press(d, t, pen=None):
    """Until the needles move."""
    for _ in range(3):
        d.sim("trigger", "press", pen=pen)
        if t.until("RUNNING|HOST_LINK_LOST").group() == "RUNNING":
            return
        arm_again(d, t, pen)
    raise TimeoutError("the pen loses its host again and again")


def run_for(d, t, seconds, pen=None):
    for _ in range(3):
        press(d, t, pen)
        t.read(seconds)
        d.sim("trigger", "release", pen=pen)
        if t.until("The trigger was released|HOST_LINK_LOST").group() != "HOST_LINK_LOST":
            return
        arm_again(d, t, pen)
    raise TimeoutError("the pen loses its host again and again")
