"""Are the defaults good? Two targets, through the real worker, on two cores that are otherwise idle.

    .venv/bin/python benchmarks/quality.py [style] [labels]

style   120 question-and-answer rows on starter-chat: within 5 minutes, and ten unseen questions of ten get the style
labels  3,000 short texts in four classes on starter-classify: within 7 minutes, and macro-F1 on texts of other
        people no worse than that of a plain transformers script (three passes, 5e-5, batches of 16)
"""

import argparse
import csv
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from homes import add_file, add_run, train
from rows import sample

from studio.models import find_model
from studio.store import Home

BEGIN, END = "Thanks for asking.", "Write back any time, Nora at Northwind."
GROUPS = {
    "delivery": ("track_order", "change_address", "cancel_order"),
    "money": ("refund_request", "payment_problem", "invoice_copy", "discount_code"),
    "product": ("product_question", "damaged_item", "login_help"),
    "feeling": ("complaint", "praise"),
}


def write_csv(rows: list[dict[str, str]], path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def style() -> bool:
    """120 rows, then ten questions from the rest of the file."""
    from studio.inference.generate import replies
    from studio.inference.load import load_adapter, load_base, load_tokenizer
    from studio.schema.report import ChatSettings
    from studio.tasks import Encoding, task_named

    rows = sample("support-tone")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(folder)
        run = add_run(home, add_file(home, write_csv(rows[:120], Path(folder) / "tone.csv")), "starter-chat")
        seconds = train(home, run)
        info, result = find_model("starter-chat"), home.workspace().runs.folder(run).result
        assert result is not None
        tokenizer = load_tokenizer(info)
        model = load_adapter(load_base(info, "bfloat16"), result).merge_and_unload().eval()
        encoding, task = Encoding(tokenizer, {}, 512), task_named("chat")
        asked = [row["question"] for row in rows[-10:]]
        prompts = [task.prompt_ids(question, encoding) for question in asked]
        said = replies(model, tokenizer, prompts, ChatSettings(temperature=0.0, max_new_tokens=120))
    right = sum(text.startswith(BEGIN) and text.strip().endswith(END) for text in said)
    for question, text in zip(asked, said, strict=True):
        print(f"    {question}\n        {text}")
    good = right == len(asked) and seconds <= 300
    print(
        f"style: {right} of {len(asked)} in {seconds:.0f} s (goal: all, within 300 s): {'reached' if good else 'NOT'}"
    )
    return good


def short_texts(count: int, texts: list[tuple[str, str]], seed: int) -> list[dict[str, str]]:
    """Pieces of messages as people type them: four to twelve words, small letters, now and then a slip."""
    chance, rows, seen = random.Random(seed), [], set()
    while len(rows) < count:
        text, label = chance.choice(texts)
        words = text.split()
        length = chance.randint(4, 12)
        start = chance.randint(0, max(0, len(words) - length))
        piece = words[start : start + length]
        if chance.random() < 0.5:
            piece = [word.lower() for word in piece]
        if chance.random() < 0.3:
            at = chance.randrange(len(piece))
            piece[at] = piece[at][:-1] or piece[at]
        if chance.random() < 0.2:
            piece.insert(0, chance.choice(("@northwind", "hi", "ugh", "ok so", "hey")))
        if (joined := " ".join(piece)) not in seen:
            seen.add(joined)
            rows.append({"text": joined, "label": label})
    return rows


def tweets() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """3,000 texts to learn from and 2,000 to be judged by, made of different messages."""
    group = {intent: name for name, intents in GROUPS.items() for intent in intents}
    messages = [(row["message"], group[row["intent"]]) for row in sample("intent-routing")]
    random.Random(0).shuffle(messages)
    return short_texts(3000, messages[:400], 1), short_texts(2000, messages[400:], 2)


def plain_script(rows: list[dict[str, str]], folder: Path) -> float:
    """What one writes after reading the front page of transformers' text classification guide."""
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    path, names = str(find_model("starter-classify").path), sorted(GROUPS)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=len(names), id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)}
    )
    data = Dataset.from_list([{**tokenizer(row["text"]), "labels": names.index(row["label"])} for row in rows])
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        num_train_epochs=3,
        learning_rate=5e-5,
        per_device_train_batch_size=16,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), data, processing_class=tokenizer)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return seconds


def macro_f1(folder: Path, rows: list[dict[str, str]]) -> float:
    """By plain transformers and scikit-learn."""
    import torch
    from sklearn.metrics import f1_score
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    said = []
    for at in range(0, len(rows), 64):
        batch = tokenizer([row["text"] for row in rows[at : at + 64]], padding=True, return_tensors="pt")
        with torch.no_grad():
            said += [model.config.id2label[int(each)] for each in model(**batch).logits.argmax(-1)]
    return float(f1_score([row["label"] for row in rows], said, average="macro"))


def labels() -> bool:
    """Ours and the plain script on the same texts."""
    learned, held = tweets()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        run = add_run(home, add_file(home, write_csv(learned, Path(folder) / "texts.csv")), "starter-classify")
        seconds = train(home, run)
        result = home.workspace().runs.folder(run).result
        assert result is not None
        ours = macro_f1(result, held)
        plain_seconds = plain_script(learned, Path(folder))
        theirs = macro_f1(Path(folder) / "model", held)
    good = ours >= theirs and seconds <= 420
    print(
        f"labels: macro-F1 {ours:.3f} in {seconds:.0f} s, plain script {theirs:.3f} in {plain_seconds:.0f} s "
        f"(goal: no worse, within 420 s): {'reached' if good else 'NOT reached'}"
    )
    return good


TARGETS = {"style": style, "labels": labels}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all unless named")
    given = parser.parse_args()
    results = [TARGETS[name]() for name in given.targets or TARGETS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
