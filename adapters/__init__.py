"""asyncio's modules, each carried by trio: one adapter for each asyncio module, under asyncio's own name."""
