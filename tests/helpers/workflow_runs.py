"""Workflows of GitHub, run here: steps are read from the YAML files and run in order, each job in a folder.

Actions are replaced by what they do on this machine (a checkout is a clone, an artifact a folder), and
programs that speak to others by stubs on PATH. Expressions are those that our workflows use.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PART = re.compile(r"'[^']*'|&&|\|\||==|!=|!?[a-z]+\(\)|[()]|[A-Za-z_][\w.-]*|\d+|!")
_STATUS = ("cancelled()", "always()", "failure()", "success()")


@dataclass
class Step:
    """What came of a step."""

    name: str
    command: str
    outcome: str  # success, failure or skipped
    output: str = ""
    seconds: float = 0.0  # of processors


@dataclass
class Ran:
    """What came of a run of a workflow."""

    steps: dict[str, list[Step]] = field(default_factory=dict)  # by job
    artifacts: dict[str, Path] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)  # of jobs
    said: dict[str, str] = field(default_factory=dict)  # their permissions

    @property
    def failed(self):
        return [step for steps in self.steps.values() for step in steps if step.outcome == "failure"]

    def step(self, part):
        """The step whose name or command has this text."""
        [found] = [
            step
            for steps in self.steps.values()
            for step in steps
            if part in step.name or part in step.command
        ]
        return found


def load(path):
    """A workflow file; `on` is a key and no truth value in YAML 1.2."""
    return YAML(typ="safe", pure=True).load(path.read_text())


class Machine:
    """Runs workflows of a repository.

    `replaced` has regular expressions, and what is put into commands in their place.
    """

    def __init__(self, folder, origin, replaced=(), environment=()):
        self.folder, self.origin = folder, origin
        self.replaced, self.environment = dict(replaced), dict(environment)
        self.runs = 0

    def run(self, workflow, event):
        """Run a workflow file on an event: the context `github` without the prefix, and `inputs`."""
        self.runs += 1
        told, ran = load(workflow), Ran()
        outputs = {}
        for name, job in told["jobs"].items():  # written in the order in which they need each other
            needs = job.get("needs", [])
            needs = [needs] if isinstance(needs, str) else needs
            context = {
                "github": event,
                "inputs": event.get("inputs", {}),
                "needs": {n: outputs[n] for n in needs},
            }
            good = all(ran.results[need] == "success" for need in needs)
            if not good or not evaluate(str(job.get("if", "true")), context, good=True):
                ran.results[name] = "skipped"
                outputs[name] = {"outputs": {}}
                continue
            there = self.folder / f"run{self.runs}" / name
            there.mkdir(parents=True)
            env = {**told.get("env", {}), **job.get("env", {})}
            steps, results = self._job(job, there, env, context, ran)
            ran.steps[name] = steps
            ran.said[name] = job.get("permissions", told.get("permissions"))
            ran.results[name] = "failure" if context["failed"] else "success"
            given = job.get("outputs", {})
            outputs[name] = {"outputs": {k: fill(v, {**context, "steps": results}) for k, v in given.items()}}
        return ran

    def _job(self, job, there, env, context, ran):
        steps, results = [], {}
        context["failed"] = False
        for told in job["steps"]:
            context["steps"] = results
            asked = str(told.get("if", "success()"))
            if not any(status in asked for status in _STATUS):
                asked = f"success() && ({asked})"
            name, command = str(told.get("name", told.get("uses", ""))), told.get("run", "")
            if not evaluate(asked, context, good=not context["failed"]):
                step, outputs = Step(name, command, "skipped"), {}
            elif "uses" in told:
                step, outputs = self._use(told, there, context, ran), {}
            else:
                mine = {**env, **told.get("env", {})}
                filled = {k: fill(str(v), context) for k, v in mine.items()}
                step, outputs = self._command(
                    name, command, there, told.get("working-directory", "."), filled
                )
            if step.outcome == "failure" and not told.get("continue-on-error"):
                context["failed"] = True
            steps.append(step)
            if "id" in told:
                results[told["id"]] = {"outputs": outputs, "outcome": step.outcome}
        return steps, results

    def _command(self, name, command, there, below, env):
        assert "${{" not in command, f"a command takes values through the environment alone: {command}"
        for pattern, instead in self.replaced.items():
            command = re.sub(pattern, instead, command, flags=re.MULTILINE)
        output = there.parent / f"{there.name}.outputs"
        output.write_text("")
        told = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": os.devnull}
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=there / below, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env=self._environment(there) | env | told, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = (line.partition("=") for line in output.read_text().splitlines())
        seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        step = Step(name, command, "failure" if done.returncode else "success", done.stdout, seconds)
        return step, {key: value for key, _, value in lines}

    def _environment(self, there):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OODBENCH", "PYTHON", "GIT"))}
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{kept['PATH']}"
        plain = {"OODBENCH_CACHE": str(there.parent / f"{there.name}.cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        return kept | {"PATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1"} | plain | self.environment

    def _use(self, told, there, context, ran):
        action = re.fullmatch(r"([\w-]+/[\w-]+)@[0-9a-f]{40}", told["uses"])[1]
        given = {k: fill(str(v), context) for k, v in told.get("with", {}).items()}
        match action:
            case "actions/checkout":
                assert told["with"]["persist-credentials"] is False
                source = given.get("repository", "")
                git(
                    "clone",
                    "--quiet",
                    self.origin.get(source, self.origin[""]),
                    there / given.get("path", "."),
                )
                git("checkout", "--quiet", given.get("ref") or "main", cwd=there / given.get("path", "."))
            case "actions/upload-artifact":
                kept = there.parent / "artifacts" / given["name"]
                paths = given["path"].split()
                for path in paths:
                    shutil.copytree(
                        there / path, kept / (path if len(paths) > 1 else "."), dirs_exist_ok=True
                    )
                ran.artifacts[given["name"]] = kept
            case "actions/download-artifact":
                shutil.copytree(ran.artifacts[given["name"]], there / given["path"], dirs_exist_ok=True)
            case "actions/upload-pages-artifact":
                ran.artifacts["github-pages"] = there / given["path"]
            case "actions/setup-python" | "actions/deploy-pages":
                pass
            case _:
                raise AssertionError(f"no stand-in for {action}")
        return Step(str(told.get("name", "")), told["uses"], "success")


def git(*arguments, cwd=None):
    """Run git without anyone's settings; what it prints."""
    plain = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = {
        f"GIT_{role}_{part}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | plain | who,
    )  # fmt: skip
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.strip()


def fill(text, context):
    """A text with its expressions replaced by what they say."""
    return _EXPRESSION.sub(lambda found: str(evaluate(found[1], context, good=True) or ""), text)


def evaluate(expression, context, *, good):
    """What an expression says; `good`: whether no step before has failed."""
    plain = _EXPRESSION.sub(r"(\1)", expression).strip()
    assert "".join(_PART.findall(plain)) == re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", plain), plain

    def look_up(name):
        value = context
        for part in name.split("."):
            value = value.get(part, "") if isinstance(value, dict) else ""
        return value

    words = {"&&": " and ", "||": " or ", "==": "==", "!=": "!=", "(": "(", ")": ")", "!": " not "}
    words |= {"true": "True", "false": "False", "success()": str(good), "failure()": str(not good)}
    words |= {"cancelled()": "False", "!cancelled()": "True", "always()": "True"}
    python = "".join(
        words.get(part) or (part if part[0] in "'0123456789" else f"look_up({part!r})")
        for part in _PART.findall(plain)
    )
    return eval(python, {"look_up": look_up})
