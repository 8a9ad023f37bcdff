"""The icons, as inline SVG. Each has a text beside it, so all are hidden from screen readers."""

from studio.ui.components.markup import Html, html

PATHS: dict[str, str] = {
    "logo": "M1.8 3v11h12.4M3.8 5c2 6.5 4.5 6 10 5.6",
    "ok": "M3 8.5l3.2 3.2L13 5",
    "warn": "M8 2.5L14.5 13.5H1.5zM8 6.5v3M8 11.6v.1",
    "error": "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
    "info": "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 7.3v3.7M8 5v.1",
    "clock": "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 4.8V8l2.3 1.6",
    "globe": "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM1.8 8h12.4M8 1.8q5.4 6.2 0 12.4M8 1.8q-5.4 6.2 0 12.4",
    "x": "M4 4l8 8M12 4l-8 8",
    "lock": "M3.5 7.2h9v6.5h-9zM5.3 7.2V5a2.7 2.7 0 015.4 0v2.2",
    "search": "M7 2.5a4.5 4.5 0 100 9 4.5 4.5 0 000-9zM10.3 10.3L13.8 13.8",
    "folder": "M1.8 4v8.5h12.4V5.5H8L6.5 3.5H1.8z",
    "upload": "M8 10.5V2.5M4.8 5.5L8 2.3l3.2 3.2M2.5 10.5v3h11v-3",
    "download": "M8 2.5v8M4.8 7.5L8 10.7l3.2-3.2M2.5 10.5v3h11v-3",
    "chevron": "M6.5 4.5L10 8l-3.5 3.5",
    "down": "M4.5 6.5L8 10l3.5-3.5",
    "up": "M4.5 9.5L8 6l3.5 3.5",
    "more": "M3.5 8v.1M8 8v.1M12.5 8v.1",
    "left": "M13 8H3M7 4L3 8l4 4",
    "right": "M3 8h10M9 4l4 4-4 4",
    "undo": "M3 6h7a3.5 3.5 0 010 7H6M5.5 3.2L2.7 6l2.8 2.8",
    "plus": "M8 3v10M3 8h10",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "link": "M6.7 9.3a2.6 2.6 0 003.7 0l2.3-2.3a2.6 2.6 0 00-3.7-3.7l-.9.9"
    "M9.3 6.7a2.6 2.6 0 00-3.7 0L3.3 9a2.6 2.6 0 003.7 3.7l.9-.9",
    "chip": "M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14",
    "bin": "M2.5 4.5h11M6 4.5V2.8h4v1.7M4 4.5l.6 9h6.8l.6-9",
    "pencil": "M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3zM9 4.7l2.3 2.3",
    "play": "M5 3.2v9.6L12.5 8z",
    "stop": "M4 4h8v8H4z",
}


def icon(name: str) -> Html:
    """An icon, hidden from screen readers."""
    return html('<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg>', path=PATHS[name])
