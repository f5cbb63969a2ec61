"""What the site takes from outside of docs/, so that no text is there twice: pages, programs, and what --help says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"adapters/README.md": "how-it-is-done.md", "CONTRIBUTING.md": "contributing.md"}
EXAMPLES = "examples.md"


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that stand elsewhere in the repository, and one with all programs of examples/."""
    for source, uri in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, EXAMPLES, content="\n\n".join(["# The examples", *_examples()])))


def _examples() -> list[str]:
    folder = ROOT / "examples"
    programs = [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]
    programs.sort(key=lambda path: len(path.parts))
    sections = []
    for path in programs:
        name = path.relative_to(folder).as_posix()
        sections.append(f"## {name} {{ #{name} }}\n\n```python\n{path.read_text(encoding='utf-8')}```")
    return sections


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mend the links that lead out of docs/, and show what commands print."""
    top = "../" * page.file.src_uri.count("/")

    def mended(match: re.Match[str]) -> str:
        target = match[1].strip("/")
        if target.startswith("examples"):
            name = target.removeprefix("examples").strip("/")
            first = next((f"#{path}" for path in _names() if name and path.startswith(name)), "")
            return f"]({top}{EXAMPLES}{first})"
        return f"]({top}{PAGES[target]})" if target in PAGES else match[0]

    markdown = re.sub(rf"\]\({re.escape(top)}\.\./([^)#]+)\)", mended, markdown)
    return re.sub(r"^<!-- prints: python (.+) -->$", lambda match: _printed(match[1]), markdown, flags=re.M)


def _names() -> list[str]:
    return re.findall(r"\{ #(.+) \}", "\n".join(_examples()))


def _printed(command: str) -> str:
    arguments = [sys.executable, *shlex.split(command)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    return f"```console\n$ python {command}\n{done.stdout}```"
