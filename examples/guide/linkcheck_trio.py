"""Which links of a web site lead nowhere?

examples/linkcheck.py, ported to trio: workers that feed their own channel and close it when nothing is left, a time
limit and some tries for each request, a Semaphore for each host, pages that are parsed in threads, and a task that
shows how far it is.

    python examples/guide/linkcheck_trio.py http://localhost:8000/

Pages below the first one's folder are searched for links; other links are only asked for. `--limit` stops it after so
many seconds, and what is known by then is shown.
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

import trio

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
    open_stream = trio.open_ssl_over_tcp_stream if secure else trio.open_tcp_stream
    async with await open_stream(parts.hostname, parts.port or (443 if secure else 80)) as stream:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        await stream.send_all(f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        whole = b""
        async for data in stream:
            whole += data
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode(errors="replace").splitlines() or [""]
    words = first.split()
    if len(words) < 2:
        raise ConnectionError("no answer")
    answer = Answer(words[1], body=body)
    for line in lines:
        name, _, value = line.partition(":")
        match name.lower():
            case "location":
                answer.location = urljoin(url, value.strip())
            case "content-type":
                answer.kind = value.strip()
    return answer


class Checker:
    def __init__(self, start: str, seconds: float, tries: int, per_host: int) -> None:
        self.start, self.seconds, self.tries = start, seconds, tries
        self.folder = start.rpartition("/")[0] + "/"
        self.send, self.receive = trio.open_memory_channel[str](math.inf)
        self.hosts: defaultdict[str, trio.Semaphore] = defaultdict(lambda: trio.Semaphore(per_host))
        self.links: dict[str, set[str]] = {}  # the pages that lead to an address
        self.found: dict[str, str] = {}  # what became of it

    def want(self, url: str, page: str) -> None:
        """Have an address looked at, once, whatever links to it."""
        if url not in self.links:
            self.send.send_nowait(url)
        self.links.setdefault(url, set()).add(page)

    async def work(self) -> None:
        async for url in self.receive:
            self.found[url] = await self.check(url)
            if len(self.found) == len(self.links):
                self.send.close()

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
            for link in await trio.to_thread.run_sync(links_of, url, answer.body):
                self.want(link, url)
        return answer.status

    async def ask(self, url: str) -> Answer:
        """One request, which is tried again when there is no answer."""
        problem = ""
        async with self.hosts[urlsplit(url).netloc]:
            for number in range(self.tries):
                try:
                    with trio.fail_after(self.seconds):
                        return await request(url)
                except trio.TooSlowError:
                    problem = "too slow"
                except (OSError, ValueError, trio.BrokenResourceError):
                    problem = "no answer"
                    await trio.sleep(0.05 * 2**number)
        return Answer(problem)

    async def show_progress(self) -> None:
        while True:
            await trio.sleep(2)
            print(f"{len(self.found)} of {len(self.links)} addresses", file=sys.stderr)

    async def run(self, workers: int) -> None:
        self.want(self.start, "(start)")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.show_progress)
            async with trio.open_nursery() as pool:
                for _ in range(workers):
                    pool.start_soon(self.work)
            nursery.cancel_scope.cancel()


async def main(options: argparse.Namespace) -> int:
    checker = Checker(options.url, options.seconds, options.tries, options.per_host)
    with trio.move_on_after(math.inf if options.limit is None else options.limit) as scope:
        await checker.run(options.workers)
    if scope.cancelled_caught:
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
    sys.exit(trio.run(main, parser.parse_args()))
