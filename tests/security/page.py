"""The table of all attempts in the docs: docs/reference/attacks.md. A class that is not tried keeps its results."""

import html
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tests.security.attack import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "attacks.md"
CLASSES = {
    "S1": (
        "Models in a demo",
        "settings and model page of a public demo",
        "a model other than a starter is read",
    ),
    "S2": (
        "Descriptors and connections",
        "a demo with few file descriptors",
        "others are shut out; folders pile up",
    ),
    "S3": ("Slow actions", "the page of a demo", "another visitor waits, or oversized rows are taken in"),
    "S4": ("Many and long runs", "training in a demo", "a run or a queue goes past the limits of a visitor"),
    "S5": ("Chats", "the chat of a demo", "others wait, a limit is passed, or the host fails"),
    "S6": ("Bombs in files of rows", "uploads of a demo", "the file is taken in, or takes long or much memory"),
    "S7": ("Chat templates", "the renderer of templates, with a time limit", "the host stays busy, or code runs"),
    "S8": ("Pages of others", "actions and queues of the page", "another's page is read, changed or ended"),
    "S9": ("Login", "a studio with a password", "somebody comes in, the owner is locked out, or a session lives on"),
    "S10": ("Paths of the machine", "archives, logs and messages", "a path of the machine is in them"),
    "S11": ("Malformed requests", "all addresses of the server", "an answer 500, a traceback, or a full log"),
    "S12": ("Forged addresses", "headers of a proxy", "a stranger's header counts"),
    "S13": ("Foreign websites", "host, origin and method of requests", "another site acts or reads"),
    "api-connections": (
        "Connections of the API server",
        "`studio serve-api`, over plain sockets",
        "others are shut out, a hidden request is answered, or another site is answered",
    ),
    "api-keys": (
        "Keys of the API server",
        "`studio serve-api` with a key",
        "an answer without the key, a name of a model without it, or a key in a log",
    ),
    "api-requests": (
        "Requests to the API server",
        "all endpoints of `studio serve-api`, with a key",
        "an answer 500, a traceback, a file of the machine, or much time or memory",
    ),
    "archives": ("Archives", "imports of runs, projects and rows", "a file outside of its folder, code, or a bomb"),
    "converters": (
        "Models of Keras and TensorFlow",
        "folders of models, and the converters in their own environment",
        "the model is converted, code runs, another file is read, or it takes much time or memory",
    ),
    "gguf": ("GGUF bombs", "the reader of GGUF headers", "the header is read, or takes time or memory"),
    "headers": ("Headers of answers", "all addresses of the server", "a protecting header is missing"),
    "injection": (
        "Scripts, formulas, control characters",
        "page, downloads, logs",
        "a text is run or computed",
    ),
    "isolation": (
        "Other workspaces",
        "all addresses that name rows or runs",
        "another's data is shown or changed",
    ),
    "names": ("Internal addresses", "names and addresses of all sources, redirects", "an internal address is asked"),
    "onnx": ("ONNX bombs", "uploads, archives, folders of models", "the file is taken in, or takes time"),
    "paths": (
        "Paths in names",
        "all addresses and names of files",
        "another file is read or written",
    ),
    "planted": ("Planted tokens", "exports, archives, logs, the page, the data folder", "a key is found there"),
    "secrets": (
        "Secrets on the machine",
        "files, arguments, environment, logs",
        "a secret is read or guessed",
    ),
    "trust": ("Code in models", "models with code or pickles; roles of a team", "code runs without the owner's leave"),
}
"""Class → its title, where it is tried, and what must not happen."""
HEAD = """# Attacks that were tried

Made by `python -m tests.security --write`. Each line is a real request, file or command against a real server, parser
or command of the studio, on loopback. [Security](../background/security.md) describes the guards. "Blocked" means that
what must not happen did not happen. An attack that could not be carried out counts as a success.

"""
_ROW = re.compile(r"^\| (?!attempt |---)(.*) \| (blocked|SUCCEEDED) \|$", re.MULTILINE)


def escaped(text: str) -> str:
    """A name as plain text in a cell of Markdown."""
    text = html.escape(text, quote=False)
    for character in "|*_`[]\\~":
        text = text.replace(character, f"&#{ord(character)};")
    return text.replace("://", "&#58;//")


def write(results: Sequence[Result], whole: bool = True, page: Path = PAGE) -> None:
    """Write the classes that were tried. Unless they are `whole`, their other attacks keep their results."""
    found = sections(page.read_text(encoding="utf-8")) if page.exists() else {}
    for group in dict.fromkeys(each.attack.group for each in results):
        rows = {} if whole else found.get(group, {})
        rows.update(
            {
                escaped(each.attack.name): "SUCCEEDED" if each.outcome.succeeded else "blocked"
                for each in results
                if each.attack.group == group
            }
        )
        found[group] = rows
    total = sum(len(rows) for rows in found.values())
    lost = sum(result == "SUCCEEDED" for rows in found.values() for result in rows.values())
    summary = f"Last change: {date.today():%Y-%m-%d}. **{total:,} attempts, {lost:,} successes.**\n"
    ordered = sorted(found, key=list(CLASSES).index)
    page.write_text(HEAD + summary + "".join(_section(group, found[group]) for group in ordered), encoding="utf-8")


def _section(group: str, rows: dict[str, str]) -> str:
    title, where, never = CLASSES[group]
    lines = [f"| {name} | {result} |" for name, result in rows.items()]
    table = "\n".join(["| attempt | result |", "|---|---|", *lines])
    return f"\n## {group}: {title}\n\nWhere: {where}. Must not happen: {never}. Attempts: {len(rows):,}.\n\n{table}\n"


def sections(text: str) -> dict[str, dict[str, str]]:
    """Class → attempt, as written on the page → its result."""
    found = {}
    for section in text.split("\n## ")[1:]:
        group = section.partition(":")[0]
        found[group] = dict(_ROW.findall(section))
    return found
