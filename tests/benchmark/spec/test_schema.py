"""The JSON Schema of leaderboard.yaml forbids what the loader forbids."""

import json
import re

import pytest
from places import ROOT, SHIPPED
from small_spec import needs_checkout

from benchmark.spec.load import json_schema, load_spec


@needs_checkout
def test_the_shipped_leaderboard_points_editors_at_the_schema():
    first = SHIPPED.read_text().partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads((ROOT / named).read_text()) == json_schema()


def test_the_schema_forbids_what_the_loader_forbids():
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == ["backbones", "entries", "inits", "tracks", "version"]
    track = schema["$defs"]["Track"]
    assert track["additionalProperties"] is False
    assert list(track["properties"]["near"]["patternProperties"]) == ["^[a-z0-9][a-z0-9_+-]*$"]
    assert track["properties"]["image_size"] == {
        "maximum": 1024, "minimum": 8, "title": "Image Size", "type": "integer",
    }  # fmt: skip


@needs_checkout
def test_the_shipped_leaderboard_fits_the_schema():
    """By the few keywords that the schema uses; any other fails the test."""
    fit(load_spec(SHIPPED).model_dump(exclude_unset=True), json_schema(), json_schema())


def test_the_walk_through_the_schema_finds_what_does_not_fit(small):
    good = load_spec(small).model_dump(exclude_unset=True)
    for place, value in [(("version",), 2), (("tracks", "small", "image_size"), "x"), (("x",), 1)]:
        bad = json.loads(json.dumps(good))
        node = bad
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
        with pytest.raises(AssertionError):
            fit(bad, json_schema(), json_schema())


TYPES = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
    "null": type(None),
}  # fmt: skip


def fits(value, schema, root):
    try:
        fit(value, schema, root)
    except AssertionError:
        return False
    return True


def fit(value, schema, root):
    for keyword, rule in sorted(schema.items(), key=lambda item: item[0] != "type"):  # the type first
        match keyword:
            case "$ref":
                fit(value, root["$defs"][rule.rpartition("/")[2]], root)
            case "type":
                assert isinstance(value, TYPES[rule])
                assert rule == "boolean" or not isinstance(value, bool)
            case "required":
                assert set(rule) <= value.keys()
            case "properties":
                for key in value.keys() & rule.keys():
                    fit(value[key], rule[key], root)
            case "additionalProperties" if rule is False:
                assert value.keys() <= schema["properties"].keys()
            case "additionalProperties" if rule is not True:
                for item in value.values():
                    fit(item, rule, root)
            case "propertyNames":
                for key in value:
                    fit(key, rule, root)
            case "patternProperties":
                for pattern, kind in rule.items():
                    for key in value:
                        if re.search(pattern, key):
                            fit(value[key], kind, root)
            case "items":
                for item in value:
                    fit(item, rule, root)
            case "anyOf" | "oneOf":
                assert any(fits(value, option, root) for option in rule)
            case "const":
                assert value == rule
            case "enum":
                assert value in rule
            case "minItems" | "minLength" | "minProperties":
                assert len(value) >= rule
            case "maxLength" | "maxItems":
                assert len(value) <= rule
            case "minimum":
                assert value >= rule
            case "maximum":
                assert value <= rule
            case "exclusiveMinimum":
                assert value > rule
            case "exclusiveMaximum":
                assert value < rule
            case "pattern":
                assert re.search(rule, value)
            case (
                "$schema"
                | "$defs"
                | "title"
                | "description"
                | "default"
                | "discriminator"
                | "additionalProperties"
            ):
                pass
            case _:
                raise NotImplementedError(f"the schema uses {keyword!r}: teach it to this test")
