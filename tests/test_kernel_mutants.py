"""Flipping the sign of a log derivative in C, or of its gradient, must make a test of the kernels fail.

Each mutant is a copy of the package with one change in the source, compiled without optimization and judged in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward import kernels

ROOT = Path(__file__).parent.parent
JUDGES = [str(ROOT / "tests" / name) for name in ("test_kernels.py", "test_runs.py", "test_mixture_kernels.py")]
MUTANTS = [  # file, what stands there once, what stands there instead
    ("rational.h", "(inverse ? -log_slope : log_slope)", "log_slope"),
    ("rational.h", "            gs = -gs;\n", ""),
    ("rational.h", "g_width = (both - gs) / width", "g_width = (both + gs) / width"),
    ("rational.h", "g_height = (gs - both) / height", "g_height = (-gs - both) / height"),
    ("rational.h", "to_x = go, to_z = -along;", "to_x = go, to_z = along;"),
    ("rational.h", "to_x = -along, to_z = go;", "to_x = along, to_z = go;"),
    ("rational.h", "along = (g_f * f_t + gs * l_t) / width", "along = (g_f * f_t - gs * l_t) / width"),
    ("masked.c", "            slope[i] = -slope[i];\n", ""),
    ("masked.c", "ldj[i] += slope[i]", "ldj[i] -= slope[i]"),
    ("masked_gradient.c", "(g_out[i] * x[i] * scale + g_slope[i])", "(g_out[i] * x[i] * scale - g_slope[i])"),
    ("masked.h", "return h + (p - m->kept) * COLUMNS;", "return h;"),
    ("masked.h", "if (NAME(whole)(m)) h += p * params * COLUMNS;", ""),
    ("masked_gradient.c", "m->first, inputs, m->ends, width, g)", "m->first, inputs, NULL, width, g)"),
    ("products.h", "from[r - 1], from[r], in)", "from[r - 1], from[r - 1], in)"),
    ("products.h", "to[r - 1], to[r], in)", "to[r - 1], to[r - 1], in)"),
    ("sums.h", "to[from] <= column + strip) from++", "to[from] <= column + strip + 2 * LANES) from++"),
    ("masked_gradient.c", "memcpy(g_x, g_out, sizeof(g_out));", "memset(g_x, 0, sizeof(g_out));"),
    ("sums.h", "high[l] = l & d ? l + LANES : l + d;", "high[l] = l + LANES;"),
    ("linear.c", "for (int i = 0; i < COLUMNS; i++) x[i] -= shift[p];", "for (int i = 0; i < COLUMNS; i++) x[i] += shift[p];"),
    ("linear.c", "product += g[p * COLUMNS + i] * in[p * COLUMNS + i];", "product -= g[p * COLUMNS + i] * in[p * COLUMNS + i];"),
    ("linear.c", "m->matrix, dim, NULL, dim, g);", "m->matrix, dim, NULL, dim - 1, g);"),
    ("linear.c", "m->g_x + NAME(place)(m, p) * m->batch", "m->g_x + p * m->batch"),
    ("mixture.h", "        slope[i] = density[i];", "        slope[i] = -density[i];"),
    ("mixture.h", "density[i] - below[i] - above[i]", "density[i] - below[i] + above[i]"),
    ("mixture.h", "density[i] + (REAL)0.5 * z * z", "density[i] - (REAL)0.5 * z * z"),
    ("mixture.h", "g[ABOVE][i] = -g_z[i] - g_slope[i]", "g[ABOVE][i] = -g_z[i] + g_slope[i]"),
    ("mixture.h", "g[DENSITY][i] = g_slope[i]", "g[DENSITY][i] = -g_slope[i]"),
    ("mixture.c", "slope[at + i] = -slope[at + i]", "slope[at + i] = slope[at + i]"),
    ("mixture.c", "to_slope[i] = -g_slope[at + i]", "to_slope[i] = g_slope[at + i]"),
]

pytestmark = [pytest.mark.slow, pytest.mark.skipif("compiled" not in kernels.path(), reason=kernels.path())]


def judge(folder: Path, cache: Path, file: str, old: str, new: str) -> subprocess.CompletedProcess[str]:
    copy = shutil.copytree(ROOT / "src" / "pushforward", folder / "pushforward", ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "kernels" / file
    source = path.read_text()
    assert source.count(old) == 1, f"{file} has {source.count(old)} times {old!r}"
    path.write_text(source.replace(old, new))
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=line", "-k", "not compiler", *JUDGES]
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "CFLAGS": "-O0", "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


def test_the_copy_itself_passes(tmp_path):
    result = judge(tmp_path, tmp_path, "masked.c", "ldj[i] += slope[i]", "ldj[i] += slope[i]")
    whole = "100%" in result.stdout and "s" not in result.stdout.split()[0]  # none is skipped
    assert result.returncode == 0 and whole, result.stdout[-2000:] + result.stderr[-2000:]


@pytest.mark.parametrize(("file", "old", "new"), MUTANTS, ids=[f"{file}-{old.strip()}" for file, old, _ in MUTANTS])
def test_a_flipped_sign_is_noticed(file, old, new, tmp_path):
    result = judge(tmp_path, tmp_path, file, old, new)
    assert result.returncode == 1 and "FAILED" in result.stdout, result.stdout[-2000:] + result.stderr[-2000:]
