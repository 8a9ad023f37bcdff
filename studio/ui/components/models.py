"""List entries and details of base models."""

from collections.abc import Mapping

from studio.schema.models import ModelInfo
from studio.schema.numbers import count, memory_of, size, size_of
from studio.schema.views import DownloadState, ModelView
from studio.services.models.service import usual_length
from studio.ui.components.basic import Field, button, check_input, facts, note, state, track
from studio.ui.components.markup import Html, Verbatim, attrs, html, join

FITS = {"fits": ("ok", "Fits", ""), "tight": ("warn", "Tight", "warn"), "too-large": ("error", "Too large", "none")}


LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "pl": "Polish",
    "ru": "Russian",
    "uk": "Ukrainian",
    "tr": "Turkish",
    "ar": "Arabic",
    "hi": "Hindi",
    "zh": "Chinese",
    "ja": "Japanese",
    "ko": "Korean",
    "multilingual": "many languages",
}
PLACES = {
    "hub": "From the Hub",
    "starter": "From the Hub",
    "gguf": "GGUF file",
    "keras": "Keras folder",
    "tensorflow": "TensorFlow folder",
    "modelscope": "From ModelScope",
    "kaggle": "From Kaggle",
    "torchhub": "From PyTorch Hub",
}
"""Source of a model that is not on this machine yet → where it is from."""
DOWNLOADED = ("hub", "modelscope", "kaggle", "torchhub")
"""Sources whose models have a name in place of a path."""
LICENCES = {"apache-2.0": "Apache 2.0", "mit": "MIT", "": "not stated", "other": "custom, see the Hub"}


def licence_words(licence: str) -> str:
    """The usual spelling of a license."""
    return LICENCES.get(licence.lower(), licence)


def model_rows(
    models: list[ModelView],
    chosen: str,
    downloads: Mapping[str, DownloadState],
    label: str,
    titles: Mapping[str, str],
) -> Html:
    """Models as radio buttons. Those that can't be chosen have a reason. `titles`: task → title."""
    return html(
        '<div role="radiogroup" aria-label="{label}" class="mlist">{rows}</div>',
        label=label,
        rows=[_row(each, chosen, downloads.get(each.info.name), titles) for each in models],
    )


def _row(view: ModelView, chosen: str, download: DownloadState | None, titles: Mapping[str, str]) -> Html:
    info, off = view.info, bool(view.unavailable_reason)
    key = f"m-{info.name}"
    return html(
        '<div class="mrow {off}"{row}><input type="radio"{attrs}><label class="grow"{for_}><span class="t">{title}'
        '</span><span class="muted">{sentence}</span></label><span class="c-dl">{here}</span><span class="c-mem">'
        "{memory}</span></div>",
        off="off" if off else "",
        row=attrs(data_key=key),
        attrs=attrs(name="model", value=info.name, id=key, data_act="model", checked=info.name == chosen, disabled=off),
        for_=attrs(for_=key),
        title=Verbatim(info.title),
        sentence=view.unavailable_reason
        or view.sentence
        or (_of_source(info, titles) if info.source in DOWNLOADED else Verbatim(info.name)),
        here=_here(view, download),
        memory=_memory(view),
    )


def _of_source(info: ModelInfo, titles: Mapping[str, str]) -> Html:
    """Facts about a search result: name, license, downloads and tasks. Kaggle has tasks for a chosen model only."""
    taken = f"{info.downloads:,} downloads a month" if info.downloads and info.source == "hub" else ""
    tasks = ", ".join(titles.get(each, each) for each in info.tasks)
    if not tasks and info.source == "kaggle":
        tasks = "Choose it to see its tasks"
    parts = (Verbatim(info.hub_id or info.name), licence_words(info.licence), taken, tasks)
    return join([each for each in parts if each], " · ")


def _here(view: ModelView, download: DownloadState | None) -> Html:
    info = view.info
    if download and download.status == "running":
        whole = max(download.total_bytes, 1)
        done, total = size_of(download.done_bytes, whole)
        label = f"{done} of {total} converted" if info.is_converted else f"{done} of {total} downloaded"
        words = (
            '<span class="row"><span class="grow">{done} <span class="muted">of {total}<span class="only-si"> '
            "downloaded</span></span></span>{cancel}</span>{track}"
        )
        if info.is_converted:
            words = (
                '<span class="row"><span class="grow">{done} <span class="muted">of {total}<span class="only-si"> '
                "converted</span></span></span>{cancel}</span>{track}"
            )
        cancel = button("", "cancel", "quiet x", "x", name=info.name, aria_label=_cancel_label(info))
        bar = track(download.done_bytes / whole, label=label)
        return html(words, done=done, total=total, cancel=cancel, track=bar)
    words = size(info.bytes) if info.bytes else "size unknown"
    mark: Html | str = html("<span>{where}</span>", where=PLACES.get(info.source, ""))
    if info.here:
        mark, words = state("ok", "Converted" if info.is_converted else "Downloaded"), size(info.bytes)
    elif info.is_converted and download and download.status in ("failed", "cancelled"):
        mark = state("error", "Conversion failed") if download.status == "failed" else state("idle", "Stopped")
    elif download and download.status in ("failed", "cancelled"):
        mark = state("error", "Download failed") if download.status == "failed" else state("idle", "Stopped")
        words = f"{size(download.done_bytes)} downloaded"
    elif info.gated:
        mark, words = state("warn", "Gated", "lock"), f"{size(info.bytes)} from the Hub"
    return html("{mark}<small>{words}</small>", mark=mark, words=words)


def _cancel_label(info: ModelInfo) -> str:
    name = info.title
    return f"Cancel the conversion of {name}" if info.is_converted else f"Cancel the download of {name}"


def _memory(view: ModelView) -> Html:
    if view.unavailable_reason and view.fits != "too-large":
        return state("idle", "Not for this task", "x")
    if not view.memory_bytes:
        return state("idle", "Unknown", "info")
    kind, word, bar = FITS[view.fits]
    done, total = memory_of(view.memory_bytes, view.available_bytes)
    return html(
        '<span class="meter"><span class="row"><span class="grow">{done} <span class="muted">of {total}<span '
        'class="only-si"> to train</span></span></span>{state}</span>{track}</span>',
        done=done,
        total=total,
        state=state(kind, word),
        track=track(view.memory_bytes / max(view.available_bytes, 1), bar, f"{done} of {total}: {word}"),
    )


def model_details(view: ModelView, titles: Mapping[str, str]) -> Html:
    """Details of a model. `titles`: task → title."""
    info = view.info
    languages = ", ".join(LANGUAGES.get(each, each) for each in info.languages[:4])
    more = f" and {len(info.languages) - 4} more" if len(info.languages) > 4 else ""
    template = "Included" if info.has_chat_template else "None: the studio uses a plain one"
    pairs = [
        ("License", licence_words(info.licence)),
        ("Languages", f"{languages}{more}"),
        ("Can do", ", ".join(titles.get(each, each) for each in info.tasks) or "None of the tasks here"),
        ("Context length", info.context and f"{info.context:,} tokens"),
        ("Chat template", info.kind == "causal" and template),
        ("Size on disk" if info.here or info.is_converted else "Size to download", info.bytes and size(info.bytes)),
        ("Parameters", info.parameters and count(info.parameters)),
        ("Gated", "Yes" if info.gated else "No"),
        ("Downloads on the Hub", info.source == "hub" and info.downloads and f"{info.downloads:,} a month"),
        ("Architecture", Verbatim(info.architecture)),
        ("Revision", info.revision and html('<span class="mono">{r}</span>', r=Verbatim(info.revision[:7]))),
    ]
    context = html(
        '<p class="small"><span>{limit}</span> <span>{needed}</span> <span>{memory}</span></p>',
        limit=f"{info.context:,} tokens are the model’s limit (context length).",
        needed="The Method tab sets the maximum length to what your longest row needs. It is often much less.",
        memory=f"The memory in the list is for rows of {usual_length(info):,} tokens.",
    )
    return html(
        '<div><h2 id="about">{title}</h2><small>{name}</small></div>{facts}{more}{context}',
        title=Verbatim(info.title),
        name=Verbatim(info.hub_id or info.name),
        facts=facts([pair for pair in pairs if pair[1]]),
        more=_words(view),
        context=context if info.context else "",
    )


def _words(view: ModelView) -> Html:
    parts = [
        ("Good for", view.good_for),
        ("Not for", view.not_for),
        ("Note", view.info.note if view.info.note != view.sentence else ""),
    ]
    return html(
        '<div class="stack tight">{parts}</div>',
        parts=[html('<h3>{h}</h3><p class="muted">{p}</p>', h=h, p=p) for h, p in parts if p],
    )


def trust_question(view: ModelView) -> Html:
    """The question whether to trust a model with custom code or pickles."""
    warning = html(
        "<p><b>This model could run a program on this machine.</b> {why}</p><p>Its authors could read your files "
        "and your rows. Allow it only if you know and trust them. The studio asks once for each model, and again "
        "when its code or weights change.</p>",
        why=view.info.needs_trust,
    )
    return html(
        '<div class="stack tight">{note}{check}{button}</div>',
        note=note("warn", warning),
        check=check_input("understood", "I know the authors of this model and trust them.", False),
        button=button(
            "Allow this model", "trust", "danger", disabled=True, needs="understood", seen=view.info.fingerprint
        ),
    )


def trust_kept() -> Html:
    """A note that the model is trusted, with a button to withdraw that."""
    return note(
        "warn",
        html("<p>You allowed this model to run its own code or to load pickle files.</p>"),
        button("Withdraw permission", "trust", "s", back="yes"),
    )


def token_form(name: str, has_token: bool) -> Html:
    """The form of a Hub token, for gated models."""
    steps = html(
        "<p><b>You must accept the terms of this model first.</b> Open its page on the Hub ({name}), log in and "
        "accept. Then make a token under Settings, Access Tokens, and paste it here.</p>",
        name=name,  # no element of its own: the sentence would be translated in parts
    )
    field = Field("token", "Hub token", "Saved in a file that only you can read. Sent only to the Hub.")
    return html(
        '<div class="stack tight">{note}{kept}{field}<div class="row">{keep}{forget}</div></div>',
        note=note("acc", steps),
        kept=has_token and html('<p class="muted">A token is saved on this machine. It is never shown again.</p>'),
        field=field.text("", "", type="password", placeholder="hf_…"),
        keep=button("Save token", "token", "s", take="token"),
        forget=has_token
        and button("Remove token", "forget-token", "s quiet", confirm="Remove the Hub token from this machine?"),
    )
