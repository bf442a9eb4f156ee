#!/usr/bin/env python3
"""After the whole test run: what every instance of the service left behind holds no card number, no secret and no person.

    python3 tests/scan.py target/test-remains

Each instance that a test started leaves its log with all that it printed (NAME.log) and, if it still ran at the end, a dump of its
database (NAME.sql) and the secrets that it told its tests (NAME.json). Error answers and webhooks are in both: an error is
logged or stored as an answer to be replayed, a webhook is the event in its row, byte for byte. Logs must hold neither card
numbers, nor keys and secrets, nor anyone's name or address; a database may know its buyers, but no number and no key.
"""

import json
import pathlib
import re
import sys
import time

# Every card that a test types in, however it is written.
CARDS = """
4242424242424242 5555555555554444 4000000000009995 4000000000000002 378282246310005 4000056655665556 4000000000000127
4000000000000069 6011111111111117 4100000000000019 4000000000009987 4000000000009979 4000000000009235 4000000000006975
4000000000005423 4000000000000341 4000000000000259 4000000000000119 3566002020360505 6200000000000005 5105105105105100
4000008400001629 4000008260003178 4000002760003184 4000002500003155 4000000000004954 4000000000003220 5200828282828210
4000000404000079 4000000000007726 4000000000005126 4000000000002685 4000000000001976 4000000000000101 4000000000000077
3056930009020004 6445644564456445 4539578763621486 379354508162306
""".split()
CARD = re.compile("(?<![0-9])(?:" + "|".join("[ .-]?".join(number) for number in CARDS) + ")(?![0-9])")
SECRET = re.compile(r"\b(?:[sr]k_test_[0-9a-f]{20,}|whsec_[0-9a-f]{20,})")
PERSON = re.compile(r"[\w.+-]+@example\.(?:com|org|net)|Ada Lovelace|Grace Hopper", re.IGNORECASE)


def main(folder):
    wait_for(folder)
    wrong, logs, dumps = [], 0, 0
    for log in sorted(folder.glob("*.log")):
        text = log.read_text(errors="replace")
        told = log.with_suffix(".json")
        secrets = set(SECRET.findall(told.read_text())) if told.exists() else set()
        # What the program prints for a person at the terminal names the key to try with; its log must not.
        lines = [line for line in text.splitlines() if line.startswith("{")]
        for line in lines:
            wrong += [f"{log.name}: {kind}: {line[:160]}" for kind, found in look(line, secrets, person=True) if found]
        logs += len(lines)
    for dump in sorted(folder.glob("*.sql")):
        told = json.loads(dump.with_suffix(".json").read_text())
        secrets = set(SECRET.findall(json.dumps(told)))
        with dump.open(errors="replace") as lines:
            for line in lines:
                wrong += [f"{dump.name}: {kind}: {line[:80]}" for kind, found in look(line, secrets, person=False) if found]
        dumps += dump.stat().st_size
    if not logs or not dumps:
        wrong.append(f"nothing was searched: {logs} lines of logs, {dumps} bytes of dumps")
    for fault in wrong[:50]:
        print(f"scan: {fault}", file=sys.stderr)
    print(f"scan: {logs} lines of logs and {dumps >> 20} MB of dumps searched, {len(wrong)} found")
    return 1 if wrong else 0


def look(line, secrets, person):
    yield "a card number", CARD.search(line)
    yield "a secret", any(secret in line for secret in secrets) or (person and SECRET.search(line))
    yield "a person", person and PERSON.search(line)


def wait_for(folder):
    """Instances stop after the test program has ended; each takes its mark away when it has."""
    deadline = time.monotonic() + 90
    while list(folder.glob("*.pending")) and time.monotonic() < deadline:
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
