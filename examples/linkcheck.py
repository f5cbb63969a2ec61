"""Which links of a web site lead nowhere?

Plain asyncio: workers that feed their own queue, HTTP by streams of lines, a time limit and some tries for each
request, a Semaphore for each host, pages that are parsed in threads, and a task that shows how far it is.

    python examples/linkcheck.py http://localhost:8000/                # on asyncio
    python -m compat examples/linkcheck.py http://localhost:8000/      # the same program on trio

Pages below the first one's folder are searched for links; other links are only asked for. `--limit` stops it after so
many seconds, and what is known by then is shown.
"""

import argparse
import asyncio
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

MOST_REDIRECTS = 5


@dataclass
class Answer:
    status: str
    location: str = ""
    kind: str = ""
    body: bytes = b""


class LinkParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)


def links_of(page: str, body: bytes) -> list[str]:
    """The addresses that a page links to, each once."""
    parser = LinkParser()
    parser.feed(body.decode(errors="replace"))
    links = dict.fromkeys(urldefrag(urljoin(page, link)).url for link in parser.links)
    return [link for link in links if link.startswith(("http://", "https://"))]


async def request(url: str) -> Answer:
    """One request by HTTP/1.0, which ends with the connection."""
    parts = urlsplit(url)
    assert parts.hostname
    secure = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        words = (await reader.readline()).decode(errors="replace").split()
        if len(words) < 2:
            raise ConnectionError("no answer")
        answer = Answer(words[1])
        async for line in reader:
            name, _, value = line.decode(errors="replace").partition(":")
            match name.lower():
                case "location":
                    answer.location = urljoin(url, value.strip())
                case "content-type":
                    answer.kind = value.strip()
                case _ if not line.strip():
                    break
        answer.body = await reader.read()
        return answer
    finally:
        writer.close()


class Checker:
    def __init__(self, start: str, seconds: float, tries: int, per_host: int) -> None:
        self.start, self.seconds, self.tries = start, seconds, tries
        self.folder = start.rpartition("/")[0] + "/"
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.hosts: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(per_host))
        self.links: dict[str, set[str]] = {}  # the pages that lead to an address
        self.found: dict[str, str] = {}  # what became of it

    def want(self, url: str, page: str) -> None:
        """Have an address looked at, once, whatever links to it."""
        if url not in self.links:
            self.queue.put_nowait(url)
        self.links.setdefault(url, set()).add(page)

    async def work(self) -> None:
        while True:
            url = await self.queue.get()
            try:
                self.found[url] = await self.check(url)
            finally:
                self.queue.task_done()

    async def check(self, url: str) -> str:
        """Ask for an address, follow where it leads, and put the links of a page into the queue."""
        for _ in range(MOST_REDIRECTS):
            answer = await self.ask(url)
            if not answer.location:
                break
            url = answer.location
        else:
            return "redirected too often"
        if answer.status == "200" and answer.kind.startswith("text/html") and url.startswith(self.folder):
            for link in await asyncio.to_thread(links_of, url, answer.body):
                self.want(link, url)
        return answer.status

    async def ask(self, url: str) -> Answer:
        """One request, which is tried again when there is no answer."""
        problem = ""
        async with self.hosts[urlsplit(url).netloc]:
            for number in range(self.tries):
                try:
                    async with asyncio.timeout(self.seconds):
                        return await request(url)
                except TimeoutError:
                    problem = "too slow"
                except (OSError, ValueError):
                    problem = "no answer"
                    await asyncio.sleep(0.05 * 2**number)
        return Answer(problem)

    async def show_progress(self) -> None:
        while True:
            await asyncio.sleep(2)
            print(f"{len(self.found)} of {len(self.links)} addresses", file=sys.stderr)

    async def run(self, workers: int) -> None:
        self.want(self.start, "(start)")
        tasks = [asyncio.create_task(self.work()) for _ in range(workers)]
        tasks.append(asyncio.create_task(self.show_progress()))
        try:
            await self.queue.join()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def main(options: argparse.Namespace) -> int:
    checker = Checker(options.url, options.seconds, options.tries, options.per_host)
    try:
        await asyncio.wait_for(checker.run(options.workers), options.limit)
    except TimeoutError:
        print(f"stopped after {options.limit:g} seconds", file=sys.stderr)
    for url, status in sorted(checker.found.items()):
        if status != "200":
            print(f"{url}: {status}, linked by {', '.join(sorted(checker.links[url]))}")
    print(", ".join(f"{number} {status}" for status, number in sorted(Counter(checker.found.values()).items())))
    return 0 if {*checker.found.values()} == {"200"} else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="which links of a web site lead nowhere")
    parser.add_argument("url", help="the page to begin with")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--per-host", type=int, default=4, help="requests at the same time (4)")
    parser.add_argument("--seconds", type=float, default=5, help="how long an answer may take (5)")
    parser.add_argument("--tries", type=int, default=2, help="for an address that does not answer (2)")
    parser.add_argument("--limit", type=float, help="stop after so many seconds")
    sys.exit(asyncio.run(main(parser.parse_args())))
