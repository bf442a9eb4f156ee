"""Reads messages of ISO 8583 and writes them again, with pyiso8583: its default table, ASCII fields and binary bitmaps.

Standard input: [{"fields": {"t": "0100", "4": ..}, "wire": hex}, ..]. Standard output: what the bytes mean, and the bytes that
the fields make.
"""
import json
import sys

import iso8583
from iso8583.specs import default as spec

answers = []
for asked in json.load(sys.stdin):
    read, _ = iso8583.decode(bytes.fromhex(asked["wire"]), spec)
    meaning = {name: value for name, value in read.items() if name not in ("h", "p", "1")}
    written, _ = iso8583.encode(dict(asked["fields"]), spec)
    answers.append({"read": meaning, "wire": written.hex()})
json.dump(answers, sys.stdout)
