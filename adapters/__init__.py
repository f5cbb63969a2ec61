"""asyncio's modules, each carried by trio: one adapter for each asyncio module, under asyncio's own name."""

if __name__ == "adapters":  # in a clone, whose folder is on the path: the name may be somebody else's
    raise ModuleNotFoundError("No module named 'adapters': the one in this folder is compat.adapters", name="adapters")
