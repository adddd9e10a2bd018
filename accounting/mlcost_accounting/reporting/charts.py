"""Charts as SVG, drawn on the server by pygal.

pygal styles and animates its drawings with inline ``<style>`` and ``<script>``; both are taken out, so that a
strict Content-Security-Policy holds, and the page's own style sheet colours the classes that are left (dark
mode included). Each chart has a name and a description for screen readers, and each bar a title that browsers
show under the pointer. Beside every chart stands a table with the same numbers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from mlcost_hpc.money import MICROS, format_money

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UNWANTED = frozenset({"", "defs", "style", "script", "desc", "title"})
_HIDDEN = frozenset({"tooltip", "overlay", "text-overlay", "titles"})
COLOURS = 7
"""Series of one chart that the style sheet can tell apart."""


class Shape(NamedTuple):
    """Size of a drawing, in its own units, and how many labels fit below it."""

    name: str
    width: int
    height: int
    labels: int


WIDE = Shape("wide", 880, 300, 31)
NARROW = Shape("narrow", 380, 300, 7)


def money_bars(
    title: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[int]]],
    currency: str,
    *,
    key: str,
) -> Markup:
    """Return stacked bars of money over time, drawn for a desktop and again for a phone.

    Args:
        title: what the chart shows.
        labels: names of the bars.
        series: (name, amounts in micros) of each layer.
        currency: of the amounts.
        key: a name for the chart, unique on the page.
    """

    def show(value: float) -> str:
        return f"{format_money(round(value * MICROS))} {currency}".rstrip()

    description = _describe(labels, series, show)
    drawings = [_stacked(title, description, labels, series, show, shape, key) for shape in (WIDE, NARROW)]
    return Markup("").join(drawings)


def _stacked(
    title: str,
    description: str,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[int]]],
    show: Callable[[float], str],
    shape: Shape,
    key: str,
) -> Markup:
    chart: Any = _pygal().StackedBar(
        css=[],
        js=[],
        disable_xml_declaration=True,
        width=shape.width,
        height=shape.height,
        show_legend=False,
        margin=8,
        spacing=6,
        max_scale=6,
        value_formatter=_axis,
        x_labels=list(labels),
        x_labels_major_count=shape.labels if len(labels) > shape.labels else None,
        show_minor_x_labels=len(labels) <= shape.labels,
        truncate_label=-1,
    )
    for name, amounts in series:
        chart.add(name, [amount / MICROS for amount in amounts])
    root = chart.render_tree()
    _strip(root)
    _name_bars(root, labels, series, show)
    identity = f"{key}-{shape.name}"
    root.set("class", f"chart {shape.name}")
    root.set("id", identity)
    root.set("role", "img")
    root.set("aria-labelledby", f"{identity}-title {identity}-text")
    root.insert(0, _element(root, "desc", description, f"{identity}-text"))
    root.insert(0, _element(root, "title", title, f"{identity}-title"))
    return Markup(_serialise(root))  # noqa: S704  # an XML tree, serialised: every text in it is escaped


def _pygal() -> Any:
    """Return pygal, without the import hook for old plug-ins that it leaves behind.

    The hook lacks what Python's import system asks for today, so that every later import warns.
    """
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
    return pygal


def _strip(root: Any) -> None:
    """Take out what a strict policy forbids or nobody needs: styles, scripts, comments, hidden values."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child) in _UNWANTED or _HIDDEN & set(child.get("class", "").split()):
                parent.remove(child)
                continue
            for name in [name for name in child.attrib if name == "style" or name.startswith("on")]:
                del child.attrib[name]


def _name_bars(
    root: Any,
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[int]]],
    show: Callable[[float], str],
) -> None:
    """Give every bar a title, which browsers show under the pointer."""
    groups = [node.get("class", "").split() for node in root.iter()]
    for number, (name, amounts) in enumerate(series):
        for group, classes in zip(root.iter(), groups, strict=False):
            if "series" not in classes or f"serie-{number}" not in classes:
                continue
            bars = [bar for bar in group.iter() if "rect" in bar.get("class", "").split()]
            for label, amount, bar in zip(labels, amounts, bars, strict=False):
                bar.append(_element(root, "title", f"{name}, {label}: {show(amount / MICROS)}", ""))


def _local(node: Any) -> str:
    """Return an element's name without its namespace; empty for comments."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""


def _element(root: Any, tag: str, text: str, identity: str) -> Any:
    made = root.makeelement(tag, {"id": identity} if identity else {})
    made.text = printable(text)
    return made


def _serialise(root: Any) -> str:
    # pygal draws with lxml where it is there, else with the standard library.
    from pygal.etree import etree

    return str(etree.tostring(root, encoding="unicode"))


def _axis(value: float) -> str:
    """Return an amount as short as an axis needs it: ``1.5k``."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _describe(
    labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], show: Callable[[float], str]
) -> str:
    """Return the chart in words: the sum of each layer and the dearest bar."""
    if not series or not labels:
        return "Nothing was spent."
    sums = [sum(column) for column in zip(*(amounts for _, amounts in series), strict=True)]
    dearest = max(range(len(sums)), key=sums.__getitem__)
    parts = ", ".join(f"{name} {show(sum(amounts) / MICROS)}" for name, amounts in series)
    most = f"{labels[dearest]} with {show(sums[dearest] / MICROS)}"
    return f"{len(labels)} bars. In all: {parts}. Dearest: {most}."


def printable(text: str) -> str:
    """Return a text without the characters that XML forbids."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
