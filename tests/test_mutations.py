"""Flipping the sign of any one ldj, log derivative, log density or loss in the source must make a test fail.

Each mutant is the package with one sign changed, judged by the tests below in a process of its own.
Run it alone, in parallel: ``pytest -m slow -n 2 tests/test_mutations.py``.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from judging import verdict

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "pushforward"
ROOMS = ("core", "transforms", "univariate", "likelihoods", "distributions", "objectives")  # nets' signs are no likelihood's
JUDGES = ("test_laws.py", "test_memory.py", "test_dequantization.py", *(f"test_{room}.py" for room in ROOMS))
OWN_JUDGES = {"objectives": ("test_distill.py", "test_density_fit.py", "test_training.py")}  # no law speaks of a loss
FILE_JUDGES = {  # of what has tests in a file of its own
    "absolute": "test_survae.py",
    "adjoint": "test_solvers.py",
    "any_order": "test_any_order.py",
    "autoregressive": "test_runs.py",
    "coupling": "test_runs.py",
    "apart": "test_elbo.py",
    "elbo": "test_elbo.py",
    "fixed_point": "test_residual.py",
    "integer": "test_idf.py",
    "flow_matching": "test_continuous.py",
    "iwae": "test_elbo.py",
    "ladder": "test_ladder.py",
    "memory": "test_memory.py",
    "multiscale": "test_multiscale.py",
    "quantize": "test_any_order.py",
    "regularized": "test_continuous.py",
    "sequence": "test_sound_distillation.py",
    "sorting": "test_survae.py",
    "split_prior": "test_idf.py",
    "vae": "test_vae.py",
    "vamp": "test_priors.py",
}
PAIRS = {
    "forward",
    "inverse",
    "_forward",
    "_inverse",
    "_mapped",
    "_changed",
    "_summed",
    "evaluate",
    "_evaluate",
    "piece",
    "draw",
    "sample_and_log_prob",
    "rsample_and_log_prob",
}
SCALARS = {"log_prob", "_log_prob", "log_ratio"}
NAMES = {"ldj", "slope", "log_prob", "step", "target"}
NOT_LIKELIHOODS = {"Split", "_Solved"}  # returns two parts of x; returns zeros

pytestmark = pytest.mark.slow

Edit = tuple[int, int, str]  # from, to, replacement


def returns(function: ast.FunctionDef) -> Iterator[ast.Return]:
    """Those of the function itself, not of functions within it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))


def mutants_of(path: Path) -> Iterator[tuple[str, Edit]]:
    """Every single change of sign in a file: a name and the edit (offsets in bytes)."""
    text = path.read_text()
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))

    def span(node: ast.AST) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def wrap(node: ast.AST, before: str, after: str) -> Edit:
        start, stop = span(node)
        return start, stop, before + text.encode()[start:stop].decode() + after

    def signs(node: ast.expr) -> Iterator[tuple[str, Edit]]:
        if isinstance(node, ast.IfExp):
            yield from signs(node.body)
            yield from signs(node.orelse)
            return
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in {"zeros", "zeros_like", "new_zeros"}:
            return  # minus zero is zero
        if isinstance(node, ast.Starred):
            yield "negated", wrap(node.value, "(-part for part in ", ")")
            return
        yield "negated", wrap(node, "(-(", "))")
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"mean", "sum"}:
            node = node.func.value
        yield from operator(node)

    def operator(node: ast.expr) -> Iterator[tuple[str, Edit]]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            left, (right, end) = span(node.left)[1], span(node.right)
            old, new = ("+", "-") if isinstance(node.op, ast.Add) else ("-", "+")
            between = text.encode()[left:right].decode()
            yield f"{old} to {new}", (left, end, between.replace(old, new) + text.encode()[right:end].decode())
            yield from operator(node.left)

    for owner in ast.walk(ast.parse(text)):
        if isinstance(owner, ast.ClassDef) and owner.name in NOT_LIKELIHOODS:
            continue
        for function in getattr(owner, "body", []) if isinstance(owner, ast.ClassDef | ast.Module) else []:
            if not isinstance(function, ast.FunctionDef) or function.name not in PAIRS | SCALARS:
                continue
            scalar = function.name in SCALARS or ast.unparse(function.returns or function) == "Tensor"
            found: list[tuple[str, Edit]] = []
            for node in returns(function):
                if scalar:
                    found += signs(node.value)
                elif isinstance(node.value, ast.Tuple):
                    found += signs(node.value.elts[1])
                else:
                    found.append(("negated", wrap(node.value, "(lambda pair: (pair[0], -pair[1]))(", ")")))
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in NAMES:
                    found += operator(node.value)
            name = f"{path.relative_to(PACKAGE)}-{getattr(owner, 'name', '')}.{function.name}"
            for kind, (start, stop, replacement) in found:
                line = text.encode().count(b"\n", 0, start) + 1
                yield f"{name}-{line}:{start - starts[line - 1]}-{kind}", (start, stop, replacement)


MUTANTS = {name: (path, edit) for room in ROOMS for path in sorted((PACKAGE / room).glob("*.py")) for name, edit in mutants_of(path)}


def judge(folder: Path, room: str = "", file: str = "") -> tuple[int, str]:
    """The tests over the copy of the package in that folder: 0 if all pass, 1 if one fails, else an accident; and what they printed.

    The laws of log-dets come first, of what is called like the file, then the file's own tests, then all laws and the room's tests, the
    laws before these where the room is one of layers.
    """
    names = sorted(OWN_JUDGES.get(room, JUDGES), key=lambda name: name != f"test_{room}.py")
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line", "-k"]
    quick, stages = "not one_graph and not torch_func", []
    laws = ["test_laws.py::test_ldj_cancels", "test_laws.py::test_ldj_is_slogdet"] if "test_laws.py" in names else []
    if file and laws:
        stages.append([*options, f"{file.replace('_', '-')} and {quick}", *_found(laws)])
    if file in FILE_JUDGES:
        stages.append([*options, quick, *_found([FILE_JUDGES[file]])])
    before = laws if room in ("transforms", "univariate") else []
    return verdict(folder, [*stages, [*options, quick, *_found([*before, *names])]], ROOT)


def _found(names: Sequence[str]) -> list[str]:
    """The tests of these names that there are."""
    return [str(ROOT / "tests" / name) for name in names if (ROOT / "tests" / name.split("::")[0]).exists()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, whose bytecode stays from one judgement to the next."""
    place = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, place / "pushforward", ignore=shutil.ignore_patterns("__pycache__"))
    return place


@pytest.mark.parametrize("room", ["", *OWN_JUDGES])
def test_the_copy_itself_passes(room, folder):
    (folder / "test_where.py").write_text("import pushforward\n\ndef test_where():\n    raise SystemExit(pushforward.__file__)\n")
    assert str(folder / "pushforward") in verdict(folder, [["-q", "-p", "no:cacheprovider", str(folder / "test_where.py")]], folder)[1]
    status, printed = judge(folder, room)
    assert status == 0, printed[-2000:]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_flipped_sign_is_noticed(name, folder):
    path, (start, stop, replacement) = MUTANTS[name]
    source, target = path.read_bytes(), folder / "pushforward" / path.relative_to(PACKAGE)
    mutant = source[:start] + replacement.encode() + source[stop:]
    compile(mutant, str(target), "exec")
    _write(target, mutant)
    try:
        status, printed = judge(folder, path.parent.name, path.stem)
    finally:
        _write(target, source)
    assert status == 1, f"{name}: every test passes\n{replacement}\n{printed[-2000:]}"


def _write(target: Path, source: bytes) -> None:
    """Write a file without bytecode: one of the same size, written within the same second, would keep what it had."""
    target.write_bytes(source)
    for compiled in target.parent.glob(f"__pycache__/{target.stem}.*.pyc"):
        compiled.unlink()
