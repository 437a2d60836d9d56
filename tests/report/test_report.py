"""A report is made from raw records alone, and its page can be used in a browser."""

import io
import math
import re
import shutil
import subprocess
import tomllib
from contextlib import nullcontext

import pandas as pd
import pytest
from browsers import needs_browser
from fakes import Fake, request
from made_up_baselines import certified
from made_up_results import HOSTILE, TOML, folder_of
from markdown_it import MarkdownIt
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner

from optbench.campaign import campaign, expansion
from optbench.campaign.errors import CampaignError
from optbench.cli.app import app
from optbench.measure import certificate
from optbench.records import checksums, plain_text, store
from optbench.records.cores import Claim
from optbench.records.frames import from_records
from optbench.report import captions, curves, figures, page, report, tables
from optbench.schedule import runner
from optbench.schedule.local_workers import Workers
from optbench.training.limits import Limits

FIGURES = [
    "cost_over_width_poisson_sine_2d",
    "error_over_seconds",
    "error_over_steps",
    "heatmap",
    "profiles",
    "solution_poisson_sine_2d_tanh_4",
    "solution_poisson_sine_2d_tanh_8",
    "soonest",
    "step_cost",
]
TABLES = [
    "commits",
    "errors",
    "frameworks",
    "hardest",
    "headline",
    "rankings",
    "soonest",
    "targets_seconds",
    "targets_total_seconds",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of results with its products."""
    made = folder_of(tmp_path_factory.mktemp("results"))
    assert CliRunner().invoke(app, ["report", str(made)]).exit_code == 0
    return made


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder of results whose names are markup, with its products."""
    made = folder_of(tmp_path_factory.mktemp("hostile"), HOSTILE, "my#1 _$x_")
    done = CliRunner().invoke(app, ["report", str(made)])
    assert done.exit_code == 0, done.output
    return made


def products(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.medium
def test_a_report_is_made_from_the_records_alone_and_is_the_same_each_time(
    folder, tmp_path
):
    shutil.copytree(folder / "runs", tmp_path / "c" / "m" / "runs")
    shutil.copy(folder / "campaign.toml", tmp_path / "c" / "m")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    again = products(tmp_path / "c" / "m")
    assert again == products(folder)
    assert sorted(name for name in again if name.startswith("tables/")) == sorted(
        f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex")
    )
    assert {name for name in again if name.startswith("figures/")} == {
        f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "svg")
    }


def test_every_table_says_what_it_was_made_from(folder):
    records = [record for _, record in store.records(folder)]
    source = captions.source(records, folder)
    assert re.fullmatch(
        r"PINN-OptBench, campaign c 1\.0 on \S+, computed on a fake, the frameworks' own "
        r"products in Gflop/s: jax .+, torch .+; [-\d]{10}, commit "
        r"[0-9a-f]{10}\+?, raw data .+\.",
        source.text,
    )
    assert source.text.count(source.digest[:16]) == 1
    for file in (folder / "tables").iterdir():
        written = {
            ".csv": plain_text.visible,
            ".md": plain_text.markdown,
            ".tex": plain_text.latex,
        }[file.suffix]
        assert written(source.text) in file.read_text(), file.name


def test_many_commits_are_the_first_the_last_and_where_all_are_listed(folder):
    records = [record for _, record in store.records(folder)][:3]
    for number, record in enumerate(records):
        provenance = record.provenance.model_copy(
            update={"commit": f"{number}" * 40, "dirty": number == 2}
        )
        started = f"2026-01-0{3 - number}T00:00:00+00:00"  # the last is the first
        records[number] = record.model_copy(
            update={"provenance": provenance, "started": started}
        )
    source = captions.source(records, folder)
    assert "3 commits (2222222222+…0000000000, all in tables/commits.csv)" in source.text
    table = tables.commits(records)
    assert table.data["commit"].tolist() == ["2" * 40, "1" * 40, "0" * 40]
    assert table.data["uncommitted_changes"].tolist() == [True, False, False]
    assert source.made_by in page.citation(source)


def test_the_digest_is_of_the_raw_records(folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    records = [record for _, record in store.records(folder)]
    assert (
        captions.source(records, tmp_path).digest == captions.source(records, folder).digest
    )
    next((tmp_path / "runs").iterdir()).write_text("{}")
    assert (
        captions.source(records, tmp_path).digest != captions.source(records, folder).digest
    )


@pytest.mark.slow
def test_the_certificate_of_the_baselines_is_a_table_where_the_folder_has_it(tmp_path):
    made = folder_of(tmp_path)
    written = certificate.write(certified(), made)
    checksums.write(made)
    done = CliRunner().invoke(app, ["report", str(made)])
    assert done.exit_code == 0, done.output
    kept = {file.name for file in (made / "tables").iterdir() if "baselines" in file.name}
    assert kept == {f"baselines.{suffix}" for suffix in ("csv", "md", "tex")}
    assert "1.20 [1.00, 1.40]" in (made / "tables" / "baselines.md").read_text()
    assert "Our baselines beside" in (made / "report.html").read_text()
    assert list(checksums.issues(made)) == []
    written.unlink()
    assert CliRunner().invoke(app, ["report", str(made)]).exit_code == 0
    assert "Our baselines beside" not in (made / "report.html").read_text()


def test_numbers_are_those_of_the_records(folder):
    data = pd.read_csv(folder / "tables" / "errors.csv", comment="#").set_index(
        ["case", "label", "framework"]
    )
    runs = from_records(record for _, record in store.records(folder)).runs
    for names, group in runs.groupby(["case", "label", "framework"]):
        finished = group[group["status"] == "finished"]
        row = data.loc[names]
        assert (row["runs"], row["finished"]) == (len(group), len(finished))
        assert row["relative_l2"] == pytest.approx(
            finished["relative_l2"].median(), nan_ok=True
        )
    # of three seeds
    assert data[["first", "low", "high"]].isna().all(axis=None)
    text = (folder / "tables" / "errors.md").read_text()
    assert not re.search(r"\| *[^|]+ to [^|]+ *\|", text)
    quick = data.xs("quick", level="label").iloc[0]
    assert quick["runs"] == 3
    assert re.search(rf"{quick['relative_l2']:.2e} \[[^],]+, [^],]+, [^],]+\]", text)
    targets = pd.read_csv(folder / "tables" / "targets_seconds.csv", comment="#").set_index(
        ["label", "target"]
    )
    assert targets.loc[("quick", 1e-6), "reached"].tolist() == [3] * 4
    assert targets.loc[("slow", 1e-6), "reached"].tolist() == [0] * 4
    assert len(pd.read_csv(folder / "tables" / "rankings.csv", comment="#")) > 0


def test_five_seeds_have_an_interval_a_probability_and_bold_for_those_it_reaches(tmp_path):
    made = folder_of(tmp_path, TOML.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    records = [record for _, record in store.records(made)]
    errors, wide, *_ = tables.make(from_records(records), records)
    data = errors.data.set_index(["case", "label", "framework"])
    assert data.groupby("case")["first"].sum().tolist() == pytest.approx([1, 1])
    assert data.xs("broken", level="label")["first"].tolist() == [0, 0]
    finished = errors.data["finished"] > 0
    assert errors.data.loc[finished, ["low", "high"]].notna().all(axis=None)
    assert errors.shown.loc[finished, "95 % interval"].str.contains(" to ").all()
    assert captions.STOPPED not in errors.title
    # equal seeds fall equally in both frameworks
    best = wide.data[wide.data["bold"]]
    assert set(best["label"]) == {"quick"}
    assert "fewer than 5 seeds" not in wide.title
    few, least, *_ = tables.make(from_records(records[::2]), records[::2])
    assert few.data["first"].isna().any()
    assert "fewer than 5 seeds" in least.title


def test_what_stopped_moving_is_marked_wherever_its_number_is(tmp_path):
    records = [record for _, record in store.records(folder_of(tmp_path))]
    for number, record in enumerate(records):
        if record.request.labels.optimizer == "slow":
            same = {"relative_l2": 0.5, "rms": 0.25, "interior": 1.0, "boundary": 1.0}
            rows = tuple(
                row.model_copy(update=same) if row.step >= 7 else row
                for row in record.history
            )
            records[number] = record.model_copy(update={"history": rows})
    made = {table.name: table for table in tables.make(from_records(records), records)}
    slow = made["errors"].shown["optimizer"] == "slow"
    cells = made["errors"].shown["relative L2"].str.contains("†")
    assert (cells == slow).all()
    after = made["errors"].shown["nothing moved after step"]
    assert set(after[slow]) == {"7 of 30 (3/3)"}
    assert set(after[~slow]) == {""}
    for name in ("headline", "hardest"):
        rows = made[name].shown.set_index("optimizer").iloc[:, -2:].map(str)
        marked = rows.apply(lambda row: row.str.contains("†").all(), axis=1)
        assert marked[marked].index.unique().tolist() == ["slow"]
    for name in ("errors", "headline", "hardest"):
        assert captions.STOPPED in made[name].title
    assert "in which something moved" in made["frameworks"].title


def test_a_caption_says_what_is_left_out_and_what_is_no_measure(folder, tmp_path):
    records = [record for _, record in store.records(folder)][:3]
    changes = (
        {"shared_cores": True, "device": "NVIDIA H100"},
        {"commit": None, "dirty": None, "device": "NVIDIA H100"},
        {"dirty": True},
    )
    for number, change in enumerate(changes):
        provenance = records[number].provenance.model_copy(
            update={"commit": "1" * 40, "dirty": False} | change
        )
        records[number] = records[number].model_copy(update={"provenance": provenance})
    text = captions.source(records, folder, missing=4, unasked=2).text
    for words in (
        "computed on NVIDIA H100 (jax, torch) and a fake (torch)"
        if {records[0].request.framework, records[1].request.framework} == {"jax", "torch"}
        else "computed on NVIDIA H100 (",
        "runs that shared cores with others, so that their seconds are no measure: 1",
        "runs of an unknown commit: 1",
        "runs with uncommitted changes (+): 1",
        "records left out that the campaign does not ask for: 2",
        "not complete: 4 runs are missing.",
    ):
        assert words in text


def test_a_record_that_nobody_asked_for_is_said(tmp_path, monkeypatch):
    made = folder_of(tmp_path)
    other = Fake().perform(request())
    store.write(store.path(made, other.request), other)
    monkeypatch.setattr(figures, "make", lambda *_: [])
    monkeypatch.setattr(curves, "draw", lambda *_: [])
    list(report.make(made))
    text = (made / "tables" / "headline.csv").read_text()
    assert "records left out that the campaign does not ask for: 1" in text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left")])
def test_what_was_published_stays_where_a_report_does_not_end(tmp_path, monkeypatch, error):
    made = folder_of(tmp_path)
    for name in (
        "tables/old.csv",
        "figures/old.pdf",
        "report.html",
        "SHA256SUMS",
        "table.md",
    ):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text("old")
    before = products(made)

    def fails(*_):
        raise error

    monkeypatch.setattr(curves, "draw", lambda *_: [])
    monkeypatch.setattr(figures, "make", fails)
    with pytest.raises(type(error)):
        list(report.make(made))
    assert products(made) == before


def test_a_campaign_whose_runs_all_failed_has_its_tables(tmp_path):
    made = folder_of(tmp_path)
    for file, record in store.records(made):
        lost = {"status": "failed", "history": (), "steps": 0, "clock": {}}
        lost |= {"error": "a | pipe\nand </script>", "surface": None}
        store.write(file, record.model_copy(update=lost))
    names = {path.relative_to(made).as_posix() for path in report.make(made)}
    assert {"tables/errors.md", "report.html", "SHA256SUMS"} <= names
    assert "0/3" in (made / "tables" / "errors.md").read_text()


def test_learned_solutions_are_those_of_the_smallest_errors(tmp_path, monkeypatch):
    errors = {"d": 0.3, "b": 0.1, "lost": math.nan, "a": 0.4, "c": 0.2, "f": 0.6, "e": 0.5}
    one = Fake().perform(request())
    labels = {
        name: one.request.labels.model_copy(update={"optimizer": name}) for name in errors
    }
    records = [
        one.model_copy(
            update={
                "request": one.request.model_copy(update={"labels": labels[name]}),
                "history": (one.history[0].model_copy(update={"relative_l2": error}),),
            }
        )
        for name, error in errors.items()
    ]
    drawn = []
    monkeypatch.setattr(figures, "write", lambda figure, *_: drawn.append(figure) or [])
    list(figures.solutions(records, tmp_path))
    (figure,) = drawn
    titles = [axes.get_title().split(",")[0] for axes in figure.axes]
    assert [title for title in titles if title in errors] == ["b", "c", "d", "a", "e", "f"]
    assert "the 6 smallest errors of 7 optimizers" in figure.get_suptitle()


def test_names_of_files_are_short_and_their_own():
    long = ["x" * 300, "x" * 299 + "y"]
    names = figures.file_names(["a, b", "a b", "A_b", "other", *long])
    assert names["other"] == "other"
    assert len({name.lower() for name in names.values()}) == len(names)
    assert max(map(len, names.values())) < 60


@pytest.mark.slow
def test_every_name_is_text_in_every_format(hostile):
    asked = {record.request.labels.optimizer for _, record in store.records(hostile)}
    labels = set(map(plain_text.visible, asked))
    assert len(labels) == 8
    data = pd.read_csv(hostile / "tables" / "errors.csv", comment="#")
    assert set(data["label"].str.removeprefix("'")) == labels
    assert not data["label"].str.contains(r"^[=+@-]").any()
    assert len(set(data["case"])) == 2
    assert data["relative_l2"].dtype == float
    for file in (hostile / "tables").glob("*.md"):
        tokens = (
            MarkdownIt("commonmark")
            .enable(["table", "strikethrough"])
            .parse(file.read_text())
        )
        parts = [part for token in tokens for part in token.children or []]
        assert {part.type for part in parts} <= {
            *("text", "text_special", "strong_open", "strong_close")
        }, file.name
        assert [token.type for token in tokens].count("table_open") == 1
    shown = "".join(part.content for part in parts)
    assert "my#1 _$x_" in shown
    tokens = (
        MarkdownIt("commonmark")
        .enable("table")
        .parse((hostile / "tables" / "headline.md").read_text())
    )
    cells = [
        "".join(part.content for part in token.children)
        for token in tokens
        if token.type == "inline"
    ]
    assert {label.strip() for label in labels} <= set(cells)
    assert (hostile / "SHA256SUMS").is_file()


@needs_browser
@pytest.mark.medium
def test_the_page_shows_every_name_as_text_and_finds_it(hostile, browser):
    tab, complaints = browser.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.goto((hostile / "report.html").as_uri())
    asked = {record.request.labels.optimizer for _, record in store.records(hostile)}
    labels = sorted(map(plain_text.visible, asked))
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    rows = tab.locator(".heat th[scope=row]").all_text_contents()
    assert sorted(rows) == labels
    for label in labels:
        tab.select_option("select[name=optimizer]", label)
        cells = "#entries tbody tr:not([hidden]) td:nth-child(2)"
        assert set(tab.locator(cells).all_text_contents()) == {label}
    tab.select_option("select[name=optimizer]", "")
    for cell in tab.locator(".heat td button").all():
        cell.click()
        assert drawn(tab) > 0
    assert complaints == []
    tab.close()


def test_latex_has_no_character_that_pdflatex_does_not_know(folder):
    for file in (folder / "tables").glob("*.tex"):
        text = file.read_text()
        assert text.isascii(), file.name
        assert r"\toprule" in text
        assert r"\begin{longtable}" in text


# a campaign of eight cases and thirteen optimizers
CASES = [
    case["name"] for case in tomllib.loads(campaign.shipped()["cpu"].read_text())["case"]
]
WIDE = {
    "headline": {
        "optimizer": "engd_per_layer",
        "framework": "torch",
        **dict.fromkeys(CASES, "**1.2e-04** (4/5)"),
    },
    "rankings": {
        "cases": "; ".join(CASES),
        "target": "1e-03",
        "clock": "with compilation",
        "optimizer": "engd_per_layer",
        "framework": "torch",
        "area": "0.123 [0.100, 0.150]",
        "first": "0.25",
        "pairs that swap without it": "12",
    },
    "against_the_paper": {
        "case": CASES[1],
        "experiment": "exp09",
        "optimizer": "engd_per_layer",
        "framework": "torch",
        "absolute error": "1.8e-04 | 2.3e-04",
        "seconds": "1,000 | 30",
        "steps": "320,416 | 79,756",
        **{f"s to 1e-0{power}": "1000 | 12.3 (5/5)" for power in (2, 3, 4)},
        "hyperparameters": "paper",
        "the paper's run": "history ends before the time budget",
    },
}


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex: make latex installs it"
)
@pytest.mark.medium
def test_latex_compiles_and_fits_a_page_in_landscape(folder, hostile, tmp_path):
    tables = [
        file.read_text()
        for made in (folder, hostile)
        for file in sorted((made / "tables").glob("*.tex"))
    ]
    tables += [
        captions.latex(pd.DataFrame([row] * 60), "A caption.", name)
        for name, row in WIDE.items()
    ]
    body = "".join(rf"{table}\clearpage" for table in tables)
    preamble = (
        r"\documentclass{article}\usepackage{booktabs,longtable}"
        r"\usepackage[landscape,margin=1cm]{geometry}"
    )
    (tmp_path / "all.tex").write_text(
        rf"{preamble}\begin{{document}}{body}\end{{document}}"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    pages = int(re.findall(r"Output written on all.pdf \((\d+) pages?", done.stdout)[0])
    assert pages > len(tables)
    assert re.findall(r"Overfull .hbox \(([\d.]+)pt.*", done.stdout) == []


def test_the_page_names_no_outside_address(folder):
    text = (folder / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", text)
    assert not re.findall(r"(?:import|fetch|url)\s*\(\s*[\"']?https?:", text)


TERMS = {
    "problem": "burgers_1d",
    "points": {"interior": 9, "initial": 6, "boundary": 4},
    "weights": {"interior": 1.0, "initial": 100.0, "boundary": 1.0},
    "march": 5,
}


def test_a_command_and_the_page_s_facts_name_every_term():
    record = Fake().perform(request(**TERMS))
    words = " ".join(page.command(record.request).split())
    for said in (
        "--interior 9 --points initial=6 --boundary 4",
        "--weight interior=1 --weight initial=100 --weight boundary=1",
        "--sampling uniform --march 5",  # the problem's own are sobol and 0
    ):
        assert said in words
    facts = page._batches(record)
    assert facts["batches"] == record.request.batches
    last = record.history[-1].losses
    assert facts["losses"] == ", ".join(f"{name} {loss:.3e}" for name, loss in last.items())
    plain = Fake().perform(request())
    assert page._batches(plain) == {}
    assert not {"--sampling", "--march", "--points"} & set(
        page.command(plain.request).split()
    )


@pytest.mark.parametrize("fields", [{}, TERMS], ids=["two terms", "three terms"])
def test_a_command_repeats_the_run(fields):
    (record,) = [Fake().perform(request(**fields))]
    words = page.command(record.request).split()
    assert words[:4] == ["optbench", "run", "--problem", record.request.problem]
    assert "learning_rate=0.5" in words
    assert words[words.index("--steps") + 1] == "10"
    options = {
        option
        for command in get_command(app).commands["run"].params
        for option in command.opts
    }
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.medium
def test_a_campaign_under_way_is_reported_and_says_so(tmp_path):
    class Interrupted(Workers):
        left = 2

        def run(self, request, progress):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return Fake().perform(request)

    file, folder = tmp_path / "c.toml", tmp_path / "c" / "m"
    file.write_text(TOML)
    requests = expansion.requests(campaign.read(file), "c", file.name)
    with pytest.raises(KeyboardInterrupt):
        runner.run(
            requests,
            nullcontext(Interrupted(Limits(), lambda: Claim(()))),
            folder,
            Console(file=io.StringIO()),
            file=file,
        )
    assert (folder / "campaign.toml").read_text() == TOML
    assert CliRunner().invoke(app, ["report", str(tmp_path / "c")]).exit_code == 0
    for name in ("headline.md", "errors.csv", "errors.tex"):
        assert (
            f"not complete: {len(requests) - 2} runs are missing."
            in (folder / "tables" / name).read_text()
        ), name


@pytest.mark.slow
def test_a_report_leaves_nothing_of_another(tmp_path):
    made = folder_of(tmp_path)
    for stale in (
        "tables/old.csv",
        "figures/solution_of_a_case_that_is_gone.pdf",
        "error_over_seconds.png",  # what curves.png was called
        "error_over_seconds.svg",
    ):
        (made / stale).parent.mkdir(exist_ok=True)
        (made / stale).write_text("old")
    assert CliRunner().invoke(app, ["report", str(made)]).exit_code == 0
    assert not [
        file for file in made.rglob("*") if file.is_file() and file.read_bytes() == b"old"
    ]


def test_a_folder_has_one_table_and_one_figure_of_each_name(folder):
    files = [file for file in folder.rglob("*.*") if file.parent.name != "runs"]
    for kinds in ({".csv", ".md", ".tex", ".txt"}, {".png", ".svg", ".pdf"}):
        made = [(file.stem, file.suffix) for file in files if file.suffix in kinds]
        assert made
        assert sorted(made) == sorted(set(made))
        places = {(file.stem, file.parent) for file in files if file.suffix in kinds}
        assert len(places) == len({name for name, _ in made})


def test_a_run_leaves_the_files_that_a_report_makes(folder, tmp_path):
    records = [record for _, record in store.records(folder)]
    made = report.write_summary(from_records(records), tmp_path)
    names = ["table.txt", "table.csv", "table.md", "curves.png", "curves.svg"]
    assert [path.name for path in made] == names
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_run_of_stages_is_repeated_from_its_campaign_by_its_identity(tmp_path):
    file = tmp_path / "staged.toml"
    file.write_text(
        'version = "1.0"\nsteps = 4\n[[case]]\nproblem = "poisson_sine_2d"\n'
        'network = "tanh_4"\n'
        "[case.optimizers]\nadam_lbfgs = {}\nsgd = {}\n"
    )
    requests = expansion.requests(campaign.read(file), "staged", file.name)
    (staged,) = [
        each
        for each in requests
        if each.optimizer == "adam_lbfgs" and each.framework == "jax"
    ]
    *words, only = page.command(staged).split()
    assert words == ["optbench", "run", "campaign.toml", "--only"]
    assert [each for each in requests if each.identity.startswith(only)] == [staged]
    done = CliRunner().invoke(
        app, ["run", str(file), "--only", "nobody", "--results", str(tmp_path)]
    )
    assert isinstance(done.exception, CampaignError)
    assert (
        str(done.exception)
        == 'staged.toml: --only = "nobody": no run\'s identity begins so'
    )


def test_a_place_without_results_is_said(tmp_path):
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code != 0


@pytest.fixture(params=[400, 1600])
def shown(request, browser, folder):
    """The page from disk, without a network; anything it complains of fails the test."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, offline=True
    )
    tab, complaints = context.new_page(), []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type == "error" else None
        ),
    )
    tab.goto((folder / "report.html").as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    yield tab
    assert complaints == []
    context.close()


def visible(tab, column):
    """A column's texts in the rows that are there to be seen."""
    cells = f"#entries tbody tr:not([hidden]) td:nth-child({column})"
    return [text.strip() for text in tab.locator(cells).all_inner_texts()]


@needs_browser
@pytest.mark.medium
def test_the_page_begins_with_the_heat_map_and_folds_its_tables(shown, folder):
    shown.reload()
    order = shown.locator("main > section").evaluate_all("all => all.map(each => each.id)")
    assert order == ["map", "curves", "tables", "cite"]
    assert shown.locator("details[open]").count() == 0
    assert shown.locator("details").count() == len(TABLES)
    shown.goto((folder / "report.html").as_uri() + "#headline")
    shown.wait_for_selector("details#headline[open]")


def drawn(tab):
    return int(tab.locator("#chart").get_attribute("data-curves"))


def picked(tab):
    boxes = tab.locator("#picked input:checked")
    return boxes.evaluate_all("all => all.map(each => each.value)")


@needs_browser
@pytest.mark.medium
def test_each_cell_of_the_heat_map_has_the_table_s_number_and_opens_its_curves(
    shown, folder
):
    data = pd.read_csv(folder / "tables" / "headline.csv", comment="#")
    runs = from_records(record for _, record in store.records(folder)).runs
    cells = shown.locator(".heat td button")
    assert cells.count() == len(data)
    for row in data.to_dict("records"):
        key = (row["case"], row["label"], row["framework"])
        query = "[data-case='{}'][data-optimizer='{}'][data-framework='{}']".format(*key)
        cell = shown.locator(f".heat td button{query}")
        text, _, count = cell.inner_text().replace("\n", " ").partition(" ")
        if row["finished"] < row["runs"]:
            assert f"{row['finished']}/{row['runs']}" in (text, count)
        if row["median"] == row["median"]:
            assert float(text) == float(f"{row['median']:.1e}")
        assert ("best" in (cell.get_attribute("class") or "")) == row["bold"]
        shown.click("#picked button[name=none]")
        cell.click()
        assert shown.input_value("#picked select[name=case]") == row["case"]
        assert picked(shown) == [row["label"]]
        of = runs[(runs["case"] == row["case"]) & (runs["label"] == row["label"])]
        assert drawn(shown) == (of["status"] == "finished").sum()
        assert shown.evaluate("document.activeElement.textContent") == "Curves"
        top = shown.evaluate("document.querySelector('#curves').getBoundingClientRect().y")
        assert -1 <= top < 450
    assert shown.locator(".heat td i").count() == 2  # broken was not run in torch
    shown.click("#picked button[name=runs]")
    assert "seed 0" in shown.inner_text("#runs-body")


@needs_browser
@pytest.mark.medium
def test_the_heat_map_is_one_stop_of_the_keyboard_with_arrows_in_it(shown):
    cells = shown.locator(".heat button")
    stops = cells.evaluate_all("all => all.filter(each => each.tabIndex == 0).length")
    assert stops == 1
    cells.first.focus()  # the name of the first case
    shown.keyboard.press("Enter")
    assert sorted(picked(shown)) == ["broken", "quick", "slow"]
    cells.first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        shown.keyboard.press(key)
    focused = shown.evaluate("({...document.activeElement.dataset})")
    assert focused["case"] == "poisson_sine_2d, tanh_8"
    shown.keyboard.press("Enter")
    assert shown.input_value("#picked select[name=case]") == focused["case"]
    assert picked(shown) == [focused["optimizer"]]
    assert shown.locator("#picked select[name=case]").input_value() == focused["case"]


@needs_browser
@pytest.mark.medium
def test_the_error_is_seen_without_scrolling_sideways(shown):
    width = shown.viewport_size["width"]
    for query in (".heat td:last-child button", "#entries td:nth-child(4)"):
        for box in shown.locator(query).all():
            place = box.bounding_box()
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= width
    assert shown.locator("#entries th").nth(3).inner_text() == "relative L2"


@needs_browser
@pytest.mark.medium
def test_the_page_filters_sorts_and_opens_runs(shown, folder):
    data = pd.read_csv(folder / "tables" / "errors.csv", comment="#")
    assert len(visible(shown, 2)) == len(data)
    assert shown.inner_text("#count") == f"{len(data)} of {len(data)} rows"
    shown.select_option("select[name=framework]", "jax")
    assert set(visible(shown, 3)) == {"jax"}
    assert shown.inner_text("#count").startswith(
        f"{(data['framework'] == 'jax').sum()} of {len(data)}"
    )
    shown.select_option("select[name=framework]", "")
    shown.select_option("select[name=status]", "diverged")
    assert set(visible(shown, 2)) == {"broken"}
    shown.select_option("select[name=status]", "")
    header = shown.locator("#entries th", has_text="relative L2")
    for direction, order in (("ascending", 1), ("descending", -1)):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == direction
        values = [float(text.split()[0]) for text in visible(shown, 4) if text != "–"]
        assert values == sorted(values, reverse=order < 0)
        assert visible(shown, 4)[-1] == "–"  # what is no number is last in both
    expected = data["relative_l2"].dropna().map("{:.2e}".format)
    assert sorted(text.split()[0] for text in visible(shown, 4) if text != "–") == sorted(
        expected
    )
    shown.locator("#entries tbody tr", has_text="slow").first.locator("td").nth(4).click()
    body = shown.inner_text("#runs-body")
    assert "seed 0: finished" in body
    assert "seed 2: finished" in body
    assert "optbench run --problem poisson_sine_2d" in body
    assert "learning_rate=0.5" in body
    shown.keyboard.press("Escape")
    assert not shown.locator("#runs").is_visible()


@needs_browser
@pytest.mark.medium
def test_the_page_works_by_keyboard_and_fits(shown):
    shown.locator("#entries tbody button").first.focus()
    shown.keyboard.press("Enter")
    assert shown.locator("#runs").is_visible()
    shown.keyboard.press("Escape")
    shown.locator("#entries th button").nth(1).focus()
    shown.keyboard.press("Space")
    assert visible(shown, 2) == sorted(visible(shown, 2))
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@needs_browser
@pytest.mark.medium
def test_every_table_sorts_filters_and_opens_runs(shown):
    shown.select_option("select[name=framework]", "torch")
    headline = shown.locator("#headline tbody tr:not([hidden])")
    assert (
        headline.locator("td:nth-child(2)").all_inner_texts() == ["torch"] * 2
    )  # broken has JAX alone
    headline.filter(has_text="quick").locator("td").nth(3).locator(
        "button"
    ).focus()  # the second case's cell
    shown.keyboard.press("Enter")
    body = shown.inner_text("#runs-body")
    assert body.count("poisson_sine_2d, tanh_8, torch, seed ") == 3
    assert "tanh_4" not in body
    shown.keyboard.press("Escape")
    shown.locator("#targets_seconds th", has_text="1e-01").locator("button").click()
    cells = shown.locator(
        "#targets_seconds tbody tr:not([hidden]) td:nth-child(4)"
    ).all_inner_texts()
    values = [float(text.split()[0].replace(",", "")) for text in cells]
    assert values == sorted(values)
    assert len(set(values)) > 1


@needs_browser
@pytest.mark.medium
def test_curves_are_those_picked(shown, folder):
    every = drawn(shown)
    finished = [
        record.request for _, record in store.records(folder) if record.status == "finished"
    ]
    assert (
        every == sum(request.network == "tanh_4" for request in finished) > 0
    )  # of the case that is shown first
    shown.locator("#picked input[value=slow]").uncheck()
    assert 0 < drawn(shown) < every
    shown.locator("#picked input[value=quick]").uncheck()
    shown.locator("#picked input[value=broken]").uncheck()
    assert drawn(shown) == 0
    assert "pick an optimizer" in shown.inner_text("#chart")
    shown.click("#picked button[name=all]")
    assert drawn(shown) == every
    shown.click("#picked button[name=none]")
    assert drawn(shown) == 0


@needs_browser
@pytest.mark.medium
def test_the_citation_can_be_copied(shown, folder):
    shown.click("#copy")
    shown.wait_for_selector("#copied:has-text('copied')")  # the clipboard answers later
    told = shown.input_value("#cite textarea")
    records = [record for _, record in store.records(folder)]
    assert captions.source(records, folder).text in told
    assert "@misc{pinn_optbench_c_" in told
