"""Launches: the kernels and library calls that a function asks its device for.

Exact, so one more is certain. In PyTorch they are counted while the function runs
(`dispatched`), in JAX in the text of its compiled program.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

# that compute nothing: names, and places in memory that are there already
FREE = {
    "add-dependency",
    "after-all",
    "bitcast",
    "constant",
    "get-tuple-element",
    "opt-barrier",
    "parameter",
    "tuple",
}
COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*\{$")
# a shape is one word, or a tuple of them
INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%?[\w.-]+ = (?:\((?:[^()]|\([^()]*\))*\)|\S+) (?P<kind>[\w-]+)\("
)
ATTRIBUTE = re.compile(r", (\w+)=(?:\{([^{}]*)\}|%?([\w.-]+))")
ITERATIONS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


class Launches(NamedTuple):
    """A count of them."""

    number: int
    # whose iterations the program decides as it runs: one of each is in the number
    open_loops: int = 0


def count(framework: str, function: Callable[..., Any], *arguments: Any) -> Launches:
    """Count the launches of a call of a function that the framework's backend compiled.

    In PyTorch they are the operations that a second call dispatches, those counted that
    compute or copy; in `torch-compiled` also the kernels that Inductor has generated. In
    JAX they are those of the compiled program (`in_program`).
    """
    if framework == "jax":
        compiled: Any = function
        return in_program(compiled.lower(*arguments).compile().as_text())
    from optbench.measure import dispatched

    return Launches(dispatched.count(lambda: function(*arguments)))


def in_program(text: str) -> Launches:
    """Count the launches of one run of a program, from the text of its optimized HLO.

    An instruction is one: a fusion, a library call, a product, a sort, a copy. Parameters,
    constants, tuples and bitcasts are none. A loop has its body's as often as it is known
    to go round, or else its condition's and its body's once and counts as open; a
    conditional has those of its most expensive branch.
    """
    computations, entry = _computations(text)

    @cache
    def of(name: str) -> Launches:
        each = [of_instruction(*instruction) for instruction in computations[name]]
        return _total(each)

    def of_instruction(kind: str, line: str) -> Launches:
        if kind in FREE or kind.endswith("-done"):  # whose start was counted
            return Launches(0)
        called = _called(line)
        if kind == "call":
            return of(called["to_apply"])
        if kind == "conditional":
            keys = ("branch_computations", "true_computation", "false_computation")
            branches = ", ".join(called[key] for key in keys if key in called)
            return max(of(name.strip(" %")) for name in branches.split(","))
        if kind != "while":
            return Launches(1)
        body = of(called["body"])
        if known := ITERATIONS.search(line):
            return Launches(int(known[1]) * body.number, body.open_loops)
        return _total([of(called["condition"]), body, Launches(0, 1)])

    return of(entry)


def _computations(text: str) -> tuple[dict[str, list[tuple[str, str]]], str]:
    """Give every computation's instructions, kind and line, and the name of the first."""
    computations: dict[str, list[tuple[str, str]]] = {}
    entry, current = "", ""
    for line in text.splitlines():
        if header := COMPUTATION.match(line):
            current = header["name"]
            computations[current] = []
            entry = current if header["entry"] else entry
        elif instruction := INSTRUCTION.match(line):
            computations[current].append((instruction["kind"], line))
    return computations, entry


def _called(line: str) -> dict[str, str]:
    """Give an instruction's attributes that name computations, and others of one word."""
    return {key: listed or word for key, listed, word in ATTRIBUTE.findall(line)}


def _total(launches: list[Launches]) -> Launches:
    return Launches(*(sum(parts) for parts in zip(Launches(0), *launches, strict=True)))
