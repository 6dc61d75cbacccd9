"""The floors of the house: imports run down, never up, and never in circles; nothing is ever unpickled."""

import ast
import re
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

from places import ROOT

ROOMS = ("benchmark", "methods", "reports")
LONGEST, LONGEST_TEST = 400, 500  # lines of a file
CATCH_ALL = {"everything", "Exception", "BaseException"}
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [ROOT / "oodbench.py", *(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))]
}
OURS = {"oodbench", *ROOMS}
# Besides `did_you_mean`: the classes that `oodbench show` describes.
CATALOG_MAY_SEE = {"methods", "methods.base", "methods.registry"}
FOR_PEOPLE = {"methods.names", "methods.errors", "methods.cards"}  # what is said, without torch
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
}
# They read the numbers of tensors that somebody gives them, whatever device those are on.
TAKE_ANY_TENSOR = {"benchmark.metrics.arrays", "benchmark.store.tensors"}
# What reads the files of users, and of these tensors and arrays alone.
SAFE_IF_TOLD = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "numpy.load", "np.load", "yaml.load"}


@cache
def tree(module):
    return ast.parse(FILES[module].read_bytes())


@cache
def imports(module, *, only_at_import=False):
    """Modules of ours and top-level names of others that `module` imports."""
    found = set()
    nodes = _run_at_import(tree(module)) if only_at_import else ast.walk(tree(module))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
    return frozenset(found)


def _run_at_import(node):
    """Nodes that run when the module is imported: no bodies of functions, nothing for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run_at_import(child)


def called(node):
    return ast.unparse(node.func) if isinstance(node, ast.Call) else None


def room(module):
    return module.partition(".")[0]


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


def modules_of(name):
    return [module for module in FILES if room(module) == name]


def offenders(modules, wrong):
    """What `wrong` finds in each module where it finds anything, all of them at once."""
    return {module: found for module in modules if (found := wrong(module))}


def test_the_files_are_found():
    assert FILES.keys() >= {
        "oodbench",
        "benchmark.spec.leaderboard",
        "methods.base",
        "methods.detectors.msp",
        "reports",
    }
    assert "benchmark.spec.yaml_file" in imports("benchmark.spec.load")
    assert "benchmark.spec.load" in imports("oodbench")
    assert "benchmark.spec.load" not in imports("oodbench", only_at_import=True)


def test_methods_depend_on_tensor_libraries_and_their_own_base():
    allowed = {"torch", "numpy", "scipy", "methods", *sys.stdlib_module_names}
    special = {"methods.samplers.smote": {"imblearn"}, "methods.attacks.autoattack": {"pyautoattack"}}

    def wrong(module):
        return {room(name) for name in imports(module)} - allowed - special.get(module, set())

    assert offenders(modules_of("methods"), wrong) == {}


def test_the_harness_knows_neither_pages_nor_the_command_line():
    def wrong(module):
        return {name for name in imports(module) if room(name) in {"reports", "oodbench"}}

    assert offenders(modules_of("benchmark"), wrong) == {}


def test_the_pages_know_neither_torch_nor_methods_nor_the_command_line():
    def wrong(module):
        seen = {name for name in imports(module) if room(name) in {"torch", "timm", "methods", "oodbench"}}
        return seen - (CATALOG_MAY_SEE if module == "reports.console.catalog" else set()) - FOR_PEOPLE

    assert offenders(modules_of("reports"), wrong) == {}


def test_a_method_builds_on_its_own_family_only():
    """ViM is made of the residual score; its content key follows. A detector knows no objective."""
    in_families = {m for m in FILES if m.startswith("methods.") and m.count(".") == 2}

    def wrong(module):
        family = module.rpartition(".")[0]
        return {m for m in imports(module) & in_families if not m.startswith(f"{family}.")}

    assert offenders(in_families, wrong) == {}


def test_one_module_knows_devices():
    """Methods follow the tensors that they are given; one seeds what another library draws from."""
    seeds = {"methods.attacks.autoattack"}

    def wrong(module):
        words = set(re.findall(r"\b(?:cuda|mps|xpu)\b", FILES[module].read_text(encoding="utf-8").lower()))
        calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
        return words | {ast.unparse(call) for call in calls if room(module) != "methods" and moves(call)}

    pretends = {"benchmark.conformance.pretended"}  # one that there is not
    others = FILES.keys() - {"benchmark.backbones.device"} - TAKE_ANY_TENSOR - seeds - pretends
    assert offenders(others, wrong) == {}


def moves(call):
    """Whether a call takes a tensor or a network to a device."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    given = " ".join(map(ast.unparse, [*call.args, *(keyword.value for keyword in call.keywords)]))
    return name in {"cpu", "cuda"} or (name == "to" and any(word in given for word in ("device", "cpu")))


def test_a_move_to_a_device_would_be_found():
    moving = ("x.cpu()", "x.cuda()", "x.to(device)", "x.to(y.device, torch.float32)", "x.to('cpu')")
    staying = (
        "x.to(torch.float32)",
        "x.to(memory_format=torch.channels_last)",
        "moved(x, device)",
        "on_cpu(x)",
    )
    assert all(moves(ast.parse(text, mode="eval").body) for text in moving)
    assert not any(moves(ast.parse(text, mode="eval").body) for text in staying)


def test_the_harness_names_no_detector():
    """Nothing is keyed on a method's name: methods come from the registry."""
    seen = {
        (module, name)
        for module in FILES
        if room(module) in {"benchmark", "reports"}
        for name in imports(module)
        if name.startswith("methods.detectors.")
    }
    assert not seen


def names_families(source, names):
    """Where a module imports from the folder of a study, or has a study's name as a string."""
    found = set()
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom):
            below = [f"{node.module}.{alias.name}.".partition(".studies.")[2] for alias in node.names]
            found |= {path.partition(".")[0] for path in below} & names
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value.partition(".")[0]} & names
    return found


EVERY_STUDY = {path.parent.name for path in (ROOT / "benchmark" / "studies").glob("*/study.py")}
STUDIES = EVERY_STUDY - {"detection", "plane"}  # which a track may list; of these two others speak as well
NAMES_STUDIES = {
    "benchmark.evaluation.evaluate": {"corruptions"},  # an argument, which is called so too
    "benchmark.spec.networks": {"adversarial"},  # a source of first weights, which is called so too
    "benchmark.studies.assess": {
        "label_noise",
        "imbalance",
    },  # their job: its text is in their keys
    "reports.boards.gains": {"label_noise", "imbalance"},  # the formula of a claim, C-F16
}


def test_a_study_is_named_in_its_own_folders_only():
    """A study is found by its name in leaderboard.yaml: adding one changes no other module."""
    own = re.compile(rf"\.studies\.({'|'.join(STUDIES)})(\.|$)")
    others = [m for m in FILES if room(m) != "methods" and not own.search(m)]
    assert offenders(others, lambda module: names_families(tree(module), STUDIES)) == NAMES_STUDIES


def test_a_study_has_its_files_in_both_rooms():
    assert EVERY_STUDY > STUDIES
    assert len(STUDIES) >= 4
    for name in EVERY_STUDY:
        assert {f"benchmark.studies.{name}.{part}" for part in ("settings", "study")} <= FILES.keys()
    for name in EVERY_STUDY - {"detection"}:  # whose boards are the pages
        assert {f"reports.studies.{name}.{part}" for part in ("numbers", "plots")} <= FILES.keys()


def test_a_study_that_is_named_would_be_found():
    for text in (
        "from benchmark.studies.adversarial.settings import Adversarial",
        "from reports.studies import adversarial",
        "known == 'adversarial'",
        "metric = 'adversarial.clean.accuracy'",
    ):
        assert names_families(ast.parse(text), STUDIES) == {"adversarial"}
    for text in ("from benchmark.studies import registry", "'adversarially'", "adversarial = 1"):
        assert names_families(ast.parse(text), STUDIES) == set()


def circle(graph):
    """Modules that import each other in a circle, each the next; none if there is no circle."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_modules_import_each_other_in_no_circle():
    """Not in functions either, nor for type checkers: who reads one file need not read those above it."""
    graph = {
        # A package is imported with each of its modules; what it re-exports is no circle.
        module: {other for other in imports(module) if other in FILES and not module.startswith(f"{other}.")}
        for module in FILES
    }
    assert " → ".join(circle(graph)) == ""


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def test_imports_for_type_checkers_and_in_functions_count(monkeypatch):
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from benchmark.plan.make import Plan
def late():
    from benchmark import run
"""
    monkeypatch.setattr(f"{__name__}.tree", lambda module: ast.parse(source))
    assert imports.__wrapped__("toy") == {"typing", "benchmark.plan.make", "benchmark.run"}
    assert imports.__wrapped__("toy", only_at_import=True) == {"typing"}


def test_nothing_is_unpickled_or_evaluated():
    def wrong(module):
        calls = [node for node in ast.walk(tree(module)) if called(node)]
        loads = [ast.unparse(node) for node in calls if called(node).endswith("YAML")]
        return {
            *({room(name) for name in imports(module)} & FORBIDDEN_MODULES),
            *({called(node) for node in calls if not is_safe(node)} & FORBIDDEN_CALLS),
            *(load for load in loads if not load.startswith("YAML(typ='rt'")),
        }

    assert offenders(FILES, wrong) == {}


def is_safe(call):
    """Whether a call reads tensors or arrays and has been told to unpickle nothing else."""
    return SAFE_IF_TOLD.get(called(call)) in {ast.unparse(keyword) for keyword in call.keywords}


def test_a_file_that_is_unpickled_would_be_found():
    def safe(text):
        return is_safe(ast.parse(text, mode="eval").body)

    assert safe("torch.load(path, weights_only=True)")
    assert safe("np.load(path, allow_pickle=False)")
    for text in (
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=only)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(path, weights_only=True)",
    ):
        assert not safe(text), text


def test_no_failure_is_swallowed():
    """A bare `except` or one for everything either tells the failure or raises another."""

    def wrong(module):
        return [
            node.lineno
            for node in ast.walk(tree(module))
            if isinstance(node, ast.ExceptHandler)
            if (ast.unparse(node.type) if node.type else "everything") in CATCH_ALL
            if all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
        ]

    assert offenders(FILES, wrong) == {}


def test_files_stay_small():
    assert offenders(FILES, lambda module: max(0, lines(FILES[module]) - LONGEST)) == {}


def test_files_of_tests_stay_small():
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "bench"]
    assert len(tests) > 100
    assert {path.name: lines(path) for path in tests if lines(path) > LONGEST_TEST} == {}


def test_every_module_says_what_it_is_for():
    assert offenders(FILES, lambda module: not ast.get_docstring(tree(module))) == {}


def test_the_light_modules_stay_light():
    """`oodbench --help`, `schema` and completion import these."""
    light = ["oodbench", "reports.console.cli", "benchmark.spec.load", "benchmark.errors", "methods.names"]
    reached, waiting = set(), light
    while waiting:
        module = waiting.pop()
        if module in FILES and module not in reached:
            waiting += imports(module, only_at_import=True)
        reached.add(module)
    assert not {room(name) for name in reached} & {"torch", "timm", "numpy", "scipy", "sklearn", "matplotlib"}
