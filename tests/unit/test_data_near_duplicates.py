"""Near duplicates: judged by word order, numbers and labels too, and fast."""

import json
import random
import time

import pytest

from studio.data.checks import check, fix_of, rows_of
from studio.data.checks import near_duplicate as module
from studio.data.formats import read_text
from studio.data.near_duplicates import Texts
from studio.data.table import Row, Table
from studio.tasks import task_named

CHAT, SORT = task_named("chat"), task_named("classification")
PAIR = {"question": "prompt", "answer": "reply"}
LABELLED = {"text": "text", "label": "label"}
LONG = "The parcel with the blue lamp came on Monday but the box was open and the shade had a dent"


def near(*texts: str) -> list[tuple[int, int]]:
    kept = Texts()
    for number, text in enumerate(texts, 1):
        kept.add(number, [text])
    return list(kept.near())


def table(rows: list[Row]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def test_case_punctuation_and_spaces_do_not_make_another_text() -> None:
    assert near("What's my balance?", "whats  my balance", "WHAT’S MY BALANCE!!") == [(2, 1), (3, 1)]


def test_a_word_in_ten_may_differ_and_not_more() -> None:
    assert near(LONG, LONG.replace("blue", "green")) == [(2, 1)]
    assert near(LONG, LONG.replace("blue", "green").replace("Monday", "Friday").replace("dent", "hole")) == []
    assert near("Cancel my order for shoes please", "Cancel my order for trousers please") == []


def test_the_same_words_in_another_order_are_another_text() -> None:
    words = LONG.split()
    assert near(LONG, " ".join(words[9:] + words[:9])) == []
    assert near("The dog bites the man", "The man bites the dog") == []


def test_texts_that_differ_in_a_number_are_no_copies() -> None:
    assert near(f"{LONG} on 3 May", f"{LONG} on 4 May") == []
    assert (
        near(*(f"Question {number} of the list: what is the answer to that one, please?" for number in range(9))) == []
    )


def test_a_slip_of_the_pen_makes_a_near_text_and_another_word_does_not() -> None:
    others = ["a refund takes long", "we charge a fee", "they change it"] * 2
    assert (8, 7) in near(*others, "please give me my refund now", "please give me my refudn now")
    assert (8, 7) not in near(*others, "please change my card", "please charge my card")


def test_texts_without_spaces_are_judged_by_their_characters() -> None:
    text = "我的包裹昨天到了但是盒子是开着的灯罩上有一个凹痕请问我该怎么办"
    assert near(text, text.replace("昨", "今"), "请把我的旧卡从账户中删除谢谢") == [(2, 1)]


def test_each_near_row_is_counted_but_the_first_and_the_fix_removes_them() -> None:
    rows = [{"question": f"{word} {LONG}?", "answer": f"Thanks for {word}."} for word in ("one", "two")]
    rows += [
        {"question": f"Which is the colour called {chr(97 + n) * 4}?", "answer": f"Like {chr(97 + n) * 5}."}
        for n in range(20)
    ]
    rows.append({"question": f"one {LONG}?".upper(), "answer": "Thanks for one!"})
    rows.append({"question": f"one {LONG.replace('blue', 'red')}?", "answer": "Thanks for one."})
    report = check(table(rows), CHAT, PAIR)
    (problem,) = report.problems
    assert (problem.kind, problem.severity, problem.rows, problem.count) == ("near-duplicate", "warning", (23, 24), 2)
    assert report.usable == 24 and "90% of the words agree" in problem.message
    fix = fix_of(table(rows), CHAT, PAIR, "near-duplicate")
    assert fix.remove == [23, 24] and not fix.values and fix.note == "2 rows removed: near duplicate."


def test_one_reply_to_two_questions_is_no_copy_nor_is_one_text_under_two_labels() -> None:
    rows = [{"question": question, "answer": LONG} for question in ("Who are you then?", "Where is my lamp?")]
    rows += [{"question": f"Ask about {chr(97 + n) * 4}?", "answer": f"Say {chr(97 + n) * 5}."} for n in range(9)]
    assert check(table(rows), CHAT, PAIR).problems == ()
    labelled = [{"text": f"{LONG} {'!' * n}", "label": "ab"[n % 2]} for n in range(2)]
    labelled += [{"text": f"Text about {chr(97 + n) * 4}", "label": "ab"[n % 2]} for n in range(10)]
    assert check(table(labelled), SORT, LABELLED).problems == ()


def test_beyond_a_number_of_rows_a_sample_is_compared_in_which_pairs_stay_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(3)
    words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(3, 12))) for _ in range(3000)]
    texts = [" ".join(chance.choices(words, k=15)) for _ in range(900)]
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts)]
    rows += [{"text": f"{text.upper()}!", "label": "ab"[n % 2]} for n, text in enumerate(texts[:100])]
    monkeypatch.setattr(module, "MOST", 250)
    sampled = check(table(rows), SORT, LABELLED).problems
    assert "sample of" in sampled[0].message and 10 <= sampled[0].count <= 50
    assert rows_of(table(rows), SORT, LABELLED, ["near-duplicate"])["near-duplicate"] == list(sampled[0].rows)
    whole = check(table(rows), SORT, LABELLED, whole=True).problems
    assert "sample" not in whole[0].message and whole[0].count == 100


@pytest.mark.slow
def test_ten_thousand_texts_are_compared_in_two_seconds() -> None:
    chance = random.Random(5)
    words = ["".join(chance.choices("abcdefghijklmnop", k=chance.randint(2, 9))) for _ in range(5000)]
    weights = [1 / (place + 5) for place in range(5000)]
    kept = Texts()
    texts = [chance.choices(words, weights, k=chance.randint(12, 60)) for _ in range(9_500)]
    for text in texts[:500]:
        twin = list(text)
        twin[chance.randrange(len(twin))] = "otherwise"
        texts.append(twin)
    start = time.monotonic()
    for number, text in enumerate(texts, 1):
        kept.add(number, [" ".join(text)])
    found = dict(kept.near())
    assert {number: number - 9_500 for number in range(9_501, 10_001)} == found
    assert time.monotonic() - start < 4


def test_rows_from_a_template_that_differ_in_one_telling_word_are_others() -> None:
    asked = "what is the minimum i can pay on my water bill"
    assert near(asked, asked.replace("water", "phone")) == []
    assert near(asked, asked.replace("water", "watter"), asked.replace(" the ", " a "), f"{asked} please") == [
        (2, 1),
        (3, 1),
        (4, 1),
    ]
