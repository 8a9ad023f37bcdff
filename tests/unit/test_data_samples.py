"""The sample data: there, of some size, no two rows alike, and with test prompts that stand in no row."""

from pathlib import Path

import pytest

from studio.data.formats import read
from studio.data.roles import infer
from studio.data.samples import SAMPLES, Sample, sample_named, sample_path
from studio.schema.errors import StudioError
from studio.tasks import TASKS


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=lambda each: each.name)
def test_a_sample_has_rows_of_its_own_and_prompts_that_it_never_saw(sample: Sample) -> None:
    table = read(sample_path(sample.name))
    assert 200 <= len(table) <= 600
    found = infer(table, TASKS.values())
    texts = [found.task.text_of(row, found.matched.roles) for row in table.rows()]
    assert len({text.casefold() for text in texts}) == len(texts)
    assert len(set(sample.prompts)) == 3 and not set(sample.prompts) & set(texts)
    assert sample.sentence.endswith(".")


def test_samples_lie_beside_the_package_or_in_it() -> None:
    assert {sample_path(name).parent for name in SAMPLES} == {Path(sample_path("support-tone")).parent}
    assert sample_path("support-tone").parent.name == "samples"


def test_a_sample_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudioError, match="Did you mean support-tone") as caught:
        sample_named("suport-tone")
    assert caught.value.code == "no-such-sample"
