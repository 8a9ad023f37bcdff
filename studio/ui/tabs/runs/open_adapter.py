"""A form that opens an adapter of another tool as a run, in a fold under the table of runs."""

from pathlib import Path

from studio.schema.errors import StudioError
from studio.ui.components.basic import Field, button, fold, text_input
from studio.ui.components.markup import Html, html
from studio.ui.selected import select_run
from studio.ui.visitors.session import Visit


def panel(visit: Visit) -> Html:
    """The folder of the adapter and its base model. Not offered in a demo."""
    if visit.demo:
        return Html("")
    folder, base = _saved(visit, "adapter_folder"), _saved(visit, "adapter_base")
    body = html(
        '<div class="stack"><p class="muted">{about}</p><div class="row wrap">{folder}{base}</div>'
        '<div class="row">{b}</div></div>',
        about="The folder needs the files adapter_config.json and adapter_model.safetensors.",
        folder=text_input(
            "adapter-folder",
            folder,
            "adapter-folder",
            class_="grow",
            placeholder="Folder of the adapter",
            aria_label="Folder of the adapter on this machine",
            spellcheck="false",
        ),
        base=Field("adapter-base", "Base model").select(_models(visit), base, "adapter-base"),
        b=button("Open adapter", "open-adapter", disabled=not folder),
    )
    words = "Adapters of LLaMA-Factory, Unsloth, Axolotl, TRL and H2O become runs"
    folded = fold("Open a result of another tool", words, body, bool(folder), "open-adapter")
    return html('<section class="panel flush" data-key="open-adapter-panel">{f}</section>', f=folded)


def _models(visit: Visit) -> list[tuple[str, str]]:
    """(value, label) of the base models on this machine. The first one stands for a search among them."""
    local = [view.info for view in visit.studio.models.all() if view.info.here and view.info.kind == "causal"]
    return [("", "Find it automatically"), *((info.name, info.title) for info in local)]


def _saved(visit: Visit, name: str) -> str:
    return str(visit.choices.extra.get(name) or "")


def choose_folder(visit: Visit) -> None:
    """Save the folder."""
    visit.remember(adapter_folder=visit.text("value", 4000).strip())


def choose_base(visit: Visit) -> None:
    """Save the base model. Empty: found automatically."""
    visit.remember(adapter_base=visit.text("value", 4000).strip())


def open_adapter(visit: Visit) -> None:
    """Open the adapter, and select the new run."""
    visit.settle()
    folder = _saved(visit, "adapter_folder")
    if not folder:
        raise StudioError(
            "bad-setting",
            "Enter the folder of the adapter first.",
            valid="a folder with adapter_config.json and adapter_model.safetensors",
            field="folder",
        )
    made = visit.studio.adapters.open(Path(folder).expanduser(), _saved(visit, "adapter_base"))
    visit.remember(adapter_folder="", adapter_base="")
    select_run(visit, made.id)


ACTS = {"adapter-folder": choose_folder, "adapter-base": choose_base, "open-adapter": open_adapter}
