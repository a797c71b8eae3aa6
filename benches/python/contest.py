"""Who takes part: contestants by work, and how they are timed."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat

import cases
import exact

CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}
MAKERS = []
VERSIONS = {}  # what takes part, in which version
EMPTY = {}  # by library: its cheapest call, for what a call costs at least


@dataclass
class Contestant:
    """One way to do a work. Without `results` it writes to the arrays of the case."""

    run: Callable[[], object]
    results: Callable[[], dict] | None = None
    reset: Callable[[], None] = lambda: None
    f32_beta: bool = False  # holds Adam's betas in f32
    name: str = ""
    calls: int = 1
    samples: list = field(default_factory=list)  # nanoseconds a call

    @property
    def median(self):
        return statistics.median(self.samples)


def contestant(name, *works):
    """Registers a function from a case to a Contestant, or None where it cannot do the shape."""

    def register(make):
        MAKERS.append((name, works, make))
        return make

    return register


def enter(case):
    """The contestants of a case, pergrad first."""
    found = []
    for name, works, make in MAKERS:
        if case.work in works and (entry := make(case)):
            entry.name = name
            found.append(entry)
    return found


def check(case, contestants):
    wants = {}
    for c in contestants:
        case.reset()
        c.reset()
        c.run()
        got = c.results() if c.results else case.results()
        if c.f32_beta not in wants:
            wants[c.f32_beta] = exact.want(case, c.f32_beta)
        exact.check(f"{case.work} {case}, {c.name}", got, wants[c.f32_beta])
    case.reset()
    for c in contestants:
        c.reset()


def timed(run, calls, clock):
    """Nanoseconds a call, after one that brings the caches back."""
    run()
    began = clock()
    for _ in repeat(None, calls):
        run()
    return (clock() - began) / calls


def race(contestants, rounds, least, clock):
    """Samples of at least so many nanoseconds, all contestants in each round, taking turns to begin:
    a machine that slows down slows them all."""
    gc.collect()
    gc.disable()
    for c in contestants:
        c.calls = max(1, round(least / timed(c.run, 1, clock)))
        c.calls = max(1, round(least / timed(c.run, c.calls, clock)))
    for first in range(rounds):
        turn = first % len(contestants)
        for c in contestants[turn:] + contestants[:turn]:
            c.samples.append(timed(c.run, c.calls, clock))
    gc.enable()


def overheads(*how):
    """What a call of each library costs that has next to nothing to do."""
    contestants = [Contestant(run, name=name) for name, run in EMPTY.items()]
    race(contestants, *how)
    return contestants


def select(pattern, quick):
    for work, (shapes, small, _) in cases.WORKS.items():
        for shape in small if quick else shapes:
            if pattern.search(f"{work} {cases.name(shape)}"):
                yield work, shape
