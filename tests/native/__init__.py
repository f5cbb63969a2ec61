"""Tests of `compat.native`: asyncio's names on trio's primitives."""
