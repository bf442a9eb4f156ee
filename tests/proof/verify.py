#!/usr/bin/env python3
"""Checks a proof of `counterfoil ledger prove` without any of its code: hashlib and json alone.

    verify.py PROOF [--head HEAD] [--keys KEYS]

HEAD is a head that was exported (head.json, or heads.jsonl, of which the one with as many pages is taken): the proof must be
about that one, or it proves only that somebody can compute hashes. KEYS is the key file of the seal; with it the MACs of the
heads are checked too. Prints what is proved and exits 0, or says what is wrong and exits 1.

Trees are those of RFC 9162 (2.1): leaf SHA-256(00 || data), node SHA-256(01 || left || right). Data is a sequence of fields,
each after its length in four bytes (big-endian); integers are eight bytes.
"""

import hashlib
import json
import sys


class Wrong(Exception):
    pass


def main(arguments):
    options, paths = {}, []
    while arguments:
        word = arguments.pop(0)
        if word in ("--head", "--keys") and arguments:
            options[word] = arguments.pop(0)
        else:
            paths.append(word)
    if len(paths) != 1:
        print(__doc__)
        return 2
    try:
        with open(paths[0]) as file:
            proof = json.load(file)
        keys = read_keys(options["--keys"]) if "--keys" in options else None
        kept = read_heads(options["--head"]) if "--head" in options else None
        if proof["proof"] == "inclusion":
            told = inclusion(proof, keys, kept)
        elif proof["proof"] == "consistency":
            told = consistency(proof, keys, kept)
        else:
            raise Wrong("this is no proof")
    except Wrong as wrong:
        print("WRONG:", wrong)
        return 1
    except (KeyError, ValueError, TypeError, OSError) as error:
        print("WRONG: unreadable:", repr(error))
        return 1
    print(told)
    return 0


def inclusion(proof, keys, kept):
    columns, page, head = proof["journal"], proof["page"], proof["head"]
    data = field(b"counterfoil/journal/v1")
    for name in sorted(columns, key=lambda name: name.encode()):
        column = columns[name]
        data += field(name.encode()) + field(column["type"].encode()) + field(bytes.fromhex(column["bytes"]))
    root = bytes.fromhex(page["root"])
    path = [bytes.fromhex(p) for p in proof["page_path"]]
    if climb(leaf(data), proof["leaf_index"], page["journals"], path) != root:
        raise Wrong("the journal is not under the root of its page")
    path = [bytes.fromhex(p) for p in proof["head_path"]]
    if climb(page_hash(page), page["page"] - 1, head["pages"], path) != bytes.fromhex(head["root"]):
        raise Wrong("the page is not under the root of the head")
    trusted = check_head(head, keys, kept)
    lines = ["RIGHT: journal %d of page %d is under the head of page %d (%s)"
             % (proof["leaf_index"] + 1, page["page"], head["pages"], trusted)]
    for name in columns:
        lines.append("  %-14s %s" % (name, decode(columns[name]["type"], bytes.fromhex(columns[name]["bytes"]))))
    return "\n".join(lines)


def consistency(proof, keys, kept):
    older, newer = proof["older"], proof["newer"]
    path = [bytes.fromhex(p) for p in proof["path"]]
    extends(older["pages"], newer["pages"], bytes.fromhex(older["root"]), bytes.fromhex(newer["root"]), path)
    trusted = check_head(older, keys, kept), check_head(newer, keys, None)
    return "RIGHT: the head of page %d (%s) extends that of page %d (%s)" % (
        newer["pages"], trusted[1], older["pages"], trusted[0])


def field(data):
    return len(data).to_bytes(4, "big") + data


def integer(number):
    return field(number.to_bytes(8, "big", signed=True))


def leaf(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def page_hash(page):
    return leaf(
        field(b"counterfoil/page/v1")
        + integer(page["page"])
        + integer(page["journals"])
        + integer(page["total"])
        + integer(page["last_xid"])
        + integer(page["last_book"])
        + field(bytes.fromhex(page["last_journal"]))
        + field(bytes.fromhex(page["root"]))
        + field(bytes.fromhex(page["roll_digest"]))
        + field(bytes.fromhex(page["previous"]))
        + integer(page["sealed_at_us"])
    )


def climb(hash, index, size, path):
    """RFC 9162, 2.1.3.2: the root that a leaf and its path give."""
    if not 0 <= index < size:
        raise Wrong("there is no leaf %d among %d" % (index, size))
    fn, sn = index, size - 1
    for p in path:
        if sn == 0:
            raise Wrong("the path is too long")
        if fn & 1 or fn == sn:
            hash = node(p, hash)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hash = node(hash, p)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Wrong("the path is too short")
    return hash


def extends(first, second, first_root, second_root, path):
    """RFC 9162, 2.1.4.2."""
    if not 0 < first <= second:
        raise Wrong("the older head must have pages, and no more than the newer")
    if first == second:
        if first_root != second_root or path:
            raise Wrong("two heads of one size are not the same")
        return
    if first & (first - 1) == 0:
        path = [first_root] + path
    if not path:
        raise Wrong("the path is empty")
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise Wrong("the path is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if fr != first_root or sr != second_root or sn:
        raise Wrong("the newer head does not extend the older")


def check_head(head, keys, kept):
    trusted = []
    if kept is not None:
        same = [k for k in kept if k["pages"] == head["pages"]]
        if not same:
            raise Wrong("the head of page %d is not among those kept" % head["pages"])
        if any(k["root"] != head["root"] for k in same):
            raise Wrong("the head of page %d is not the one that was kept" % head["pages"])
        trusted.append("as kept")
    if keys is not None:
        if head["key_id"] not in keys:
            raise Wrong("the key file has no key " + head["key_id"])
        statement = (
            field(b"counterfoil/head/v1")
            + integer(head["pages"])
            + integer(head["journals"])
            + field(bytes.fromhex(head["root"]))
            + integer(head["sealed_at_us"])
            + field(head["key_id"].encode())
        )
        key = keys[head["key_id"]]
        if hmac_sha256(key, b"counterfoil/key-check/v1")[:8] != bytes.fromhex(head["key_check"]):
            raise Wrong("the key file has another key %s than the one that signed" % head["key_id"])
        if hmac_sha256(key, statement) != bytes.fromhex(head["mac"]):
            raise Wrong("key %s did not sign the head of page %d" % (head["key_id"], head["pages"]))
        trusted.append("signed by key " + head["key_id"])
    return ", ".join(trusted) or "not compared with a kept head, signature not checked"


def hmac_sha256(key, data):
    """RFC 2104; keys are 32 bytes, shorter than a block."""
    key = key.ljust(64, b"\x00")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + data).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()


def read_keys(path):
    keys = {}
    with open(path) as file:
        for words in map(str.split, file):
            if words and not words[0].startswith("#"):
                keys[words[1]] = bytes.fromhex(words[2])
    return keys


def read_heads(path):
    with open(path) as file:
        return [json.loads(line) for line in file if line.rstrip().endswith("}")]


def decode(kind, data):
    """A value of PostgreSQL's binary protocol, for people."""
    if kind in ("int8", "int4", "int2"):
        return int.from_bytes(data, "big", signed=True)
    if kind in ("text", "char", "varchar"):
        return data.decode()
    if kind == "uuid":
        digits = data.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if kind == "timestamptz":
        return "%d us since 1970" % (int.from_bytes(data, "big", signed=True) + 946_684_800_000_000)
    if kind == "jsonb":
        return data[1:].decode()
    if kind.startswith("_"):
        dimensions = int.from_bytes(data[:4], "big")
        if dimensions == 0:
            return []
        count, at, values = int.from_bytes(data[12:16], "big"), 20, []
        for _ in range(count):
            length = int.from_bytes(data[at:at + 4], "big", signed=True)
            at += 4
            values.append(None if length < 0 else decode(kind[1:], data[at:at + length]))
            at += max(length, 0)
        return values
    return data.hex()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
