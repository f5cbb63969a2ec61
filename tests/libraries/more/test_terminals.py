"""Programs for a terminal: textual, aioconsole."""

import asyncio
import os

import pytest

REASON = "the extra `more-libraries` is not installed"


def test_textual(ended):
    pytest.importorskip("textual", reason=REASON)
    from textual.app import App
    from textual.widgets import Button, Input, Label

    class Greeter(App):
        def compose(self):
            yield Input(id="name")
            yield Button("Greet", id="greet")
            yield Label("", id="greeting")

        async def on_button_pressed(self, event):
            self.run_worker(self.greet(), exclusive=True)

        async def greet(self):
            await asyncio.sleep(0.001)
            self.query_one("#greeting", Label).update(f"Hello {self.query_one('#name', Input).value}")

    async def main(give_up):
        async def greet(name):
            app = Greeter()
            async with app.run_test() as pilot:
                await pilot.click("#name")
                await pilot.press(*name)
                await pilot.click("#greet")
                await app.workers.wait_for_complete()
                await pilot.pause()
                return str(app.query_one("#greeting", Label).content)

        greeting = await greet("you")

        async def work(soon):
            async with Greeter().run_test() as pilot:
                soon()
                await pilot.pause(1000)

        await give_up(work)
        return greeting, await greet("me")

    assert ended(main) == ("Hello you", "Hello me")


def test_aioconsole(ended):
    aioconsole = pytest.importorskip("aioconsole", reason=REASON)
    from aioconsole.stream import create_standard_streams

    async def main(give_up):
        (stdin, typing), (shown, stdout) = os.pipe(), os.pipe()
        with open(stdin) as stdin, open(stdout, "w") as stdout, open(shown) as shown, open(typing, "w") as typing:
            reader, writer, errors = await create_standard_streams(stdin, stdout, stdout)
            streams = reader, writer

            def answer(*lines):
                print(*lines, sep="\n", file=typing, flush=True)

            answer("you", "a", "b")
            lines = [await aioconsole.ainput(f"{n}> ", streams=streams) for n in range(3)]

            async def work(soon):
                soon()
                await aioconsole.ainput("never> ", streams=streams)

            await give_up(work)
            # A line longer than the reader's limit, and more than a pipe holds.
            long = asyncio.create_task(asyncio.to_thread(answer, "x" * 300_000, "next"))
            lines.append(len(await aioconsole.ainput("long> ", streams=streams)))
            await long
            lines.append(await aioconsole.ainput("", streams=streams))
            await aioconsole.aprint("done", streams=streams)
            writer.close()
            errors.close()
            reader._transport.close()
            await asyncio.sleep(0.01)
            written = os.read(shown.fileno(), 1000)
        return lines, written

    lines = ["you", "a", "b", 300_000, "next"]
    assert ended(main) == (lines, b"0> 1> 2> never> long> done\n")
