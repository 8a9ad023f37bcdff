"""Options of how a file was read, a Hub dataset before import, and the progress of imports."""

from collections.abc import Mapping, Sequence
from typing import Any

from studio.schema.dataset import PIECES, DatasetRecord
from studio.schema.views import HubDataset
from studio.ui.components.basic import button, field, fold, note, select_input, text_input, track
from studio.ui.jobs import Job
from studio.ui.markup import Html, html, join
from studio.ui.numbers import rows as rows_words
from studio.ui.numbers import size

DELIMITERS = ((",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar"), (" ", "space"))
PIECE_WORDS = {
    "document": "the whole file",
    "heading": "a section, by headings",
    "line": "a line",
    "length": "a piece of about 2,000 characters",
}
AS_FOUND = ""
TEXT_FORMATS = ("csv", "tsv", "json", "jsonl", "txt", "md", "zip", "files")
TABLES = ("csv", "tsv", "zip", "files")


def reading_fold(record: DatasetRecord, open_: bool = False) -> Html:
    """The options that a file was read with. A change reads it again, as a new version."""
    fields = [
        each
        for each in (
            _delimiter(record),
            _header(record),
            _encoding(record),
            _sheet(record),
            _pieces(record),
            *_hub(record),
        )
        if each
    ]
    if not fields or not (record.files or record.source.startswith(("hf:", "file", "pasted"))):
        return Html("")
    body = html(
        '<div class="stack mid"><div class="cols c3">{fields}</div><p class="help">A change reads the file again and '
        "makes a new version; this one stays.</p></div>",
        fields=fields,
    )
    return html(
        '<section class="panel flush" aria-label="How the file was read">{fold}</section>',
        fold=fold("How the file was read", summary(record), body, open_, "how-read"),
    )


def summary(record: DatasetRecord) -> str:
    """`CSV, comma, utf-8, first line names the columns`."""
    detected = record.found
    words = [record.format.upper() if record.format not in ("files", "hub") else ""]
    words += [dict(DELIMITERS).get(detected.delimiter, detected.delimiter), detected.encoding]
    if detected.header is not None:
        words.append("first line names the columns" if detected.header else "no line of names")
    words.append(f"sheet {detected.sheet}" if detected.sheet else "")
    words.append(f"a row is {PIECE_WORDS[detected.pieces]}" if detected.pieces else "")
    return ", ".join(word for word in words if word)


def _choice(record: DatasetRecord, name: str, label: str, choices: Sequence[tuple[str, str]], detected: str) -> Html:
    """A drop-down whose first entry is the detected value."""
    requested = getattr(record.asked, name)
    chosen = {None: "", True: "yes", False: "no"}.get(requested, requested) if name == "header" else requested
    words = dict(choices).get(detected, detected)
    offered = [(AS_FOUND, f"As found: {words}" if words else "As found"), *choices]
    if chosen and chosen not in dict(offered):
        offered.append((chosen, chosen))
    return field(name, label, select_input(name, offered, chosen or AS_FOUND, "reread"))


def _delimiter(record: DatasetRecord) -> Html | None:
    if record.format not in TABLES and record.source != "pasted":
        return None
    return _choice(record, "delimiter", "Between two cells", DELIMITERS, record.found.delimiter)


def _header(record: DatasetRecord) -> Html | None:
    if record.format not in TABLES:
        return None
    detected = "" if record.found.header is None else "yes" if record.found.header else "no"
    choices = (("yes", "yes, the names of the columns"), ("no", "no, a row like the others"))
    return _choice(record, "header", "First line holds names", choices, detected)


def _encoding(record: DatasetRecord) -> Html | None:
    if record.format not in TEXT_FORMATS or record.source == "pasted":
        return None
    encoding = record.found.encoding
    control = text_input("encoding", record.asked.encoding, "reread", helped=True, placeholder=encoding or "as found")
    return field(
        "encoding", "Encoding", control, f"Found: {encoding}." if encoding else "utf-8, cp1252 or shift_jis, say."
    )


def _sheet(record: DatasetRecord) -> Html | None:
    if len(record.sheets) < 2:
        return None
    return _choice(record, "sheet", "Sheet", [(sheet, sheet) for sheet in record.sheets], record.found.sheet)


def _pieces(record: DatasetRecord) -> Html | None:
    if record.format not in ("txt", "md"):
        return None
    return _choice(record, "pieces", "A row is", [(each, PIECE_WORDS[each]) for each in PIECES], record.found.pieces)


def _hub(record: DatasetRecord) -> list[Html]:
    if not record.source.startswith("hf:"):
        return []
    limit = record.asked.row_limit or ""
    control = text_input("row_limit", limit, "reread", helped=True, inputmode="numeric", placeholder="20000")
    return [field("row_limit", "Most rows of each split", control, "A higher number fetches again from the Hub.")]


def which_sheet(record: DatasetRecord) -> Html:
    """The choice of a sheet, while none of several was chosen."""
    if len(record.sheets) < 2 or record.asked.sheet:
        return Html("")
    buttons = [
        button(sheet, "reread", "s", name="sheet", value=sheet, aria_label=f"Read the sheet {sheet}")
        for sheet in record.sheets
    ]
    words = html(
        "This workbook has {n} sheets with rows. Shown is <b>{sheet}</b>.",
        n=len(record.sheets),
        sheet=record.found.sheet,
    )
    if record.format in ("zip", "files"):
        words = html(
            "Workbooks among these files have several sheets with rows, and of each the first is shown.",
        )
    return note(
        "acc",
        html(
            '<p>{words} Which one is meant?</p><div class="row wrap">{buttons}</div>',
            words=words,
            buttons=buttons,
        ),
    )


def under_way(job: Job) -> Html:
    """The progress of an import, with a button to stop it."""
    done = [rows_words(job.done)] if job.done else []
    if job.bytes:
        done.append(f"{size(job.bytes)} of {size(job.total)}" if job.total else size(job.bytes))
    words = join([*done, f"{job.seconds:.0f} s"], " · ")
    share = min(1.0, job.bytes / job.total) if job.total and job.bytes else 0.0
    return html(
        '<section class="panel stack mid" aria-labelledby="way" data-key="under-way"><h2 id="way">{title}</h2>{bar}'
        '<p class="muted" role="status">{words}</p><p class="muted small">The other tabs can be used meanwhile.</p>'
        '<div class="row">{stop}</div><i hidden data-poll="400" data-repeat data-act="reading"></i></section>',
        title=job.title,
        bar=track(share, "", f"{share:.0%} read") if job.total else "",
        words=words,
        stop=button("Cancel", "stop-reading", "s"),
    )


def hub_form(chosen_so_far: Mapping[str, str], dataset: HubDataset | None) -> Html:
    """The form of a Hub dataset: its name, then its configs and splits."""
    name, config = chosen_so_far.get("name", ""), chosen_so_far.get("config", "")
    name_input = text_input("hub", name, "hub-look", helped=True, placeholder="OWNER/NAME", data_enter="hub-look")
    form = field(
        "hub", "Name of a dataset on the Hub", name_input, "As in the address of its page. Press Enter to look."
    )
    if dataset is None:
        return html('<div class="stack mid">{form}</div>', form=form)
    configs = list(dataset.configs)
    config = config if config in configs else "default" if "default" in configs else configs[0]
    splits = dataset.configs[config]
    choices = [("", "all splits"), *((each.name, _split_words(each.name, each.rows, each.bytes)) for each in splits)]
    chosen: list[Any] = []
    if len(configs) > 1:
        choose = select_input("hub_config", [(each, each) for each in configs], config, "hub-choose")
        chosen.append(field("hub_config", "Config", choose))
    split = select_input("hub_split", choices, chosen_so_far.get("split", ""), "hub-choose")
    chosen.append(field("hub_split", "Split", split))
    limit = text_input(
        "row_limit", chosen_so_far.get("limit", ""), "hub-choose", helped=True, inputmode="numeric", placeholder="20000"
    )
    chosen.append(field("row_limit", "Most rows of each split", limit, "Only what is needed is fetched."))
    facts = join(
        [
            f"{dataset.name}",
            f"licence {dataset.licence}" if dataset.licence else "licence not said",
            f"{len(configs)} config{'s' if len(configs) > 1 else ''}",
        ],
        " · ",
    )
    return html(
        '<div class="stack mid">{form}<p class="muted">{facts}</p><div class="cols c3">{chosen}</div>'
        '<div class="row">{use}</div></div>',
        form=form,
        facts=facts,
        chosen=chosen,
        use=button("Fetch these rows", "hub-fetch"),
    )


def _split_words(name: str, rows: int | None, bytes_: int) -> str:
    return f"{name}: {rows_words(rows)}" if rows is not None else f"{name}: {size(bytes_)}"
