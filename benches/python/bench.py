"""pergrad beside PyTorch, JAX with optax, NumPy, BackPACK and Opacus: one process, one thread, f32, the
same arrays. `run` starts it; see there for the options."""

import argparse
import json
import os
import platform
import re
import sys
import warnings
from datetime import date
from pathlib import Path

# One thread, whatever a library thinks; before any is loaded.
for name in ["OMP", "MKL", "OPENBLAS", "NUMEXPR"]:
    os.environ[f"{name}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

PEERS = ["peers_numpy", "peers_torch", "peers_hooks", "peers_jax"]


def options():
    parser = argparse.ArgumentParser(prog="run", description=__doc__.split(". `run`")[0])
    parser.add_argument("pattern", nargs="?", default=".", help="of works and shapes: 'adam|moments 32 x'")
    parser.add_argument("--quick", action="store_true", help="small shapes, few rounds")
    parser.add_argument("--isa", default="best", help="of pergrad: best, avx512, avx2, portable")
    parser.add_argument("--rounds", type=int, help="15; quick: 3")
    parser.add_argument("--least", type=float, help="milliseconds of a sample: 20; quick: 1")
    parser.add_argument("--cpu", type=int, help="to stay on; else the last one")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall",
                        help="cpu: processor time, for a machine that others use")
    parser.add_argument("--deepspeed", action="store_true", help="with DeepSpeed's Adam")
    parser.add_argument("--peers", type=Path, required=True, help=argparse.SUPPRESS)
    found = parser.parse_args()
    found.rounds = found.rounds or (3 if found.quick else 15)
    found.least = found.least or (1 if found.quick else 20)
    return found


def stay(cpu):
    if not hasattr(os, "sched_setaffinity"):
        return
    mine = os.sched_getaffinity(0)
    if cpu not in {None, *mine}:
        sys.exit(f"--cpu {cpu}: this process may run on {sorted(mine)}")
    os.sched_setaffinity(0, {max(mine) if cpu is None else cpu})


def cpu_name():
    try:
        return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    except (OSError, TypeError):
        return platform.processor() or platform.machine()


def duration(nanoseconds):
    for unit, scale in [("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1)]:
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.3g} {unit}"
    return f"{nanoseconds:.2g} ns"


def row(work, shape, contestants):
    ours, *peers = contestants
    peers.sort(key=lambda c: c.median)
    best = peers[0]
    others = ", ".join(f"{p.name} {duration(p.median)}" for p in peers[1:])
    return (f"| {work} | {shape} | {duration(ours.median)} | {best.name} {duration(best.median)} "
            f"| {best.median / ours.median:.2f} | {others} |")


def main():
    asked = options()
    stay(asked.cpu)
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)

    import capi
    import contest
    import exact
    import ours

    exact.refuses()
    library = capi.Library(asked.peers / "pergrad", asked.peers / "extensions", asked.isa)
    ours.enter(library)
    for peers in PEERS + ["peers_deepspeed"] * asked.deepspeed:
        try:
            __import__(peers)
        except ModuleNotFoundError as error:
            print(f"left out: {peers}, since {error.name} is not installed")

    mkl = f"; MKL: {os.environ.get('PEERS_MKL', 'as it is')}" if "PyTorch" in contest.VERSIONS else ""
    versions = ", ".join(f"{name} {version}" for name, version in contest.VERSIONS.items())
    print(f"{cpu_name()}; {date.today()}; f32, one thread; pergrad on {library.isa_name}")
    print(f"{versions}; Python {platform.python_version()}{mkl}")
    print(f"medians of {asked.rounds} rounds of {asked.least:g} ms, {asked.clock} clock; B x J x I, B x T x J x I, B x n or n\n")

    how = asked.rounds, asked.least * 1e6, contest.CLOCKS[asked.clock]
    print("| a call with nothing to do | time |\n| --- | ---: |")
    overheads = contest.overheads(*how)
    for c in overheads:
        print(f"| {c.name} | {duration(c.median)} |")

    print("\n| work | shape | pergrad | best peer | peer / pergrad | others |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    found = []
    for work, shape in contest.select(re.compile(asked.pattern), asked.quick):
        case = contest.cases.Case(work, shape)
        contestants = contest.enter(case)
        try:
            contest.check(case, contestants)
        except exact.Wrong as wrong:
            sys.exit(f"wrong: {wrong}")
        contest.race(contestants, *how)
        print(row(work, case, contestants), flush=True)
        found.append({"work": work, "shape": shape,
                      "nanoseconds": {c.name: c.samples for c in contestants}})
    if not found:
        sys.exit(f"no work matches {asked.pattern!r}")

    results = asked.peers / "results.json"
    results.write_text(json.dumps({
        "cpu": cpu_name(), "date": str(date.today()), "isa": library.isa_name,
        "clock": asked.clock, "versions": contest.VERSIONS, "overheads": {c.name: c.samples for c in overheads},
        "works": found}, indent=1))
    print(f"\n{len(found)} cases, each result checked against float64; samples in {results}")


if __name__ == "__main__":
    main()
