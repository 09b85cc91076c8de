"""The comparison as a picture: SVG that suits light and dark pages, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from xml.sax.saxutils import escape

from jffs2tx.comparison.methods import METHODS
from jffs2tx.comparison.strips import Strip
from jffs2tx.comparison.terminal import MEANINGS, figures
from jffs2tx.comparison.trees import Seen

WIDTH, MARGIN = 960, 28
STRIP_X, STRIP_WIDTH = 224, 530
FIGURES_X = STRIP_X + STRIP_WIDTH + 14
LEGEND_STEP = 210
ROW, HIGH, LOW = 36, 18, 9  # a bad state is drawn higher than a whole one

TITLE = "The power fails during an upgrade: what starts afterwards?"
SUBTITLE = (
    "One column for each flash operation, from the first to the last: power is cut before it, or with it half done,",
    "and the medium is read back as a stock Linux kernel reads it. Both versions are the same for every method.",
)
MEDIA = {
    "NOR": "NOR: each node goes straight to the flash",
    "NAND": "NAND: whole pages, written through the kernel's buffer",
}
LIGHT = {"page": "#ffffff", "edge": "#d0d7de", "text": "#1f2328", "faint": "#59636e"} | {
    Seen.OLD: "#3d7dd8",
    Seen.NEW: "#2c9a62",
    Seen.MIXED: "#e8a317",
    Seen.UNBOOTABLE: "#c9283e",
}
DARK = {"page": "#151b23", "edge": "#3d444d", "text": "#f0f6fc", "faint": "#9198a1"} | {
    Seen.OLD: "#5d9bf0",
    Seen.NEW: "#3fb87a",
    Seen.MIXED: "#f0b53c",
    Seen.UNBOOTABLE: "#f2495f",
}


def draw(strips: Iterable[Strip]) -> str:
    """A whole SVG document."""
    body: list[str] = []
    y = MARGIN + 16
    body.append(_text(MARGIN, y, TITLE, "title"))
    for line in SUBTITLE:
        y += 20 if line is not SUBTITLE[0] else 26
        body.append(_text(MARGIN, y, line, "faint"))
    y += 32
    body += _legend(y)
    y += 8
    for medium, group in groupby(strips, key=lambda strip: strip.medium):
        y += 34
        body.append(_text(MARGIN, y, MEDIA.get(medium, medium), "medium"))
        y += 30
        ours = False
        for strip in group:
            if METHODS[strip.method].is_ours and not ours:
                ours = True
                y += 8
            body += _row(strip, y)
            y += ROW
    height = y
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(TITLE)}">'
    )
    page = f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="page"/>'
    return "\n".join((head, _style(), page, *body, "</svg>")) + "\n"


def _style() -> str:
    """No CSS variables: some programs that show SVG do not know them."""
    return "\n".join(
        (
            "<style>",
            'text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; }',
            ".title { font-size: 19px; font-weight: 600; } .medium { font-size: 14px; font-weight: 600; }",
            ".ours { font-weight: 600; } .small { font-size: 11px; } path { fill: none; }",
            *_colours(LIGHT),
            "@media (prefers-color-scheme: dark) {",
            *_colours(DARK),
            "}",
            "</style>",
        )
    )


def _colours(palette: dict[str, str]) -> Iterator[str]:
    yield f".page {{ fill: {palette['page']}; stroke: {palette['edge']}; }}"
    yield f"text {{ fill: {palette['text']}; }} .faint {{ fill: {palette['faint']}; }}"
    for seen in Seen:
        yield f".{seen} {{ stroke: {palette[seen]}; }}"


def _row(strip: Strip, y: int) -> Iterator[str]:
    """y: the middle of the strip."""
    method = METHODS[strip.method]
    name = f"jffs2tx, {strip.method}" if method.is_ours else strip.method
    yield _text(MARGIN, y - 1, name, "ours" if method.is_ours else "")
    yield _text(MARGIN, y + 13, method.what, "small faint")
    yield from _strip(strip, y)
    yield _text(FIGURES_X, y + 5, figures(strip), "ours" if strip.is_whole else "")


def _strip(strip: Strip, y: int) -> Iterator[str]:
    """Equal instants in a row are one dashed line, a dash for each."""
    step = STRIP_WIDTH / len(strip.instants)
    gap = min(1.0, step / 5)
    at = 0
    for seen, group in groupby(strip.instants, key=lambda instant: instant.shown):
        count = len(list(group))
        start, end = STRIP_X + at * step, STRIP_X + (at + count) * step - gap
        dashes = f' stroke-dasharray="{step - gap:.3f} {gap:.3f}"'
        yield f'<path class="{seen}" d="M{start:.3f} {y}H{end:.3f}" stroke-width="{_height(seen)}"{dashes}/>'
        at += count


def _legend(y: int) -> Iterator[str]:
    for number, seen in enumerate(Seen):
        x = MARGIN + number * LEGEND_STEP
        yield f'<path class="{seen}" d="M{x} {y - 5}h14" stroke-width="{_height(seen)}"/>'
        yield _text(x + 22, y, f"{seen}: {MEANINGS[seen]}")


def _height(seen: Seen) -> int:
    return HIGH if seen in (Seen.MIXED, Seen.UNBOOTABLE) else LOW


def _text(x: float, y: float, words: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x}" y="{y}"{kind}>{escape(words)}</text>'
