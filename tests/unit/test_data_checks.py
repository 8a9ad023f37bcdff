"""The doctor: each kind found where it was planted, counted as cli.md says, and nothing found in clean rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.checks import CHECKS, check, find_rows_left_out, fix_of, labels_of, rows_of, usable_rows
from studio.data.checks.report_errors import refusal
from studio.data.formats import read, read_text
from studio.data.roles import infer
from studio.data.samples import SAMPLES, sample_path
from studio.data.table import Row, Table, changed
from studio.schema.dataset import CheckReport, Problem
from studio.schema.errors import StudioError
from studio.tasks import TASKS, Task, task_named
from studio.ui.components.data_checks import short_fix

CHAT = task_named("chat")
SORT = task_named("classification")
PAIR = {"question": "prompt", "answer": "reply"}
LABELLED = {"text": "text", "label": "label"}


def table(rows: list[Row]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def pairs(count: int = 20) -> list[Row]:
    return [{"question": f"Question {number}?", "answer": f"Answer {number}."} for number in range(1, count + 1)]


def labelled(count: int = 60) -> list[Row]:
    return [{"text": f"Text number {n}", "label": ["good", "bad", "so-so"][n % 3]} for n in range(1, count + 1)]


def found(report: CheckReport) -> dict[str, Problem]:
    assert len({problem.kind for problem in report.problems}) == len(report.problems)
    return {problem.kind: problem for problem in report.problems}


def the_only(report: CheckReport, kind: str) -> Problem:
    assert [problem.kind for problem in report.problems] == [kind]
    problem = report.problems[0]
    assert problem.message.endswith(".") and problem.why.endswith(".")
    return problem


def test_every_check_has_a_kind_of_the_contract_and_a_docstring() -> None:
    contract = (
        "empty duplicate near-duplicate label-conflict leakage too-long too-short imbalance rare-label encoding "
        "wrong-type placeholder personal-data bad-line roles-out-of-order label-error wrong-language equal-pair "
        "answer-not-found different-prompts fractional-weight"
    )
    assert set(CHECKS) >= set(contract.split()), "kinds are kept in reports, and named by --leave-out"
    for kind, each in CHECKS.items():
        assert each.kind == kind


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_clean(name: str) -> None:
    rows = read(sample_path(name))
    said = infer(rows, TASKS.values())
    report = check(rows, said.task, said.matched.roles)
    assert report.problems == () and report.usable == report.rows >= 200 and not report.blocked


@pytest.mark.parametrize(("task", "roles", "rows"), [(CHAT, PAIR, pairs(8)), (SORT, LABELLED, labelled(9))])
def test_a_small_clean_file_gets_no_warning(task: Task, roles: dict[str, str], rows: list[Row]) -> None:
    report = check(table(rows), task, roles)
    assert (report.problems, report.blocked, report.usable) == ((), "", len(rows))
    assert refusal(report) is None


def test_columns_are_reported_with_their_roles_and_labels_with_their_rows() -> None:
    report = check(table([{**row, "id": 1} for row in labelled()]), SORT, LABELLED)
    assert report.columns == {"text": "text", "label": "label", "id": None}
    assert report.labels == {"bad": 20, "good": 20, "so-so": 20}


def test_rows_without_a_reply_are_counted_and_not_usable() -> None:
    rows = pairs()
    for number, nothing in ((3, ""), (7, None), (11, "  \n"), (15, float("nan"))):
        rows[number - 1]["answer"] = nothing
    report = check(table(rows), CHAT, PAIR)
    problem = the_only(report, "empty")
    assert (problem.severity, problem.count, problem.rows) == ("error", 4, (3, 7, 11, 15))
    assert problem.message == "4 rows have no value in answer."
    assert (report.rows, report.usable, report.blocked) == (20, 16, "")
    assert [number for number, _ in usable_rows(table(rows), CHAT, PAIR)] == [
        number for number in range(1, 21) if number not in (3, 7, 11, 15)
    ]


def test_copies_are_all_but_the_first_and_stay_usable() -> None:
    rows = pairs()
    rows[9] = dict(rows[0])
    rows[19] = {"question": " Question 1? ", "answer": "Answer 1."}
    rows[5]["question"] = rows[6]["question"]
    report = check(table(rows), CHAT, PAIR)
    problem = the_only(report, "duplicate")
    assert (problem.severity, problem.count, problem.rows) == ("warning", 2, (10, 20))
    assert report.usable == 20


def test_one_text_under_two_labels_names_all_its_rows() -> None:
    rows = labelled()
    rows[30] = {"text": rows[0]["text"], "label": "other" if rows[0]["label"] != "bad" else "good"}
    rows[40] = dict(rows[0])
    rows[30]["label"] = "good" if rows[0]["label"] == "bad" else "bad"
    problems = found(check(table(rows), SORT, LABELLED))
    conflict = problems["label-conflict"]
    assert (conflict.severity, conflict.count, conflict.rows) == ("warning", 3, (1, 31, 41))
    assert problems["duplicate"].rows == (41,)
    chat = [{"question": "Same?", "answer": f"Answer {number}."} for number in range(10)]
    assert check(table(chat), CHAT, PAIR).problems == ()


def test_rows_beyond_the_limit_are_warned_of_with_the_share_that_is_cut() -> None:
    rows = pairs()
    rows[4]["answer"] = "word " * 50
    rows[8]["answer"] = "word " * 100

    def words(row: Row) -> int:
        return len((row["question"] + " " + row["answer"]).split())

    report = check(table(rows), CHAT, PAIR, lengths=dict(enumerate(map(words, rows), 1)), max_length=40)
    problem = the_only(report, "too-long")
    assert (problem.severity, problem.count, problem.rows) == ("warning", 2, (5, 9))
    assert "2 rows are longer than 40 tokens" in problem.message and "10% of the rows" in problem.message
    assert "48% of their tokens" in problem.message
    assert check(table(rows), CHAT, PAIR).problems == ()


def test_one_label_only_is_refused() -> None:
    report = check(table([{"text": f"Text {n}", "label": "good"} for n in range(20)]), SORT, LABELLED)
    problem = the_only(report, "imbalance")
    assert (problem.severity, problem.count) == ("error", 20)
    refused = refusal(report)
    assert refused and refused.code == "too-few-rows" and "good" in str(refused.given)
    assert report.blocked == refused.message


def test_one_label_in_nearly_all_rows_is_warned_of() -> None:
    rows = [{"text": f"Text {n}", "label": "ham" if n % 10 else "spam"} for n in range(100)]
    problem = the_only(check(table(rows), SORT, LABELLED), "imbalance")
    assert (problem.severity, problem.count) == ("warning", 80)
    assert "90%" in problem.message and "ham" in problem.message


def test_labels_with_few_rows_are_warned_of() -> None:
    rows = labelled()
    rows[2]["label"] = rows[20]["label"] = "odd"
    problem = the_only(check(table(rows), SORT, LABELLED), "rare-label")
    assert (problem.severity, problem.count, problem.rows) == ("warning", 2, (3, 21))
    assert "odd (2 rows)" in problem.message


def test_bad_lines_block_until_they_are_left_out_on_purpose() -> None:
    lines = [json.dumps(row) for row in pairs(1000)]
    lines[730] += ","
    rows = read_text("\n".join(lines))
    report = check(rows, CHAT, PAIR)
    problem = the_only(report, "bad-line")
    assert (problem.severity, problem.count, problem.rows) == ("error", 1, (731,))
    assert "Line 731" in problem.message and "JSON" in problem.message
    assert (report.rows, report.usable) == (1000, 999)
    refused = refusal(report)
    assert refused and refused.code == "bad-line" and "731" in report.blocked and "--leave-out bad-line" in refused.hint
    with pytest.raises(StudioError, match="731") as caught:
        next(usable_rows(rows, CHAT, PAIR))
    assert caught.value.code == "bad-line" and caught.value.rows == (731,)
    left = check(rows, CHAT, PAIR, left_out=["bad-line"])
    assert (the_only(left, "bad-line").severity, left.usable, left.blocked) == ("note", 999, "")
    assert sum(1 for _ in usable_rows(rows, CHAT, PAIR, left_out=["bad-line"])) == 999


def test_cells_that_hold_no_text_are_of_the_wrong_type() -> None:
    rows = pairs()
    rows[3]["answer"] = {"text": "nested"}
    rows[5]["question"] = ["a", "b"]
    rows[7]["answer"] = 42
    report = check(table(rows), CHAT, PAIR)
    problem = the_only(report, "wrong-type")
    assert (problem.severity, problem.count, problem.rows, report.usable) == ("error", 2, (4, 6), 18)


def test_formulas_without_a_result_are_of_the_wrong_type(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [list(PAIR), *([row["question"], row["answer"]] for row in pairs())]:
        book.active.append(row)
    book.active["B3"] = '=CONCAT("a","b")'
    book.save(tmp_path / "rows.xlsx")
    rows = read(tmp_path / "rows.xlsx")
    report = check(rows, CHAT, PAIR)
    problem = the_only(report, "wrong-type")
    assert (problem.rows, report.usable) == ((2,), 19) and "formula" in problem.message
    assert 2 not in dict(usable_rows(rows, CHAT, PAIR))


def talk(*roles: str) -> dict[str, Any]:
    return {"talk": [{"role": role, "content": f"{role} says {number}"} for number, role in enumerate(roles)]}


def test_turns_out_of_order_are_warned_of() -> None:
    fine = [
        ("user", "assistant"),
        ("system", "user", "assistant", "user", "assistant"),
        ("user", "assistant", "tool", "assistant"),
    ]
    rows = [talk(*fine[number % 3], *(["user", "assistant"] * number)) for number in range(9)]
    assert check(table(rows), CHAT, {"talk": "messages"}).problems == ()
    rows += [
        talk("assistant", "user", "assistant"),
        talk("user", "user", "assistant"),
        talk("user", "assistant", "system"),
    ]
    report = check(table(rows), CHAT, {"talk": "messages"})
    problem = the_only(report, "roles-out-of-order")
    assert (problem.severity, problem.count, problem.rows, report.usable) == ("warning", 3, (10, 11, 12), 12)


def test_conversations_without_a_reply_are_empty_and_those_by_nobody_known_wrong() -> None:
    rows = [talk("user", "assistant", *(["user", "assistant"] * number)) for number in range(9)]
    rows += [talk("user"), talk("user", "martian"), {"talk": []}, {"talk": "just text"}]
    report = check(table(rows), CHAT, {"talk": "messages"})
    problems = found(report)
    assert (problems["empty"].rows, problems["wrong-type"].rows, report.usable) == ((10, 12), (11, 13), 9)


@pytest.mark.parametrize("value", ["Hello {{name}}.", "TODO", "n/a", "#N/A", "TODO: write this", "Lorem ipsum dolor"])
def test_placeholders_are_warned_of(value: str) -> None:
    rows = pairs()
    rows[11]["answer"] = value
    problem = the_only(check(table(rows), CHAT, PAIR), "placeholder")
    assert (problem.severity, problem.count, problem.rows) == ("warning", 1, (12,))


@pytest.mark.parametrize(
    "value",
    [
        "Make a todo list.",
        "Use {x} in f-strings: {{}}.",
        "${{ secrets.TOKEN }}",
        "None of them.",
        "Nana",
        "Tbilisi: a city",
    ],
)
def test_what_only_looks_like_a_placeholder_is_not_warned_of(value: str) -> None:
    rows = pairs()
    rows[11]["answer"] = value
    assert check(table(rows), CHAT, PAIR).problems == ()


def test_a_column_with_ten_thousand_values_is_no_label() -> None:
    many = [{"text": f"Text {n}", "label": f"label {n}"} for n in range(10_000)]
    for rows in (many, many[:200]):
        with pytest.raises(StudioError) as caught:
            check(table(rows), SORT, LABELLED)
        assert caught.value.code == "too-many-labels" and "label" in caught.value.what


def test_too_few_usable_rows_are_refused_with_the_reason() -> None:
    rows = pairs(10)
    for row in rows[:3]:
        row["answer"] = ""
    report = check(table(rows), CHAT, PAIR)
    refused = refusal(report)
    assert refused and refused.code == "too-few-rows" and report.usable == 7
    assert "7 of 10 rows can be used." in report.blocked and "3 rows have no value in answer." in report.blocked
    none = check(table([{"question": "", "answer": "x"}] * 10), CHAT, PAIR)
    assert none.usable == 0 and none.blocked


def test_a_bad_line_and_too_few_rows_are_told_at_once() -> None:
    good = [f'{{"question": "Where is {n}?", "answer": "Here."}}' for n in range(2)]
    lines = [*good, '{"question": ']
    report = check(read_text("\n".join(lines)), CHAT, PAIR)
    refused = refusal(report)
    assert refused and [each.code for each in refused.all()] == ["bad-line", "too-few-rows"]
    assert "Line 3" in report.blocked and "2 of 3 rows can be used" in report.blocked
    assert report.blocked.count("Line 3") == 1


def test_two_labels_with_two_rows_each_are_the_least() -> None:
    rows = [{"text": f"Text {n}", "label": "a" if n else "b"} for n in range(12)]
    assert "too few labels" in check(table(rows), SORT, LABELLED).blocked
    rows[1]["label"] = "b"
    assert not check(table(rows), SORT, LABELLED).blocked


def test_numbers_and_booleans_are_labels_by_their_names() -> None:
    values: list[Any] = [1, 1.0, "1", "1.0", 0, "0", True, "true", False, 10, 2, "2"]
    rows = table([{"text": f"Text {n}", "label": value} for n, value in enumerate(values)])
    assert labels_of(rows, SORT, LABELLED) == {"0": 2, "1": 4, "10": 1, "2": 2, "false": 1, "true": 2}
    numbers = table([{"text": f"Text {n}", "label": n % 11} for n in range(44)])
    assert list(labels_of(numbers, SORT, LABELLED)) == [str(n) for n in range(11)]
    assert labels_of(table(pairs()), CHAT, PAIR) == {}


def spoil(rows: list[Row]) -> list[Row]:
    """One defect of each kind that leaves rows usable."""
    rows[10] = dict(rows[0])
    rows[20]["text"] = "TODO"
    rows[30]["label"] = "odd"
    rows[40]["text"] = "word " * 30
    return rows


def words(row: Row) -> int:
    return len(row["text"].split())


LENGTHS: dict[str, Any] = {"lengths": {n: words(row) for n, row in enumerate(spoil(labelled()), 1)}, "max_length": 20}


@pytest.mark.parametrize(
    ("kind", "rows"),
    [("duplicate", [11]), ("placeholder", [21]), ("rare-label", [31]), ("too-long", [41]), ("empty", [])],
)
def test_the_rows_of_a_kind_can_be_left_out_on_purpose(kind: str, rows: list[int]) -> None:
    given = table(spoil(labelled()))
    assert rows_of(given, SORT, LABELLED, [kind], **LENGTHS) == {kind: rows}
    report = check(given, SORT, LABELLED, left_out=[kind], **LENGTHS)
    assert report.usable == 60 - len(rows) == sum(report.labels.values())
    gone = find_rows_left_out(given, SORT, LABELLED, [kind], **LENGTHS)
    kept = [number for number, _ in usable_rows(given, SORT, LABELLED, left_out=[kind], rows_left_out=gone)]
    assert kept == [number for number in range(1, 61) if number not in rows]
    severities = {problem.kind: problem.severity for problem in report.problems}
    assert severities.get(kind, "note") == "note"
    assert all(severity == "warning" for other, severity in severities.items() if other != kind)
    assert kind not in found(check(changed(given, remove=rows), SORT, LABELLED))


def test_a_kind_that_does_not_exist_can_not_be_left_out() -> None:
    for ask in (
        lambda: check(table(pairs()), CHAT, PAIR, left_out=["duplicates"]),
        lambda: rows_of(table(pairs()), CHAT, PAIR, ["duplicates"]),
        lambda: next(usable_rows(table(pairs()), CHAT, PAIR, left_out=["duplicates"])),
    ):
        with pytest.raises(StudioError, match="Did you mean duplicate"):
            ask()


def test_at_most_a_hundred_rows_are_named_and_all_are_counted() -> None:
    rows = pairs(300)
    for row in rows[100:250]:
        row["answer"] = ""
    problem = the_only(check(table(rows), CHAT, PAIR), "empty")
    assert (problem.count, problem.rows) == (150, tuple(range(101, 201)))


@pytest.mark.slow
def test_errors_come_before_warnings_and_progress_is_told() -> None:
    rows = pairs(45_000)
    rows[5] = dict(rows[4])
    rows[9]["answer"] = ""
    told: list[int] = []
    report = check(table(rows), CHAT, PAIR, progress=told.append)
    assert [problem.kind for problem in report.problems] == ["empty", "duplicate"]
    assert told == [20_000, 40_000]


def test_a_small_file_is_checked_within_a_second_imports_included(tmp_path: Path) -> None:
    import subprocess
    import sys
    from resource import RUSAGE_CHILDREN, getrusage

    code = (
        "import sys; from pathlib import Path; from studio.data.formats import read;"
        "from studio.data.roles import infer;"
        "from studio.data.checks import check; from studio.tasks import TASKS; rows = read(Path(sys.argv[1]));"
        "said = infer(rows, TASKS.values()); check(rows, said.task, said.matched.roles);"
        "assert not {'pandas', 'pyarrow', 'torch', 'numpy'} & set(sys.modules)"
    )
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, str(sample_path("support-tone"))], check=True)
    after = getrusage(RUSAGE_CHILDREN)  # processor time, since other processes may keep the machine busy
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize(
    ("label", "usual"),
    [
        ("Rechnugn", "Rechnung"),
        ("Rechnng", "Rechnung"),
        ("Rechnungg", "Rechnung"),
        ("rechnunk", "Rechnung"),
        ("late Rechnugn", "late Rechnung"),
        ("level 1", ""),
        ("Buchung", ""),
        ("atypical", ""),
    ],
)
def test_a_rare_label_that_is_a_typo_of_a_frequent_one_is_renamed_and_not_left_out(label: str, usual: str) -> None:
    frequent = [usual or "typical", "level 2", "Other"]
    rows = [{"text": f"Text {name} number {n}", "label": name} for name in frequent for n in range(20)]
    rows.append({"text": "The last text", "label": label})
    given = table(rows)
    problem = found(check(given, SORT, LABELLED))["rare-label"]
    fixed = fix_of(given, SORT, LABELLED, "rare-label").of(given)
    if not usual:
        assert problem.fix == "Leave these rows out" and len(fixed) == 60
        return
    assert "looks like a typo" in problem.message and label in problem.message and usual in problem.message
    assert problem.fix == "Rename them to the frequent label" and short_fix(problem.fix) == "Rename"
    assert len(fixed) == 61 and fixed.row(61)["label"] == usual


def test_rows_without_a_label_are_said_to_be_skipped_and_where_they_get_one() -> None:
    rows = [{"text": f"Text {n}", "label": "ab"[n % 2] if n else ""} for n in range(20)]
    problem = found(check(table(rows), SORT, LABELLED))["empty"]
    assert problem.why.startswith("Training skips rows without a value") and "in the view Label" in problem.why
    rows[0] = {"text": "", "label": "a"}
    assert "in the view Label" not in found(check(table(rows), SORT, LABELLED))["empty"].why
