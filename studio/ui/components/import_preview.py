"""Options of how a file was read, a Hub dataset before import, and the progress of imports."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.schema.dataset import PIECES, DatasetRecord
from studio.schema.numbers import rows as rows_words
from studio.schema.numbers import size
from studio.schema.views import HubDataset, HubSplit
from studio.ui.components.basic import Field, button, fold, note, track
from studio.ui.components.layout import poll
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.jobs import Job

DELIMITERS = ((",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar"), (" ", "space"))
PIECE_WORDS = {
    "document": "the whole file",
    "heading": "a section (by headings)",
    "line": "a line",
    "length": "about 2,000 characters",
}
AS_FOUND = ""
TEXT_FORMATS = ("csv", "tsv", "json", "jsonl", "txt", "md", "zip", "files")
TABLES = ("csv", "tsv", "zip", "files")


def reading_fold(record: DatasetRecord) -> Html:
    """The options that a file was read with. A change reads it again, as a new version."""
    parts = (_delimiter, _header, _encoding, _sheet, _pieces, _hub)
    fields = [each for part in parts if (each := part(record))]
    if not fields or not (record.files or record.source.startswith(("hf:", "file", "pasted"))):
        return Html("")
    body = html(
        '<div class="stack mid"><div class="cols c3">{fields}</div><p class="help">A change reads the file again and '
        "makes a new version. This version stays.</p></div>",
        fields=fields,
    )
    return html(
        '<section class="panel flush" aria-label="How the file was read">{fold}</section>',
        fold=fold("How the file was read", summary(record), body, key="how-read"),
    )


def summary(record: DatasetRecord) -> Html:
    """`CSV, comma, utf-8, column names in the first line`."""
    detected = record.found
    words: list[str] = [Verbatim(record.format.upper() if record.format not in ("files", "hub") else "")]
    words += [dict(DELIMITERS).get(detected.delimiter, detected.delimiter), Verbatim(detected.encoding)]
    if detected.header is not None:
        words.append("column names in the first line" if detected.header else "no column names in the first line")
    words.append(html("sheet {name}", name=Verbatim(detected.sheet)) if detected.sheet else "")
    words.append(f"each row is {PIECE_WORDS[detected.pieces]}" if detected.pieces else "")
    return join([word for word in words if word], ", ")


def _choice(record: DatasetRecord, name: str, label: str, choices: Sequence[tuple[str, str]], detected: str) -> Html:
    """A drop-down whose first entry is the detected value."""
    requested = getattr(record.asked, name)
    chosen = {None: "", True: "yes", False: "no"}.get(requested, requested) if name == "header" else requested
    words = dict(choices).get(detected, detected)
    offered = [(AS_FOUND, f"Detected: {words}" if words else "Detected"), *choices]
    if chosen and chosen not in dict(offered):
        offered.append((chosen, Verbatim(chosen)))
    return Field(name, label).select(offered, chosen or AS_FOUND, "reread")


def _delimiter(record: DatasetRecord) -> Html | None:
    if record.format not in TABLES and record.source != "pasted":
        return None
    return _choice(record, "delimiter", "Delimiter (between cells)", DELIMITERS, record.found.delimiter)


def _header(record: DatasetRecord) -> Html | None:
    if record.format not in TABLES:
        return None
    detected = "" if record.found.header is None else "yes" if record.found.header else "no"
    choices = (("yes", "yes"), ("no", "no, it is a row"))
    return _choice(record, "header", "First line has column names", choices, detected)


def _encoding(record: DatasetRecord) -> Html | None:
    if record.format not in TEXT_FORMATS or record.source == "pasted":
        return None
    encoding = record.found.encoding
    field = Field(
        "encoding", "Encoding", f"Detected: {encoding}." if encoding else "For example utf-8, cp1252 or shift_jis."
    )
    return field.text(record.asked.encoding, "reread", placeholder=encoding or "detected")


def _sheet(record: DatasetRecord) -> Html | None:
    if len(record.sheets) < 2:
        return None
    return _choice(record, "sheet", "Sheet", [(sheet, Verbatim(sheet)) for sheet in record.sheets], record.found.sheet)


def _pieces(record: DatasetRecord) -> Html | None:
    if record.format not in ("txt", "md"):
        return None
    return _choice(record, "pieces", "Each row is", [(each, PIECE_WORDS[each]) for each in PIECES], record.found.pieces)


def _hub(record: DatasetRecord) -> Html | None:
    if not record.source.startswith("hf:"):
        return None
    return _row_limit("A higher number downloads again from the Hub.", record.asked.row_limit or "", "reread")


def _row_limit(help_: str, limit: Any, act: str) -> Html:
    field = Field("row_limit", "Maximum rows per split", help_)
    return field.text(limit, act, inputmode="numeric", placeholder="20000")


def which_sheet(record: DatasetRecord) -> Html:
    """The choice of a sheet, while none of several was chosen."""
    if len(record.sheets) < 2 or record.asked.sheet:
        return Html("")
    count, sheet = len(record.sheets), record.found.sheet
    words = html(
        "<span>{count}</span> <span>{shown}</span>",
        count=f"This workbook has {count} sheets with rows.",
        shown=f"The sheet {sheet} is shown.",
    )
    if record.format in ("zip", "files"):
        words = html("Some workbooks have several sheets with rows. The first sheet of each is shown.")
    buttons = [
        button(Verbatim(name), "reread", "s", name="sheet", value=name, aria_label=f"Read the sheet {name}")
        for name in record.sheets
    ]
    question = '<p>{words} Which one do you want?</p><div class="row wrap">{buttons}</div>'
    return note("acc", html(question, words=words, buttons=buttons))


def under_way(job: Job) -> Html:
    """The progress of an import, with a button to stop it."""
    done = [rows_words(job.done)] if job.done else []
    if job.bytes:
        done.append(f"{size(job.bytes)} of {size(job.total)}" if job.total else size(job.bytes))
    share = min(1.0, job.bytes / job.total) if job.total and job.bytes else 0.0
    return html(
        '<section class="panel stack mid" aria-labelledby="way" data-key="under-way"><h2 id="way">{title}</h2>{bar}'
        '<p class="muted" role="status">{words}</p><p class="muted small">You can use the other tabs meanwhile.</p>'
        '<div class="row">{stop}</div>{poll}</section>',
        title=job.title,
        bar=track(share, "", f"{share:.0%} read") if job.total else "",
        words=join([*done, f"{job.seconds:.0f} s"], " · "),
        stop=button("Cancel", "stop-reading", "s"),
        poll=poll("reading", 400),
    )


def hub_form(chosen_so_far: Mapping[str, str], dataset: HubDataset | None) -> Html:
    """The form of a Hub dataset: its name, then its configs and splits."""
    name, config = chosen_so_far.get("name", ""), chosen_so_far.get("config", "")
    form = Field(
        "hub", "Name of a dataset on the Hub", "As in the address of its page. Press Enter to look it up."
    ).text(name, "hub-look", placeholder="OWNER/NAME", data_enter="hub-look")
    if dataset is None:
        return html('<div class="stack mid">{form}</div>', form=form)
    configs = list(dataset.configs)
    config = config if config in configs else "default" if "default" in configs else configs[0]
    splits = [(each.name, _split_words(each)) for each in dataset.configs[config]]
    chosen = [
        Field("hub_split", "Split").select([("", "all splits"), *splits], chosen_so_far.get("split", ""), "hub-choose"),
        _row_limit("The studio downloads only the rows that it needs.", chosen_so_far.get("limit", ""), "hub-choose"),
    ]
    if len(configs) > 1:
        names = [(each, Verbatim(each)) for each in configs]
        chosen.insert(0, Field("hub_config", "Config").select(names, config, "hub-choose"))
    licence = f"license {dataset.licence}" if dataset.licence else "license not stated"
    return html(
        '<div class="stack mid">{form}<p class="muted">{facts}</p><div class="cols c3">{chosen}</div>'
        '<div class="row">{use}</div></div>',
        form=form,
        facts=join([Verbatim(dataset.name), licence, f"{len(configs)} config{'s' if len(configs) > 1 else ''}"], " · "),
        chosen=chosen,
        use=button("Download these rows", "hub-fetch"),
    )


def _split_words(split: HubSplit) -> str:
    return f"{split.name}: {rows_words(split.rows) if split.rows is not None else size(split.bytes)}"
