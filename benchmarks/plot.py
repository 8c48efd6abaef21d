"""Plots, as SVG by hand: bars side by side, and lines over a logarithmic axis."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 320, 64, 48, 56
COLOURS = ("#3b6fb6", "#d9822b", "#4a9d5b", "#8a5fb0", "#b5483f")


def bars(title: str, unit: str, groups: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """``{group: {name: values of the rounds}}``: a bar for the median, a line from least to most."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    most = max(max(values) for group in groups.values() for values in group.values()) * 1.1
    parts = _frame(title, unit, most)
    slot = (WIDTH - LEFT - 16) / len(groups)
    for index, (group, found) in enumerate(groups.items()):
        width = slot * 0.8 / len(found)
        for place, (name, values) in enumerate(found.items()):
            x = LEFT + slot * index + slot * 0.1 + place * width
            median = sorted(values)[len(values) // 2]
            y, middle = _y(median, most), x + width * 0.45
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width * 0.9:.1f}" height="{HEIGHT - BOTTOM - y:.1f}"'
                f' fill="{COLOURS[names.index(name)]}"/>'
                f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{_y(min(values), most):.1f}"'
                f' y2="{_y(max(values), most):.1f}" stroke="#222"/>'
                f'<text x="{middle:.1f}" y="{y - 4:.1f}" text-anchor="middle">{median:.3g}</text>'
            )
        parts.append(_label(LEFT + slot * (index + 0.5), group))
    return _svg(parts, names)


def lines(title: str, unit: str, axis: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """``{name: [(x, y), ...]}`` with x on a logarithmic axis and y from 0."""
    points = [point for curve in curves.values() for point in curve]
    most = max(y for _, y in points) * 1.25
    least, span = log10(min(x for x, _ in points)), log10(max(x for x, _ in points))
    parts = _frame(title, unit, most)

    def place(x: float) -> float:
        return LEFT + 20 + (log10(x) - least) / (span - least or 1) * (WIDTH - LEFT - 60)

    for index, curve in enumerate(curves.values()):
        path = " ".join(f"{place(x):.1f},{_y(y, most):.1f}" for x, y in curve)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[index]}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{place(x):.1f}" cy="{_y(y, most):.1f}" r="3" fill="{COLOURS[index]}"/>'
            for x, y in curve
        ]
    parts += [_label(place(x), f"{x:g}") for x in sorted({x for x, _ in points})]
    parts.append(f'<text x="{WIDTH - 8}" y="{HEIGHT - BOTTOM + 32}" text-anchor="end">{escape(axis)}</text>')
    return _svg(parts, list(curves))


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - value / most * (HEIGHT - TOP - BOTTOM)


def _label(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'


def _frame(title: str, unit: str, most: float) -> list[str]:
    parts = [f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(title)}</text>']
    for step in range(5):
        value = most * step / 4
        y = _y(value, most)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    parts.append(f'<text x="12" y="{TOP - 8}">{escape(unit)}</text>')
    return parts


def _svg(parts: Sequence[str], names: Sequence[str]) -> str:
    keys = [
        f'<rect x="{LEFT + 130 * n}" y="{HEIGHT - 16}" width="10" height="10" fill="{COLOURS[n]}"/>'
        f'<text x="{LEFT + 14 + 130 * n}" y="{HEIGHT - 7}">{escape(name)}</text>'
        for n, name in enumerate(names)
    ]
    body = "\n".join([*parts, *keys])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="11">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )
