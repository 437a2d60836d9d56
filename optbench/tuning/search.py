"""The search with Optuna: each study gets its trials, one after the other.

An interrupted study goes on.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from optbench.campaign.campaign import Campaign, shipped
from optbench.campaign.errors import CampaignError
from optbench.records import checksums, store
from optbench.records.record import Record, Request
from optbench.records.store import Store
from optbench.schedule.local_workers import Workers
from optbench.schedule.locks import RunLocks, is_dead, opening, owner
from optbench.schedule.place import Place
from optbench.schedule.progress import Display, foreseen, line
from optbench.schedule.runner import WAIT
from optbench.tuning import study as studies
from optbench.tuning.output import Result, Trial, average, by_case, describe, write
from optbench.tuning.study import Protocol, Study

Log = optuna.Study  # Optuna's record of a study
DATABASE = "studies.sqlite3"
BROKEN = (SQLAlchemyError, optuna.exceptions.StorageInternalError)


class Sampler(optuna.samplers.BaseSampler):
    """TPE with a seed of its own for each trial.

    The seed follows from the study's name and how many trials came before, so that a study
    that goes on tries what it would have tried without the interruption.
    """

    def before_trial(self, study: Log, trial: FrozenTrial) -> None:
        """Take a sampler for the trial, before Optuna asks for values."""
        before = [
            one
            for one in study.get_trials(False)
            if one.number < trial.number and _counts(one)
        ]
        digest = hashlib.sha256(f"{study.study_name} {len(before)}".encode()).digest()
        self._tpe = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"))

    def infer_relative_search_space(self, study: Log, trial: FrozenTrial) -> Any:
        """Infer it as TPE does."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(self, study: Log, trial: FrozenTrial, search_space: Any) -> Any:
        """Sample as TPE does."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Log, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Sample as TPE does."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


def run(
    campaign: Campaign,
    *,
    file: Path,
    spaces: Path,
    protocol: Protocol,
    url: str | None,
    place: Place,
    crew: AbstractContextManager[Workers],
    console: Console,
    others: Callable[[Path, Collection[Path]], None] = lambda folder, own: None,
) -> None:
    """Tune a campaign, the content of `file`, and write what comes of it into a place.

    `url` is a database of Optuna's; `others` is told of the folder and of those of its
    records that are trials' of this campaign.

    Raises:
        CampaignError: the campaign or the spaces are wrong, or the database cannot be
            opened.
    """
    folder = place.folder
    wanted = studies.studies(
        campaign,
        name=file.stem,
        source=file.name,
        file=spaces,
        protocol=protocol,
        place=place,
    )
    frameworks = dict.fromkeys(study.framework for study in wanted)
    line(console, f"tuned in {' and '.join(frameworks)}; --framework says in which")
    for same in studies.shared(wanted):
        line(console, same)
    distinct = studies.once(wanted)
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / DATABASE
    trials = tune(
        distinct,
        trials=protocol.trials,
        url=url,
        folder=folder,
        crew=crew,
        console=console,
    )
    found = {one.name: its for one, its in zip(distinct, trials, strict=True)}
    results = [Result(one, found[one.name]) for one in wanted]
    names = {name for its in trials for trial in its for name in trial.records}
    others(folder, {folder / "runs" / name for name in names})
    name = file.stem if file == shipped().get(file.stem) else file.name
    written = write(campaign, name, protocol, results, folder)
    databases = [] if url else [database]
    for path in (folder / "runs", *databases, *written, checksums.write(folder)):
        line(console, f"written: {path}")


def tune(
    wanted: Sequence[Study],
    *,
    trials: int,
    url: str | None,
    folder: Path,
    crew: AbstractContextManager[Workers],
    console: Console,
) -> list[list[Trial]]:
    """Do what is left of the studies, `trials` each, and give all trials by study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept = Store(folder, lambda text: line(console, text))
    with owner(folder) as name, _storage(url, folder) as storage:
        logs = [
            optuna.create_study(
                storage=storage,
                sampler=Sampler(),
                study_name=study.name,
                load_if_exists=True,
            )
            for study in wanted
        ]
        each = [
            max(trials - len(log.get_trials(False, (TrialState.COMPLETE,))), 0)
            for log in logs
        ]
        runs = [
            run
            for study, number in zip(wanted, each, strict=True)
            for run in study.firsts * (number * len(study.tables["seeds"]))
        ]
        total, left = len(wanted) * trials, sum(each)
        line(
            console,
            f"{wanted[0].name_of_runs}: {total} trials, {trials} per study, "
            f"{total - left} done, {left} left{foreseen(runs)}",
        )
        with (
            Display("runs", len(runs), console) as display,
            crew as workers,
        ):
            # what others have in hand is left to them at first; in the end nobody is waited
            # for, they may be gone
            for taken in (
                (TrialState.COMPLETE, TrialState.RUNNING),
                (TrialState.COMPLETE,),
            ):
                for study, log in zip(wanted, logs, strict=True):
                    _retire(log, folder)
                    while len(log.get_trials(False, taken)) < trials:
                        number = _attempt(study, log, name, kept, workers, display)
                        line(
                            console,
                            f"{study.title}: {describe(_trials(log, trials), number)}",
                        )
        return [_trials(log, trials) for log in logs]


def _attempt(
    study: Study, log: Log, name: str, kept: Store, workers: Workers, display: Display
) -> int:
    """Do one trial and give its number; an interruption gives the trial back."""
    if not any(map(_counts, log.get_trials(False))):
        log.enqueue_trial(study.defaults)
    trial = log.ask()
    try:
        trial.set_user_attr("owner", name)
        requests = study.requests(
            {key: entry.suggest(trial, key) for key, entry in study.space.items()}
        )
        records = list(_records(requests, kept, workers, display))
        trial.set_user_attr("status", [record.status for record in records])
        files = [store.path(kept.folder, record.request) for record in records]
        trial.set_user_attr("records", [file.name for file in files])
        errors = by_case(records, len(study.cases))
        trial.set_user_attr("errors", errors)
        log.tell(trial, average(errors))
    except BaseException:
        log.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    return trial.number


def _records(
    requests: Sequence[Request], kept: Store, workers: Workers, display: Display
) -> Iterator[Record]:
    """Give the runs' records; those that are there are not done again."""
    for request in requests:
        with RunLocks(kept, [request]) as locks:
            while locks.left:
                if locks.take():
                    display.begin(request)
                    record = workers.run(request, display.update)
                    display.end(record)
                    kept.write(record)
                    locks.release(record)
                elif locks.left:  # who tunes beside us does the same run
                    time.sleep(WAIT)
        record = kept.find(request)
        assert record, "just written, by us or by them"
        yield record


def _counts(trial: FrozenTrial) -> bool:
    """Say whether it is more than the remains of an interruption."""
    return trial.state != TrialState.FAIL


def _retire(log: Log, folder: Path) -> None:
    """Give back what a process on this folder had in hand when it was killed."""
    for trial in log.get_trials(False, (TrialState.RUNNING,)):
        if is_dead(folder, trial.user_attrs.get("owner", "")):
            log.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


@contextmanager
def _storage(url: str | None, folder: Path) -> Iterator[optuna.storages.RDBStorage]:
    """Open Optuna's database, the folder's own without a `url`; it is closed in the end.

    Raises CampaignError where it cannot be opened or, later, be read.
    """
    # without the address, which may hold a password
    name = "--storage" if url else str(folder / DATABASE)
    # opened by its path: in an address, "?" and "%" would have a meaning
    connect = partial(sqlite3.connect, folder / DATABASE, check_same_thread=False)
    try:
        with opening(folder):
            storage = (
                optuna.storages.RDBStorage(url)
                if url
                else optuna.storages.RDBStorage(
                    f"sqlite:///{DATABASE}", engine_kwargs={"creator": connect}
                )
            )
    # whatever Optuna and SQLAlchemy make of an address or a schema that they do not know
    except Exception as error:
        raise CampaignError(name, (), f"cannot be opened: {_why(error)}") from error
    try:
        if not url:
            _read(storage, name)
        yield storage
    except BROKEN as error:
        raise CampaignError(name, (), f"does not keep a trial: {_why(error)}") from error
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _read(storage: optuna.storages.RDBStorage, name: str) -> None:
    """Read all of a database, so that bytes that rotted in it are found before a run."""
    try:
        for study in storage.get_all_studies():
            storage.get_all_trials(study._study_id, deepcopy=False)
    except Exception as error:  # whatever Optuna makes of a value that it does not know
        raise CampaignError(name, (), f"cannot be read: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Give the database's own words, where Optuna has others around them."""
    inner = error.__cause__ or error
    return next(iter(str(inner).splitlines()), type(inner).__name__)


def _trials(log: Log, counted: int) -> list[Trial]:
    """Give all trials; the first `counted` that ended count, as many as every study has."""
    ended = sorted(
        log.get_trials(False, (TrialState.COMPLETE,)),
        key=lambda one: (one.datetime_complete, one.number),
    )
    first = {one.number for one in ended[:counted]}
    return [
        Trial(
            number=one.number,
            # of studies from before they could have several cases, the value is the error
            errors=one.user_attrs.get("errors", [one.value])
            if one.state == TrialState.COMPLETE
            else [],
            counted=one.number in first,
            hyperparameters=one.params,
            status=one.user_attrs.get("status", []),
            records=one.user_attrs.get("records", []),
        )
        for one in log.get_trials(False)
    ]
