"""The tables and the picture."""

from collections.abc import Callable, Iterable, Mapping
from math import ceil, floor, log2
from statistics import geometric_mean
from typing import NamedTuple
from xml.sax.saxutils import escape

from .modes import MODES

SCALES = {"µs": 1e6, "ms": 1e3, "KiB": 1 / 1024}


class Section(NamedTuple):
    base: str  # the mode that the others are shown as multiples of; "": no ratios
    words: str  # what there is a mean of, and what the picture shows; "": neither


SECTIONS = {
    "core": Section("asyncio", "core"),
    "streams": Section("asyncio", "streams"),
    "wall": Section("asyncio", ""),
    "trio": Section("trio", "trio's work"),
    "start": Section("trio", ""),
    "absolute": Section("", ""),
}


class Figure(NamedTuple):
    median: float  # seconds or bytes
    deviation: float  # median absolute deviation, in the same unit


class Line(NamedTuple):
    title: str
    unit: str  # a key of SCALES, and behind it what clock
    section: str  # a key of SECTIONS
    figures: Mapping[str, Figure]  # by mode

    def ratio(self, above: str, below: str) -> float | None:
        if above in self.figures and below in self.figures:
            return self.figures[above].median / self.figures[below].median
        return None


def ratios(lines: Iterable[Line], above: str, below: str) -> list[float]:
    return [ratio for line in lines if (ratio := line.ratio(above, below))]


def table(lines: list[Line]) -> str:
    """The lines as text: a block for each base, below it means and worst."""
    blocks = []
    for base in dict.fromkeys(section.base for section in SECTIONS.values()):
        sections = {name: section for name, section in SECTIONS.items() if section.base == base}
        members = {name: [line for line in lines if line.section == name] for name in sections}
        if any(members.values()):
            blocks.append(block(base, [(sections[name].words, each) for name, each in members.items() if each]))
    return "\n\n".join(blocks)


def block(base: str, sections: list[tuple[str, list[Line]]]) -> str:
    """Lines that have a base in common, by section; each section has its words."""
    modes = [mode for mode in MODES if any(mode in line.figures for _, lines in sections for line in lines)]
    modes.sort(key=lambda mode: mode != base)

    def shown(line: Line, mode: str) -> str:
        if mode not in line.figures:
            return "-"
        median, deviation = line.figures[mode]
        ratio = line.ratio(mode, base)
        if mode == base or ratio is None:
            value = f"{median * SCALES[line.unit.split()[0]]:#.3g}"
        else:
            value = f"{ratio:.2f}"
        return f"{value} ±{deviation / median:.0%}"

    def row(title: str, unit: str, cells: Iterable[str]) -> str:
        return f"{title:36}{unit:7}" + "".join(f"{cell:>14}" for cell in cells)

    def summary(title: str, value: Callable[[str], list[float]], of: Callable[[list[float]], float]) -> str:
        return row(title, "", [f"{of(found):.2f}" if (found := value(mode)) else "" for mode in modes])

    head = row("median ± spread", "unit", modes)
    if base:
        head += "\n" + row("", "", ["", *[f"/{base}"] * (len(modes) - 1)])
    rule = "-" * len(head.splitlines()[0])
    rows, feet = [head, rule], []
    for words, lines in sections:
        rows += [row(line.title, line.unit, [shown(line, mode) for mode in modes]) for line in lines]
        rows.append(rule)
        if not words:
            continue

        def of_base(mode: str, lines: list[Line] = lines) -> list[float]:
            return ratios(lines, mode, base) if mode != base else []

        def of_trio(mode: str, lines: list[Line] = lines) -> list[float]:
            return ratios(lines, mode, "trio") if mode not in (base, "trio-asyncio", "trio") else []

        def of_trio_asyncio(mode: str, lines: list[Line] = lines) -> list[float]:
            return ratios(lines, "trio-asyncio", mode) if mode not in (base, "trio-asyncio", "trio") else []

        feet.append(summary(f"{words}: geometric mean", of_base, geometric_mean))
        feet.append(summary(f"{words}: worst", of_base, max))
        if base == "asyncio" and "trio-asyncio" in modes:
            feet.append(summary(f"{words}: trio-asyncio by this, mean", of_trio_asyncio, geometric_mean))
        if base == "asyncio" and "trio" in modes:
            feet.append(summary(f"{words}: this by trio, mean", of_trio, geometric_mean))
    return "\n".join(rows + feet)


# The last is drawn on top.
COLOURS = {
    "trio-asyncio": "#c2571a",
    "trio": "#3c6fd1",
    "imported": "#999999",
    "adopted": "#b8860b",
    "open_loop": "#8e44ad",
    "hosted": "#d6336c",
    "native": "#5f8c1e",
    "carried": "#2aa5a0",
    "own": "#0b7a4b",
}
NAMES = {
    "trio": "trio by hand",
    "trio-asyncio": "trio-asyncio",
    "own": "asyncio.run",
    "carried": "..., each Task carried",
    "hosted": "compat.run",
    "open_loop": "open_loop in trio.run",
    "adopted": "plain trio task",
    "native": "compat.native",
    "imported": "compat imported",
}
LABELS, WIDTH, HEIGHT, TOP = 260, 560, 22, 94  # in pixels: the titles' column, the scale, a line, what is above them


def picture(lines: list[Line], footnote: str) -> str:
    """An SVG file: for each workload in a mean a dot per mode, at its time as a multiple of its section's base.

    The last line of each section is the geometric mean.
    """
    rows: list[tuple[str, dict[str, float]]] = []  # title, ratio by mode; a heading has no ratios
    for name, (base, words) in SECTIONS.items():
        members = [line for line in lines if line.section == name and base in line.figures]
        if not words or not members:
            continue
        rows.append((f"{words}, of {base}'s time", {}))
        modes = [mode for mode in COLOURS if mode != base]
        found = [(line.title, {mode: ratio for mode in modes if (ratio := line.ratio(mode, base))}) for line in members]
        means = {mode: geometric_mean(each) for mode in modes if (each := ratios(members, mode, base))}
        rows += [*found, ("geometric mean", means)]
    everything = [ratio for _, dots in rows for ratio in dots.values()]
    low = min(-1, floor(log2(min(everything, default=1))))
    high = max(1, ceil(log2(max(everything, default=1))))
    bottom = TOP + HEIGHT * len(rows)

    def x(ratio: float) -> float:
        return LABELS + (log2(ratio) - low) / (high - low) * WIDTH

    def text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'

    def dot(x: float, y: float, mode: str) -> str:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[mode]}" fill-opacity="0.8"/>'

    def rule(x: float, colour: str) -> str:
        return f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{colour}"/>'

    size = f'width="{LABELS + WIDTH + 40}" height="{bottom + 30}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for number, mode in enumerate(reversed([mode for mode in COLOURS if any(mode in dots for _, dots in rows)])):
        left, top = 20 + number % 4 * 210, 16 + number // 4 * 20
        parts += [dot(left, top, mode), text(left + 12, top + 4, NAMES[mode], "start", f' fill="{COLOURS[mode]}"')]
    for power in range(low, high + 1):
        parts += [text(x(2.0**power), TOP - 12, f"{2.0**power:g}x"), rule(x(2.0**power), "#dddddd")]
    parts.append(rule(x(1), "#333333"))
    for number, (title, dots) in enumerate(rows):
        y = TOP + HEIGHT * (number + 0.5)
        if not dots:
            parts.append(f'<path d="M0 {y - HEIGHT / 2}H{LABELS + WIDTH}" stroke="#999999"/>')
        bold = ' font-weight="bold"' if not dots or title == "geometric mean" else ""
        parts.append(text(LABELS - 12, y + 4, title, "end", bold))
        parts += [dot(x(dots[mode]), y, mode) for mode in COLOURS if mode in dots]
    parts.append(f'<g fill="#666666" font-size="11">{text(LABELS - 12, bottom + 20, footnote, "start")}</g>')
    return "\n".join([*parts, "</svg>", ""])
