"""Programs that are driven: an ipykernel, distributed's workers, a server of mcp's, a browser by playwright."""

import asyncio
import shutil

import pytest

from ..peers import PYTHON

REASON = "the extra `more-libraries` is not installed"


@pytest.mark.parametrize("where", PYTHON)
def test_ipykernel(ended, where, tmp_path, monkeypatch):
    """The kernel, a program of its own, runs on asyncio, or on trio."""
    pytest.importorskip("ipykernel", reason=REASON)
    jupyter_client = pytest.importorskip("jupyter_client", reason=REASON)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))

    async def main(give_up):
        manager = jupyter_client.AsyncKernelManager()
        manager.kernel_spec.argv = [*PYTHON[where], "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)

        async def execute(code):
            shown = []

            def note(message):
                if message["msg_type"] in ("stream", "execute_result"):
                    shown.append(message["content"].get("text") or message["content"]["data"]["text/plain"])

            reply = await client.execute_interactive(code, output_hook=note, timeout=60)
            return reply["content"]["status"], "".join(shown)

        assert await execute("print('one'); 6 * 7") == ("ok", "one\n42")
        assert await execute("import asyncio; await asyncio.sleep(0.001, 'slept')") == ("ok", "'slept'")
        is_ours = await execute("asyncio.get_running_loop().__class__.__module__.startswith('compat.')")
        assert is_ours == ("ok", str(where == "trio"))
        if where == "trio":
            assert await execute("import trio; await trio.sleep(0)") == ("ok", "")

        async def work(soon):
            soon()
            await execute("await asyncio.sleep(0.3)")

        await give_up(work)
        answer = await execute("'again'")
        client.stop_channels()
        await manager.shutdown_kernel()
        manager.context.destroy()
        return answer

    assert ended(main) == ("ok", "'again'")


@pytest.mark.leaves("thread", reason="distributed has some that live as long as the process")
def test_distributed(ended, tmp_path):
    distributed = pytest.importorskip("distributed", reason=REASON)

    async def main(give_up):
        async with (
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=False,
                asynchronous=True,
                dashboard_address=None,
                local_directory=str(tmp_path),
            ) as cluster,
            distributed.Client(cluster, asynchronous=True) as client,
        ):
            squares = client.map(lambda n: n * n, range(20))
            total = await client.submit(sum, squares)

            async def work(soon):
                soon()
                await distributed.Event("never", client=client).wait()

            await give_up(work)

            async def later(n):
                await asyncio.sleep(0.001)
                return n + 1

            done = await client.gather(client.map(later, range(10)))
            with pytest.raises(ZeroDivisionError):
                await client.submit(lambda: 1 / 0)
        return total, done

    assert ended(main) == (2470, [*range(1, 11)])


SERVER = """
import asyncio
from mcp.server.mcpserver import MCPServer
server = MCPServer("test")
@server.tool()
async def upper(text: str) -> str:
    await asyncio.sleep(0.001)
    return text.upper()
@server.tool()
async def wait() -> str:
    await asyncio.sleep(1000)
server.run("stdio")
"""


def test_mcp(ended):
    """Over the pipes of a server that runs on trio."""
    mcp = pytest.importorskip("mcp", reason=REASON)
    from mcp.client.stdio import stdio_client

    async def main(give_up):
        command, *args = [*PYTHON["trio"], "-c", SERVER]
        async with mcp.Client(stdio_client(mcp.StdioServerParameters(command=command, args=args))) as client:

            async def upper(text):
                return (await client.call_tool("upper", {"text": text})).content[0].text

            assert sorted(tool.name for tool in (await client.list_tools()).tools) == ["upper", "wait"]
            assert await asyncio.gather(*[upper(f"x{n}") for n in range(10)]) == [f"X{n}" for n in range(10)]

            async def work(soon):
                soon()
                await client.call_tool("wait", {})

            await give_up(work)
            return await upper("again")

    assert ended(main) == "AGAIN"


PAGE = """
<input id=who><button onclick="setTimeout(() => out.textContent = 'Hello ' + who.value, 10)">Greet</button>
<p id=out></p>
"""


def test_playwright(ended):
    pytest.importorskip("playwright", reason=REASON)
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium is installed")

    async def main(give_up):
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = await browser.new_page()
            await page.set_content(PAGE)

            async def greet(name):
                await page.fill("#who", name)
                await page.click("button")
                await page.wait_for_function("name => out.textContent.endsWith(name)", arg=name)
                return await page.inner_text("#out")

            greeting = await greet("you")

            async def work(soon):
                soon()
                await page.wait_for_selector("#never", timeout=0)

            await give_up(work)
            again = await greet("me")
            await browser.close()
        return greeting, again

    assert ended(main) == ("Hello you", "Hello me")
