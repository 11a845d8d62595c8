"""What verbs, the report and printed commands ask of a kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from ..core import Flow
from ..data import Column, Data, ImageSchema, Rows, Schema, SoundSchema
from ..data.request import Request
from .scored import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..compression import Parcel, Unpacking
    from ..evaluation import Calibration, Score, TwoSample
    from ..plots import Picture
    from ..training import Run
    from .watching import TrainingSheets

S = TypeVar("S", Schema, ImageSchema, SoundSchema)
Choice = tuple[str | None, str | None, str]  # a model or else a preset, and why


@dataclass(frozen=True)
class Example:
    """What stands in printed commands for data of a kind.

    Attributes:
        source: where such data are.
        mine: how the user's own may be called.
        count: samples that are worth a look.
        samples: the file that they go to.
    """

    source: str
    mine: str
    count: int
    samples: str


class Subject(ABC, Generic[S]):
    """A kind of data: how it is asked for, read, judged, drawn, scored and shown.

    Another kind is one more class in one more file, and its line in ``SUBJECTS``.

    Attributes:
        reads: the fields of a :class:`Request` that concern it.
        foreign: what this is, after what something is about, in an error.
        noun: what a run was fitted to, in an error.
        plural: what a model is of.
        purpose: what a verb does that is there for this kind only, and the remedy.
        nowhere: why samples can't be printed; empty if they can.
        example: for printed commands.
        usual: how many samples are drawn where nobody says.
        schema: of the data.
    """

    reads: ClassVar[tuple[str, ...]]
    foreign: ClassVar[str]
    noun: ClassVar[str]
    plural: ClassVar[str]
    purpose: ClassVar[str]
    nowhere: ClassVar[str]
    example: ClassVar[Example]
    usual: ClassVar[int] = 1000

    def __init__(self, schema: S):
        self.schema: S = schema

    @classmethod
    def check(cls, request: Request) -> None:
        """Raise ValueError if something was said that only concerns another kind of data."""
        for name in request.said():
            if name not in cls.reads:
                about = next(kind.plural for kind in Subject.__subclasses__() if name in kind.reads)
                raise ValueError(f"fit: {name} is about {about}, {cls.foreign}; leave it out")

    @classmethod
    @abstractmethod
    def read(cls, request: Request, schema: S | None = None) -> Data:
        """The splits; ``schema`` is that of a fitted run if rows are to be read as its own."""

    @classmethod
    @abstractmethod
    def foreseen(cls, request: Request) -> tuple[S, int, Choice] | None:
        """The schema, the number of training rows and the model that suits, of data that are known without being read."""

    @property
    @abstractmethod
    def columns(self) -> list[Column]:
        """The columns that a model describes; none where it describes something else."""

    @abstractmethod
    def words(self) -> list[str]:
        """What a likelihood is of, part by part: two runs of the same words can be compared."""

    @abstractmethod
    def rows(self, data: Any, request: Request) -> Rows:
        """All rows of a source; weighted if they have the column of weights that was asked for."""

    @abstractmethod
    def recoded(self, rows: Rows, schema: S) -> Rows:
        """Rows of another schema of the same words as this one's numbers: codes of text may differ."""

    @abstractmethod
    def recommend(self, data: Data) -> Choice:
        """A recipe or else a preset for these data, and a sentence that says why."""

    @abstractmethod
    def options(self, data: Data) -> dict[str, Any]:
        """Options of the recipe that these data decide, where nobody else does."""

    @abstractmethod
    def watch(self, folder: Path, rows: Rows) -> TrainingSheets | None:
        """What looks on while a flow is trained, and writes into a folder."""

    @abstractmethod
    def baselines(self, data: Data, samples: int) -> list[Score]:
        """What a flow has to beat on the test rows."""

    @property
    @abstractmethod
    def alone(self) -> str:
        """Why there are no baselines; empty if there are."""

    @abstractmethod
    def two_sample(self, flow: Flow, rows: Rows) -> TwoSample | None:
        """Whether samples can be told from rows; None where that can't be asked."""

    @abstractmethod
    def calibration(self, flow: Flow, rows: Rows) -> Calibration | None:
        """Whether intervals hold what they should; None where there are none."""

    @abstractmethod
    def figures(self, run: Run, data: Data, scores: Sequence[Score], ranked: Calibration | None) -> list[Picture]:
        """All figures of a report; the first score is the model's, ``ranked`` its calibration. The generator's state is restored."""

    @abstractmethod
    def beside(self, x: np.ndarray, samples: Mapping[str, np.ndarray]) -> Figure:
        """Rows of data beside samples of several models, by name."""

    @abstractmethod
    def sample(self, run: Run, n: int, out: str | Path | None, *, context: Any, temperature: Sequence[float], seed: int) -> Any:
        """``n`` samples for each context as the data are, written to ``out`` as well; see :func:`pushforward.sample`."""

    @abstractmethod
    def told(self, samples: Any, out: Path, at: str) -> str:
        """The sentence about samples that were written to a file; ``at`` says at which temperatures, if that is to be said."""

    @abstractmethod
    def parcel(self, run: Run, data: Any) -> Parcel:
        """Data as a codec of the run takes them: all of it, and nothing that would not come back."""

    @abstractmethod
    def unpacking(self, described: dict[str, Any]) -> Unpacking:
        """What turns the numbers of a codec into data again, by what the file says of them."""

    @abstractmethod
    def score(self, run: Run, data: Any, out: Path | None, figure: Path | None, quantiles: np.ndarray, **options: int) -> Scored:
        """A copy of the data with the likelihoods of their rows; see :func:`pushforward.score`.

        Arguments:
            run: a run of this kind of data.
            data: where they are.
            out: the file of the copy; None for the copy itself.
            figure: a picture's file.
            quantiles: of the training rows' log-likelihoods.
            options: of :func:`log_likelihood`.
        """
