"""Holds every example of an OpenAPI 3.1 document against its schema."""

import json
import sys

from jsonschema import Draft202012Validator

document = json.load(open(sys.argv[1]))
seen = 0


def check(media, place):
    global seen
    examples = [example["value"] for example in media.get("examples", {}).values()]
    if "example" in media:
        examples.append(media["example"])
    # The whole document comes along, for the references.
    schema = {**media.get("schema", {}), "components": document["components"]}
    for example in examples:
        seen += 1
        for error in Draft202012Validator(schema).iter_errors(example):
            sys.exit(f"{place}: {error.message}")


def walk(node, place):
    if isinstance(node, dict):
        if "schema" in node:
            check(node, place)
        for key, child in node.items():
            walk(child, f"{place}/{key}")
    elif isinstance(node, list):
        for child in node:
            walk(child, place)


walk(document, "#")
assert seen > 40, seen
