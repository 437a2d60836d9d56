"""A solution that is known on a grid alone, with the accuracy that its maker states."""

import io
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from optbench.problems.own import InvalidFile, Source, digest

NODES = 8  # an axis has at least so many: half of them must still do for a cubic
ORDER = 4  # of cubic interpolation, by four nodes an axis


@dataclass(frozen=True, eq=False)
class Reference:
    """u* at the nodes of a grid.

    A call interpolates it at points x [n, d] -> [n, m], by cubics in every input.
    """

    source: Source
    axes: tuple[np.ndarray, ...]  # the nodes of each input, increasing, [n_k] each
    values: np.ndarray  # [n_1, …, n_d, m]
    accuracy: float  # ‖u − u*‖ / ‖u*‖ of the values, as stated

    @classmethod
    def read(cls, path: str | Path) -> "Reference":
        """Read the reference of an `.npz`.

        It holds `axis_0` [n_1], `axis_1` [n_2] …, `u` [n_1, n_2, …] or [n_1, …, m], and
        `accuracy`.

        Raises InvalidFile where something is missing, not finite or of another shape.
        """
        path = Path(path).absolute()
        try:
            content = path.read_bytes()
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {
                    name: np.asarray(stored[name], dtype=np.float64)
                    for name in stored.files
                }
        except OSError as error:
            raise InvalidFile(f"{path}: {error.strerror or error}") from error
        # a pickle, an .npy, text
        except (ValueError, TypeError, AttributeError, BadZipFile) as error:
            raise InvalidFile(f"{path} is no .npz of numbers: {error}") from error
        return cls._checked(Source(path, digest(content)), arrays)

    @classmethod
    def _checked(cls, source: Source, arrays: dict[str, np.ndarray]) -> "Reference":
        dim = sum(name.startswith("axis_") for name in arrays)
        names = [f"axis_{number}" for number in range(dim)]
        for name in [*(names or ["axis_0"]), "u", "accuracy"]:
            if name not in arrays:
                raise InvalidFile(
                    f"{source.path} has no {name}: "
                    "axis_0, axis_1 …, u and accuracy are needed"
                )
            if not np.isfinite(arrays[name]).all():
                raise InvalidFile(f"{source.path}: {name} must be finite")
        axes, u, accuracy = (
            tuple(arrays[name] for name in names),
            arrays["u"],
            arrays["accuracy"],
        )
        for name, axis in zip(names, axes, strict=True):
            if axis.ndim != 1 or len(axis) < NODES or not (np.diff(axis) > 0).all():
                raise InvalidFile(
                    f"{source.path}: {name} must have at least {NODES} nodes that increase"
                )
        if u.shape[:dim] != tuple(map(len, axes)) or u.ndim > dim + 1:
            wanted = ", ".join(str(len(axis)) for axis in axes)
            raise InvalidFile(
                f"{source.path}: u has shape {list(u.shape)}: "
                f"must be [{wanted}] or [{wanted}, m]"
            )
        if accuracy.size != 1 or not accuracy.item() > 0:
            raise InvalidFile(
                f"{source.path}: accuracy must be one number > 0, "
                "the relative L2 error of u"
            )
        return cls(source, axes, u if u.ndim > dim else u[..., None], accuracy.item())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Interpolate u* [n, m].

        Raises:
            ValueError: the grid does not reach a point.
        """
        stencils = [
            _stencil(axis, column) for axis, column in zip(self.axes, x.T, strict=True)
        ]
        for number, (axis, column) in enumerate(zip(self.axes, x.T, strict=True)):
            slack = 1e-9 * (axis[-1] - axis[0])
            if ((column < axis[0] - slack) | (column > axis[-1] + slack)).any():
                raise ValueError(
                    f"{self.source.path}: a point lies outside of axis_{number}, "
                    f"{axis[0]:g} to {axis[-1]:g}"
                )
        u = np.zeros((len(x), self.values.shape[-1]))
        for corner in product(range(ORDER), repeat=len(self.axes)):
            weight = np.prod(
                [weights[:, i] for (_, weights), i in zip(stencils, corner, strict=True)],
                axis=0,
            )
            u += (
                weight[:, None]
                * self.values[
                    tuple(at + i for (at, _), i in zip(stencils, corner, strict=True))
                ]
            )
        return u

    @property
    def norm(self) -> float:
        """(E |u*|²)^½ over the grid's box, by the trapezoidal rule."""
        return _root_mean_square(self.axes, self.values)

    def interpolation_error(self) -> float:
        """Estimate the relative L2 error of the interpolation.

        It is an eighth of the error from every second node to the others.

        Cubics would make it a sixteenth; edges, where they are one-sided, and corners less.
        Nodes count by the part of the box that is theirs.
        """
        halved = tuple(slice(None, None, 2) for _ in self.axes)
        axes = tuple(axis[::2] for axis in self.axes)
        coarse = Reference(self.source, axes, self.values[halved], self.accuracy)
        # an even axis ends with a node that is dropped
        fine = tuple(slice(None, 2 * len(axis) - 1) for axis in axes)
        axes = tuple(axis[part] for axis, part in zip(self.axes, fine, strict=True))
        nodes = np.meshgrid(*axes, indexing="ij")
        u = self.values[fine]
        x = np.stack([node.ravel() for node in nodes], 1)
        difference = coarse(x).reshape(u.shape) - u
        error = _root_mean_square(axes, difference) / _root_mean_square(axes, u)
        return error / 2 ** (ORDER - 1)


def _root_mean_square(axes: tuple[np.ndarray, ...], u: np.ndarray) -> float:
    """Compute (E |u|²)^½ over a box by the trapezoidal rule, from u at the nodes."""
    square = (u**2).sum(-1)
    for axis in axes:
        spacing = np.diff(axis, prepend=axis[0], append=axis[-1])
        square = np.tensordot(
            (spacing[:-1] + spacing[1:]) / 2 / (axis[-1] - axis[0]), square, axes=1
        )
    return float(np.sqrt(square))


def _stencil(axis: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the first of the four nodes around each point [n], and their weights [n, 4].

    The weights are Lagrange's.
    """
    first = np.clip(np.searchsorted(axis, x) - ORDER // 2, 0, len(axis) - ORDER)
    nodes = axis[first[:, None] + np.arange(ORDER)]
    others = [[j for j in range(ORDER) if j != i] for i in range(ORDER)]
    weights = [
        np.prod((x[:, None] - nodes[:, rest]) / (nodes[:, [i]] - nodes[:, rest]), axis=1)
        for i, rest in enumerate(others)
    ]
    return first, np.stack(weights, 1)
