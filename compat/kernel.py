"""`python -m compat.kernel install`: a kernel for Jupyter in which asyncio is on trio, so that a cell awaits both.

It is this interpreter with ipykernel, as `python -m compat -m ipykernel_launcher` starts it. Needs ipykernel.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

__all__ = ["install"]

NAME = "asyncio-on-trio"


def install() -> str:
    """Tell this user's Jupyter of the kernel. Gives the folder that says so."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = {
        "argv": [sys.executable, "-m", "compat", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"Python {sys.version_info.major}.{sys.version_info.minor} (asyncio on trio)",
        "language": "python",
        "metadata": {"debugger": True},
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.json").write_text(json.dumps(spec, indent=1))
        installed: str = KernelSpecManager().install_kernel_spec(folder, NAME, user=True)
    return installed


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m compat.kernel", description="A kernel for Jupyter on trio.")
    parser.add_argument("command", choices=["install"])
    parser.parse_args()
    if find_spec("ipykernel") is None:
        sys.exit(f"the kernel needs ipykernel: install it with {sys.executable} -m pip install ipykernel")
    print(f"installed {NAME} in {install()}")


if __name__ == "__main__":
    main()
