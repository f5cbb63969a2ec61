"""How fast asyncio code runs on trio, and trio code beside it: in each way in which the two can be mixed.

    pip install -e '.[bench]'
    python -m benchmarks [--quick] [--json FILE] [--svg FILE] [NAMES...]

A workload is a function of workloads.py, which is plain asyncio code, or of trio_work.py, which is plain trio code. The
modes are what it is run on, and how; see modes.py.

- asyncio: the interpreter's own, whose core is C
- own: compat.asyncio.run()
- carried: the same, where each Task has a trio task from the start, as if it had called trio before
- hosted: a Task in compat.run()
- open_loop: a Task in compat.open_loop() in a trio.run()
- adopted: a plain trio task in compat.run(), which calls asyncio's API
- imported: a plain trio program that has imported compat; for trio's work only
- trio-asyncio: the bridge that emulates asyncio's loop in a trio task; left out where it cannot be imported. A Task of
  its cannot await trio's functions: trio's work is called from one once, by trio_as_aio()
- native: compat.native, asyncio's names on trio's primitives; where by_trio.py has the same
- trio: what one would write for trio by hand, from by_trio.py, where that has a meaning

How to read the tables. A line is a workload. The first column is the base, asyncio or, for trio's own work, trio: the
median over all rounds, per operation. The others are multiples of it: below 1, they are faster. Behind each stands the
spread of its own time, the median absolute deviation in percent. CPU is the processor time of the whole process, all
threads, which suffers least from what else the machine does; wall is time by the clock, for what is mostly waiting.
Below stand, for the core (tasks, what they wait for, child processes), for streams (connections, with server and
clients in one process) and for trio's work, each mode's geometric mean, its worst ratio, how many times as long
trio-asyncio takes, and the mean of its multiples of trio by hand: that is what native is measured by. trio's work is
done in Tasks (own, hosted, open_loop) and in plain trio tasks beside an open loop (adopted). The last table is of what
has no base: memory, and the import.

In each of three rounds every workload has a new process per mode, and these take turns, value by value, so that a noisy
second hits all of them. What malloc does with large blocks, which by itself would double an echo's time or not, is the
same in all of them: see worker.settle_malloc(). Compare figures within a table only; a ratio is worth no more than the
spread of its two figures.

pyperf keeps the values, computes median and deviation, and writes the JSON file, for `python -m pyperf stats` or
`compare_to`. Its own runner is not used: it finishes one benchmark before it starts the next.

To add a workload, write a function in workloads.py; if trio has an equal of it, one of the same name in by_trio.py.
What has to be set up first and shall not count, such as open connections, it leaves out by `timed()`.
"""
