"""Cells that were written to keep a server busy are read as fast as others."""

import time

import pytest

from studio.data.literals import parsed
from studio.data.personal_data import find_personal_data, masked
from studio.tasks.conversation import without_reasoning


def test_beginnings_of_thoughts_without_an_end_take_no_time() -> None:
    text = "<think>" * 14_000
    began = time.process_time()
    assert without_reasoning([{"role": "assistant", "content": text}])[0]["content"] == text
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>\nFirst.\n</think>\n\nReply.", "Reply."),
        ("One <think>a</think> two <think>b</think>\nthree", "One two three"),
        ("<think>a<think>b</think>c</think> d", "c</think> d"),
        ("</think>Reply <think>open", "</think>Reply <think>open"),
        ("Reply.", "Reply."),
    ],
)
def test_thoughts_are_removed_with_the_space_after_them(text: str, kept: str) -> None:
    assert without_reasoning([{"role": "assistant", "content": text}])[0]["content"] == kept


def test_a_cell_of_formatted_strings_is_no_list_and_takes_no_time() -> None:
    cell = "[f'" + "{1}" * 33_000 + "']"
    began = time.process_time()
    assert parsed(cell) is None
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "print(f'{1}') # if \"so\"\n"}],
        ["''' f'", '""" f"', "\\", "\\'", b"bytes", 1.5, None, True],
        {"a": ("f", ["'f'"])},
    ],
)
def test_lists_as_python_writes_them_are_read(value: object) -> None:
    assert parsed(repr(value)) == value
    assert parsed("[u'old', r'raw']") == ["old", "raw"]
    assert parsed("[array(['a', 'b'], dtype=object)]") == [["a", "b"]]


def test_beginnings_of_arrays_without_an_end_take_no_time() -> None:
    began = time.process_time()
    assert parsed("[" + "array([" * 14_000) is None
    assert time.process_time() - began < 0.2


def test_thousands_of_addresses_in_one_cell_are_found_and_masked_at_once() -> None:
    began = time.process_time()
    assert len(find_personal_data("ab@cd.co " * 11_000)) == 11_000
    assert masked("ab@cd.co " * 11_000) == "[email] " * 11_000
    assert time.process_time() - began < 1
