"""The table and the picture."""

from collections.abc import Iterable, Mapping
from math import ceil, floor, log2
from statistics import geometric_mean
from typing import NamedTuple
from xml.sax.saxutils import escape

CARRIERS = ("asyncio", "us", "trio-asyncio", "trio")
RATIOS = (("us", "asyncio"), ("trio-asyncio", "us"), ("trio", "us"))
SECTIONS = {"core": "the core", "streams": "streams", "other": ""}  # of the table; and of what there is a mean
SCALES = {"µs": 1e6, "ms": 1e3, "KiB": 1 / 1024}


class Figure(NamedTuple):
    median: float  # seconds or bytes
    deviation: float  # median absolute deviation, in the same unit


class Line(NamedTuple):
    title: str
    unit: str  # a key of SCALES, and behind it what clock
    section: str  # a key of SECTIONS
    figures: Mapping[str, Figure]  # by carrier

    def ratio(self, above: str, below: str) -> float | None:
        if above in self.figures and below in self.figures:
            return self.figures[above].median / self.figures[below].median
        return None


def means(lines: list[Line]) -> dict[tuple[str, str], float]:
    """The geometric mean of each ratio that there is."""
    found = {pair: [ratio for line in lines if (ratio := line.ratio(*pair))] for pair in RATIOS}
    return {pair: geometric_mean(ratios) for pair, ratios in found.items() if ratios}


def table(lines: list[Line]) -> str:
    """The lines as text, in columns: the sections one below the other, then the means."""

    def shown(line: Line, carrier: str) -> str:
        if carrier not in line.figures:
            return "-"
        median, deviation = line.figures[carrier]
        return f"{median * SCALES[line.unit.split()[0]]:#.3g} ±{deviation / median:.0%}"

    def row(title: str, unit: str, figures: Iterable[str], ratios: Iterable[str]) -> str:
        return f"{title:34}{unit:7}" + "".join([f"{cell:>13}" for cell in figures] + [f"{cell:>14}" for cell in ratios])

    def ratio(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f}"

    head = row("", "", CARRIERS, [above for above, _ in RATIOS])
    head2 = row("per operation: median ± spread", "unit", ["" for _ in CARRIERS], [f"/{below}" for _, below in RATIOS])
    rule = "-" * len(head)
    rows, feet = [head, head2, rule], []
    for section, words in SECTIONS.items():
        members = [line for line in lines if line.section == section]
        for line in members:
            figures, ratios = [shown(line, each) for each in CARRIERS], [ratio(line.ratio(*pair)) for pair in RATIOS]
            rows.append(row(line.title, line.unit, figures, ratios))
        if members:
            rows.append(rule)
        if members and words:
            mean = means(members)
            ratios = [ratio(mean.get(pair)) for pair in RATIOS]
            feet.append(row(f"geometric mean of {words}", "", ["" for _ in CARRIERS], ratios))
    return "\n".join(rows + feet)


COLOURS = {"trio-asyncio": "#c2571a", "trio": "#3c6fd1", "us": "#0b7a4b"}  # the last is drawn on top
NAMES = {"us": "asyncio-on-trio", "trio": "trio by hand", "trio-asyncio": "trio-asyncio"}
LABELS, WIDTH, HEIGHT, TOP = 260, 500, 22, 62  # in pixels: the titles' column, the scale, a line, what is above them


def picture(lines: list[Line], footnote: str) -> str:
    """An SVG file: for each workload in a mean a dot per carrier, at its time as a multiple of asyncio's."""
    sections = [name for name, words in SECTIONS.items() if words]
    lines = [line for name in sections for line in lines if line.section == name and "asyncio" in line.figures]
    dots = {
        (number, carrier): ratio
        for number, line in enumerate(lines)
        for carrier in COLOURS
        if (ratio := line.ratio(carrier, "asyncio"))
    }
    low = min(-1, floor(log2(min(dots.values(), default=1))))
    high = max(1, ceil(log2(max(dots.values(), default=1))))
    bottom = TOP + HEIGHT * len(lines)

    def x(ratio: float) -> float:
        return LABELS + (log2(ratio) - low) / (high - low) * WIDTH

    def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'

    def dot(x: float, y: float, carrier: str) -> str:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[carrier]}"/>'

    def rule(x: float, colour: str) -> str:
        return f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{colour}"/>'

    size = f'width="{LABELS + WIDTH + 40}" height="{bottom + 30}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    parts.append(text(LABELS - 12, 20, "time, as a multiple of asyncio's", "end"))
    for number, (carrier, colour) in enumerate(COLOURS.items()):
        parts += [dot(LABELS + 12 + 150 * number, 16, carrier)]
        parts += [f'<g fill="{colour}">', text(LABELS + 24 + 150 * number, 20, NAMES[carrier], "start"), "</g>"]
    for power in range(low, high + 1):
        parts += [text(x(2.0**power), TOP - 12, f"{2.0**power:g}x"), rule(x(2.0**power), "#dddddd")]
    parts.append(rule(x(1), "#333333"))
    for number, line in enumerate(lines):
        if number and line.section != lines[number - 1].section:
            parts.append(f'<path d="M0 {TOP + HEIGHT * number}H{LABELS + WIDTH}" stroke="#999999"/>')
        y = TOP + HEIGHT * (number + 0.5)
        parts.append(text(LABELS - 12, y + 4, line.title, "end"))
        parts += [
            dot(x(dots[number, carrier]), y, carrier) for carrier in reversed(COLOURS) if (number, carrier) in dots
        ]
    parts.append(f'<g fill="#666666" font-size="11">{text(LABELS - 12, bottom + 20, footnote, "start")}</g>')
    return "\n".join([*parts, "</svg>", ""])
