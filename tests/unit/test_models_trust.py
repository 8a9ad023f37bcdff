"""Code of others and pickles: allowed for one model as it was looked at, and for nothing that it becomes."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.models import find_model
from studio.schema.errors import StudioError
from studio.store import Home
from tests.hubserver import HubServer, Repo, tiny_folder, tiny_repo


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """A folder with a model that brings code, in a package of its own too."""
    folder = tmp_path / "coded"
    (folder / "parts").mkdir(parents=True)
    tiny_folder(folder)
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoModelForCausalLM": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("from .parts import more\n")
    (folder / "parts" / "more.py").write_text("print(1)\n")
    return folder


def changed(folder: Path, name: str, text: str) -> None:
    """Another content of as many bytes and of the same time."""
    path = folder / name
    before = path.stat()
    path.write_bytes(text.encode().ljust(before.st_size)[: before.st_size])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


@pytest.mark.parametrize("name", ["own.py", "parts/more.py", "config.json"])
def test_code_that_has_changed_is_not_what_was_allowed(name: str, coded: Path, studio: Studio) -> None:
    studio.models.trust(str(coded), seen=find_model(str(coded)).fingerprint)
    assert studio.models.get(str(coded)).trusted and studio.models.get(f"{coded}/../coded").trusted
    text = (coded / name).read_text().replace("own.Own", "own.One").replace("print(1)", "print(2)")
    changed(coded, name, text.replace("more", "moor"))
    assert not studio.models.get(str(coded)).trusted
    with pytest.raises(StudioError) as refused:
        studio.models.ready(str(coded))
    assert refused.value.code == "unsafe-model" and f"studio trust {coded}" in refused.value.hint


def test_what_was_looked_at_is_what_is_allowed(coded: Path, studio: Studio) -> None:
    seen = studio.models.get(str(coded)).info.fingerprint
    (coded / "own.py").write_text("import os\n")
    for given in (seen, "", "nonsense"):
        with pytest.raises(StudioError, match="changed since you saw it"):
            studio.models.trust(str(coded), seen=given)
    assert not studio.home.trusted_models()


def test_other_weights_in_a_pickle_are_not_what_was_allowed(tmp_path: Path, studio: Studio) -> None:
    folder = tmp_path / "pickled"
    tiny_folder(folder, ("model.safetensors",))
    assert studio.models.trust(str(folder)).trusted
    changed(folder, "pytorch_model.bin", "another pickle")
    assert not studio.models.get(str(folder)).trusted


def test_what_needs_no_trust_gets_none(tmp_path: Path, studio: Studio) -> None:
    folder = tmp_path / "plain"
    tiny_folder(folder, ())
    assert not studio.models.trust(str(folder)).trusted and not studio.home.trusted_models()


def test_of_a_model_of_the_hub_one_revision_is_allowed(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer() as hub:
        hub.stand_in(monkeypatch, tmp_path / "cache")
        files = {name: data for name, data in tiny_repo().files.items() if name != "model.safetensors"}
        hub.add(Repo("someone/pickled", files, tags=("transformers",)))
        studio.models.trust("someone/pickled", seen=studio.models.get("someone/pickled").info.fingerprint)
        info = studio.models.download("someone/pickled", lambda done, total: None)
        assert info.here and studio.home.trusts(info) and studio.models.ready("someone/pickled").here
        snapshot = Path(str(info.path))
        other = snapshot.with_name("f" * 40)
        snapshot.rename(other)
        (snapshot.parents[1] / "refs" / "main").write_text("f" * 40)
        with pytest.raises(StudioError) as refused:
            studio.models.ready("someone/pickled")
        assert refused.value.code == "unsafe-model"


def test_names_that_an_older_studio_kept_are_asked_about_again(coded: Path, studio: Studio) -> None:
    (studio.home.root / "trusted-models.json").write_text(json.dumps([str(coded)]))
    assert not studio.models.get(str(coded)).trusted
    assert studio.models.trust(str(coded)).trusted


def test_the_page_allows_what_it_showed_and_takes_it_back(coded: Path, tmp_path: Path) -> None:
    from studio.ui.tabs.model import tab as model_tab
    from studio.ui.visitors.session import Sessions

    sessions = Sessions(tmp_path / "page")

    def visit(**event: Any) -> Any:
        return sessions.visit({}, "page", event)

    visit().choose(task="chat", model="starter-chat")
    model_tab.use_folder(visit(value=str(coded)))
    drawn: Callable[[], str] = lambda: "".join(  # noqa: E731
        map(str, model_tab._models(visit(), model_tab.Components("b", "a")).values())  # type: ignore[arg-type]
    )
    seen = find_model(str(coded)).fingerprint
    assert f'data-seen="{seen}"' in drawn() and "could run a program" in drawn()
    with pytest.raises(StudioError):
        model_tab.trust(visit(seen="another"))
    model_tab.trust(visit(seen=seen))
    assert "could run a program" not in drawn() and "Withdraw permission" in drawn()
    assert Home(tmp_path / "page").trusted_models() == {str(coded): seen}
    model_tab.trust(visit(back="yes"))
    assert "could run a program" in drawn()
    sessions.root.close()
