"""Commands for results: tables, figures, the report, the index, verification."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.cli.exit_codes import end
from optbench.problems.names import UnknownName

if TYPE_CHECKING:
    from optbench.records.frames import Frames

Paths = Annotated[
    list[Path],
    typer.Argument(help="Records, or folders with records somewhere below them."),
]


def table(
    paths: Paths,
    style: Annotated[str, typer.Option("--format", help="text, csv or markdown.")] = "text",
) -> None:
    """Print the table of records."""
    from optbench.report import summary

    if style not in summary.FORMATS:
        raise UnknownName("format", style, summary.FORMATS)
    typer.echo(summary.render(summary.summarise(_frames(paths)), style), nl=False)


def plot(
    paths: Paths,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path(),
) -> None:
    """Draw the relative L2 error over optimizer seconds, one panel per case."""
    from optbench.report import curves

    out.mkdir(parents=True, exist_ok=True)
    for figure in curves.draw(_frames(paths), out):
        typer.echo(f"written: {figure}")


def compare(
    paths: Paths,
    published: Annotated[
        Path, typer.Option("--with", help="Folder of the published results.")
    ] = Path("results/standard"),
    out: Annotated[Path, typer.Option(help="Folder of the table and the figure.")] = Path(
        "results/local/compare"
    ),
) -> None:
    """Compare your runs with published ones: where each would rank.

    On every case in common: errors after the same optimizer seconds. Writes the table and a
    figure of the curves, yours beside the best of the published ones.
    """
    from optbench.records import files
    from optbench.report import compare, curves

    compared = compare.beside(_frames(paths), _frames([published]))
    typer.echo(compare.text(compared), nl=False)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{compare.NAME}.md"
    files.replace(file, compare.text(compared, "pipe"))
    for written in (file, *curves.draw(compared.frames, out)):
        typer.echo(f"written: {written}")


def choose(
    problem: Annotated[str, typer.Option(help="A problem of the published results.")],
    parameters: Annotated[
        int | None, typer.Option(min=1, help="How many parameters your network has.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds of optimizer steps you have.")
    ] = None,
    published: Annotated[
        Path, typer.Option("--with", help="Folder of the published results.")
    ] = Path("results/standard"),
) -> None:
    """Say which optimizers the published results find best for a problem.

    On the case whose number of parameters is nearest: the errors after so many seconds.
    """
    from optbench.report import choose

    advice = choose.ask(_frames([published]), problem, parameters, seconds)
    typer.echo(choose.text(advice, parameters), nl=False)


def report(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder of results, or one with such folders somewhere below it."
        ),
    ],
) -> None:
    """Make all that is published of a campaign from its raw records.

    Tables, figures and the page; they are the same each time.
    """
    from optbench.report import report as reports

    for written in reports.make(path):
        typer.echo(f"written: {written}")


def index(
    path: Annotated[Path, typer.Argument(help="The folder of all results.")] = Path(
        "results"
    ),
    readme: Annotated[
        Path | None,
        typer.Option(
            help="Also a README with marks: <!-- headline FOLDER --> and "
            "<!-- /headline -->."
        ),
    ] = None,
) -> None:
    """Write the README of a folder of results.

    It says what is published in the folder, with headline tables and how each was made.
    """
    from optbench.report import index

    typer.echo(f"written: {index.write(path)}")
    if readme is not None:
        typer.echo(f"written: {index.fill(readme)}")


def verify(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder of results, or one with such folders somewhere below it."
        ),
    ],
    rerun: Annotated[
        int, typer.Option(min=0, help="Repeat so many finished runs and compare.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Draws the runs that are repeated.")] = 0,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference of a repeated number.")
    ] = 1e-6,
    figures: Annotated[
        bool,
        typer.Option(help="Draw figures again and compare: minutes for 1,000 runs."),
    ] = True,
) -> None:
    """Check published results as a stranger would; exit code 1 where something is wrong.

    A line for each rule, then what is wrong, file by file.
    """
    from optbench.campaign import results_folder
    from optbench.verify import verify as check

    results = results_folder.find(path)
    findings = []
    for finding in check.findings(results, path, () if figures else ("figures",)):
        typer.echo(finding)
        findings.append(finding)
    if rerun:
        findings.append(
            check.repeated(
                results, rerun, seed, tolerance, lambda text: typer.echo(text, err=True)
            )
        )
        typer.echo(findings[-1])
    issues = [issue for finding in findings for issue in finding.issues]
    for issue in issues:
        typer.echo(issue)
    if skipped := [finding.rule for finding in findings if finding.skipped]:
        typer.echo(f"not all is checked: {', '.join(skipped)}")
    if issues:
        end(f"{len(issues)} issue{'s' if len(issues) > 1 else ''} in {path}", 1)


def _frames(paths: list[Path]) -> "Frames":
    """Read the records of several paths as one pair of frames."""
    from optbench.records import store
    from optbench.records.frames import from_records

    # a file that is named twice is one
    found = {
        file.resolve(): record for path in paths for file, record in store.records(path)
    }
    return from_records(found.values())
