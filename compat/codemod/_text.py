"""A source text, and where in it the nodes of its tree are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Edit", "Text", "split_lines"]


def split_lines(text: str) -> list[str]:
    """The lines, with their ends, as the parser counts them: str.splitlines() also splits at form feeds and others."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text)


class Edit(NamedTuple):
    """A piece of a text to be replaced."""

    start: int
    end: int
    text: str


class Text:
    """A source text. Lines are counted from 1 on, columns in bytes of UTF-8 from 0 on, as `ast` does."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = split_lines(text)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def at(self, line: int, column: int) -> int:
        """The place of a line and column."""
        return self.starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())

    def span(self, node: ast.stmt | ast.expr | ast.alias) -> tuple[int, int]:
        """Where a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.stmt | ast.expr | ast.alias) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def around(self, node: ast.stmt) -> tuple[str, str]:
        """What stands before a statement in its first line, and behind it in its last."""
        start, end = self.span(node)
        assert node.end_lineno is not None
        return self.text[self.starts[node.lineno - 1] : start], self.text[end : self.starts[node.end_lineno]]

    def is_alone(self, node: ast.stmt) -> bool:
        """Whether a statement shares its lines with nothing but a comment."""
        before, behind = self.around(node)
        return not before.strip() and behind.lstrip()[:1] in ("", "#")

    def changed(self, edits: Iterable[Edit]) -> str:
        """The text after these edits, which do not overlap."""
        text = self.text
        for edit in sorted(edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text

    def without(self, node: ast.stmt) -> str:
        """The text without the lines of a statement, and without an empty line if they stand between two, or first."""
        start, end = node.lineno - 1, node.end_lineno or node.lineno
        lines = list(self.lines)
        is_alone = (not start or not lines[start - 1].strip()) and end < len(lines) and not lines[end].strip()
        lines[start : end + is_alone] = []
        return "".join(lines)
