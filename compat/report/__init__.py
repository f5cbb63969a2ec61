"""python -m compat.report PATH...: what of asyncio a code base uses, and what each piece becomes in trio.

It reads Python files and runs nothing of them. `_reading` finds the uses, `_table` says what becomes of them, `_tree`
puts files and packages together, and `_showing` writes all this as text, JSON or a page of HTML.
"""
