"""Writes what was read: as text, as JSON, and as one page of HTML that needs nothing else."""

from __future__ import annotations

import dataclasses
import html
import json
import platform
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator

from ._reading import Source, Use
from ._table import CTRL_C, LOOPS, ORDER, RUNS, STARTS, OnNative, native_of, row_of, state_of
from ._tree import Package, Tree, count
from ._watch import Finding

__all__ = ["as_html", "as_json", "as_text"]

WORLDS = ("asyncio", "mixed", "trio", "neither")
STATES = {
    "runs": "runs on trio",
    "own loop": "is of an own loop, and may not",
    "not yet": "does not run on trio yet",
    "private": "is private, and may not be there",
    "unknown": f"is not in asyncio of Python {platform.python_version()}",
}
PLURALS = {"runs": "run", "is": "are", "does": "do"}
VERDICTS = {"same": "as it stands", "check": "to be checked", "refused": "refused"}
LINES_NAMED = 10
PARTIAL = "Interrupted: this is what was read until then."


def shown(file: Source) -> list[Use]:
    """The uses of asyncio to show for a file: imports only where there is nothing else."""
    return [use for use in file.asyncio if use.kind != "import"] or file.asyncio


def apis_of(tree: Tree) -> dict[str, int]:
    """How often each API is used, the most frequent first."""
    numbers = Counter(use.api for file in tree.files for use in shown(file))
    return dict(sorted(numbers.items(), key=lambda item: (-item[1], item[0])))


def state_of_use(use: Use) -> str:
    return "own loop" if use.kind == "subclass" and use.api in LOOPS else state_of(use.api)


def on_native(use: Use, among: Iterable[Use] = ()) -> OnNative:
    """What native does with a use. What an import brings is judged where it is used, if that is among these."""
    native = native_of(use.api, use.arguments, use.kind)
    if use.kind != "import" or native.verdict == "refused":
        return native
    is_used = any(other.kind != "import" and f"{other.api}.".startswith(f"{use.api}.") for other in among)
    return OnNative("same", "") if is_used else native


def notes_on_native(file: Source) -> list[str]:
    """What native changes for a file as a whole, and not for one of its uses."""
    notes = []
    for note, apis in ((ORDER, STARTS), (CTRL_C, RUNS)):
        lines = sorted({use.line for use in file.asyncio if use.api in apis and use.kind == "code"})
        if lines:
            more = f" and {len(lines) - LINES_NAMED} more" if len(lines) > LINES_NAMED else ""
            named = ", ".join(map(str, lines[:LINES_NAMED]))
            notes.append(f"{note} See {'line' if len(lines) == 1 else 'lines'} {named}{more}.")
    return notes


def verdicts(files: Iterable[Source]) -> Counter[str]:
    """How many uses native takes as they stand, may change, and refuses."""
    return Counter(on_native(use).verdict for file in files for use in file.asyncio if use.kind != "import")


def port_first(files: Iterable[Source], tree: Tree) -> tuple[int, int, int]:
    """What to port first comes first, if files or packages are sorted by this: what native takes with least change."""
    files = list(files)
    of = verdicts(files)
    return of["refused"], of["check"] + sum(len(tree.found_in.get(file.path, ())) for file in files), of.total()


def files_in_order(tree: Tree) -> list[Source]:
    """The files that there is something to say of, what to port first before the others."""
    files = [file for file in tree.files if file.asyncio or file.path in tree.found_in]
    return sorted(files, key=lambda file: (*port_first([file], tree), file.path))


def packages_in_order(tree: Tree) -> list[Package]:
    """The packages, what to port first before the others; those without asyncio come last."""
    return sorted(tree.packages, key=lambda each: (not each.asyncio, *port_first(each.files, tree), each.name))


def number_of(number: int, noun: str) -> str:
    """ "1 file", "2 files"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- text ------------------------------------------------------------------------------------------------------------


def as_text(tree: Tree) -> str:
    """The report to read in a terminal."""
    parts = [_interrupted(tree), _files(tree), _apis(tree), _packages(tree), _elsewhere(tree), _unread(tree)]
    return "\n".join([*(line for part in parts for line in part), _total(tree), ""])


def _interrupted(tree: Tree) -> Iterator[str]:
    if tree.interrupted:
        yield from (PARTIAL, "")


def _files(tree: Tree) -> Iterator[str]:
    for file in files_in_order(tree):
        yield f"{file.path}: {file.world}"
        lines = [(use.line, _use(use)) for use in shown(file)]
        lines += [(use.line, f"{'':8}  may be {use.api}") for use in file.possible]
        lines += [(each.line, f"{'watch':8}  {_finding(each)}") for each in tree.found_in.get(file.path, ())]
        yield "   line  native    use"
        yield from (f"  {line:5}  {text}" for line, text in sorted(lines, key=lambda entry: entry[0]))
        yield from (
            textwrap.fill(note, 110, initial_indent="   note  ", subsequent_indent=" " * 9, break_on_hyphens=False)
            for note in notes_on_native(file)
        )
        yield ""


def _use(use: Use) -> str:
    state, native = state_of_use(use), on_native(use)
    note = "" if state == "runs" else f"  [{STATES[state]}]"
    if native.why and native != native_of(use.api):
        note += f"  [native: {native.why}]"
    arrow = f" -> {_becomes(use)}" if _becomes(use) else ""
    kind = "" if use.kind == "code" else f" ({use.kind})"
    return f"{native.verdict:8}  {use.api}{kind}{arrow}{note}"


def _becomes(use: Use) -> str:
    """The recipe, if it is one line."""
    recipe = "" if use.kind == "import" else row_of(use.api).trio
    return "see below" if "\n" in recipe else recipe


def _finding(finding: Finding) -> str:
    return f"{finding.kind}, {number_of(finding.count, 'time')}: {finding.what} {finding.todo}"


def _apis(tree: Tree) -> Iterator[str]:
    def filled(text: str) -> str:
        return textwrap.fill(text, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)

    heading = ["What changes:", ""]
    for api, number in apis_of(tree).items():
        row, native = row_of(api), native_of(api)
        if row.changes or native.why or "\n" in row.trio:
            yield from heading
            heading = []
            yield f"  {api} ({number})"
            if row.changes:
                yield filled(row.changes)
            if native.why:
                yield filled(f"Native, {native.verdict}: {native.why}")
            elif api in STARTS:
                yield filled("Native, same: but for the order in which tasks start.")
            if "\n" in row.trio:
                yield textwrap.indent(row.trio, " " * 10)
    if not heading:
        yield ""


def _packages(tree: Tree) -> Iterator[str]:
    packages = packages_in_order(tree)
    if packages:
        width = max(len(package.name) for package in packages)
        head = f"{'package':{width}}  {'is':8}" + "".join(f"{word:>9}" for word in ("files", *WORLDS))
        yield f"{head} {'asyncio uses':>13} {'trio uses':>10}"
        for package in packages:
            worlds = package.worlds
            numbers = "".join(f"{number:9}" for number in (len(package.files), *(worlds[world] for world in WORLDS)))
            yield f"{package.name:{width}}  {package.world:8}{numbers} {package.asyncio:13} {package.trio:10}"
        yield ""


def _elsewhere(tree: Tree) -> Iterator[str]:
    if tree.found_elsewhere:
        yield "Seen by --watch in other files:"
        yield from (f"  {each.file}:{each.line}: {_finding(each)}" for each in tree.found_elsewhere)
        yield ""


def _unread(tree: Tree) -> Iterator[str]:
    if tree.unread:
        yield "Not read:"
        yield from (f"  {path}: {reason}" for path, reason in tree.unread)
        yield ""


def _total(tree: Tree) -> str:
    worlds = Counter(file.world for file in tree.files)
    states = Counter(state_of_use(use) for file in tree.files for use in file.asyncio if use.kind != "import")
    native = verdicts(tree.files)
    sentences = [
        f"{number_of(len(tree.files), 'file')}: {', '.join(f'{worlds[world]} {world}' for world in WORLDS)}.",
        f"{number_of(states.total(), 'use')} of asyncio{': ' if states else ''}{_listed(states, STATES)}.",
    ]
    if states:
        sentences.append(f"With native: {_listed(native, VERDICTS)}.")
    possible = sum(len(file.possible) for file in tree.files)
    if possible:
        sentences.append(f"{possible} more may be asyncio's.")
    if tree.findings:
        sentences.append(f"Seen by --watch: {number_of(len(tree.findings), 'place')}.")
    return " ".join(sentences)


def _listed(numbers: Counter[str], words: dict[str, str]) -> str:
    return ", ".join(f"{numbers[key]} {_said(numbers[key], text)}" for key, text in words.items() if numbers[key])


def _said(number: int, text: str) -> str:
    """ "runs on trio" of one, "run on trio" of several."""
    verb, space, rest = text.partition(" ")
    return text if number == 1 else f"{PLURALS.get(verb, verb)}{space}{rest}"


# --- JSON ------------------------------------------------------------------------------------------------------------


def as_data(tree: Tree) -> dict[str, object]:
    """The report as lists, dicts, strings and numbers."""
    return {
        "python": platform.python_version(),
        "partial": tree.interrupted,
        "packages": [
            {
                "name": package.name,
                "world": package.world,
                "files": {world: package.worlds[world] for world in WORLDS},
                "asyncio": package.asyncio,
                "trio": package.trio,
                "native": {verdict: verdicts(package.files)[verdict] for verdict in VERDICTS},
            }
            for package in packages_in_order(tree)
        ],
        "files": [
            {
                "path": str(file.path),
                "world": file.world,
                "lines": file.lines,
                "asyncio": [
                    {**_place(use), "state": state_of_use(use), "native": on_native(use, file.asyncio)._asdict()}
                    for use in file.asyncio
                ],
                "possible": [_place(use) for use in file.possible],
                "trio": [_place(use) for use in file.trio],
                "watch": [dataclasses.asdict(finding) for finding in tree.found_in.get(file.path, ())],
                "notes": notes_on_native(file),
            }
            for file in tree.files
        ],
        "apis": {
            api: {"uses": number, "state": state_of(api), **row_of(api)._asdict(), "native": native_of(api)._asdict()}
            for api, number in apis_of(tree).items()
        },
        "watch_elsewhere": [dataclasses.asdict(finding) for finding in tree.found_elsewhere],
        "unread": [{"path": str(path), "reason": reason} for path, reason in tree.unread],
    }


def _place(use: Use) -> dict[str, object]:
    return {"line": use.line, "column": use.column, "api": use.api, "kind": use.kind}


def as_json(tree: Tree) -> str:
    """The report as JSON."""
    return json.dumps(as_data(tree), indent=1)


# --- HTML ------------------------------------------------------------------------------------------------------------

STYLE = """
:root { --asyncio: #d9822b; --trio: #2b7a78; --line: #ddd; --soft: #666; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #aaa; } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 90em; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25em .6em; border-bottom: 1px solid var(--line); vertical-align: top; }
th { white-space: nowrap; } th[data-sort] { cursor: pointer; }
th[aria-sort=ascending]::after { content: " \\25b2"; } th[aria-sort=descending]::after { content: " \\25bc"; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: .92em ui-monospace, monospace; } pre { margin: 0; } td small { display: block; min-width: 16em; }
details small { max-width: 24em; } .state { display: inline-block; min-width: 6.5em; }
td:has(> .bar) { width: 20%; min-width: 5em; }
.bar { display: flex; height: .9em; min-width: 2px; margin-top: .25em; border-radius: 2px; overflow: hidden; }
.bar i { background: var(--asyncio); } .bar b { background: var(--trio); }
.key i, .key b { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 1em; }
.key i { background: var(--asyncio); } .key b { background: var(--trio); }
summary { cursor: pointer; } details table { margin: .3em 0 1em; }
.note, small { color: var(--soft); } .bad { color: #c33; } .check { color: #a60; } .refused { color: #c33; }
@media (prefers-color-scheme: dark) { .check { color: #eb5; } .bad, .refused { color: #f77; } }
@media (max-width: 40em) { body { margin: .5em auto; padding: 0 .5em; } th, td { padding: .25em .4em; } }
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
{f'<p class="bad">{PARTIAL}</p>' if tree.interrupted else ""}
<p>{html.escape(_total(tree))} <span class="key"><i></i>asyncio <b></b>trio</span></p>
<p class="note">What to port first comes first: native refuses little of it, and changes little.</p>
{_html_unread(tree)}
<h2>Packages</h2>
{_html_packages(tree)}
<h2>Files</h2>
{_html_files(tree)}
{_html_elsewhere(tree)}
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
    return f'<div class="wide"><table><thead><tr>{"".join(cells)}</tr></thead><tbody>'


FOOT = "</tbody></table></div>"


def _name(text: str) -> str:
    """A path, which may be broken after its slashes only, or a dotted name, after its dots."""
    break_after = "/" if "/" in text else "."
    return f"<code>{html.escape(text).replace(break_after, f'{break_after}<wbr>')}</code>"


def _cell(key: str | int, shown: str | None = None) -> str:
    number = ' class="number"' if isinstance(key, int) and shown is None else ""
    text = html.escape(str(key))
    return f'<td{number} data-key="{text}">{text if shown is None else shown}</td>'


def _bar(asyncio: int, trio: int, most: int) -> str:
    width = 100 * (asyncio + trio) / most if most else 0
    parts = f'<i style="flex:{asyncio}"></i><b style="flex:{trio}"></b>'
    return f'<div class="bar" style="width:{width:.1f}%" title="asyncio {asyncio}, trio {trio}">{parts}</div>'


def _html_packages(tree: Tree) -> str:
    packages = packages_in_order(tree)
    most = max((package.asyncio + package.trio for package in packages), default=0)
    rows = [
        "<tr>"
        + _cell(package.name, _name(package.name))
        + _cell(package.world)
        + "".join(_cell(number) for number in (len(package.files), *(package.worlds[world] for world in WORLDS)))
        + _cell(package.asyncio)
        + _cell(package.trio)
        + f"<td>{_bar(package.asyncio, package.trio, most)}</td></tr>"
        for package in packages
    ]
    columns = ("package", "is", "#files", *(f"#{world}" for world in WORLDS), "#asyncio uses", "#trio uses", "-")
    return _head(*columns) + "\n".join(rows) + FOOT


def _html_files(tree: Tree) -> str:
    ported = [file for file in tree.files if file.world == "trio" and file.path not in tree.found_in]
    files = [*files_in_order(tree), *ported]
    most = max((count(file) + count(file, "trio") for file in files), default=0)
    rows = []
    for file in files:
        asyncio, trio, native = count(file), count(file, "trio"), verdicts([file])
        details = f"<details><summary>{_name(str(file.path))}</summary>{_html_uses(file, tree)}</details>"
        rows.append(
            "<tr>"
            + _cell(str(file.path), details)
            + _cell(file.world)
            + _cell(file.lines)
            + _cell(asyncio)
            + _cell(trio)
            + "".join(_cell(native[verdict]) for verdict in VERDICTS)
            + _cell(asyncio + trio, _bar(asyncio, trio, most))
            + "</tr>"
        )
    columns = ("file", "is", "#lines", "#asyncio uses", "#trio uses", *(f"#native: {each}" for each in VERDICTS))
    return _head(*columns, "#share") + "\n".join(rows) + FOOT


def _html_uses(file: Source, tree: Tree) -> str:
    rows = [
        (
            use.line,
            f"<td>{_name(use.api)}{_html_state(use)}</td><td>{_html_native(on_native(use))}</td>"
            f"<td><code>{html.escape(_becomes(use))}</code></td>",
        )
        for use in shown(file)
    ]
    rows += [(use.line, f"<td>may be {_name(use.api)}</td><td></td><td></td>") for use in file.possible]
    rows += [
        (each.line, f'<td colspan="3"><b class="check">watch</b> {html.escape(_finding(each))}</td>')
        for each in tree.found_in.get(file.path, ())
    ]
    if not rows:
        return '<p class="note">No asyncio.</p>'
    text = "".join(
        f'<tr><td class="number">{line}</td>{cells}</tr>' for line, cells in sorted(rows, key=lambda row: row[0])
    )
    heads = "".join(f"<th>{head}</th>" for head in ("line", "asyncio", "native", "trio"))
    notes = "".join(f'<p class="note">Native: {html.escape(note)}</p>' for note in notes_on_native(file))
    return f'<div class="wide"><table><tr>{heads}</tr>{text}</table>{notes}</div>'


def _html_state(use: Use) -> str:
    state = state_of_use(use)
    kind = "" if use.kind == "code" else f" <small>{use.kind}</small>"
    return kind if state == "runs" else f'{kind} <small class="bad">{html.escape(STATES[state])}</small>'


def _html_native(native: OnNative) -> str:
    why = f"<small>{html.escape(native.why)}</small>" if native.why else ""
    return f'<span class="{native.verdict}">{native.verdict}</span>{why}'


def _html_becomes(api: str) -> str:
    row = row_of(api)
    code = f"<pre><code>{html.escape(row.trio)}</code></pre>" if row.trio else ""
    return f"{code}<small>{html.escape(row.changes)}</small>"


def _html_apis(tree: Tree) -> str:
    rows = [
        "<tr>"
        + _cell(api, _name(api))
        + _cell(number)
        + _cell(STATES[state_of(api)], f'<span class="state">{html.escape(STATES[state_of(api)])}</span>')
        + _cell(native_of(api).verdict, _html_native(native_of(api)))
        + f"<td>{_html_becomes(api)}</td></tr>"
        for api, number in apis_of(tree).items()
    ]
    return _head("asyncio", "#uses", "here", "native", "-in trio, and what changes") + "\n".join(rows) + FOOT


def _html_elsewhere(tree: Tree) -> str:
    if not tree.found_elsewhere:
        return ""
    rows = (
        f"<li>{_name(f'{each.file}:{each.line}')}: {html.escape(_finding(each))}</li>" for each in tree.found_elsewhere
    )
    return f"<h2>Seen by --watch in other files</h2><ul>{''.join(rows)}</ul>"


def _html_unread(tree: Tree) -> str:
    if not tree.unread:
        return ""
    rows = (f"<li>{_name(str(path))}: {html.escape(reason)}</li>" for path, reason in tree.unread)
    return f'<h2 class="bad">Not read</h2><ul>{"".join(rows)}</ul>'
