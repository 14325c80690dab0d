#!/usr/bin/python3
"""Generated texts through every writer of a format that others read, and back by parsers that are not ours. usage: escape.py BIN [HOW MANY]. TAP."""
import csv
import html.parser
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

BIN, MANY = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10000
random.seed(1)
csv.field_size_limit(1 << 20)
count = 0


def ok(name, wrong, how_many):
    global count
    count += 1
    print(f"{'not ok' if wrong else 'ok'} {count} - escape.{name}" + (f" ({how_many} texts)" if not wrong else ""))
    for w in wrong[:5]:
        print(f"# {w!r}"[:300])


PIECES = [b"<", b">", b"&", b'"', b"'", b"&amp;", b"</title>", b"</script>", b"<script>x", b"<!--", b"]]>", b"=1+1", b"+1", b"-1", b"@x", b"=cmd|' /C calc'!A0", b",", b";", b"\r", b"\n", b"\r\n", b"\t", b" ", b"\x1b[31m",
          b"\x07", b"\x7f", b"\xc2\x85", b"\xc2\x9b31m", "\u202e".encode(), "\u2066".encode(), "\u2028".encode(), "\ufeff".encode(), "\ufffe".encode(), "\uffff".encode(), "\ufffd".encode(), b"\xff", b"\xc3", b"\xed\xa0\x80",
          b"\xf4\x90\x80\x80", b"\xc0\xaf", "\U0001f600".encode(), "ä€ß".encode(), b"%s%n", b"../../x", b"\\", b"\\x1b", b"x" * 300, b"A,B", b'A"B', b"", b"\x01", b"\x1f", b"\x80"]


def texts():
    yield b""
    for p in PIECES:
        yield p
    for _ in range(MANY):
        kind = random.random()
        if kind < 0.6:
            yield b"".join(random.choice(PIECES) for _ in range(random.randint(1, 6)))
        elif kind < 0.8:
            yield bytes(random.randint(1, 255) for _ in range(random.randint(1, 30)))
        else:
            yield "".join(chr(random.choice((random.randint(1, 0x2FF), random.randint(0x2000, 0x20FF), random.randint(0xE000, 0x10FFFF)))) for _ in range(random.randint(1, 15))).encode()


ALL = list(texts())


def utf8(raw):
    """As escape.h has it: one U+FFFD for each byte that begins no character."""
    out, i = "", 0
    while i < len(raw):
        for n in (1, 2, 3, 4):
            try:
                out += raw[i:i + n].decode()
                i += n
                break
            except UnicodeDecodeError:
                continue
        else:
            out += "\ufffd"
            i += 1
    return out


def of_markup(raw):
    return "".join(c if c in "\t\n\r" or ord(c) >= 0x20 and ord(c) not in (0xFFFE, 0xFFFF) else "\ufffd" for c in utf8(raw))


def said(format_):
    p = subprocess.run([f"{BIN}/escape_say", format_], input=b"".join(t + b"\0" for t in ALL), stdout=subprocess.PIPE, check=True)
    return p.stdout


def differences(wanted, got):
    return [("how many", len(wanted), len(got))] * (len(wanted) != len(got)) + [(w, g) for w, g in zip(wanted, got) if w != g]


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.found, self.others = [], []

    def handle_starttag(self, tag, attrs):
        if tag != "e" or len(attrs) != 1:
            self.others.append((tag, attrs))
        self.found.append([attrs[0][1] or "", ""])

    def handle_data(self, data):
        if self.found and self.get_starttag_text() and not self.closed:
            self.found[-1][1] += data

    closed = False

    def handle_endtag(self, tag):
        pass


def xml_back():
    tree = xml.etree.ElementTree.fromstring(said("xml"))
    return [(e.get("a"), e.text or "") for e in tree]


def html_back():
    found = []
    for line in said("html").decode().split("</e>\n")[:-1]:
        page = Page()
        page.feed(line)
        page.close()
        found.append(tuple(page.found[0]) if len(page.found) == 1 and not page.others else ("markup", line))
    return found


def spreadsheet(raw):
    text = utf8(raw)
    first = text.lstrip(" ")
    return ("'" if first[:1] in ("=", "+", "-", "@", "\t", "\r") and first else "") + text


def is_seen(text):
    return all(ord(c) >= 0x20 and not 0x7F <= ord(c) <= 0x9F and c not in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff" for c in text)


markup = [(of_markup(t),) * 2 for t in ALL]
ok("xml_is_read_back", differences(markup, xml_back()), len(ALL))
ok("html_is_read_back", differences(markup, html_back()), len(ALL))
p = subprocess.run(["xmllint", "--noout", "-"], input=said("xml"), stderr=subprocess.PIPE)
ok("xmllint_takes_it", [] if p.returncode == 0 else [p.stderr[:300]], len(ALL))
rows = list(csv.reader(io.StringIO(said("csv").decode(), newline=""), strict=True))
ok("csv_is_read_back", differences([["before", spreadsheet(t), "behind"] for t in ALL], rows), len(ALL))
lines = said("terminal").decode().split("\n")[:-1]
ok("a_terminal_is_sent_nothing_unseen", [x for x in lines if not is_seen(x)] + [("how many", len(lines))] * (len(lines) != len(ALL)), len(ALL))
plain = [t.decode() for t in ALL if t.isascii() and t.decode().isprintable() and b"\\" not in t]
ok("and_what_is_printable_as_it_is", differences(plain, [x for t, x in zip(ALL, lines) if t.isascii() and t.decode().isprintable() and b"\\" not in t]), len(plain))
ok("utf8_is_utf8", differences([utf8(t) for t in ALL], [json.loads(json.dumps(x.decode())) for x in said("utf8").split(b"\0")[:-1]]), len(ALL))


# ---- mn-factory's reports, from records whose every text is somebody's ----

def record(i, text):
    return {"format": "mn-factory record 1", "run": f"run {i} {text}", "began": "2026-11-25T09:00:00.000Z", "ended": "2026-11-25T09:01:00.000Z", "station": text, "slot": text, "serial": text, "verdict": "FAIL", "seconds": 60.0,
            "plan": {"name": text, "sha256": "0" * 64}, "limits": {"name": text, "sha256": "0" * 64},
            "steps": [{"name": text, "phase": text, "verdict": "FAIL", "attempts": [{"verdict": "FAIL", "seconds": 1.0, "measurements": [
                {"name": text, "value": text, "unit": text, "equals": text, "verdict": "FAIL"}, {"name": "b" + text, "value": 1.5, "unit": text, "min": 0, "max": 1, "verdict": "FAIL"}]}]},
                      {"name": "s" + text, "phase": text, "verdict": "SKIPPED", "reason": text, "attempts": []}]}


class Texts(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.cells = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


folder = tempfile.mkdtemp()
wrong, several = {"junit": [], "csv": [], "page": []}, [utf8(t) for t in ALL if t][:: max(1, len(ALL) // 60)]
for i, text in enumerate(several):
    path = f"{folder}/{i}.json"
    json.dump(record(i, text), open(path, "w"))
    p = subprocess.run([f"{BIN}/mn-factory", "report", path, "--html", f"{folder}/h", "--junit", f"{folder}/j", "--csv", f"{folder}/c", "--force"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode not in (0, 1):
        wrong["junit"].append((text, p.returncode, p.stdout))
        continue
    suite = xml.etree.ElementTree.parse(f"{folder}/j").getroot()[0]
    if suite.get("package") != of_markup(text.encode()) or suite[0].get("name") != of_markup(text.encode()) or suite[1][0].get("message") != of_markup(text.encode()):
        wrong["junit"].append((text, suite.get("package"), suite[0].get("name")))
    row = list(csv.reader(open(f"{folder}/c", newline=""), strict=True))[1]
    if row[4] != spreadsheet(text.encode()) or row[7] != spreadsheet(text.encode()) or len(row) != 14:
        wrong["csv"].append((text, row))
    page = Texts()
    page.feed(open(f"{folder}/h", newline="").read())
    if page.tags - {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "b", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "svg", "rect", "line", "text", "path", "code", "small", "br", "span"}:
        wrong["page"].append((text, page.tags))
    if of_markup(text.encode()) not in "".join(page.cells):
        wrong["page"].append((text, "is not in it"))
for name, w in wrong.items():
    ok(f"the_line_s_{name}_has_the_same_texts", w, len(several))
print(f"1..{count}")
