"""A page in headless Chromium: what it draws, what it asks the network for, how it looks on a phone. Usage: page.py FILE [PICTURE [WIDTH]];
prints a JSON object. It speaks the DevTools protocol over a pair of pipes: JSON messages, each ended by a 0."""
import base64
import json
import os
import subprocess
import sys
import tempfile

PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
LOOK = """(() => {
  const text = e => parseFloat(getComputedStyle(e).fontSize) * (e.getScreenCTM ? e.getScreenCTM().a : 1);
  const svgs = [...document.querySelectorAll('svg')];
  return JSON.stringify({
    title: document.title,
    text: document.body.innerText,
    figures: svgs.map(s => ({caption: s.closest('figure')?.querySelector('figcaption').innerText, shapes: s.querySelectorAll('path,rect').length})),
    rows: [...document.querySelectorAll('tr')].map(r => [...r.children].map(c => c.innerText)),
    plots: svgs.filter(s => s.querySelector('.curve')).map(s => ({curve: s.querySelector('.curve').getTotalLength(), width: s.getBoundingClientRect().width,
                           height: s.getBoundingClientRect().height, colour: getComputedStyle(s.querySelector('.curve')).stroke})),
    page_width: document.documentElement.scrollWidth,
    smallest_text_px: Math.min(...[...document.querySelectorAll('td,th,h1,figcaption,svg text')].map(text)),
    outside: svgs.flatMap(s => [...s.querySelectorAll('text')].filter(t => {
      const a = t.getBoundingClientRect(), b = s.getBoundingClientRect();
      return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1; })).length,
  });
})()"""


class Browser:
    def __init__(self, profile):
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                   f"--user-data-dir={profile}", "--remote-debugging-pipe"]

        def pipes():  # the browser reads 3 and writes 4
            a, b = os.dup(to_browser), os.dup(from_browser)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(command, preexec_fn=pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.id, self.buffer, self.events = 0, b"", []

    def receive(self):
        while b"\0" not in self.buffer:
            more = os.read(self.into, 1 << 16)
            if not more:
                raise EOFError("chromium has gone")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def ask(self, method, session=None, **params):
        self.id += 1
        message = {"id": self.id, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, method):
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.receive())


def main():
    with tempfile.TemporaryDirectory() as profile:
        b = Browser(profile)
        target = b.ask("Target.createTarget", url="about:blank")["targetId"]
        s = b.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime"):
            b.ask(f"{domain}.enable", s)
        wide = {"width": int(sys.argv[3]), "height": 800, "deviceScaleFactor": 1, "mobile": False} if len(sys.argv) > 3 else PHONE
        b.ask("Emulation.setDeviceMetricsOverride", s, **wide)
        b.ask("Emulation.setScrollbarsHidden", s, hidden=True)
        b.events.clear()
        b.ask("Page.navigate", s, url="file://" + os.path.abspath(sys.argv[1]))
        b.wait("Page.loadEventFired")
        seen = json.loads(b.ask("Runtime.evaluate", s, expression=LOOK)["result"]["value"])
        seen["requests"] = [e["params"]["request"]["url"] for e in b.events if e.get("method") == "Network.requestWillBeSent"]
        if len(sys.argv) > 2:
            picture = b.ask("Page.captureScreenshot", s, captureBeyondViewport=len(sys.argv) <= 3)
            with open(sys.argv[2], "wb") as f:
                f.write(base64.b64decode(picture["data"]))
        print(json.dumps(seen))
        b.ask("Browser.close")
        b.process.wait(20)


main()
