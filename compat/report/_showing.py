"""Writes what was read: as text, as JSON, and as one page of HTML that needs nothing else."""

from __future__ import annotations

import html
import json
import platform
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ._reading import Source, Use
from ._table import row_of, state_of
from ._tree import Package, Tree, count

__all__ = ["as_html", "as_json", "as_text"]

WORLDS = ("asyncio", "mixed", "trio", "neither")
STATES = {
    "runs": "runs on trio",
    "not yet": "does not run on trio yet",
    "private": "private: may not be there",
    "unknown": f"not in asyncio of Python {platform.python_version()}",
}


def shown(file: Source) -> list[Use]:
    """The uses of asyncio to show for a file: imports only where there is nothing else."""
    return [use for use in file.asyncio if use.kind != "import"] or file.asyncio


def apis_of(tree: Tree) -> Counter[str]:
    """How often each API is used."""
    return Counter(use.api for file in tree.files for use in shown(file))


# --- text ------------------------------------------------------------------------------------------------------------


def as_text(tree: Tree) -> str:
    """The report to read in a terminal."""
    return "\n".join([*_files(tree), *_apis(tree), *_packages(tree), *_unread(tree), _total(tree), ""])


def _files(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        if not file.asyncio:
            continue
        yield f"{file.path}: {file.world}"
        for use in shown(file):
            state = state_of(use.api)
            becomes = row_of(use.api).trio
            note = "" if state == "runs" else f"  [{STATES[state]}]"
            arrow = f" -> {becomes}" if becomes and use.kind != "import" else ""
            kind = "" if use.kind == "code" else f" ({use.kind})"
            yield f"  {use.line:5}  {use.api}{kind}{arrow}{note}"
        yield ""


def _apis(tree: Tree) -> Iterator[str]:
    apis = {api: number for api, number in sorted(apis_of(tree).items()) if row_of(api).changes}
    if apis:
        yield "What changes:"
        yield ""
    for api, number in apis.items():
        yield f"  {api} ({number})"
        yield textwrap.fill(row_of(api).changes, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
    if apis:
        yield ""


def _packages(tree: Tree) -> Iterator[str]:
    packages = tree.packages
    if packages:
        width = max(len(package.name) for package in packages)
        head = f"{'package':{width}}  {'is':8}" + "".join(f"{word:>9}" for word in ("files", *WORLDS))
        yield f"{head} {'asyncio uses':>13} {'trio uses':>10}"
        for package in packages:
            worlds = package.worlds
            numbers = "".join(f"{number:9}" for number in (len(package.files), *(worlds[world] for world in WORLDS)))
            yield f"{package.name:{width}}  {package.world:8}{numbers} {package.asyncio:13} {package.trio:10}"
        yield ""


def _unread(tree: Tree) -> Iterator[str]:
    if tree.unread:
        yield "Not read:"
        yield from (f"  {path}: {reason}" for path, reason in tree.unread)
        yield ""


def _total(tree: Tree) -> str:
    worlds = Counter(file.world for file in tree.files)
    states = Counter(state_of(use.api) for file in tree.files for use in file.asyncio if use.kind != "import")
    of_files = ", ".join(f"{worlds[world]} {world}" for world in WORLDS)
    of_uses = ", ".join(f"{states[state]} {text}" for state, text in STATES.items() if states[state])
    return f"{len(tree.files)} files: {of_files}. {states.total()} uses of asyncio{': ' if of_uses else ''}{of_uses}."


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_data(tree: Tree) -> dict[str, Any]:
    """The report as lists, dicts, strings and numbers."""
    return {
        "python": platform.python_version(),
        "packages": [
            {
                "name": package.name,
                "world": package.world,
                "files": {world: package.worlds[world] for world in WORLDS},
                "asyncio": package.asyncio,
                "trio": package.trio,
            }
            for package in tree.packages
        ],
        "files": [
            {
                "path": str(file.path),
                "world": file.world,
                "lines": file.lines,
                "asyncio": [use._asdict() for use in file.asyncio],
                "trio": [use._asdict() for use in file.trio],
            }
            for file in tree.files
        ],
        "apis": {
            api: {"uses": number, "state": state_of(api), **row_of(api)._asdict()}
            for api, number in sorted(apis_of(tree).items())
        },
        "unread": [{"path": str(path), "reason": reason} for path, reason in tree.unread],
    }


def as_json(tree: Tree) -> str:
    """The report as JSON."""
    return json.dumps(as_data(tree), indent=1)


# --- HTML ------------------------------------------------------------------------------------------------------------

STYLE = """
:root { --asyncio: #d9822b; --trio: #2b7a78; --line: #ddd; --soft: #666; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #aaa; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25em .6em; border-bottom: 1px solid var(--line); vertical-align: top; }
th[data-sort] { cursor: pointer; white-space: nowrap; }
th[aria-sort=ascending]::after { content: " \\25b2"; } th[aria-sort=descending]::after { content: " \\25bc"; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .92em ui-monospace, monospace; overflow-wrap: anywhere; }
td:has(> .bar) { width: 30%; }
.bar { display: flex; height: .9em; min-width: 2px; margin-top: .25em; border-radius: 2px; overflow: hidden; }
.bar i { background: var(--asyncio); } .bar b { background: var(--trio); }
.key i, .key b { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
.key i { background: var(--asyncio); } .key b { background: var(--trio); }
summary { cursor: pointer; } details table { margin: .3em 0 1em; }
.note, small { color: var(--soft); } .bad { color: #c33; }
"""

SCRIPT = """
document.querySelectorAll("th[data-sort]").forEach(function (head) {
  head.tabIndex = 0;
  function sort() {
    var rows = head.closest("table").tBodies[0];
    var down = head.getAttribute("aria-sort") === (head.dataset.sort === "number" ? "descending" : "ascending");
    var sign = (head.dataset.sort === "number") === down ? 1 : -1;
    head.parentNode.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    function key(row) { return row.cells[head.cellIndex].dataset.key; }
    Array.from(rows.rows).sort(function (a, b) {
      return sign * (head.dataset.sort === "number" ? key(a) - key(b) : key(a).localeCompare(key(b)));
    }).forEach(function (row) { rows.appendChild(row); });
  }
  head.addEventListener("click", sort);
  head.addEventListener("keydown", function (event) { if (event.key === "Enter") sort(); });
});
"""


def as_html(tree: Tree) -> str:
    """The report as one page: packages and files with bars, to be sorted, and the lines of each file to unfold."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>asyncio and trio</title>
<style>{STYLE}</style>
</head>
<body>
<h1>From asyncio to trio</h1>
<p>{html.escape(_total(tree))} <span class="key"><i></i>asyncio <b></b>trio</span></p>
{_html_unread(tree)}
<h2>Packages</h2>
{_html_packages(tree.packages)}
<h2>Files</h2>
{_html_files(tree)}
<h2>What becomes of it</h2>
{_html_apis(tree)}
<script>{SCRIPT}</script>
</body>
</html>
"""


def _head(*columns: str) -> str:
    """A table's head: columns by name; those with # hold numbers, those with - cannot be sorted by."""
    cells = []
    for column in columns:
        name = html.escape(column.strip("#-"))
        if column.startswith("-"):
            cells.append(f"<th>{name}</th>")
        elif column.startswith("#"):
            cells.append(f'<th class="number" data-sort="number">{name}</th>')
        else:
            cells.append(f'<th data-sort="text">{name}</th>')
    return f"<table><thead><tr>{''.join(cells)}</tr></thead><tbody>"


def _cell(key: str | int, shown: str | None = None) -> str:
    number = ' class="number"' if isinstance(key, int) and shown is None else ""
    text = html.escape(str(key))
    return f'<td{number} data-key="{text}">{text if shown is None else shown}</td>'


def _bar(asyncio: int, trio: int, most: int) -> str:
    width = 100 * (asyncio + trio) / most if most else 0
    parts = f'<i style="flex:{asyncio}"></i><b style="flex:{trio}"></b>'
    return f'<div class="bar" style="width:{width:.1f}%" title="asyncio {asyncio}, trio {trio}">{parts}</div>'


def _html_packages(packages: list[Package]) -> str:
    most = max((package.asyncio + package.trio for package in packages), default=0)
    rows = [
        "<tr>"
        + _cell(package.name, f"<code>{html.escape(package.name)}</code>")
        + _cell(package.world)
        + "".join(_cell(number) for number in (len(package.files), *(package.worlds[world] for world in WORLDS)))
        + _cell(package.asyncio)
        + _cell(package.trio)
        + f"<td>{_bar(package.asyncio, package.trio, most)}</td></tr>"
        for package in packages
    ]
    columns = ("package", "is", "#files", *(f"#{world}" for world in WORLDS), "#asyncio uses", "#trio uses", "-")
    return _head(*columns) + "\n".join(rows) + "</tbody></table>"


def _html_files(tree: Tree) -> str:
    files = [file for file in tree.files if file.world != "neither"]
    most = max((count(file) + count(file, "trio") for file in files), default=0)
    rows = []
    for file in files:
        asyncio, trio = count(file), count(file, "trio")
        name = html.escape(str(file.path))
        rows.append(
            "<tr>"
            + _cell(str(file.path), f"<details><summary><code>{name}</code></summary>{_html_uses(file)}</details>")
            + _cell(file.world)
            + _cell(file.lines)
            + _cell(asyncio)
            + _cell(trio)
            + _cell(asyncio + trio, _bar(asyncio, trio, most))
            + "</tr>"
        )
    return _head("file", "is", "#lines", "#asyncio uses", "#trio uses", "#share") + "\n".join(rows) + "</tbody></table>"


def _html_uses(file: Source) -> str:
    if not file.asyncio:
        return '<p class="note">No asyncio.</p>'
    rows = (
        f'<tr><td class="number">{use.line}</td><td><code>{html.escape(use.api)}</code>{_html_state(use)}</td>'
        f"<td>{_html_becomes(use.api)}</td></tr>"
        for use in shown(file)
    )
    return f"<table>{''.join(rows)}</table>"


def _html_state(use: Use) -> str:
    state = state_of(use.api)
    kind = "" if use.kind == "code" else f" <small>{use.kind}</small>"
    return kind if state == "runs" else f'{kind} <small class="bad">{html.escape(STATES[state])}</small>'


def _html_becomes(api: str) -> str:
    row = row_of(api)
    code = f"<code>{html.escape(row.trio)}</code>" if row.trio else ""
    return f"{code}{'<br>' if code and row.changes else ''}<small>{html.escape(row.changes)}</small>"


def _html_apis(tree: Tree) -> str:
    rows = [
        "<tr>"
        + _cell(api, f"<code>{html.escape(api)}</code>")
        + _cell(number)
        + _cell(STATES[state_of(api)])
        + f"<td>{_html_becomes(api)}</td></tr>"
        for api, number in sorted(apis_of(tree).items(), key=lambda item: (-item[1], item[0]))
    ]
    return _head("asyncio", "#uses", "here", "-in trio, and what changes") + "\n".join(rows) + "</tbody></table>"


def _html_unread(tree: Tree) -> str:
    if not tree.unread:
        return ""
    rows = (f"<li><code>{html.escape(str(path))}</code>: {html.escape(reason)}</li>" for path, reason in tree.unread)
    return f'<h2 class="bad">Not read</h2><ul>{"".join(rows)}</ul>'
