"""Refusals teach: what, what was given, what would be right, what to do; and each code is documented and tested."""

import re
from pathlib import Path

import pytest

from studio.schema.errors import CODES, StudioError, nearest, raise_all

ROOT = Path(__file__).resolve().parents[2]
RAISED = re.compile(r"StudioError\(\s*\"([a-z-]+)\"")


def sources(folder: str) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))}


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_place_in_the_docs(code: str) -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\S+)$", page, re.MULTILINE)
    assert headings.count(code) == 1


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_used_by_the_studio(code: str) -> None:
    users = [path for path, text in sources("studio").items() if f'"{code}"' in text and path.name != "errors.py"]
    assert users, f"nothing raises {code}"


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_met_in_a_test(code: str) -> None:
    here = Path(__file__)
    assert [path for path, text in sources("tests").items() if path != here and f'"{code}"' in text]


def test_no_code_is_made_up_on_the_way() -> None:
    used = {code for text in sources("studio").values() for code in RAISED.findall(text)}
    assert used <= set(CODES)
    with pytest.raises(ValueError, match="unknown error code"):
        StudioError("made-up", "x")


def test_no_refusal_shouts_or_names_a_library_by_its_traceback() -> None:
    for words in CODES.values():
        assert "!" not in words
        assert words.endswith(".")


def test_a_refusal_says_what_given_valid_and_hint() -> None:
    error = StudioError("bad-setting", "Too many.", given=9, valid=["one", "two"], hint="Take fewer.", field="count")
    assert error.message == "Too many. Given: 9. Expected: one, two. Take fewer."
    assert str(error) == error.message
    assert error.all() == (error,)
    assert StudioError("bad-setting", "No.", valid="a number").message == "No. Expected: a number."


def test_several_problems_are_one_refusal_with_a_line_each() -> None:
    first, second = StudioError("bad-setting", "One."), StudioError("unknown-setting", "Two.")
    raise_all([])
    with pytest.raises(StudioError) as caught:
        raise_all([first])
    assert caught.value is first
    with pytest.raises(StudioError) as caught:
        raise_all([first, second])
    assert caught.value.code == "bad-setting"
    assert caught.value.message == "One.\nTwo."
    with pytest.raises(StudioError) as again:
        raise_all([caught.value, first])
    assert again.value.all() == (first, second, first)


def test_rows_and_fields_travel_with_the_refusal() -> None:
    error = StudioError("no-such-row", "x", rows=[3, 5])
    assert error.rows == (3, 5)


@pytest.mark.parametrize(("typed", "hint"), [("lerning_rate", "Did you mean learning_rate?"), ("qqqqq", ""), ("", "")])
def test_the_nearest_name_is_a_hint_only_when_it_is_near(typed: str, hint: str) -> None:
    assert nearest(typed, ["learning_rate", "epochs"]) == hint
