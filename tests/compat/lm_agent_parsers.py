"""Reads one output on standard input by the parser of license-manager-agent that is named, and prints what it made of it."""

import json
import sys

from lm_agent.parsing import flexlm, lmx

print(json.dumps({"lmx": lmx, "flexlm": flexlm}[sys.argv[1]].parse(sys.stdin.read())))
