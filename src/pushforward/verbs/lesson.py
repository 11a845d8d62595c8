"""What a distillation needs to know of its kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from ..core import Flow
from ..data import Data
from ..training import Run


class Lesson(ABC):
    """What one teacher can teach: to which students, by what, and how they are judged.

    Attributes:
        training: options of training, where nobody else decides.
    """

    training: ClassVar[dict[str, Any]]

    def __init__(self, teacher: Run):
        self.teacher = teacher

    @abstractmethod
    def student(self, to: str) -> str:
        """The recipe of the student that was asked for.

        Raises:
            ValueError: this teacher can't be distilled, or not into such a student.
        """

    @abstractmethod
    def inherited(self, name: str) -> dict[str, Any]:
        """Options of the student's recipe that the teacher decides, where nobody else does."""

    @abstractmethod
    def settings(self, rows: int, kl: float | None, power: float | None) -> dict[str, Any]:
        """What config.toml holds of the distillation, beside the teacher.

        Raises:
            ValueError: a weight of a loss that there is not.
        """

    @abstractmethod
    def objective(self, flow: Flow, settings: dict[str, Any]) -> nn.Module:
        """What the student minimises; what it decides where ``settings`` are silent is written there."""

    @abstractmethod
    def taught(self, rows: int, seed: int) -> Data:
        """What the objective reads, in three splits."""

    @abstractmethod
    def start(self, flow: Flow, taught: Data) -> bool:
        """Start the student from data; whether the training is to do so instead."""

    @abstractmethod
    def drawing(self, rows: int) -> str:
        """What :meth:`taught` does, in words."""

    @abstractmethod
    def plan(self, objective: nn.Module) -> str:
        """How the student will learn, in words."""

    @abstractmethod
    def judge(self, student: Run, taught: Data, seconds: float, report: bool) -> None:
        """Write how well the student stands in for its teacher into its directory, and its report."""
