"""Small real data sets that come with scikit-learn: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .formats import Source


@dataclass(frozen=True)
class Embedded:
    """A data set, the columns that are data, and what is known of them; its class is there as a column for context."""

    source: Source
    columns: list[str]
    levels: int | None = None
    image: tuple[int, ...] | None = None


def digits() -> Embedded:
    """1,797 handwritten digits of 8 x 8 pixels with 17 grey levels 0..16; the column ``class`` is the digit, as text.

    Reference: Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, 1998, UCI repository (the test part).
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    table = _table(data.feature_names, data.data.astype(np.uint8), data.target.astype(str))
    return Embedded(Source("digits", table), list(data.feature_names), levels=17, image=(8, 8))


def breast_cancer() -> Embedded:
    """569 breast masses, 30 measurements of cell nuclei; the column ``class`` is malignant or benign.

    Reference: Breast Cancer Wisconsin (Diagnostic), Wolberg, Mangasarian, Street, 1995, UCI repository.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    return Embedded(Source("breast_cancer", _table(names, data.data, data.target_names[data.target])), names)


def wine() -> Embedded:
    """178 wines, 13 chemical measurements; the column ``class`` is the cultivar.

    Reference: Wine, Aeberhard and Forina, 1991, UCI repository.
    """
    from sklearn.datasets import load_wine

    data = load_wine()
    names = [str(name).replace("/", "_") for name in data.feature_names]
    return Embedded(Source("wine", _table(names, data.data, data.target_names[data.target])), names)


EMBEDDED: dict[str, Callable[[], Embedded]] = {"digits": digits, "breast_cancer": breast_cancer, "wine": wine}


def _table(names: list[str], x: np.ndarray, classes: np.ndarray) -> pa.Table:
    columns = {name: pa.array(np.ascontiguousarray(x[:, i])) for i, name in enumerate(names)}
    return pa.table({**columns, "class": pa.array([str(c) for c in classes])})
