"""The gallery of problems: what docs/gallery.md says of each, and its picture.

`python docs/made/gallery_page.py` writes into the page what the registry and the results
know; the page's prose is written by hand. The site draws the pictures when it is made.
"""

import re
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from optbench import problems
from optbench.problems import networks
from optbench.problems.boxes import TIME
from optbench.problems.problem import INTERIOR, Problem
from optbench.records import files, palette
from optbench.report import against_others

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gallery.md"
ERRORS = "results/*/*/tables/errors.csv"  # of all campaigns on all machines
SOLVED = 1e-2  # the relative L2 error below which a problem counts as solved
NOTHING = "nothing that we know of"  # is published elsewhere
HARD = {"black_scholes_barenblatt_100d"}
BLOCK = re.compile(
    r"(?P<start><!-- (?P<kind>facts|solved) (?P<name>\w+) -->\n).*?(?=<!-- /(?P=kind) -->)",
    re.DOTALL,
)

# the paper's problems, which do not name their inputs: of those with a time
TIMED = ("heat_", "log_fokker_planck_")
# what a term asks, by its name, or by the problem's where that is another thing
ASKS = {
    "interior": "the equation",
    "initial": "$u$ at the first time",
    "terminal": "$u$ at the last time",
    "boundary": "$u$ on the boundary",
    "initial_velocity": "$u_t$ at the first time",
    "normal": "$\\partial u/\\partial n$ on the boundary",
    "kdv_1d slope": "$u_x$ at the right end",
    "kuramoto_sivashinsky_1d slope": "$u_x$ at both ends",
    "kdv_1d boundary": "$u$ at both ends",
    "kuramoto_sivashinsky_1d boundary": "$u$ at both ends",
    "burgers_1d boundary": "$u$ at both ends",
    "wave_1d boundary": "$u$ at both ends",
    "fisher_kpp_1d boundary": "$u$ at both ends",
    "nls_1d interior": "both equations",
    "nls_1d initial": "$u, v$ at the first time",
    "nls_1d boundary": "$u, v$ at both ends",
    "kovasznay_2d interior": "momentum (2) and divergence",
    "kovasznay_2d boundary": "$u, v, p$ on the boundary",
    "taylor_green_2d interior": "momentum (2) and divergence",
    "taylor_green_2d initial": "$u, v, p$ at the first time",
    "taylor_green_2d pressure": "$p$ at $(t, 0, 0)$",
    "beltrami_3d interior": "momentum (3) and divergence",
    "beltrami_3d initial": "$u, v, w, p$ at the first time",
    "beltrami_3d boundary": "$u, v, w, p$ on the boundary",
    "heat_sine_1d boundary": "$u$ on the boundary and at $t = 0$",
    "heat_sum_4d boundary": "$u$ on the boundary and at $t = 0$",
    "log_fokker_planck_9d boundary": "$q$ at $t = 0$",
}


class Panel(NamedTuple):
    """A picture of one quantity of the solution."""

    title: str
    of: Callable[[np.ndarray], np.ndarray]  # of u* [n, m]: a number per point [n]


def output(number: int, title: str) -> Panel:
    """Show one output."""
    return Panel(title, lambda u: u[:, number])


# where the first output is not all there is to see
PANELS = {
    "nls_1d": (Panel("|ψ|", lambda u: np.hypot(u[:, 0], u[:, 1])), output(0, "u = Re ψ")),
    "kovasznay_2d": (output(0, "u"), output(1, "v"), output(2, "p")),
    "taylor_green_2d": (output(0, "u"), output(2, "p")),
    "beltrami_3d": (output(0, "u"), output(3, "p")),
    "log_fokker_planck_9d": (output(0, "q"),),
}
# the two inputs of the solution's picture, where they are not the first two
SHOWN = {"taylor_green_2d": (1, 2), "beltrami_3d": (1, 2)}
FEW, FEWER = 300, 60  # points of the picture's terms: the equation's, a condition's
GRID = 201  # nodes a side of the solution's picture
INCHES, DOTS = 2.9, 85
SHADES = 48  # of a colour map: files with more are several times as large


def axes(problem: Problem) -> tuple[str, ...]:
    """Name the inputs of a problem."""
    if problem.axes:
        return problem.axes
    time = [TIME] * problem.name.startswith(TIMED)
    space = range(1, 1 + problem.dim - len(time))
    return (*time, *(["x"] if problem.dim == 2 and time else [f"x{n}" for n in space]))


def facts(name: str, errors: pd.DataFrame | None = None) -> str:
    """Write what the registry says of a problem, and what the results do."""
    problem, theirs = problems.get(name), against_others.published()
    elsewhere = against_others.in_words(theirs[theirs["problem"] == name])
    rows = [
        {
            "term": f"`{term}`",
            "asks": ASKS.get(f"{name} {term}") or ASKS[term],
            "points": f"{problem.points[term]:,}",
            "weight": f"{problem.weights[term]:g}",
            "order": f"{problem.terms[term].operator.order}",
            "channels": f"{problem.terms[term].operator.channels}",
        }
        for term in problem.terms
    ]
    sizes = [
        f"`{network}` (D = {size:,})"
        for network in problem.networks
        if (size := networks.parameter_count(network, problem.inputs, problem.outputs))
    ]
    lines = [
        f"- **Domain:** {domain(problem)}. Outputs: {problem.outputs}.",
        f"- **Points:** {drawn(problem)}.",
        f"- **Network:** {sizes[0]}"
        + (f"; also {', '.join(sizes[1:])}" if sizes[1:] else "")
        + ".",
        f"- **Source:** {problem.reference}.",
        f"- **This suite:** {reached(name, errors)}.",
        f"- **Published elsewhere:** {elsewhere or NOTHING}.",
    ]
    return f"{markdown(rows)}\n\n" + "\n".join(lines) + "\n"


def domain(problem: Problem) -> str:
    """Write the intervals of the inputs; equal ones that follow each other once."""
    spans: list[tuple[list[str], str]] = []
    for axis, label in enumerate(axes(problem)):
        low, high = (shown(bound[axis]) for bound in problem.bounds)
        span = f"$\\in [{low}, {high}]$"
        if axis in problem.periodic:
            period = shown(problem.periodic[axis].period)
            span += f", periodic with the period ${period}$,"
        if spans and spans[-1][1] == span and label != TIME:
            spans[-1][0].append(label)
        else:
            spans.append(([label], span))
    written = []
    for labels, span in spans:
        symbols = [symbol(each) for each in labels]
        many = [symbols[0], "…", symbols[-1]] if len(symbols) > 3 else symbols
        written.append(f"{', '.join(many)} {span}")
    return ", ".join(written).replace(",,", ",").rstrip(",")


def symbol(label: str) -> str:
    """Write an input's name as a formula."""
    return f"${label[0]}_{{{label[1:]}}}$" if label[1:] else f"${label}$"


def shown(number: float) -> str:
    """Write a bound, by π where it is a simple part of it."""
    for part, words in ((2, "2\\pi"), (1, "\\pi"), (0.5, "\\pi/2")):
        if np.isclose(number, part * np.pi):
            return words
    return f"{number:g}"


def drawn(problem: Problem) -> str:
    """Say how a batch is drawn, and when again."""
    how = {"sobol": "a scrambled Sobol sequence", "uniform": "uniformly random"}
    words = how[problem.sampling]
    if problem.march:
        words += f", up to the last time within {problem.march} steps"
    every = problem.resample_every
    if not every:
        return f"{words}, one fixed batch"
    then = "then redrawn" if problem.march else "redrawn"
    return f"{words}, {then} every {f'{every} steps' if every > 1 else 'step'}"


def results() -> pd.DataFrame | None:
    """Read the published errors of all machines; None: there are none."""
    tables = [pd.read_csv(file, skiprows=1) for file in sorted(ROOT.glob(ERRORS))]
    return pd.concat(tables, ignore_index=True) if tables else None


def reached(name: str, errors: pd.DataFrame | None) -> str:
    """Say how far the best optimizer of the results came."""
    unsolved = "hard" if name in HARD else "open"
    rows: Any = None if errors is None else errors[errors["problem"] == name]
    if rows is None or rows["relative_l2"].isna().all():
        return f"{unsolved} (no published result yet)"
    best = rows.loc[rows["relative_l2"].idxmin()]
    verdict = "solved" if best["relative_l2"] < SOLVED else unsolved
    return (
        f"{verdict}: a relative L2 error of {best['relative_l2']:.1e} with "
        f"`{best['label']}` in {best['framework']}, the median of {best['runs']} "
        f"{'run' if best['runs'] == 1 else 'runs'} "
        f"(case “{best['case']}” of the campaign {best['campaign']} on {best['machine']})"
    )


def solved(errors: pd.DataFrame | None = None) -> str:
    """Write the table of all problems."""
    rows = []
    for name in problems.names():
        problem = problems.get(name)
        network = problem.networks[0]
        size = networks.parameter_count(network, problem.inputs, problem.outputs)
        rows.append(
            {
                "problem": f"[`{name}`](#{name})",
                "order": f"{problem.order}",
                "terms": f"{len(problem.terms)}",
                "inputs": f"{problem.dim}",
                "outputs": f"{problem.outputs}",
                "D": f"{size:,}",
                "this suite": reached(name, errors).split(", the median")[0].split(" (")[0],
            }
        )
    return markdown(rows) + "\n"


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Write a table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: str, errors: pd.DataFrame | None) -> str:
    """Fill a page's blocks."""

    def block(found: re.Match[str]) -> str:
        if found["kind"] == "solved":
            return f"{found['start']}\n{solved(errors)}\n"
        return f"{found['start']}\n{facts(found['name'], errors)}\n"

    return BLOCK.sub(block, page)


def caption(name: str) -> str:
    """Say what a problem's picture shows."""
    problem, labels = problems.get(name), axes(problems.get(name))
    over, across = SHOWN.get(name, (0, 1))
    points = "Left: some points of each term"
    if problem.dim > 2:
        points += f", seen along all inputs but {labels[0]} and {labels[1]}"
    what = " and ".join(panel.title for panel in panels(problem))
    if len(panels(problem)) == 3:
        what = "u, v and p"
    solution = f"Right: the solution {what}"
    if problem.dim > 2:
        rest = [label for axis, label in enumerate(labels) if axis not in (over, across)]
        middles = [f"{middle(problem, label):g}" for label in rest]
        where = (
            ", ".join(f"{a} = {b}" for a, b in zip(rest, middles, strict=True))
            if len(rest) < 4
            else f"all other inputs = {middles[-1]}"
        )
        solution += f", a slice at {where}"
    return f"{points}. {solution}."


def middle(problem: Problem, label: str) -> float:
    """Give where a slice fixes an input: the first time, or the middle of space."""
    axis = axes(problem).index(label)
    low, high = (bound[axis] for bound in problem.bounds)
    return float(low if label == TIME else (low + high) / 2)


def panels(problem: Problem) -> tuple[Panel, ...]:
    """List what is shown of the solution."""
    return PANELS.get(problem.name, (output(0, "u"),))


def picture(name: str) -> bytes:
    """Draw the points of a problem's terms beside its solution, as a PNG."""
    problem = problems.get(name)
    shows, labels = panels(problem), axes(problem)
    with sns.axes_style("ticks"), plt.rc_context({"font.size": 8}):
        figure, places = plt.subplots(
            1,
            1 + len(shows),
            figsize=(INCHES * (1 + len(shows)) + 0.4, INCHES),
            layout="constrained",
        )
        _points(places[0], problem, labels)
        _solution(figure, places[1:], problem, labels, shows)
    content = BytesIO()
    figure.savefig(content, dpi=DOTS, format="png", metadata={"Software": None})
    plt.close(figure)
    return content.getvalue()


def _points(place: Any, problem: Problem, labels: Sequence[str]) -> None:
    generator = np.random.default_rng(0)
    numbers = {name: FEW if name == INTERIOR else FEWER for name in problem.terms}
    batch = problem.batch(generator, numbers)
    colours = list(palette.COLOURS.values())
    # the first is grey: the equation's points are many
    # later terms are smaller: where two hold at the same points, both are seen
    sizes = (4, 14, 7, 4)
    layers = zip(["0.6", *colours], sizes, batch.items(), strict=False)
    for colour, size, (name, (x, _)) in layers:
        place.scatter(*x[:, :2].T, size, colour, linewidth=0, label=name, clip_on=False)
    for limit, axis in ((place.set_xlim, 0), (place.set_ylim, 1)):
        limit(*(bound[axis] for bound in problem.bounds))
    place.set(xlabel=labels[0], ylabel=labels[1])
    place.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, markerscale=2
    )
    sns.despine(ax=place)


def _solution(
    figure: Any,
    places: Sequence[Any],
    problem: Problem,
    labels: Sequence[str],
    shows: Sequence[Panel],
) -> None:
    over, across = SHOWN.get(problem.name, (0, 1))
    sides = [
        np.linspace(problem.bounds[0][axis], problem.bounds[1][axis], GRID)
        for axis in (over, across)
    ]
    x = np.tile([middle(problem, label) for label in labels], (GRID**2, 1))
    mesh = np.meshgrid(*sides, indexing="ij")
    x[:, over], x[:, across] = (side.ravel() for side in mesh)
    u = problem.solution(x)
    for place, panel in zip(places, shows, strict=True):
        values = panel.of(u).reshape(GRID, GRID)
        largest = np.abs(values).max()
        signed = values.min() < -1e-9 * largest and values.max() > 1e-9 * largest
        limits = {"vmin": -largest, "vmax": largest} if signed else {}
        image = place.imshow(
            values.T,
            origin="lower",
            extent=(*sides[0][[0, -1]], *sides[1][[0, -1]]),
            aspect="auto",
            cmap=sns.color_palette("vlag" if signed else "rocket", as_cmap=True).resampled(
                SHADES
            ),
            interpolation="nearest",
            **limits,
        )
        place.set(xlabel=labels[over], ylabel=labels[across], title=panel.title)
        figure.colorbar(image, ax=place)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    files.replace(PAGE, written(page, results()).encode())
