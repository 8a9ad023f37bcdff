"""S3: one visitor's slow actions keep all others waiting."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from typing import Any

from tests.security.attack import Outcome, attack, outcome
from tests.security.stage import Stage, Visitor, run_concurrently, time_call

PATIENT = 3.0
"""Seconds that an action of another visitor may take meanwhile, on two busy cores."""
LONG = 30_000


def wide(name: str, columns: int = 2, longest: int = 0, cell: int = 0) -> bytes:
    """Three rows in a format, with many columns, a long name of a column or a long cell."""
    names = [f"c{number}" for number in range(columns)]
    names[0] = "question" + "x" * longest
    rows = [[f"v{number}" for number in range(columns)] for _ in range(3)]
    rows[0][0] = "v" + "y" * cell
    plain = "\n".join(",".join(row) for row in [names, *rows]).encode()
    match name:
        case "csv" | "tsv":
            return plain if name == "csv" else plain.replace(b",", b"\t")
        case "json":
            return json.dumps([dict(zip(names, row, strict=True)) for row in rows]).encode()
        case "jsonl":
            return "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows).encode()
        case "parquet":
            return parquet({key: [row[at] for row in rows] for at, key in enumerate(names)})
        case "xlsx":
            return workbook([names, *rows])
        case "zip":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("rows.csv", plain)
            return packed.getvalue()
    raise ValueError(name)


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet file."""
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out, **options)
    return out.getvalue()


def workbook(rows: list[list[str]]) -> bytes:
    """An Excel file."""
    import openpyxl

    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append([each[:32_000] for each in row])
    book.save(out)
    return out.getvalue()


def delay_of_others(
    stage: Stage, hostile: Callable[[], object], times: int = 8, seconds: float = 20
) -> tuple[float, int]:
    """The longest time that another visitor's action takes while an action is sent several times at once."""
    other = stage.visitor()
    other.acted("model-body", "task", value="chat")
    other.patience = seconds
    hands = [threading.Thread(target=time_call, args=(hostile,), daemon=True) for _ in range(times)]
    for hand in hands:
        hand.start()
    time.sleep(0.3)
    longest, asked = 0.0, 0
    until = time.monotonic() + min(seconds, 8)
    while time.monotonic() < until and longest <= PATIENT and (asked < 3 or any(hand.is_alive() for hand in hands)):
        spent, _ = time_call(lambda: other.acted("model-body", "look"))
        longest, asked = max(longest, spent), asked + 1
        time.sleep(0.2)
    for hand in hands:
        hand.join(30)
    return longest, asked


@attack("S3", "A header of 30,000 characters, drawn 44 times at once, keeps another visitor waiting", quick=True)
def draws_a_long_header(stage: Stage) -> Outcome:
    who = stage.visitor()
    shown = who.bring(wide("csv", longest=LONG), "wide.csv")
    refused = not who.datasets()
    longest, asked = delay_of_others(stage, lambda: who.acted("data-body", "draw"), 12 if refused else 44)
    return outcome(
        longest > PATIENT,
        f"another visitor waited up to {longest:.1f} s ({asked} actions); refused: {refused} {shown[:120]}",
    )


KINDS = ["csv", "tsv", "json", "jsonl", "parquet", "xlsx", "zip"]


@attack("S3", "A column's name of 30,000 characters comes in through {0}", KINDS, quick=1)
def long_names(stage: Stage, kind: str) -> Outcome:
    return comes_in(stage, wide(kind, longest=LONG), f"wide.{kind}")


@attack("S3", "2,000 columns come in through {0}", KINDS)
def many_columns(stage: Stage, kind: str) -> Outcome:
    return comes_in(stage, wide(kind, columns=2_000), f"many.{kind}")


@attack("S3", "A cell of 300,000 characters comes in through {0}", [each for each in KINDS if each != "xlsx"])
def long_cells(stage: Stage, kind: str) -> Outcome:
    return comes_in(stage, wide(kind, cell=300_000), f"cell.{kind}")


@attack(
    "S3",
    "{0} comes in as pasted rows",
    [
        ("a header of 300,000 characters", "question" + "x" * 300_000 + ",answer\na,b\n"),
        (
            "a header of 5,000 columns",
            ",".join(f"c{n}" for n in range(5_000)) + "\n" + ",".join("v" for n in range(5_000)),
        ),
        ("a cell of 500,000 characters", "question,answer\n" + "x" * 500_000 + ",b\n"),
        ("a million short rows", "a,b\n" + "1,2\n" * 900_000),
    ],
)
def pasted(stage: Stage, payload: tuple[str, str]) -> Outcome:
    who = stage.visitor()
    spent, shown = time_call(lambda: who.acted("data-body", "paste", pasted=payload[1]))
    return judged(who, spent, str(shown))


def comes_in(stage: Stage, content: bytes, name: str) -> Outcome:
    who = stage.visitor()
    spent, shown = time_call(lambda: who.bring(content, name))
    return judged(who, spent, str(shown))


def judged(who: Visitor, spent: float, shown: str) -> Outcome:
    """Rows beyond the limits of a demo are in, or refusing them took long."""
    found = who.datasets()
    widest = max((len(name) for each in found for name in each.columns), default=0)
    columns = max((len(each.columns) for each in found), default=0)
    rows = max((each.rows for each in found), default=0)
    drawn, _ = time_call(lambda: who.acted("data-body", "draw"))
    cells = max((len(str(row)) for each in found for row in who_rows(who, each)), default=0)
    beyond = widest > 1_000 or columns > 100 or rows > 20_000 or cells > 150_000
    words = f"read in {spent:.1f} s, drawn in {drawn:.1f} s; {columns} columns, {rows:,} rows"
    words += f", longest name {widest:,}, longest row {cells:,}"
    return outcome(beyond or spent > 15 or drawn > 5, f"{words}; {shown[:150] if not found else ''}")


def who_rows(who: Visitor, record: Any) -> list[dict[str, Any]]:
    import pyarrow.parquet

    path = who.space.datasets.rows_path(record.id, record.version)
    return list(pyarrow.parquet.read_table(path).slice(0, 5).to_pylist())


SLOW: list[tuple[str, Callable[[Visitor], object]]] = [
    ("Check the rows again", lambda who: who.acted("data-body", "look")),
    ("Plan the training", lambda who: who.acted("method-body", "estimate")),
    ("Draw the table of runs", lambda who: who.acted("runs-body", "look")),
    ("Measure the rows in tokens", lambda who: who.acted("data-body", "measure")),
    ("Show the tokens of a row", lambda who: who.acted("data-body", "view", value="tokens")),
    ("Use a sample", lambda who: who.sample()),
    ("Paste 2 MB of rows", lambda who: who.acted("data-body", "paste", pasted="a,b\n" + "where,there\n" * 150_000)),
    (
        "Search in the labels with a hostile pattern",
        lambda who: who.acted("data-body", "label-search", value="(a+)+$" * 50),
    ),
    ("Judge the near-duplicates", lambda who: who.acted("data-body", "whole")),
    ("Make rows by augmentation", lambda who: who.acted("data-body", "make")),
]


@attack("S3", "Forty times at once: {0}", SLOW)
def floods(stage: Stage, payload: tuple[str, Callable[[Visitor], object]]) -> Outcome:
    who = stage.visitor()
    who.sample()
    longest, asked = delay_of_others(stage, lambda: payload[1](who), 40)
    return outcome(longest > PATIENT, f"another visitor waited up to {longest:.1f} s ({asked} actions)")


@attack("S3", "One visitor has 200 actions waiting")
def waits_without_end(stage: Stage) -> Outcome:
    who = stage.visitor()
    who.sample()
    answers = run_concurrently([lambda: who.press("method-body", "estimate") for _ in range(200)])
    statuses = [getattr(answer, "status", 0) for _, answer in answers]
    slowest = max(spent for spent, _ in answers)
    refused = sum("limit-reached" in told_of(answer) or getattr(answer, "status", 0) == 429 for _, answer in answers)
    return outcome(
        not refused and slowest > 20,
        f"{refused} of 200 were refused, the slowest took {slowest:.0f} s; statuses {sorted(set(statuses))}",
    )


def told_of(answer: Any) -> str:
    return getattr(answer, "body", b"").decode(errors="replace")


@attack("S3", "Four hundred requests for the page's own files at once keep another visitor waiting")
def floods_with_pages(stage: Stage) -> Outcome:
    who = stage.visitor()
    longest, asked = delay_of_others(stage, lambda: [who.get("/") for _ in range(8)], 40)
    return outcome(longest > PATIENT, f"another visitor waited up to {longest:.1f} s ({asked} actions)")
