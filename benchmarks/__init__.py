"""How fast asyncio code runs on trio, beside asyncio itself.

    pip install -e '.[bench]'
    python -m benchmarks [--quick] [--json FILE] [--svg FILE] [NAMES...]

Each workload is a function of workloads.py: plain asyncio code, the same for three carriers.

- asyncio: the interpreter's own, whose core is C
- us: this project, by `compat.install()`, as a program gets it that is run with `python -m compat`
- trio-asyncio: the bridge that emulates asyncio's loop in a trio task; left out where it cannot be imported
- trio: what one would write for trio by hand, from by_trio.py, where that has a meaning

How to read the table. A line is a workload. A figure is the median over all rounds, per operation; behind it is the
spread, the median absolute deviation in percent. CPU is the processor time of the whole process, all threads, which
suffers least from what else the machine does; wall is time by the clock, for what is mostly waiting. Then come three
ratios: us/asyncio (below 1, we are faster), trio-asyncio/us and trio/us (above 1, we are faster). The table has three
sections: the core (tasks, what they wait for, child processes), streams (connections, with server and clients in one
process), and the rest, which is wall time, memory and what happens once. Below stand the geometric means of the ratios
over the core and over streams.

In each of three rounds every workload has a new process per carrier, and these take turns, value by value, so that a
noisy second hits all of them. What malloc does with large blocks, which by itself would double an echo's time or not,
is the same in all of them: see worker.settle_malloc(). Compare figures within a table only; a ratio is worth no more
than the spread of its two figures.

pyperf keeps the values, computes median and deviation, and writes the JSON file, for `python -m pyperf stats` or
`compare_to`. Its own runner is not used: it finishes one benchmark before it starts the next.

To add a workload, write a function in workloads.py; if trio has an equal of it, one of the same name in by_trio.py.
What has to be set up first and shall not count, such as open connections, it leaves out by `timed()`.
"""
