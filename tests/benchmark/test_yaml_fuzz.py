"""Mutants of leaderboards: each is either read or refused, with file and line, and nothing else happens."""

import copy
import io
import random
import re

import pytest
from ruamel.yaml import YAML

from benchmark.errors import SpecError
from benchmark.spec.leaderboard import Spec
from benchmark.spec.load import load_spec

MUTANTS = 120
HOSTILE = [
    "2001-99-99", "!!int abc", "!!bool abc", "!!float x", "!!set {a, b}", "!!omap [a: 1]", "!!binary aGk=",
    "!!python/name:os x", "!<x> y", "1" * 5000, "1e999", ".nan", "0x1F", "1_000", "9" * 20, "-1",
    "{a: b}", "[a]", "{? [a] : b}", "&r [*r]", "&c {k: *c}", "*undefined", "{<<: [1]}", "<<", "=", "~", "",
    '"\\uD800"', '"\\U99999999"', '"\\x00"', "'", '"', "| x", ">\n x", "|9\n x", "{", "}", "[", "]", ",", ":",
    "#", "\t", "%YAML 9.9", "---", "...", "@a", "`a`", "\u2028", "\ufeff", "é" * 50, "a" * 101, "../x",
    "[" * 60,
]  # fmt: skip
VALUES = [None, True, 0, -1, 10**30, 1e300, 1e-300, "", "x", [], {}, [[]], {"a": 1}]
TOKEN = re.compile(r"[:\[,] ?([^\s,\[\]{}]+)")


def text_mutant(rng, text):
    """Characters, tokens or lines put in, taken out, or exchanged."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(text))
        lines = text.split("\n")
        line = rng.randrange(len(lines))
        token = rng.choice(list(TOKEN.finditer(text)))
        match rng.randrange(8):
            case 0:
                text = text[:at] + chr(rng.choice([*range(32, 127), 9, 10, 0x85, 0x2028])) + text[at:]
            case 1:
                text = text[:at] + text[at + rng.choice([1, 3, 30]) :]
            case 2:
                text = text[:at] + rng.choice(HOSTILE) + text[at:]
            case 3:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 4:
                text = "\n".join([*lines, lines[line]])
            case 5:
                text = "\n".join(
                    [*lines[:line], " " * rng.randrange(9) + lines[line].lstrip(), *lines[line + 1 :]]
                )
            case 6:
                text = text[: token.start(1)] + rng.choice(HOSTILE) + text[token.end(1) :]
            case 7:
                other = rng.choice(list(TOKEN.finditer(text)))
                text = text[: token.start(1)] + other[1] + text[token.end(1) :]
    return text


def places(node, way=()):
    """The way to every value of a tree."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in items:
        yield (*way, key)
        yield from places(child, (*way, key))


def at(tree, way):
    for step in way:
        tree = tree[step]
    return tree


def tree_mutant(rng, text):
    """One value taken out, exchanged for another, or put where it does not belong."""
    yaml = YAML(typ="rt", pure=True)
    tree = yaml.load(text)
    way, other = rng.choice(list(places(tree))), rng.choice(list(places(tree)))
    parent = at(tree, way[:-1])
    value = copy.deepcopy(rng.choice([*VALUES, at(tree, other)]))
    match rng.randrange(3):
        case 0:
            del parent[way[-1]]
        case 1:
            parent[way[-1]] = value
        case 2 if isinstance(parent, dict):
            parent[rng.choice(["x", 1, None, True, 1.5, "a" * 65])] = value
        case _:
            parent.append(value)
    written = io.StringIO()
    yaml.dump(tree, written)
    return written.getvalue()


def test_r26_every_mutant_is_read_or_refused_with_file_and_line(small):
    text = small.read_text()
    seen = {"read": 0, "refused": 0}
    for seed in range(MUTANTS):
        rng = random.Random(seed)
        mutant = (text_mutant if seed % 4 else tree_mutant)(rng, text)
        small.write_text(mutant, encoding="utf-8")
        try:
            assert isinstance(load_spec(small), Spec)
            seen["read"] += 1
        except SpecError as error:
            for line in str(error).splitlines():
                assert re.match(rf"{re.escape(str(small))}:\d+: .|… and more$", line), (seed, line)
                assert line.isprintable(), (seed, line)
            seen["refused"] += 1
        except Exception as error:
            pytest.fail(f"mutant {seed}: {type(error).__name__}: {error}")
    assert min(seen.values()) > MUTANTS // 20  # both ways are tried
