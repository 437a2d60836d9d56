"""What a run is: what was asked, what happened."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate, takewhile
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveInt,
    field_serializer,
    model_validator,
)

from optbench import problems
from optbench.problems import networks, own
from optbench.problems.problem import Problem
from optbench.records.machine_state import Conditions
from optbench.records.provenance import Provenance

SCHEMA_VERSION = 1  # raised whenever a record's fields change their meaning

# steps that changed no parameter, as the loop counts them; and, of a line search and of CG,
# what the optimizer's state counts
COUNTERS = ("stalls", "evaluations", "iterations")

# of a run's clock. setup: importing the framework, building problem and network · draw:
# points and targets · copy: arrays to the device · compile: the first call of everything
# compiled · warm_up: the second · train: optimizer steps, device synchronised · evaluate:
# errors and losses of the history · log: reading a step's losses, progress, checkpoints,
# the steps after the last that changed anything in a run that stalled, everything else
SECTIONS = ("setup", "draw", "copy", "compile", "warm_up", "train", "evaluate", "log")

Status = Literal["finished", "stalled", "diverged", "out-of-memory", "timed-out", "failed"]
# of a run whose last error counts: its budget is spent, or no step would change anything
ANSWERS: tuple[Status, ...] = ("finished", "stalled")
# elsewhere: on another case
Origin = Literal["paper", "ours", "tuned", "tuned elsewhere", "default"]
Precision = Literal["float64", "float32", "tf32"]
Sampling = Literal["uniform", "sobol"]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]
# JSON has no NaN and no infinity: they are kept as strings
Number = Annotated[float, Field(strict=False)]


# as it is written; passes compiled by Inductor; steps compiled by XLA
Mode = Literal["eager", "inductor", "jit"]


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, ser_json_inf_nan="strings"
    )


class Labels(_Strict):
    """What a campaign calls a run; no part of its identity."""

    campaign: str
    campaign_version: str
    case: str
    optimizer: str  # the name of the optimizer's table, "kfac" or "kfac, Bayes"
    hyperparameters_from: Origin
    experiment: str | None = None


class Stage(_Strict):
    """A part of a run: an optimizer that starts anew where the one before it stopped."""

    optimizer: str
    optimizer_version: int
    hyperparameters: dict[str, JsonValue]
    # of the run's budget; None, the last stage alone: what is left
    share: Share | None = None

    @field_serializer("optimizer")
    def _bare(self, name: str) -> str:
        return own.bare(name)


class Request(_Strict):
    """One run, fully spelled out: every default filled in, exactly one budget.

    What came after the first records were published is in the identity only where it says
    something, so that those keep theirs.
    """

    # one of ours, or `<path>.py:<name>`; what is written of it leaves the folders out
    problem: str
    problem_version: int
    network: str
    points: dict[str, PositiveInt]  # of a batch, by the names of the problem's terms
    # of the terms; none: every weight is 1, and the problem's defaults are
    weights: dict[str, Positive] = Field(default={}, exclude_if=not_)
    sampling: Sampling = Field(default="uniform", exclude_if="uniform".__eq__)
    # steps in which the points reach the last time; 0: all of them do
    march: NonNegativeInt = Field(default=0, exclude_if=not_)
    resample_every: NonNegativeInt  # steps between new points; 0: one fixed batch
    optimizer: str  # where there are stages: what their sequence is called
    optimizer_version: int  # where there are stages: of how they follow each other
    hyperparameters: dict[str, JsonValue]  # where there are stages: none, each has its own
    stages: tuple[Stage, ...] = ()  # none: one optimizer from the start to the end
    framework: str
    threads: PositiveInt  # cores that the run may use
    mode: Mode
    # "cpu": on the CPU of a machine that has an accelerator; None: on what the machine has
    device: Literal["cpu"] | None = None
    # whether the device does steps in blocks, and is waited for at the end of each
    blocks: bool = False
    dtype: Literal["float64", "float32"]
    tf32: bool = False  # whether products of float32 matrices may be TF32, on a GPU
    steps: PositiveInt | None = None
    seconds: Positive | None = None  # of optimizer steps
    seed: NonNegativeInt
    # the points that errors are measured at; tuning sees the second
    evaluation: Literal["report", "selection"] = "report"
    files: dict[str, str] = {}  # the user's own that define it: name → SHA-256
    labels: Labels

    @field_serializer("problem", "optimizer")
    def _bare(self, name: str) -> str:
        return own.bare(name)

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if (self.steps is None) == (self.seconds is None):
            raise ValueError("a run has exactly one budget, steps or seconds")
        return self

    @model_validator(mode="after")
    def _a_weight_for_every_term(self) -> Self:
        if self.weights and self.weights.keys() != self.points.keys():
            raise ValueError(
                f"weights of {', '.join(self.weights)}, but points of "
                f"{', '.join(self.points)}"
            )
        return self

    @property
    def identity(self) -> str:
        """The SHA-256 of what was asked, without the labels, in canonical JSON."""
        # older runs keep their identity
        silent = {
            name
            for name in ("files", "stages", "tf32", "device", "blocks")
            if not getattr(self, name)
        }
        content = self.model_dump(mode="json", exclude={"labels", *silent})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def precision(self) -> Precision:
        """What a campaign calls the two."""
        return "tf32" if self.tf32 else self.dtype

    @property
    def parts(self) -> tuple[Stage, ...]:
        """The stages; a run without any is one."""
        whole = {
            "optimizer_version": self.optimizer_version,
            "hyperparameters": self.hyperparameters,
        }
        return self.stages or (Stage(optimizer=self.optimizer, **whole),)

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the problem, every optimizer and a sequence of them, by name."""
        optimizers = {part.optimizer: part.optimizer_version for part in self.parts}
        return {
            self.problem: self.problem_version,
            **optimizers,
            self.optimizer: self.optimizer_version,
        }

    @property
    def ends(self) -> tuple[float, ...]:
        """The share of the budget that is spent at the end of each part."""
        # 0.1 + 0.2 is 0.30000000000000004, which three steps of ten would not reach
        shares = accumulate(part.share or 0 for part in self.parts[:-1])
        return (*(round(share, 12) for share in shares), 1.0)

    @property
    def settings(self) -> dict[str, JsonValue]:
        """All hyperparameters.

        Where there are stages, those of the first are called "1.learning_rate", and its
        share "1.share".
        """
        if not self.stages:
            return self.hyperparameters
        return {
            f"{number}.{name}": value
            for number, stage in enumerate(self.stages, 1)
            for name, value in (
                ({"share": stage.share} if stage.share else {}) | stage.hyperparameters
            ).items()
        }

    @property
    def posed(self) -> Problem:
        """The problem with the run's weights."""
        return problems.get(self.problem).with_weights(self.weights)

    @property
    def batches(self) -> str:
        """The run's batches in words."""
        return batches(
            self.points, self.resample_every, self.weights, self.sampling, self.march
        )

    @property
    def parameter_count(self) -> int:
        """D, the number of parameters of the network."""
        problem = problems.get(self.problem)
        return networks.parameter_count(self.network, problem.inputs, problem.outputs)

    @property
    def case(self) -> str:
        """What a table or a panel is made for; no case has two precisions."""
        case = self.labels.case or f"{own.bare(self.problem)}, {self.network}"
        return case if self.precision == "float64" else f"{case}, {self.precision}"

    @property
    def title(self) -> str:
        """The run in a few words."""
        problem = problems.get(self.problem)
        network = networks.describe(self.network, problem.inputs, problem.outputs)
        precision = "" if self.precision == "float64" else f", {self.precision}"
        words = f"{own.bare(self.problem)}, {network}, {self.labels.optimizer}"
        return f"{words}, {self.framework}{precision}, seed {self.seed}"


class Row(_Strict):
    """The state after `step` steps: losses and errors at the same parameters.

    The loss of a term that is not named here has a field of its name, so that a row is
    flat: {"step": 5, "interior": 0.1, "initial": 0.2, …}.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    step: NonNegativeInt
    seconds: Number  # of optimizer steps so far
    # the losses on the batch of the last step, weights included
    interior: Number
    # None: the problem has no such term
    boundary: Number | None = Field(default=None, exclude_if=lambda loss: loss is None)
    relative_l2: Number  # ‖u − u*‖ / ‖u*‖ over the evaluation points
    rms: Number  # root mean square of |u − u*|
    evaluations: NonNegativeInt = 0  # of the loss by the line search so far
    stage: PositiveInt = 1  # the one that made these parameters

    @property
    def losses(self) -> dict[str, float]:
        """The terms of the loss by name, weights included."""
        boundary = {} if self.boundary is None else {"boundary": self.boundary}
        return {"interior": self.interior, **boundary, **self.__pydantic_extra__}

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return sum(self.losses.values())

    @property
    def numbers(self) -> dict[str, float]:
        """The losses and errors by name: all that no clock and no counter enters."""
        return {**self.losses, "relative_l2": self.relative_l2, "rms": self.rms}


class Record(_Strict):
    """One run's result, complete in itself."""

    schema_version: Literal[1] = SCHEMA_VERSION
    # SHA-256 of all the rest, by `store.seal`, written when the run ended; None: it is from
    # before there were seals
    seal: str | None = None
    identity: str
    request: Request
    status: Status
    error: str | None = None
    started: str  # UTC, ISO 8601
    # those to the last that changed a parameter, where the run stalled
    steps: NonNegativeInt = 0
    parameters: NonNegativeInt  # D, the number of the network's parameters
    # relative L2 accuracy of a solution that is a reference: no error counts as smaller
    floor: Number = 0.0
    counters: dict[str, int] = {}  # "stalls", and the `COUNTERS` that the state has
    # by number, why stages before the last ended before their share was spent; none of it
    # in records from before runs could stall
    stalled_stages: dict[str, str] = {}
    clock: dict[str, Number]  # seconds by section; they add up to wall_seconds
    wall_seconds: Number
    peak_memory: int | None = None  # bytes
    history: tuple[Row, ...] = ()
    # u at the end on the grid of optbench/training/solution_grid.py, where there is one
    surface: tuple[Number, ...] | None = None
    resumed: NonNegativeInt = 0  # times that the run went on from a checkpoint
    provenance: Provenance
    before: Conditions | None = None  # what the machine was like
    after: Conditions | None = None

    @model_validator(mode="after")
    def _unedited(self) -> Self:
        if self.identity != self.request.identity:
            raise ValueError("the identity is not that of the request")
        return self

    @model_validator(mode="after")
    def _a_loss_of_every_term(self) -> Self:
        for row in self.history:
            if row.losses.keys() != self.request.points.keys():
                raise ValueError(
                    f"losses of {', '.join(row.losses)} after step {row.step}, but points "
                    f"of {', '.join(self.request.points)}"
                )
        return self

    @property
    def relative_l2(self) -> float:
        """The last relative L2 error, or the floor if larger; NaN without a history."""
        return max(self.history[-1].relative_l2, self.floor) if self.history else math.nan


def batches(
    points: Mapping[str, int],
    resample_every: int,
    weights: Mapping[str, float] = {},
    sampling: str = "uniform",
    march: int = 0,
) -> str:
    """Describe a run's batches in words, with the weights that are not 1."""
    *most, last = (
        f"{number} {name}"
        + ("" if (weight := weights.get(name, 1)) == 1 else f" (weight {weight:g})")
        for name, number in points.items()
    )
    every = "every step" if resample_every == 1 else f"every {resample_every} steps"
    manner = [
        *(["Sobol sequence"] if sampling == "sobol" else []),
        *([f"in {march} steps to the last time"] if march else []),
        f"redrawn {every}" if resample_every else "one fixed batch",
    ]
    if march:
        manner[-1] = f"then {manner[-1]}"
    together = f"{', '.join(most)} and {last}" if most else last
    return f"{together} points ({', '.join(manner)})"


def runs_of(counts: Counter[str]) -> str:
    """Say how many runs are of each of several things."""
    return ", ".join(f"{name} ({number} runs)" for name, number in counts.most_common())


def stopped(record: Record) -> Row | None:
    """Give the row after which nothing moved; None where the last third of the steps did.

    It is the last one of a run that stalled. Of others, from it on neither error nor loss
    changes; a loss on new points would.
    """
    if record.status == "stalled":
        return record.history[-1] if record.history else None
    if not record.history or not math.isfinite(record.history[-1].relative_l2):
        return None
    fixed = {"relative_l2", "rms"}
    drawn_anew = record.request.resample_every or record.request.march
    fixed |= set() if drawn_anew else set(record.request.points)
    *before, last = record.history
    end = last.model_dump(include=fixed)
    still = takewhile(lambda row: row.model_dump(include=fixed) == end, reversed(before))
    first = min((row.step for row in still), default=last.step)
    return next((row for row in before if row.step == first <= last.step * 2 / 3), None)


def moving_step_seconds(record: Record) -> float:
    """Give the mean seconds of the steps until nothing moves; NaN where none did.

    A step that changes nothing may be a cheap one: that of an L-BFGS which ends its
    iterations at once, for example.
    """
    end = stopped(record)
    seconds, steps = (
        (end.seconds, end.step) if end else (record.clock.get("train", 0.0), record.steps)
    )
    return seconds / steps if steps else math.nan
