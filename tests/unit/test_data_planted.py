"""Precision and recall of every check: known defects planted in the clean samples, and the table of what was found."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from studio.data.checks import CHECKS, check, rows_of
from studio.data.formats import read, read_text
from studio.data.samples import sample_path
from studio.data.splits import Splitter
from studio.data.table import Row, Table
from studio.inference.label_quality import label_errors
from studio.inference.label_suggestions import EmbeddingStore
from studio.schema.dataset import SplitSpec
from studio.tasks import task_named

CHAT, SORT = task_named("chat"), task_named("classification")
PAIR = {"question": "prompt", "answer": "reply"}
LABELLED = {"text": "text", "label": "label"}
LEAST = 0.95
EACH = 20
"""Rows that each defect is planted in."""
SURPLUS = ["Please", "Honestly,", "Well,", "So,", "Right,"]


def chat_rows() -> list[Row]:
    return read(sample_path("support-tone")).rows()


def label_rows() -> list[Row]:
    table = read(sample_path("intent-routing"))
    text, label = ("message", "intent") if "message" in table.columns else table.columns[:2]
    return [{"text": row[text], "label": row[label]} for row in table.rows()]


def chosen(rows: list[Row], chance: random.Random) -> list[int]:
    """Where defects go: rows in the later half, by their index."""
    return sorted(chance.sample(range(len(rows) // 2, len(rows)), EACH))


Planted = tuple[Table, Any, dict[str, str], set[int], dict[str, Any]]
"""Table, task, roles, rows that should be found, and what else the check is told."""


def as_table(rows: list[Row]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def set_cells(rows: list[Row], column: str, values: Callable[[int, str], Any], chance: random.Random) -> set[int]:
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        rows[index] = {**rows[index], column: values(place, str(rows[index][column]))}
    return {index + 1 for index in places}


def plant_cells(column: str, values: Callable[[int, str], Any]) -> Callable[[random.Random], Planted]:
    def plant(chance: random.Random) -> Planted:
        rows = chat_rows()
        found = set_cells(rows, column, values, chance)
        return as_table(rows), CHAT, PAIR, found, {}

    return plant


def plant_empty(chance: random.Random) -> Planted:
    return plant_cells("answer", lambda place, _: ["", "  ", None, "\n\t"][place % 4])(chance)


def plant_duplicates(chance: random.Random) -> Planted:
    rows = chat_rows()
    places = chosen(rows, chance)
    for index in places:
        rows[index] = dict(rows[index - len(rows) // 2])
    return as_table(rows), CHAT, PAIR, {index + 1 for index in places}, {}


def nearly(row: Row, place: int, columns: tuple[str, str], chance: random.Random) -> Row:
    """The same row as another person would have typed it."""
    one, other = columns
    words = str(row[other]).split()
    longest = max(words, key=len)
    changes: list[Callable[[], Row]] = [
        lambda: {**row, one: str(row[one]).upper()},
        lambda: {**row, other: str(row[other]).replace(",", "").rstrip(".") + "!"},
        lambda: {**row, one: f"  {row[one]} ", other: " ".join([SURPLUS[place % 5], *words])},
        lambda: {**row, other: " ".join([*words[:3], "surely", *words[3:]])},
        lambda: {**row, one: str(row[one]).replace("'", "’").lower(), other: str(row[other]).lower()},
        lambda: {**row, other: str(row[other]).replace(longest, f"{longest[0]}{longest[2:]}", 1)},
        lambda: {**row, other: " ".join([*words[:4], "perhaps", *words[5:]])},
    ]
    return changes[place % len(changes)]()


def plant_near(chance: random.Random) -> Planted:
    rows = chat_rows()
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        rows[index] = nearly(rows[index - len(rows) // 2], place, ("question", "answer"), chance)
    return as_table(rows), CHAT, PAIR, {index + 1 for index in places}, {}


def plant_conflicts(chance: random.Random) -> Planted:
    rows, found = label_rows(), set()
    labels = sorted({row["label"] for row in rows})
    for index in chosen(rows, chance):
        twin = index - len(rows) // 2
        other = labels[(labels.index(rows[twin]["label"]) + 1) % len(labels)]
        rows[index] = {"text": rows[twin]["text"], "label": other}
        found |= {index + 1, twin + 1}
    return as_table(rows), SORT, LABELLED, found, {}


def plant_strangers(chance: random.Random) -> Planted:
    """Rows that share a lot with one above and are others all the same: nothing to be found."""
    rows = chat_rows()
    for place, index in enumerate(chosen(rows, chance)):
        twin = rows[index - len(rows) // 2]
        words = str(twin["answer"]).split()
        middle = len(words) // 2
        rows[index] = [
            {**twin, "question": rows[index]["question"]},
            {**twin, "answer": " ".join(words[middle:] + words[:middle])},
            {**twin, "answer": f"{twin['answer']} It takes {place + 2} days."},
            {**twin, "answer": " ".join(words[: middle + 2])},
        ][place % 4]
        if place % 4 == 2:
            rows[index - len(rows) // 2] = {**twin, "answer": f"{twin['answer']} It takes {place + 3} days."}
    return as_table(rows), CHAT, PAIR, set(), {}


def plant_leaks(chance: random.Random) -> Planted:
    rows = chat_rows()
    held = rows[:60]
    rows = rows[60:]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        twin = held[place * 2]
        rows[index] = dict(twin) if place % 2 else nearly(twin, place, ("question", "answer"), chance)
    return as_table(rows), CHAT, PAIR, {index + 1 for index in places}, {"validation": as_table(held)}


def plant_leaks_in_the_files_parts(chance: random.Random) -> Planted:
    """Some of a row's copies and near copies stand in the same part, and are nothing that leaks."""
    rows = [{**row, "split": "test" if n % 5 == 0 else "train"} for n, row in enumerate(chat_rows())]
    held = [row for row in rows if row["split"] == "test"]
    found = set()
    for place, index in enumerate(chosen(rows, chance)):
        twin = held[place]
        rows[index] = {
            **(dict(twin) if place % 2 else nearly(twin, place, ("question", "answer"), chance)),
            "split": "test" if place % 4 == 3 else "train",
        }
        if place % 4 != 3:
            found.add(index + 1)
    return as_table(rows), CHAT, PAIR, found, {}


def plant_leaks_by_group(chance: random.Random) -> Planted:
    """The same words under another customer: in the other part for some, and in the same for others."""
    rows = [{**row, "customer": f"c{n % 40}"} for n, row in enumerate(chat_rows())]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        twin = rows[index - len(rows) // 2]
        rows[index] = {
            **(dict(twin) if place % 2 else nearly(twin, place, ("question", "answer"), chance)),
            "customer": rows[index]["customer"],
        }
    return _across(rows, places, SplitSpec(group_column="customer"))


def plant_leaks_in_the_usual_parts(chance: random.Random) -> Planted:
    """Near copies that ask in other letters, of which some fall in the other part."""
    rows = chat_rows()
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        rows[index] = nearly(rows[index - len(rows) // 2], (0, 4)[place % 2], ("question", "answer"), chance)
    return _across(rows, places, SplitSpec(validation_share=0.3))


def _across(rows: list[Row], places: list[int], splits: SplitSpec) -> Planted:
    """Those of the planted pairs that are apart: the row of each that is learned from."""
    table = as_table(rows)
    part = Splitter(table, CHAT, PAIR, splits).assign().splits
    pairs = [(index + 1, index + 1 - len(rows) // 2) for index in places]
    apart = [pair for pair in pairs if "train" in (part[pair[0]], part[pair[1]]) and part[pair[0]] != part[pair[1]]]
    apart = [pair for pair in apart if {part[row] for row in pair} != {"validation", "test"}]
    found = {row for pair in apart for row in pair if part[row] == "train"}
    assert found and len(apart) < len(pairs)
    about = {"get_splits": lambda: part, "copies_cross_splits": bool(splits.group_column)}
    return table, CHAT, PAIR, found, about


def plant_long(chance: random.Random) -> Planted:
    rows = chat_rows()
    found = set_cells(rows, "answer", lambda _, text: f"{text} " * 12, chance)
    lengths = {number: len(f"{row['question']} {row['answer']}".split()) for number, row in enumerate(rows, 1)}
    return as_table(rows), CHAT, PAIR, found, {"lengths": lengths, "max_length": 150}


def plant_imbalance(chance: random.Random) -> Planted:
    rows = label_rows()
    labels = sorted({row["label"] for row in rows})
    most = [{**row, "label": labels[0]} for row in rows[: len(rows) - 30]]
    rest = [{**row, "label": labels[1]} for row in rows[len(rows) - 30 :]]
    return as_table(most + rest), SORT, LABELLED, set(range(31, len(most) + 1)), {}


def plant_rare(chance: random.Random) -> Planted:
    rows = label_rows()
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        label = str(rows[index]["label"])
        spelled = [f"odd {place // 4}", label.upper(), label.title(), label.replace("-", "- ").replace("_", " _")]
        if spelled[place % 4] == label:
            spelled[place % 4] = label.swapcase()
        rows[index] = {**rows[index], "label": spelled[place % 4]}
    return as_table(rows), SORT, LABELLED, {index + 1 for index in places}, {}


def plant_encoding(chance: random.Random) -> Planted:
    accents = ["Our café is open.", "Über uns.", "It’s fine – really.", "Señor Muñoz knows.", "À bientôt, Zoë."]
    damaged = [text.encode().decode("cp1252", "replace").replace("�", "\x9d") for text in accents]
    return plant_cells("answer", lambda place, text: f"{text} {damaged[place % 5]}")(chance)


def plant_accents(chance: random.Random) -> Planted:
    """Text that is right all the same: nothing to be found."""
    right = ["Café, señor – “naïve”.", "Größe: übermäßig.", "Привет, мир!", "日本語です。", "👍🏽 Ça va?"]
    table, task, roles, _, about = plant_cells("answer", lambda place, text: f"{text} {right[place % 5]}")(chance)
    return table, task, roles, set(), about


def plant_wrong_types(chance: random.Random) -> Planted:
    return plant_cells("answer", lambda place, text: [{"text": text}, [text, text]][place % 2])(chance)


def plant_placeholders(chance: random.Random) -> Planted:
    values = ["Dear {{name}}, thanks.", "TODO", "N/A", "Lorem ipsum dolor sit amet.", "TBD: ask billing"]
    return plant_cells("answer", lambda place, _: values[place % 5])(chance)


def plant_personal(chance: random.Random) -> Planted:
    values = [
        "Write to jane.doe{}@example.com.",
        "Call +44 20 7946 09{}.",
        "Take card 4111 1111 1111 1111.",
        "Ring (212) 555-01{}.",
        "The key is sk-proj-Ab{}cdefghijklmnopqrstu.",
    ]
    return plant_cells("answer", lambda place, text: f"{text} {values[place % 5].format(10 + place)}")(chance)


def plant_numbers(chance: random.Random) -> Planted:
    """Numbers and names that are nobody's: nothing to be found."""
    values = [
        "Order 4111 1111 1111 1112.",
        "From 2024-01-02 to 2024-03-04.",
        "Parcel 123456789012.",
        "Write to support@shop.com.",
        "Version 10.0.19041.1288.",
    ]
    table, task, roles, _, about = plant_cells("answer", lambda place, text: f"{text} {values[place % 5]}")(chance)
    return table, task, roles, set(), about


def plant_short(chance: random.Random) -> Planted:
    rows = chat_rows()
    places = chosen(rows, chance)[:10]
    for place, index in enumerate(places):
        rows[index] = {**rows[index], "answer": ["ok", "Yes.", "-", "No idea.", "?"][place % 5]}
    return as_table(rows), CHAT, PAIR, {index + 1 for index in places}, {}


def plant_bad_lines(chance: random.Random) -> Planted:
    lines = [json.dumps(row) for row in chat_rows()]
    places = chosen(chat_rows(), chance)
    for place, index in enumerate(places):
        lines[index] = [f"{lines[index]},", lines[index][:-2], "7", lines[index].replace('"', "'")][place % 4]
    return read_text("\n".join(lines)), CHAT, PAIR, {index + 1 for index in places}, {}


def plant_roles(chance: random.Random) -> Planted:
    rows = [
        {"messages": [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]}
        for row in chat_rows()
    ]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        turns = rows[index]["messages"]
        rows[index] = {"messages": [turns[::-1], [turns[0], *turns], [*turns, turns[1]]][place % 3]}
    return as_table(rows), CHAT, {"messages": "messages"}, {index + 1 for index in places}, {}


def plant_wrong_labels(chance: random.Random) -> Planted:
    """Judged by the classifier that judges a person's labels, here by the words alone and on texts that words tell
    apart; how it does with the starter's embeddings on real texts is measured in tests/real."""
    words = {topic: [f"{topic}{n}" for n in range(12)] for topic in ("bill", "ship", "login", "praise")}
    rows = [
        {
            "text": " ".join(
                [
                    *chance.sample(words[topic], 5),
                    chance.choice(words[chance.choice(list(words))]),
                    *chance.sample(SURPLUS, 2),
                    f"note {n}",
                ]
            ),
            "label": topic,
        }
        for n in range(60)
        for topic in words
    ]
    found = set()
    for index in chosen(rows, chance):
        others = [topic for topic in words if topic != rows[index]["label"]]
        rows[index] = {**rows[index], "label": chance.choice(others)}
        found.add(index + 1)
    texts = {number: row["text"] for number, row in enumerate(rows, 1)}
    labels = {number: row["label"] for number, row in enumerate(rows, 1)}
    with TemporaryDirectory() as folder:
        vectors = EmbeddingStore(Path(folder))
        vectors.add(list(texts.values()), by_words(texts.values(), words.values()))
        suspects, _ = label_errors(vectors, texts, labels, lambda done, total: None)
    return as_table(rows), SORT, LABELLED, found, {"suspects": suspects}


def by_words(texts: Iterable[str], topics: Iterable[list[str]]) -> Any:
    """Texts as how many words of each topic they hold."""
    import numpy as np

    known = [frozenset(words) for words in topics]
    return np.array([[len(words & set(text.split())) for words in known] for text in texts], dtype="float32")


def plant_equal_pairs(chance: random.Random) -> Planted:
    rows = [
        {"prompt": row["question"], "chosen": row["answer"], "rejected": f"No idea. {row['answer'][:40]}"}
        for row in chat_rows()
    ]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        same = rows[index]["chosen"]
        rows[index] = {**rows[index], "rejected": same if place % 2 else f" {same}\n"}
    roles = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    return as_table(rows), task_named("preference"), roles, {index + 1 for index in places}, {}


def plant_different_prompts(chance: random.Random) -> Planted:
    def conversation(*texts: str) -> list[dict[str, str]]:
        return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]

    rows = [
        {
            "chosen": conversation("Hi", "Hello.", row["question"], row["answer"]),
            "rejected": conversation("Hi", "Hello.", row["question"], f"No idea. {row['answer'][:40]}"),
        }
        for row in chat_rows()
    ]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        reply = rows[index]["rejected"]
        rows[index]["rejected"] = [[*reply[:1], *conversation("", "What?")[1:], *reply[2:]], reply[2:]][place % 2]
    roles = {"chosen": "chosen", "rejected": "rejected"}
    return as_table(rows), task_named("preference"), roles, {index + 1 for index in places}, {}


def plant_fractional_weights(chance: random.Random) -> Planted:
    rows = [
        {
            "messages": [
                {"role": "user", "content": row["question"], "loss_weight": 0.0},
                {"role": "assistant", "content": row["answer"], "loss_weight": float(place % 2)},
            ]
        }
        for place, row in enumerate(chat_rows())
    ]
    places = chosen(rows, chance)
    for place, index in enumerate(places):
        rows[index]["messages"][1]["loss_weight"] = (0.5, 2, 0.1)[place % 3]
    return as_table(rows), CHAT, {"messages": "messages"}, {index + 1 for index in places}, {}


def plant_lost_answers(chance: random.Random) -> Planted:
    rows: list[Row] = []
    for row in chat_rows():
        words = row["answer"].split()[2:5]
        start = row["answer"].index(" ".join(words))
        rows.append({**row, "context": row["answer"], "answer": {"text": [" ".join(words)], "answer_start": [start]}})
    places = chosen(rows, chance)
    for index in places:
        rows[index] = {**rows[index], "answer": {"text": ["a purple elephant"], "answer_start": [3]}}
    roles = {"question": "question", "context": "context", "answer": "answer"}
    return as_table(rows), task_named("question-answering"), roles, {index + 1 for index in places}, {}


FOREIGN = [
    "Vielen Dank für Ihre Nachricht, wir haben das Paket gestern verschickt und es kommt am Freitag an.",
    "Merci pour votre message, nous avons envoyé le colis hier et il arrivera vendredi chez vous.",
    "Gracias por escribirnos, hemos enviado el paquete ayer y llegará a su casa el viernes.",
    "Grazie per averci scritto, abbiamo spedito il pacco ieri e arriverà da voi venerdì.",
    "Obrigado pela sua mensagem, enviámos a encomenda ontem e ela chega na sexta-feira.",
    "Bedankt voor uw bericht, we hebben het pakket gisteren verzonden en het komt vrijdag aan.",
    "Dziękujemy za wiadomość, paczka została wysłana wczoraj i dotrze do państwa w piątek.",
    "Спасибо за ваше сообщение, мы отправили посылку вчера, и она придёт в пятницу.",
    "您好，感谢您的来信，我们昨天已经把包裹寄出，预计星期五就会送到您的家里。",
    "Tack för ditt meddelande, vi skickade paketet i går och det kommer fram på fredag.",
]


def plant_languages(chance: random.Random) -> Planted:
    return plant_cells("answer", lambda place, _: FOREIGN[place % 10])(chance)


def plant_translations(chance: random.Random) -> Planted:
    """Rows that speak of a language, names, code and short words of another one: nothing to be found."""
    rows = chat_rows()
    for place, index in enumerate(chosen(rows, chance)):
        rows[index] = [
            {**rows[index], "question": "Please translate this for me.", "answer": FOREIGN[place % 10]},
            {**rows[index], "answer": f"Sprechen Sie mit Frau Müller. {rows[index]['answer']}"},
            {**rows[index], "answer": "for i in range(10): print(i); x = [n ** 2 for n in values if n % 2 == 0]"},
            {**rows[index], "answer": "Merci beaucoup !"},
        ][place % 4]
    return as_table(rows), CHAT, PAIR, set(), {}


PLANTED: dict[str, list[Callable[[random.Random], Planted]]] = {
    "bad-line": [plant_bad_lines],
    "empty": [plant_empty],
    "wrong-type": [plant_wrong_types],
    "duplicate": [plant_duplicates],
    "near-duplicate": [plant_near, plant_strangers],
    "leakage": [plant_leaks, plant_leaks_in_the_files_parts, plant_leaks_by_group, plant_leaks_in_the_usual_parts],
    "label-conflict": [plant_conflicts],
    "roles-out-of-order": [plant_roles],
    "encoding": [plant_encoding, plant_accents],
    "personal-data": [plant_personal, plant_numbers],
    "placeholder": [plant_placeholders],
    "too-long": [plant_long],
    "too-short": [plant_short],
    "imbalance": [plant_imbalance],
    "rare-label": [plant_rare],
    "label-error": [plant_wrong_labels],
    "equal-pair": [plant_equal_pairs],
    "different-prompts": [plant_different_prompts],
    "fractional-weight": [plant_fractional_weights],
    "answer-not-found": [plant_lost_answers],
    "wrong-language": [plant_languages, plant_translations],
}


def test_each_kind_of_the_contract_is_planted() -> None:
    assert set(PLANTED) == set(CHECKS)


@pytest.mark.slow
def test_the_table_of_the_docs_names_each_kind_with_its_severity() -> None:
    docs = Path(__file__).parents[2] / "docs" / "reference" / "data.md"
    lines = [line.split("|") for line in docs.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    said = {cells[1].strip(" `"): cells[3].strip() for cells in lines if len(cells) == 6}
    assert set(said) >= set(CHECKS)
    for kind, plants in PLANTED.items():
        table, task, roles, _, about = plants[0](random.Random(0))
        told = {each.kind: each.severity for each in check(table, task, roles, **about).problems}
        assert told[kind] == said[kind], kind


@pytest.mark.slow
def test_each_check_finds_what_was_planted_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    lines, weak = [f"{'check':20}{'planted':>9}{'found':>7}{'right':>7}{'precision':>11}{'recall':>8}"], []
    for kind, plants in PLANTED.items():
        planted = found = right = 0
        for seed in range(3):
            for plant in plants:
                table, task, roles, wanted, about = plant(random.Random(seed))
                rows = set(rows_of(table, task, roles, [kind], **about)[kind])
                planted, found, right = planted + len(wanted), found + len(rows), right + len(rows & wanted)
        precision, recall = right / found if found else 0.0, right / planted
        lines.append(f"{kind:20}{planted:9}{found:7}{right:7}{precision:11.3f}{recall:8.3f}")
        if min(precision, recall) < LEAST:
            weak.append(kind)
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert not weak
