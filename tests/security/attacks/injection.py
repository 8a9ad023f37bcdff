"""Text of rows, names, labels and replies that becomes markup, a formula, a control sequence or code."""

from html.parser import HTMLParser
from urllib.parse import quote

from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, log_of

SCRIPTS = [
    "<script>alert(9731)</script>",
    "<img src=x onerror=alert(9731)>",
    '"><svg onload=alert(9731)>',
    "' onmouseover='alert(9731)",
    "javascript:alert(9731)",
    "</style><script>alert(9731)</script>",
    "<iframe srcdoc='<script>alert(9731)</script>'>",
    "${alert(9731)}",
    "{{constructor.constructor('alert(9731)')()}}",
    "<!--<script>alert(9731)//-->",
    "<math><mi//xlink:href='data:x,<script>alert(9731)</script>'>",
    "\\u003cscript\\u003ealert(9731)\\u003c/script\\u003e",
]


LINKS = ("href", "xlink:href", "src", "action", "formaction", "data")


class Live(HTMLParser):
    """Finds markup that would run: a script, a handler of an event, or an address of JavaScript, with our number."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag with its attributes, as a browser reads them."""
        self.inside = tag in ("script", "style")
        for name, value in attrs:
            text = (value or "").strip().lower()
            runs = name.startswith("on") or name == "srcdoc" or (name in LINKS and text.startswith("javascript:"))
            if "9731" in text and runs:
                self.found.append(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        """The end of a script."""
        self.inside = False

    def handle_data(self, data: str) -> None:
        """What stands within a script or a style would be run or read."""
        if self.inside and "9731" in data:
            self.found.append(data[:100])


def live(text: str) -> list[str]:
    """Markup in a page that would run."""
    parser = Live()
    parser.feed(text)
    return parser.found


PLACES = [
    "a cell",
    "a column's name",
    "a file's name",
    "a run's name",
    "a label",
    "a search",
    "a setting",
    "a prompt",
    "an act",
]


def put(who: Visitor, place: str, text: str) -> str:
    """Bring a text in somewhere, and all that is shown then."""
    line = text.replace('"', '""')
    match place:
        case "a cell":
            shown = who.bring(f'question,answer\n"{line}","{line}"\nb,c\n'.encode())
        case "a column's name":
            shown = who.bring(f'"{line}",answer\na,b\nc,d\n'.encode())
        case "a file's name":
            shown = who.bring(b"question,answer\na,b\n", f"{text}.csv")
        case "a run's name":
            who.sample()
            shown = who.acted("method-body", "name", value=text)
        case "a label":
            who.bring(b"text\nfirst\nsecond\n")
            shown = who.acted("data-body", "view", value="label") + who.acted("data-body", "add-label", value=text)
            shown += who.acted("data-body", "label", value=text, row=1)
        case "a search":
            shown = who.acted("runs-body", "find", value=text) + who.acted("data-body", "label-search", value=text)
        case "a setting":
            who.sample()
            shown = who.acted("method-body", "set", name="system_prompt", value=text) + who.acted(
                "method-body", "set", name="seed", value=text
            )
        case "a prompt":
            who.sample()
            shown = who.acted("method-body", "prompt", value=text, index="0", number="0", name="prompt-0")
        case _:
            shown = (
                who.acted("data-body", text, value=text)
                + who.acted("runs-body", "open", run=text)
                + who.acted("model-body", "model", value=text)
            )
    return shown + "".join(
        who.acted(region, "draw") for region in ("data-body", "method-body", "runs-body", "model-body")
    )


@attack(
    "injection",
    "{0}",
    [
        (f"{text} in {place} becomes markup", place, text)
        for place in PLACES
        for text in SCRIPTS[: 12 if place == "a cell" else 3]
    ],
    quick=2,
)
def markup(stage: Stage, payload: tuple[str, str, str]) -> Outcome:
    _, place, text = payload
    shown = put(stage.visitor(), place, text)
    found = live(shown)
    return outcome(bool(found), str(found[:2]) if found else f"{shown.count('9731')} times, escaped")


@attack("injection", "The page's own address carries markup ({0})", ["run", "__theme", "view", "x"])
def address(stage: Stage, name: str) -> Outcome:
    text = Visitor(stage.demo).get(f"/?{name}={quote('</script><script>alert(9731)</script>')}").text
    return outcome("<script>alert(9731)" in text, "in the page")


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    '=HYPERLINK("http://evil")',
    "\uff1d1+1",
]


@attack("injection", "A label {0} is computed by a spreadsheet that opens the export", FORMULAS)
def formulas(stage: Stage, text: str) -> Outcome:
    import csv
    import io

    who = stage.visitor()
    row = io.StringIO()
    csv.writer(row).writerows([["text"], [text], ["second"]])
    who.bring(row.getvalue().encode())
    who.acted("data-body", "task", value="classification", task="classification")
    who.acted("data-body", "view", value="label")
    who.acted("data-body", "add-label", value=text, name=text)
    who.acted("data-body", "set-labels", value=text, labels=text)
    who.acted("data-body", "label", value=text, label=text, row=1)
    if not who.datasets():
        return outcome(False, "the rows are refused")
    answer = who.get(f"/studio/labels/{who.datasets()[0].id}.csv")
    cells = [cell for line in csv.reader(io.StringIO(answer.text)) for cell in line] if answer.status == 200 else []
    bad = [
        cell for cell in cells if cell.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\uff1d") and len(cell) > 1
    ]
    return outcome(bool(bad), f"{answer.status}: {bad or cells[:6]}")


CONTROLS = ["\x1b[2J\x1b[31mred", "\x07\x07", "a\r\nINFO forged line", "\x1b]0;title\x07", "\u202eevil", "\x00\x08\x08"]


@attack(
    "injection",
    "A name with control characters ({0!r}) reaches the log or forges a line of it".replace("{0!r}", "{0}"),
    CONTROLS,
)
def log_lines(stage: Stage, text: str) -> Outcome:
    who = stage.visitor()
    before = len(log_of(stage.demo))
    who.upload(text.replace("\r\n", " ") + ".csv", b"a,b\n1,2\n")
    who.acted("data-body", "reopen", dataset=text)
    who.acted("runs-body", "open", run=text)
    who.get("/studio/run/" + quote(text))
    who.ask("POST", "/login", b"password=" + quote(text).encode())
    written = log_of(stage.demo)[before:]
    return outcome("\x1b" in written or "forged" in written or "\x07" in written, repr(written[-200:]))


DISPOSITIONS = ["a\r\nSet-Cookie: evil=1", 'a"; filename="evil.html', "../../evil", "a\x00b", "\u202egnp.exe", "=1+1"]


@attack("injection", "A run named {0} changes the header of its download", DISPOSITIONS)
def dispositions(stage: Stage, name: str) -> Outcome:
    who, run = stage.trained
    who.acted("runs-body", "rename", run=run, value=name)
    answer = who.post("/studio/ticket", {"run": run, "format": "run"})
    if answer.status != 200:
        return outcome(answer.status >= 500, f"{answer.status}: {answer.text[:100]}")
    took = who.get(answer.json["link"])
    header = took.headers.get("content-disposition", "")
    who.acted("runs-body", "rename", run=run, value="plain")
    return outcome(
        "set-cookie" in took.headers or ".html" in header or "/" in header or "attachment" not in header, header
    )


QUERIES = ["'; DROP TABLE runs; --", "' OR '1'='1", "%' UNION SELECT value FROM drafts --", '" OR 1=1', "_%_%"]


@attack("injection", "SQL in a search, an id or a tag ({0})", QUERIES)
def queries(stage: Stage, text: str) -> Outcome:
    who, run = stage.trained
    before = len(who.runs())
    shown = (
        who.acted("runs-body", "find", value=text)
        + who.acted("runs-body", "find-tag", value=text)
        + who.acted("runs-body", "find-sort", value=text)
    )
    shown += who.acted("runs-body", "run-note", run=run, name="run-tags", value=text) + who.acted(
        "data-body", "label-search", value=text
    )
    who.acted("runs-body", "find", value="")
    return outcome(
        len(who.runs()) != before or "Something went wrong" in shown or "sqlite" in shown.lower(), shown[:100]
    )


PYTHON = [
    "__import__('os').system('id')",
    "{0.__class__}",
    "%(x)s%n",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "`id`",
    "$(id)",
    "!!python/object/apply:os.system ['id']",
]


@attack("injection", "A template or code in a setting or prompt ({0}) is evaluated", PYTHON)
def code(stage: Stage, text: str) -> Outcome:
    who = stage.visitor()
    who.sample()
    shown = who.acted("method-body", "set", name="system_prompt", value=text) + who.acted(
        "method-body", "set", name="instruction", value=text
    )
    shown += who.acted("method-body", "prompt", value=text, index="0") + who.acted("data-body", "view", value="tokens")
    return outcome(
        "uid=0" in shown or ">49<" in shown or "<class" in shown or "Something went wrong" in shown, shown[:100]
    )


PATTERNS = ["(a+)+$", "(" * 5_000, "[" * 100, "a{1,99999}{1,99999}", "\\" * 1_001]


@attack("injection", "The pattern {0} in a search runs without end", PATTERNS)
def patterns(stage: Stage, text: str) -> Outcome:
    from tests.security.stage import time_call

    who = stage.visitor()
    who.bring(b"text\n" + b"a" * 5_000 + b"!\n" + b"b\n" * 50)
    who.acted("data-body", "view", value="label")
    spent, shown = time_call(
        lambda: who.acted("data-body", "label-search", value=text) + who.acted("runs-body", "find", value=text)
    )
    return outcome(spent > 10 or "Something went wrong" in str(shown), f"{spent:.1f} s; {str(shown)[:80]}")
