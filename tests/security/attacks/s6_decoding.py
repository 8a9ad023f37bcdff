"""S6: small files that become very large when they are decoded."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable

import psutil

from tests.security.attack import Outcome, attack, outcome
from tests.security.attacks.s3_starving import parquet, workbook
from tests.security.stage import Stage, processes_of, time_call

MILLION = 10**6


def dictionary(rows: int) -> bytes:
    """One value, repeated: a dictionary of one entry and runs of zeros."""
    import pyarrow

    column = pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0] * 1, pyarrow.int8()).take(pyarrow.array([0] * rows)), ["a" * 40]
    )
    return parquet({"question": column, "answer": column}, use_dictionary=True, compression="zstd")


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def lying_zip() -> bytes:
    """A member that says that it is 10 bytes long and is 50 MB."""
    whole = bytearray(zipped({"rows.csv": b"a,b\n" + b"1,2\n" * 12_500_000}))
    at = whole.index(b"PK\x01\x02")
    whole[at + 24 : at + 28] = (10).to_bytes(4, "little")
    return bytes(whole)


def overlapping_zip() -> bytes:
    """One compressed body to which 500 names point."""
    body = zipped({"rows0.csv": b"a,b\n" + b"1,2\n" * 2_000_000})
    at, end = body.index(b"PK\x01\x02"), body.rindex(b"PK\x05\x06")
    entry = body[at:end]
    entries = b"".join(entry.replace(b"rows0.csv", b"r%04d.csv" % number) for number in range(500))
    tail = bytearray(body[end:])
    tail[8:10] = tail[10:12] = (500).to_bytes(2, "little")
    tail[12:16] = len(entries).to_bytes(4, "little")
    return body[:at] + entries + bytes(tail)


def nested_zip() -> bytes:
    inner = zipped({"rows.csv": b"a,b\n" + b"1,2\n" * 5_000_000})
    for depth in range(6):
        inner = zipped({f"{depth}-{number}.zip": inner for number in range(4)})
    return inner


def entity_bomb() -> bytes:
    """A workbook whose strings are XML entities that grow to gigabytes."""
    rows = [["question", "answer"], ["a", "b"]]
    entities = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
        + "]>"
    )
    return changed_workbook(
        rows,
        lambda name, text: (
            text.replace("<sst", entities + "<sst", 1).replace(">question<", ">&j;<")
            if name.endswith("sharedStrings.xml")
            else text
        ),
    )


def changed_workbook(rows: list[list[str]], change: Callable[[str, str], str]) -> bytes:
    source, out = zipfile.ZipFile(io.BytesIO(workbook(rows))), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name).decode()))
    return out.getvalue()


def external_entity() -> bytes:
    """A workbook that asks the reader for a file of the machine."""
    return changed_workbook(
        [["question", "answer"], ["a", "b"]],
        lambda name, text: (
            text.replace("<sst", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><sst', 1).replace(
                ">question<", ">&e;<"
            )
            if name.endswith("sharedStrings.xml")
            else text
        ),
    )


def far_cell() -> bytes:
    """A workbook whose last cell is at the end of the sheet."""
    return changed_workbook(
        [["question", "answer"], ["a", "b"]],
        lambda name, text: (
            text.replace('r="B2"', 'r="XFD1048576"').replace('ref="A1:B2"', 'ref="A1:XFD1048576"')
            if "sheet1" in name
            else text
        ),
    )


def wide_list() -> bytes:
    """Parquet with one list of 5 million values."""
    import pyarrow

    return parquet({"question": pyarrow.array([["a"] * (5 * MILLION)]), "answer": ["b"]}, compression="zstd")


def many_groups() -> bytes:
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    table = pyarrow.table({"question": ["a"] * 4_000, "answer": ["b"] * 4_000})
    pyarrow.parquet.write_table(table, out, row_group_size=1)
    return out.getvalue()


def zeros(megabytes: int) -> bytes:
    return b"question,answer\n" + b"\0" * (megabytes * MILLION)


BOMBS: list[tuple[str, str, Callable[[], bytes]]] = [
    ("Parquet of 3 million rows by a dictionary", "a.parquet", lambda: dictionary(3 * MILLION)),
    ("Parquet of 20 million rows by a dictionary", "a.parquet", lambda: dictionary(20 * MILLION)),
    (
        "Parquet with 50 MB of one value, packed",
        "a.parquet",
        lambda: parquet({"a": ["x" * MILLION] * 200}, compression="zstd"),
    ),
    ("Parquet with a list of 5 million values", "a.parquet", wide_list),
    ("Parquet of 4,000 row groups", "a.parquet", many_groups),
    ("Parquet of 3,000 columns", "a.parquet", lambda: parquet({f"c{n}": ["a"] for n in range(3_000)})),
    (
        "Parquet whose footer lies about its length",
        "a.parquet",
        lambda: b"PAR1" + b"\0" * 100 + b"\xff\xff\xff\x7fPAR1",
    ),
    ("Parquet cut off in the middle", "a.parquet", lambda: dictionary(1_000)[:200]),
    ("a zip of a CSV of 300 MB", "a.zip", lambda: zipped({"rows.csv": b"a,b\n" + b"1,2\n" * (75 * MILLION)})),
    ("a zip whose member lies about its size", "a.zip", lying_zip),
    ("a zip of 500 names for one body", "a.zip", overlapping_zip),
    ("zips within zips, six deep", "a.zip", nested_zip),
    ("a zip of 20,000 files", "a.zip", lambda: zipped({f"{n}.csv": b"a,b\n1,2\n" for n in range(20_000)})),
    ("a zip that holds a Parquet bomb", "a.zip", lambda: zipped({"rows.parquet": dictionary(3 * MILLION)})),
    ("a workbook with entities that grow to gigabytes", "a.xlsx", entity_bomb),
    ("a workbook that asks for /etc/passwd", "a.xlsx", external_entity),
    ("a workbook whose last cell is at the end of the sheet", "a.xlsx", far_cell),
    (
        "a workbook of a million rows",
        "a.xlsx",
        lambda: changed_workbook(
            [["question", "answer"], ["a", "b"]],
            lambda name, text: (
                text.replace(
                    "</sheetData>",
                    "".join(f'<row r="{n}"><c r="A{n}"><v>1</v></c></row>' for n in range(3, 400_000)) + "</sheetData>",
                )
                if "sheet1" in name
                else text
            ),
        ),
    ),
    ("JSON of lists, 100,000 deep", "a.json", lambda: b"[" * 100_000 + b"]" * 100_000),
    ("JSON of objects, 50,000 deep", "a.json", lambda: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    (
        "JSON of one number of 4 million digits",
        "a.json",
        lambda: b'[{"question":' + b"9" * (4 * MILLION) + b',"answer":"b"}]',
    ),
    ("JSON lines of a million empty objects", "a.jsonl", lambda: b"{}\n" * MILLION),
    (
        "JSON lines, each with a key of its own",
        "a.jsonl",
        lambda: "\n".join(json.dumps({f"k{n}": "v"}) for n in range(50_000)).encode(),
    ),
    ("a CSV of 4.9 million zero bytes", "a.csv", lambda: zeros(4)),
    (
        "a CSV of one field of 4 MB in quotes that never close",
        "a.csv",
        lambda: b'question,answer\n"' + b"x" * (4 * MILLION),
    ),
    ("a CSV of 2 million rows", "a.csv", lambda: b"a,b\n" + b"1,2\n" * 1_200_000),
    ("a CSV of 2 million commas in one line", "a.csv", lambda: b"," * (2 * MILLION)),
    ("a text of 4 million line ends", "a.txt", lambda: b"\n" * (4 * MILLION)),
    ("a text of one letter a line", "a.txt", lambda: b"a\n" * (2 * MILLION)),
    ("Markdown of 100,000 headings", "a.md", lambda: b"# a\n\nb\n\n" * 100_000),
    ("a gzip of 200 MB that says it is a CSV", "a.csv", lambda: gzip.compress(b"a,b\n" + b"1,2\n" * (50 * MILLION))),
]


@attack("S6", "{0} is taken in, or takes more than 20 seconds or 600 MB", BOMBS, quick=1)
def decoded(stage: Stage, payload: tuple[str, str, Callable[[], bytes]]) -> Outcome:
    who = stage.visitor()
    content = payload[2]()
    peaks = []

    def read() -> str:
        return who.bring(content, payload[1], seconds=40)

    from concurrent.futures import ThreadPoolExecutor

    before = memory(stage)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(time_call, read)
        while not work.done():
            peaks.append(memory(stage) - before)
            import time

            time.sleep(0.2)
    spent, shown = work.result()
    found = [(each.rows, len(each.columns)) for each in who.datasets()]
    beyond = any(rows > 20_000 or columns > 100 for rows, columns in found)
    leaked = "root:x:" in str(shown)
    peak = max(peaks, default=0)
    alive = who.get("/").status == 200
    words = (
        f"{len(content):,} bytes: {spent:.1f} s, {peak} MB more, rows and columns taken in: {found}; {str(shown)[:150]}"
    )
    return outcome(beyond or leaked or spent > 20 or peak > 600 or not alive, words)


def memory(stage: Stage) -> int:
    """MB of the server and all that it started."""
    total = 0
    for each in [psutil.Process(stage.demo.process.pid), *processes_of(stage.demo)]:
        try:
            total += each.memory_info().rss
        except psutil.Error:
            continue
    return total // MILLION
