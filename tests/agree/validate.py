"""Reads documents by a validator of JSON Schema that is not ours: on standard input a line {"by": REFERENCE, "value": DOCUMENT}
each; the schemas are the files of the folder named first, known by their $id. Prints how many were read; ends at the first that
is wrong."""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

schemas = [json.loads(path.read_text()) for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))]
for schema in schemas:
    Draft202012Validator.check_schema(schema)
registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas)

read = 0
for line in sys.stdin:
    document = json.loads(line)
    validator = Draft202012Validator(
        {"$ref": document["by"]}, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(document["value"])
    read += 1
print(read)
