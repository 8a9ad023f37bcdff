"""Collects the texts of the page for translation.

scripts/translations.py          writes studio/ui/locales/messages.pot and updates the catalog of each language
scripts/translations.py --check  status 1 when a text is missing in the template, or has no translation

A text is a string literal that people can see on the page: labels, sentences, the text between tags of HTML, and
f-strings and template literals with the names of their values in braces. The command line is in English only.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
LOCALES = ROOT / "studio/ui/locales"
CREATED = datetime(2026, 11, 30, tzinfo=UTC)
"""The date in the header of each catalog, always the same, so that a file changes only when a text does."""
NOT_ON_PAGE = (
    "studio/cli/",
    "studio/export/browser_page/",  # a page of its own, in English
    "studio/export/onnx_snippets.py",  # code
    "studio/export/snippets.py",
    "studio/export/script_text.py",
    "studio/models/conversion/texts.py",  # what models read, and a model card
    "studio/serving/answers.py",  # an API, in English
    "studio/serving/bodies.py",
    "studio/serving/errors.py",
    "studio/serving/gateway.py",
    "studio/serving/metrics.py",
    "studio/serving/models.py",
    "studio/serving/own_server.py",
    "studio/serving/replies.py",
    "studio/serving/turns.py",
    "studio/services/api_server/snippets.py",  # code
    "studio/ui/locales/",
    "studio/ui/monitor.py",  # writes to the log alone
    "studio/ui/vendor/",
    "studio/__main__.py",
    "studio/store/migrations.py",
)
"""Files and folders whose literals are not shown on the page."""
TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
ATTRIBUTE = re.compile(r'\b(?:title|aria-label|aria-description|placeholder|alt|data-confirm)="([^"]*)"')
CODE = re.compile(
    r"""\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|PRAGMA)\b\ [A-Z*(] | SELECT\b.*\bFROM\b
    | json_extract | ^AND\b                                              # SQL
    | https?:// | charset= | max-age | =[a-z]+;\                          # addresses and headers
    | \\ | == | => | :: | __ | \$\{ | [{;]\s*$ | \(\? | window\.         # code and regular expressions
    | ^\W*[.\#][\w-]+\  | ^\([a-z-]+:\  | ^M\d                           # CSS and the paths of icons
    """,
    re.VERBOSE,
)
"""What occurs in literals that are no text."""
SENTENCE_WORDS = frozenset("a and by for is of or the".split())
"""A longer text with one of these is no list of words that are recognized."""
WORDS = frozenset(
    "adapter added automatic average bar baseline baselines batches before best bootstrap bytes changed checkpoint "
    "checkpoints choices choose chosen coach column comma compared current dataset detected diverged done empty ended "
    "epochs exports failed few fine-tuned finished kept label labeled labels layers learned log long max median "
    "middle minutes model negative neutral never no none off on one original overfitting parameters percent positive "
    "predicted predictions prompt prompts read reading recall refused removed replies reply result resumed rows rows/s "
    "run running samples semicolon shown skipped space step steps stopped suggested summary tab test texts times to "
    "tokens tokens/s train truncated tuned unchanged underfitting unknown unsure validation validations variety weight "
    "weights with writing yes".split()
)
"""Single words in lower case that the page shows. Such a literal is code more often than text, so they are listed."""
UNITS = tuple(f"{{number}} {unit}" for unit in ("bytes", "KB", "MB", "GB", "B", "M", "s", "min", "h"))
"""Numbers with a unit, which the scripts of the page put together."""
NOT_TEXT_CALLS = frozenset(
    "debug info exception getLogger compile execute getattr setattr hasattr strftime encode decode TypeVar partition "
    "split startswith endswith removeprefix removesuffix querySelector querySelectorAll matches closest add toggle "
    "contains".split()
)
"""Functions whose arguments are not shown."""


def texts_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each literal of a module that may be shown."""
    tree = ast.parse(source)
    helps = set(map(id, _help_of_settings(tree)))
    hidden = {id(each) for node in ast.walk(tree) for each in _not_shown(node)} - helps
    for node in ast.walk(tree):
        if id(node) not in hidden and isinstance(node, ast.Constant | ast.JoinedStr):
            template = _template(node)
            found = texts_of_help(template) if id(node) in helps else texts_in(template)
            yield from ((node.lineno, text) for text in found)


def _help_of_settings(tree: ast.AST) -> Iterator[ast.AST]:
    """The docstrings of settings, which the page shows as their help."""
    for node in ast.walk(tree):
        for before, after in pairwise(node.body) if isinstance(node, ast.ClassDef) else ():
            match before, after:
                case ast.AnnAssign(value=ast.Call(func=ast.Name(id="setting"))), ast.Expr(
                    value=ast.Constant() as words
                ):
                    yield words


def _not_shown(node: ast.AST) -> Iterator[ast.AST]:
    """Parts of a node that are not shown: docstrings, annotations, keys, parts of f-strings, some arguments."""
    match node:
        case ast.Expr(value=ast.Constant() as docstring):
            yield docstring
        case ast.JoinedStr(values=values):
            yield from (each for each in values if isinstance(each, ast.Constant))
        case ast.FormattedValue(format_spec=ast.AST() as spec):
            yield from ast.walk(spec)
        case ast.Dict(keys=keys):
            yield from (key for key in keys if key)
        case ast.Subscript(slice=index):
            yield from ast.walk(index)
        case ast.Call(func=function, args=arguments) if _name(function) in NOT_TEXT_CALLS:
            yield from arguments
    for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if isinstance(annotation, ast.AST):
            yield from ast.walk(annotation)


def _name(node: ast.AST) -> str:
    """A name for the value of an expression: the last name in it."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_") or "value"
        case ast.Call(func=ast.Name(id="len" | "str" | "esc" | "join" | "format_number"), args=[first, *_]):
            return _name(first)
        case ast.Call(func=inner) | ast.Subscript(value=inner) | ast.BinOp(left=inner):
            return _name(inner)
    return "value"


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    """The literal, with the values of an f-string as names in braces."""
    if isinstance(node, ast.Constant):  # also a template of `html`: "{rows:,} rows"
        return re.sub(r"\{(\w+):[^{}]*\}", r"{\1}", node.value) if isinstance(node.value, str) else ""
    parts: list[str] = []
    seen: Counter[str] = Counter()
    for value in node.values:
        if isinstance(value, ast.FormattedValue):
            parts.append(_numbered(_name(value.value), seen))
        elif isinstance(value, ast.Constant):
            parts.append(str(value.value))
    return "".join(parts)


def _numbered(name: str, seen: Counter[str]) -> str:
    """`{rows}`, and `{rows2}` for another value of the same name."""
    seen[name] += 1
    return f"{{{name}{seen[name] if seen[name] > 1 else ''}}}"


def texts_of_script(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string and template literal of a JavaScript file that may be shown."""
    for start, literal in _literals(source, 0, len(source)):
        before = source[:start].rstrip()
        call = re.search(r"(\w+)\($", before)
        if (call and call[1] in NOT_TEXT_CALLS) or before.endswith(("case", "===", "!==")):
            continue
        yield from ((source.count("\n", 0, start) + 1, text) for text in texts_in(literal))


def _literals(source: str, at: int, end: int) -> Iterator[tuple[int, str]]:
    """Start and content of each literal in a part of a script, also of those inside of template literals."""
    while at < end:
        char = source[at]
        if source.startswith("//", at):
            at = source.find("\n", at) % (len(source) + 1)
        elif source.startswith("/*", at):
            at = source.index("*/", at) + 2
        elif char == "/" and re.search(r"[=(,:!&|?;{]\s*$", source[max(0, at - 20) : at]):
            match = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\n])+/[a-z]*").match(source, at)
            at = match.end() if match else at + 1
        elif char in "\"'":
            match = re.compile(rf"{char}((?:\\.|[^{char}\\\n])*){char}").match(source, at)
            assert match, source[at : at + 40]
            yield at, match[1].replace('\\"', '"').replace("\\'", "'").replace("\\n", " ")
            at = match.end()
        elif char == "`":
            start, parts, at = at, [], at + 1
            seen: Counter[str] = Counter()
            while source[at] != "`":
                if source.startswith("${", at):
                    inside = at + 2
                    at = _end_of_value(source, inside)
                    yield from _literals(source, inside, at)
                    names = re.findall(r"[A-Za-z_]\w*", re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`", "", source[inside:at]))
                    parts.append(_numbered(names[-1] if names else "value", seen))
                    at += 1
                else:
                    parts.append(source[at])
                    at += 1
            yield start, "".join(parts)
            at += 1
        else:
            at += 1


def _end_of_value(source: str, at: int) -> int:
    """Where the value that begins at `at` inside of a template literal ends: the position of its brace."""
    depth = 0
    while depth or source[at] != "}":
        if source[at] == "`":
            at += 1
            while source[at] != "`":
                at = _end_of_value(source, at + 2) + 1 if source.startswith("${", at) else at + 1
        depth += {"{": 1, "}": -1}.get(source[at], 0)
        at += 1
    return at


def texts_in(literal: str) -> Iterator[str]:
    """The texts that a literal shows: itself, or what stands between tags and in some attributes of HTML."""
    parts = [*ATTRIBUTE.findall(literal), *TAG.split(literal)] if TAG.search(literal) else [literal]
    for part in parts:
        text = " ".join(part.split()).strip("·,; ").removeprefix(": ")
        text = re.sub(r"^\d (?=[A-Z])", "", text)  # the number of a tab
        if is_text(text):
            yield text


def texts_of_help(words: str) -> Iterator[str]:
    """The help of a setting. It is no HTML: in "<think>", it names a tag."""
    text = " ".join(words.split())
    if is_text(text):
        yield text


def is_text(text: str) -> bool:
    """Whether people would read it, by its form: a sentence, several words, or one capitalized word."""
    bare = re.sub(r"\{[^}]*\}|&\w+;", "", text)
    if text in WORDS:
        return True
    if not re.search(r"[A-Za-z]{2}", bare) or CODE.search(text):
        return False
    if " " not in text:
        return bool(re.fullmatch(r"[A-Z][a-z]+(?:-[a-z]+)?[.:…]?|(?:\{\w+\})?[A-Z][a-z]+[.:…]?(?:\{\w+\})?", text))
    words = bare.split()
    if len(words) > 6 and not SENTENCE_WORDS & set(words) and all(re.fullmatch(r"[a-z_0-9-]+", each) for each in words):
        return False  # a list of words that are recognized
    return not all(re.fullmatch(r"[a-z0-9-]*[-_.=#:/][a-z0-9_.=#:/-]*", each) for each in words)


def collected() -> dict[str, list[tuple[str, int]]]:
    """Each text, and where it stands: file and line."""
    texts: dict[str, list[tuple[str, int]]] = {text: [("studio/ui/js/1-language.js", 0)] for text in UNITS}
    for path in sorted(each for kind in ("py", "js", "html") for each in (ROOT / "studio").rglob(f"*.{kind}")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(NOT_ON_PAGE):
            continue
        source = path.read_text(encoding="utf-8")
        lines = {".py": texts_of_python, ".js": texts_of_script}.get(path.suffix, _texts_of_html)(source)
        for line, text in lines:
            texts.setdefault(text, []).append((name, line))
    return texts


def _texts_of_html(source: str) -> Iterator[tuple[int, str]]:
    yield from ((source.count("\n", 0, source.find(text)) + 1, text) for text in texts_in(source))


def catalog(texts: Mapping[str, list[tuple[str, int]]], translations: Mapping[str, str], locale: str = "") -> Catalog:
    """The catalog of all texts. Texts that `translations` does not have are empty; what it has more is left out."""
    made = Catalog(
        locale or None,
        project="Fine-tune Studio",
        charset="utf-8",
        fuzzy=False,
        header_comment="# Texts of the page of Fine-tune Studio. scripts/translations.py collects them.",
        creation_date=CREATED,
        revision_date=CREATED,
        last_translator="Fine-tune Studio",
        language_team=locale or "none",
        msgid_bugs_address="https://github.com/finetune-studio/finetune-studio/issues",
    )
    for text, places in texts.items():
        made.add(text, translations.get(text, ""), locations=sorted({(name, 0) for name, _ in places})[:3])
    return made


def entries(path: Path) -> dict[str, str]:
    """Text → translation of a catalog; of the template, empty ones."""
    with path.open("rb") as file:
        return {str(each.id): str(each.string) for each in read_po(file) if each.id}


def problems() -> list[str]:
    """Texts that are in no template, and texts of a language without a translation or with other placeholders."""
    texts = set(collected())
    found = []
    for path in (LOCALES / "messages.pot", *sorted(LOCALES.glob("*.po"))):
        known = entries(path)
        found += [f"{path.name}: not in the catalog: {text}" for text in texts - set(known)]
        found += [f"{path.name}: no longer used: {text}" for text in set(known) - texts]
        for text, translation in known.items() if path.suffix == ".po" else ():
            if not translation:
                found.append(f"{path.name}: not translated: {text}")
            elif sorted(re.findall(r"\{\w+\}", text)) != sorted(re.findall(r"\{\w+\}", translation)):
                found.append(f"{path.name}: other placeholders: {text} → {translation}")
    return found


def write() -> None:
    """Write the template, and update each catalog: new texts have no translation yet, unused ones are removed."""
    LOCALES.mkdir(exist_ok=True)
    texts = collected()
    for path in (LOCALES / "messages.pot", *sorted(LOCALES.glob("*.po"))):
        made = catalog(texts, entries(path), path.stem) if path.suffix == ".po" else catalog(texts, {})
        with path.open("wb") as file:
            write_po(file, made, width=120, sort_output=True, include_lineno=False)


def main() -> int:
    """Returns the exit status."""
    if sys.argv[1:] == ["--check"]:
        found = problems()
        print("\n".join(found) or "Every text of the page is in the catalogs.")
        return bool(found)
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
