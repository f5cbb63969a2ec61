"""Every name of trio's that is not public, in one place. Nothing outside of this package uses one.

    names          the names themselves, checked when they are imported, each with its reason
    patches        puts in, while a loop is open, what `@replaces` marks beside the code that needs it
    scheduler      runs the batches of a trio run in which a loop is open
    stand_ins      the trio task of an asyncio Task; the asyncio Task of a trio task, and its waits for futures
    waits          trio's waits in an asyncio Task
    polls          what comes between two batches: I/O, time
    cancellation   one exception for both worlds; which waits a cancel scope interrupts
    nurseries      nurseries of the loop, and nurseries in an asyncio Task
    runs           a trio run that can stand still
    deadlines      a deadline of a run without a cancel scope
    threads        trio's threads

The private functions of asyncio's that the core needs are in `adapters/_asyncio.py`.
"""
