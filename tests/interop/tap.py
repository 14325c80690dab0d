"""TAP for the tests in Python here: ok = Tap("interop.serials", 400).ok counts on from 401."""


class Tap:
    def __init__(self, suite, before=0):
        self.suite, self.count = suite, before

    def ok(self, name, condition, why=""):
        self.count += 1
        print(f"{'ok' if condition else 'not ok'} {self.count} - {self.suite}.{name}", flush=True)
        if not condition:
            print("# " + str(why).replace("\n", "\n# ")[:2000], flush=True)
