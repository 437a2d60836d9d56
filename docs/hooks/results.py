"""Published results: a page for each folder of them, the report pages, asv's site."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
RESULTS, ASV = ROOT / "results", ROOT / ".asv" / "html"
SHOWN = {".html", ".svg", ".png", ".pdf", ".csv", ".tex", ".toml", ".json"}
# raw records, which are in the repository; what a reader's own commands left
LEFT_OUT = {"runs", "local"}
NUMBER = re.compile(
    r"<td(?=[^>]*>(?:<strong>)?(?=[^<]*\de[-+]\d)[^<]{1,40}(?:</strong>)?</td>)"
)
CITE = (
    "Cite the software as [CITATION.cff]({up}CITATION.cff) says, with the campaign's "
    "version and the hash of its raw data. The caption of every table has both:\n\n"
    "> {source}\n"
)


def on_files(files, config):
    """Add what is published, and a page for each folder of it."""
    for path in sorted(RESULTS.rglob("*")):
        name = path.relative_to(ROOT)
        if LEFT_OUT & set(name.parts):
            continue
        if path.suffix in SHOWN:
            add(files, config, name.as_posix(), path)
        if path.name == "SHA256SUMS":
            page = (name.parent / "index.md").as_posix()
            files.append(File.generated(config, page, content=folder(path.parent)))
    for path in sorted(ASV.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            add(files, config, f"asv/{path.relative_to(ASV).as_posix()}", path)
    files.append(File.generated(config, "step_costs.md", content=step_costs()))
    return files


def on_page_content(content, page, config, files):
    """Mark short cells with numbers such as 1e-3: docs/site.css keeps them on one line."""
    return NUMBER.sub('<td class="number"', content)


def add(files, config, name, path):
    """Add a file; a page that was not made here gets a way back."""
    if path.name not in ("report.html", "index.html"):
        files.append(File.generated(config, name, abs_src_path=str(path)))
        return
    text, up = path.read_text(encoding="utf-8"), "../" * name.count("/")
    if path.name == "report.html":
        links = (
            f'<a href="{up}">PINN-OptBench</a> <a href="./">Tables and figures</a> '
            f'<a href="{up}results/">Results</a> <a href="{up}step_costs/">Step costs</a>'
        )
        icon = f'<link rel="icon" href="{up}assets/images/favicon.png">'
        text = text.replace("</head>", f"{icon}\n</head>", 1)
        text = text.replace("<body>", f"<body>\n<nav>{links}</nav>", 1)
    else:
        links = "".join(
            f'<li><a href="{up}{page}">{words}</a></li>'
            for words, page in (("PINN-OptBench", ""), ("Results", "results/"))
        )
        text = text.replace('<li id="nav-li-"', f'{links}\n\t<li id="nav-li-"', 1)
    files.append(File.generated(config, name, content=text))


def folder(path):
    """Write the page of a folder of results: report, tables, figures, how to cite."""
    name = path.relative_to(RESULTS).parts
    parts = [f"# {' '.join(name[:-1])} on {name[-1]}\n"]
    if (path / "report.html").is_file():
        parts.append(
            "**[Open the report](report.html)**: every curve, tables that can be sorted "
            "and filtered, and every run with the command that repeats it.\n"
        )
    tables, figures = of_kind(path, "md", "headline"), of_kind(path, "svg", "heatmap")
    if figures and figures[0].stem == "heatmap":
        parts.append(figure(path, figures.pop(0), level=2))
    if tables:
        parts.append("## Tables\n")
        parts += [table(path, each, opened=each is tables[0]) for each in tables]
    if figures:
        parts.append("## Figures\n")
        parts += [figure(path, each) for each in figures]
    names = [
        each.name for each in sorted(path.iterdir()) if each.suffix in (".toml", ".csv")
    ]
    if names:
        parts.append("## Files\n")
        parts.append(", ".join(f"[{each}]({each})" for each in names) + "\n")
    sources = [line for each in tables for line in source(each)]
    if sources:
        up = "../" * (len(name) + 1)
        parts.append(f"## How to cite\n\n{CITE.format(up=up, source=sources[0])}")
    return "\n".join(parts)


def of_kind(path, suffix, first):
    """Find a folder's files of one kind, each name once."""
    each = {
        file.stem: file for file in [*path.glob(f"*.{suffix}"), *path.glob(f"*/*.{suffix}")]
    }
    return sorted(each.values(), key=lambda file: (file.stem != first, file.stem))


def table(path, file, opened):
    """Show a table, folded unless it is the first, with links to its other formats."""
    body = f"{plain(file)}\n\n{links(path, file, ('csv', 'tex'))}"
    indented = re.sub(r"^(?=.)", "    ", body, flags=re.MULTILINE)
    heading = f"### {words(file)} {{ #{file.stem} }}"
    return f'{heading}\n\n???{"+" * opened} abstract "The table"\n\n{indented}\n'


def plain(file):
    """Read a table's Markdown; its headings become lines: the page has its own."""
    text = file.read_text(encoding="utf-8").strip()
    return re.sub(r"^#+ (.*)$", r"**\1**", text, flags=re.MULTILINE)


def figure(path, file, level=3):
    """Show a figure, with links to its formats."""
    there = file.relative_to(path).as_posix()
    return (
        f"{'#' * level} {words(file)}\n\n![{words(file)}]({there}){{ loading=lazy }}\n\n"
        f"{links(path, file, ('svg', 'pdf', 'png'))}\n"
    )


def links(path, file, suffixes):
    """Link to a file's formats."""
    names = {"csv": "CSV", "tex": "LaTeX", "svg": "SVG", "pdf": "PDF", "png": "PNG"}
    there = file.relative_to(path)
    return " · ".join(
        f"[{names[suffix]}]({there.with_suffix(f'.{suffix}').as_posix()})"
        for suffix in suffixes
        if file.with_suffix(f".{suffix}").is_file()
    )


def words(file):
    """Say a file's name in words."""
    return file.stem.replace("_", " ")


def source(file):
    """Find in a table's caption what it was made from."""
    return re.findall(r"PINN-OptBench, campaign .*", file.read_text(encoding="utf-8"))


def step_costs():
    """Write the page on asv's results, with the way to asv's own site where it was made."""
    parts = ["# What a step costs: asv's measurements\n"]
    if (ASV / "index.html").is_file():
        parts.append(
            "**[Open asv's site](asv/index.html)**: every benchmark over commits, networks "
            "and frameworks, and the regressions that asv found.\n"
        )
    else:
        parts.append(
            '!!! warning "asv\'s site is not here"\n\n    `asv publish` did not run when '
            "this site was made: it needs the clone's history and the results in "
            "`results/asv`. `make asv-publish` says why.\n"
        )
    for path in sorted(RESULTS.glob("asv/*/step_cost.md")):
        there = path.parent.relative_to(ROOT)
        parts.append(f"## {path.parent.name}\n")
        parts.append(plain(path))
        parts += [
            f"### {words(each)}\n\n![{words(each)}]({(there / each.name).as_posix()})\n"
            for each in sorted(path.parent.glob("*.svg"))
        ]
    return "\n".join(parts)
