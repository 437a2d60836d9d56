"""The reference of the API, in which no public name is missing, and of the commands."""

import re
import subprocess
import sys
from pathlib import Path

import griffe
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
TREE = ROOT / "build" / "tree"  # `make tree` lays it
COMMANDS = "<!-- commands -->"
# the command line has a page of its own; benchmarks are asv's
ELSEWHERE = ("optbench.__main__", "optbench.cli", "optbench.benchmarks")
SHOWN = re.compile(r"^::: (\S+)(\n +options:\n +show_submodules: true)?", re.MULTILINE)


def on_files(files, config):
    """Raise PluginError where a public name has no docstring, or no page."""
    modules, shown = {}, set()
    # the tree alone: the folder optbench has neither problems nor implementations
    package = griffe.load("optbench", search_paths=[TREE], try_relative_path=False)
    for module in walk(package):
        if not below(module.path, ELSEWHERE):
            modules[module.path] = module
    for page in files.documentation_pages():
        if page.src_uri.startswith("api/"):
            for name, with_submodules in SHOWN.findall(page.content_string):
                below_it = {each for each in modules if below(each, [name])}
                shown |= below_it if with_submodules else {name}
    issues = [f"{name} is on no page of docs/api/" for name in modules if name not in shown]
    issues += [
        f"{name} has no docstring" for module in modules.values() for name in silent(module)
    ]
    if issues:
        raise PluginError("the API reference has gaps:\n" + "\n".join(issues))


def walk(module):
    """Yield a module and all below it."""
    yield module
    for each in module.modules.values():
        if not each.is_alias and (each.is_public or each.name == "__main__"):
            yield from walk(each)


def below(name, tops):
    """Say whether a module is one of these or below one."""
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def silent(thing):
    """Yield what has no docstring: the thing, its public functions, classes and methods."""
    if not thing.has_docstring:
        yield thing.path
    for member in thing.members.values():
        if member.is_alias or member.name.startswith("_") or member.is_module:
            continue
        if member.is_class or member.is_function:
            yield from silent(member)


def on_page_markdown(markdown, page, config, files):
    """Put the reference of all commands where a page asks for it."""
    return markdown.replace(COMMANDS, commands()) if COMMANDS in markdown else markdown


def commands():
    """Let typer write the commands' reference, without the list of commands before it."""
    written = subprocess.run(
        [
            sys.executable,
            "-m",
            "typer",
            "optbench.cli.app",
            "utils",
            "docs",
            "--name",
            "optbench",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return re.sub(r"\n\* `--help`: .*", "", written[written.index("\n## ") :])
