"""Checks whose fixes change cells, rows shared between parts, and very short rows: found, said and mended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.data.checks import check, fix_of
from studio.data.formats import read, read_text
from studio.data.personal_data import find_personal_data, luhn, masked
from studio.data.table import Row, Table
from studio.schema.dataset import Problem
from studio.services.datasets.check_options import CheckOptions
from studio.tasks import Task, task_named

CHAT = task_named("chat")
SORT = task_named("classification")
PAIR = {"question": "prompt", "answer": "reply"}
LABELLED = {"text": "text", "label": "label"}
NAMES = [
    "lamp",
    "kettle",
    "chair",
    "carpet",
    "mirror",
    "pillow",
    "blanket",
    "drawer",
    "curtain",
    "bottle",
    "basket",
    "ladder",
    "hammer",
    "bucket",
    "candle",
    "pencil",
    "jacket",
    "helmet",
    "saddle",
    "guitar",
]


def table(rows: list[Row]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def pairs() -> list[Row]:
    return [{"question": f"Do you sell a {name}?", "answer": f"Yes, a {name} is in stock."} for name in NAMES]


def labelled() -> list[Row]:
    return [{"text": f"The {name} came too late", "label": ["late", "early"][n % 2]} for n, name in enumerate(NAMES)]


def the_only(table: Table, task: Task, roles: dict[str, str], kind: str, **about: Any) -> Problem:
    problems = check(table, task, roles, **about).problems
    assert [problem.kind for problem in problems] == [kind], problems
    assert problems[0].message.endswith(".") and problems[0].why.endswith(".") and problems[0].fix
    return problems[0]


def mended(table: Table, task: Task, roles: dict[str, str], kind: str) -> list[Row]:
    fix = fix_of(table, task, roles, kind)
    return fix.of(table).rows()


# --- encoding ---


@pytest.mark.parametrize(
    ("damaged", "right"),
    [
        ("One cafÃ© au lait.", "One café au lait."),
        ("itâ€™s fine", "it’s fine"),
        ("ÃœberprÃ¼fung", "Überprüfung"),
        ("don\x92t", "don’t"),
        ("РџСЂРёРІРµС‚ РјРёСЂ", "Привет мир"),
        ("æ—¥æœ¬èªž", "日本語"),
    ],
)
def test_wrong_decodings_are_found_and_undone(damaged: str, right: str) -> None:
    rows = pairs()
    rows[3]["answer"] = damaged
    problem = the_only(table(rows), CHAT, PAIR, "encoding")
    assert (problem.severity, problem.rows, problem.count, problem.fix) == ("warning", (4,), 1, "Repair them")
    fixed = mended(table(rows), CHAT, PAIR, "encoding")
    assert fixed[3]["answer"] == right and [fixed[n] for n in range(20) if n != 3] == rows[:3] + rows[4:]


@pytest.mark.parametrize(
    "text",
    [
        "naïve café – “señor” über",
        "Zażółć gęślą jaźń",
        "привет мир",
        "日本語テキスト",
        "مرحبا بالعالم",
        "👍🏽 ok 👨‍👩‍👧",
        "São Paulo",
        "20 °C, ½ l",
        "l’été à l’Île",
        "Được rồi",
        "ICH MÜSSTE GRÖSSER SEIN",
    ],
)
def test_text_of_any_language_is_not_taken_for_damage(text: str) -> None:
    rows = pairs()
    rows[3]["answer"] = text
    assert check(table(rows), CHAT, PAIR).problems == ()


def test_what_is_lost_for_good_can_only_be_removed() -> None:
    rows = pairs()
    rows[3]["answer"], rows[5]["answer"] = "A caf� au lait.", "A cafÃ© au lait."
    problem = the_only(table(rows), CHAT, PAIR, "encoding")
    assert problem.count == 2 and "1 row has characters that are lost" in problem.message and "remove" in problem.fix
    fix = fix_of(table(rows), CHAT, PAIR, "encoding")
    assert (fix.remove, fix.values) == ([4], {6: {"answer": "A café au lait."}})
    assert fix.note == "1 row repaired, 1 row removed: encoding."


def test_turns_of_a_conversation_are_mended_where_they_stand() -> None:
    talks = [
        {"messages": [{"role": "user", "content": f"A {name}?"}, {"role": "assistant", "content": f"A cafÃ© {name}!"}]}
        for name in NAMES
    ]
    fixed = mended(table(talks), CHAT, {"messages": "messages"}, "encoding")
    assert fixed[0]["messages"] == [
        {"role": "user", "content": "A lamp?"},
        {"role": "assistant", "content": "A café lamp!"},
    ]


@pytest.mark.parametrize("written", [json.dumps, str], ids=["JSON", "Python"])
def test_turns_that_a_cell_holds_as_text_are_mended_and_no_row_is_lost(written: Callable[[Any], str]) -> None:
    """As in a CSV file, where line breaks and letters are written as escapes."""
    talks = [
        [{"role": "user", "content": f"A {name}?"}, {"role": "assistant", "content": f"The {name} is here."}]
        for name in NAMES
    ]
    talks[0][1]["content"], talks[1][1]["content"] = "Call us:\n+14155552671", "A cafÃ© is near."
    rows: list[Row] = [{"talk": written(talk)} for talk in talks]
    for kind, number, content in (("personal-data", 0, "Call us:\n[phone]"), ("encoding", 1, "A café is near.")):
        fixed = mended(table(rows), CHAT, {"talk": "messages"}, kind)
        assert json.loads(str(fixed[number]["talk"]))[1]["content"] == content
        assert [fixed[n] for n in range(len(NAMES)) if n != number] == [
            row for n, row in enumerate(rows) if n != number
        ], "other rows stay as they are"


# --- personal data ---


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Write to jane.doe@example.com today.", "Write to [email] today."),
        ("Jane <jane@shop.co.uk>, please", "Jane <[email]>, please"),
        ("Call +44 20 7946 0958.", "Call [phone]."),
        ("+14155552671", "[phone]"),
        ("(555) 123-4567 or 555.987.6543", "[phone] or [phone]"),
        ("Call me at 555 123 4567", "Call me at [phone]"),
        ("phone: 0171 1234567", "phone: [phone]"),
        ("My number is 07700 900123, thanks", "My number is [phone], thanks"),
        ("Card 4111 1111 1111 1111, please", "Card [card], please"),
        ("3782-822463-10005", "[card]"),
        ("use hf_abcdefghijklmnopqrstuvwxyzABCDEF12", "use [key]"),
        ("AKIAIOSFODNN7EXAMPL3", "[key]"),
        ("a@b.com, +1 212 555 0198, 5555555555554444", "[email], [phone], [card]"),
    ],
)
def test_personal_data_are_found_and_masked(text: str, hidden: str) -> None:
    assert masked(text) == hidden
    rows = pairs()
    rows[2]["question"] = text
    problem = the_only(table(rows), CHAT, PAIR, "personal-data")
    assert (problem.severity, problem.rows, problem.count) == ("warning", (3,), 1)
    assert all(piece not in problem.message for _, piece in find_personal_data(text))
    assert mended(table(rows), CHAT, PAIR, "personal-data")[2]["question"] == hidden
    assert check(table(mended(table(rows), CHAT, PAIR, "personal-data")), CHAT, PAIR).problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "Order 4111 1111 1111 1112",
        "2024-01-02 to 2024-03-04",
        "support@shop.com",
        "3.14159265358979",
        "1,000,000,000",
        "Version 10.0.19041.1288",
        "192.168.100.200",
        "ISBN 978-3-16-148410-0",
        "10 000 000 people",
        "1700000000000",
        "https://x.com/status/1234567890123456",
        "sk-learn is good",
        "+5 -3 +2 1",
        "1990-2000-2010",
        "@name, call me 2 times",
        "the years 1914 1918 1939 1945",
        "parcel 123456789012",
        "0000 0000 0000 0000",
    ],
)
def test_other_numbers_and_names_are_not_personal(text: str) -> None:
    assert find_personal_data(text) == []


def test_the_check_digit_tells_cards_from_other_numbers() -> None:
    assert luhn("4111111111111111") and luhn("378282246310005") and not luhn("4111111111111112")
    swapped = [str(number) for number in range(4111111111111111, 4111111111111121) if luhn(str(number))]
    assert swapped == ["4111111111111111"]


def test_findings_are_counted_by_what_they_are() -> None:
    rows = pairs()
    rows[2]["question"], rows[4]["answer"] = "a.b@c.org or d@e.org?", "Pay with 4111111111111111."
    message = the_only(table(rows), CHAT, PAIR, "personal-data").message
    assert (
        "2 rows have personal data: 2 e-mail addresses and 1 card number (a…@c….org, d…@e….org and …1111)." == message
    )


# --- labels ---


def test_labels_that_differ_in_case_or_spaces_are_merged_into_the_usual_one() -> None:
    rows = labelled()
    rows[0]["label"], rows[2]["label"], rows[1]["label"] = "Late", "LATE ", "ear ly"
    problem = the_only(table(rows), SORT, LABELLED, "rare-label")
    assert (problem.rows, problem.count, problem.fix) == ((1, 2, 3), 3, "Merge the spellings")
    assert (
        "3 labels differ from another only in case or spaces" in problem.message and "Late and late" in problem.message
    )
    fixed = mended(table(rows), SORT, LABELLED, "rare-label")
    assert [row["label"] for row in fixed[:3]] == ["late", "early", "late"] and len(fixed) == 20
    assert fix_of(table(rows), SORT, LABELLED, "rare-label").note.startswith("3 rows given the frequent spelling")


def test_spellings_and_rare_labels_are_counted_together_and_letters_stay_apart() -> None:
    rows = labelled()
    rows[0]["label"], rows[5]["label"] = "Late", "odd"
    problem = the_only(table(rows), SORT, LABELLED, "rare-label")
    assert (problem.rows, problem.fix) == ((1, 6), "Merge the spellings, and remove the rows of the rare labels")
    fix = fix_of(table(rows), SORT, LABELLED, "rare-label")
    assert (fix.remove, fix.values) == ([6], {1: {"label": "late"}})
    letters = [{**row, "label": "aA"[n % 2]} for n, row in enumerate(labelled())]
    assert check(table(letters), SORT, LABELLED).problems == ()


# --- too short ---


@pytest.mark.parametrize("reply", ["ok", "Yes.", "-", "...", "k"])
def test_a_reply_that_says_next_to_nothing_among_long_ones_is_warned_of(reply: str) -> None:
    rows = [
        {
            **row,
            "answer": row["answer"] + f" We keep the {row['question'][14:]} in three colours, and can send it."
            " It takes two days in most places of the country.",
        }
        for row in pairs()
    ]
    assert check(table(rows), CHAT, PAIR).problems == ()
    rows[7]["answer"] = reply
    problem = the_only(table(rows), CHAT, PAIR, "too-short")
    assert (problem.severity, problem.rows, problem.count) == ("warning", (8,), 1)


def test_short_replies_are_fine_where_all_are_short_or_many() -> None:
    rows = [
        {"question": f"What is a {name}?", "answer": "A thing." if n % 2 else "No idea."}
        for n, name in enumerate(NAMES)
    ]
    assert check(table(rows), CHAT, PAIR).problems == ()
    rows = [{**row, "answer": ("Yes." if n % 5 == 0 else row["answer"] * 5)} for n, row in enumerate(pairs())]
    assert check(table(rows), CHAT, PAIR).problems == ()


def test_a_short_reply_that_was_offered_in_the_question_is_an_answer() -> None:
    rows = [{**row, "answer": row["answer"] * 5} for row in pairs()]
    rows[7] = {"question": "Is running an object or an action?", "answer": "Action."}
    assert check(table(rows), CHAT, PAIR).problems == ()
    rows[7]["answer"] = "Maybe."
    assert the_only(table(rows), CHAT, PAIR, "too-short").rows == (8,)


def test_a_text_of_signs_only_is_too_short_to_be_sorted_and_a_picture_is_not() -> None:
    rows = labelled()
    rows[4]["text"] = "?!"
    assert the_only(table(rows), SORT, LABELLED, "too-short").rows == (5,)
    rows[4]["text"] = "👍👍👍"
    assert check(table(rows), SORT, LABELLED).problems == ()


# --- leakage ---


def parted() -> list[Row]:
    return [{**row, "split": "train" if n < 14 else "val" if n < 17 else "test"} for n, row in enumerate(pairs())]


def test_rows_for_training_that_stand_in_another_part_are_named_exact_or_near(tmp_path: Path) -> None:
    long = "Out of stock until the end of the month, but we can put one aside for you in the meantime:"
    rows = [{**row, "answer": f"{long} one {name}."} for name, row in zip(NAMES, parted(), strict=True)]
    rows[2] = {**rows[18], "split": "train"}
    rows[5] = {**rows[15], "answer": rows[15]["answer"].replace("month", "week"), "split": "train"}
    assert [each.kind for each in check(table(rows), CHAT, PAIR).problems] == ["duplicate", "near-duplicate", "leakage"]
    leak = next(each for each in check(table(rows), CHAT, PAIR).problems if each.kind == "leakage")
    assert (leak.severity, leak.rows, leak.count) == ("warning", (3, 6), 2)
    assert "2 training rows are also in validation or test. 1 of them" in leak.message
    assert fix_of(table(rows), CHAT, PAIR, "leakage").remove == [3, 6]
    assert check(table(parted()), CHAT, PAIR).problems == ()


def test_rows_that_stand_in_the_validation_file_are_named() -> None:
    judged_by = table([{"question": "Do you sell a LAMP", "answer": "Yes, a lamp is in stock!"}, pairs()[7]])
    leak = the_only(table(pairs()), CHAT, PAIR, "leakage", validation=judged_by)
    assert leak.rows == (1, 8) and "in the validation file" in leak.message
    assert (
        check(
            table(pairs()), CHAT, PAIR, validation=table([{"question": "Who are you?", "answer": "A shop."}])
        ).problems
        == ()
    )


def test_a_text_gives_its_label_away_whatever_label_it_has_in_the_other_part() -> None:
    rows = [{**row, "split": "train" if n < 14 else "test"} for n, row in enumerate(labelled())]
    rows[3] = {**rows[17], "split": "train", "label": "late"}
    assert next(each for each in check(table(rows), SORT, LABELLED).problems if each.kind == "leakage").rows == (4,)


# --- the fix as a version ---


def test_a_fix_makes_a_version_with_a_sentence_and_can_be_undone(tmp_path: Path) -> None:
    from studio.api import Studio

    studio = Studio(tmp_path)
    rows = labelled()
    rows[0]["label"], rows[3]["text"] = "Late", "Write to jane@doe.org"
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    first = studio.datasets.add_file(path)
    second = studio.checks.fix(first.id, "rare-label")
    assert (second.version, second.rows) == (2, 20) and "given the frequent spelling" in second.note
    assert second.spec and second.spec.label_names == ("early", "late")
    third = studio.checks.fix(first.id, "personal-data")
    assert third.note == "1 row masked: personal data." and studio.checks.check(first.id).problems == ()
    assert studio.datasets.rows(first.id, 4, 1).rows[0][1]["text"] == "Write to [email]"
    studio.versions.restore(first.id, 1)
    assert {each.kind for each in studio.checks.check(first.id).problems} == {"rare-label", "personal-data"}
    assert read(path).rows() == rows


def test_rows_shared_with_a_validation_dataset_are_found_and_removed_through_the_studio(tmp_path: Path) -> None:
    from studio.api import Studio

    studio = Studio(tmp_path)
    texts = ["\n".join(json.dumps(row) for row in rows) for rows in (pairs(), pairs()[3:5])]
    rows, judged_by = (studio.datasets.add_text(text).id for text in texts)
    assert studio.checks.check(rows).problems == ()
    told: list[int] = []
    leak = studio.checks.check(rows, None, CheckOptions(validation=judged_by, whole=True), told.append).problems[0]
    assert (leak.kind, leak.rows) == ("leakage", (4, 5))
    fixed = studio.checks.fix(rows, "leakage", CheckOptions(validation=judged_by))
    assert (fixed.rows, fixed.note) == (18, "2 rows removed: leakage.")
    assert studio.checks.check(rows, None, CheckOptions(validation=judged_by)).problems == ()
