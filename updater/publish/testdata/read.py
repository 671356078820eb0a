"""Reads one target of a TUF repository in a folder, as the specification says (1.0.31,
section 5), with the canonical JSON, the key ids and the signatures of securesystemslib.

    read.py FOLDER ROOT TARGET

It prints the target, or ends with 1 and says what is wrong.
"""
import fnmatch
import hashlib
import json
import os
import sys
from datetime import datetime, timezone

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signature

folder, root_file, wanted = sys.argv[1:]


def need(ok, what):
    if not ok:
        sys.exit(what)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def verify(md, keys, role, what):
    """Enough different keys of a role have signed, and it has not expired."""
    signed = encode_canonical(md["signed"]).encode()
    good = set()
    for sig in md["signatures"]:
        key = keys.get(sig["keyid"])
        if sig["keyid"] not in role["keyids"] or key is None:
            continue
        plain = {k: key[k] for k in ("keytype", "scheme", "keyval")}
        need(hashlib.sha256(encode_canonical(plain).encode()).hexdigest() == sig["keyid"], what + ": a key has another id")
        try:
            Key.from_dict(sig["keyid"], json.loads(json.dumps(key))).verify_signature(Signature.from_dict(dict(sig)), signed)
        except Exception:
            continue
        good.add(sig["keyid"])
    need(len(good) >= role["threshold"], what + ": too few signatures")


def fresh(md, what):
    end = datetime.strptime(md["signed"]["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    need(end > datetime.now(timezone.utc), what + " has expired")


def matches(data, meta, what):
    if "length" in meta:
        need(len(data) == meta["length"], what + " has another length")
    for name, digest in meta.get("hashes", {}).items():
        need(hashlib.new(name, data).hexdigest() == digest, what + " has another digest")


def listing(keys, role, meta, name):
    data = read(os.path.join(folder, "%d.%s.json" % (meta["version"], name)))
    matches(data, meta, name)
    md = json.loads(data)
    verify(md, keys, role, name)
    fresh(md, name)
    need(md["signed"]["version"] == meta["version"], name + " has another version")
    return md["signed"]


def on(pattern, path):
    p, t = pattern.split("/"), path.split("/")
    return len(p) == len(t) and all(fnmatch.fnmatchcase(b, a) for a, b in zip(p, t))


root = json.loads(read(root_file))
verify(root, root["signed"]["keys"], root["signed"]["roles"]["root"], "root")
while True:
    name = os.path.join(folder, "%d.root.json" % (root["signed"]["version"] + 1))
    if not os.path.exists(name):
        break
    new = json.loads(read(name))
    verify(new, root["signed"]["keys"], root["signed"]["roles"]["root"], "new root, by the old one")
    verify(new, new["signed"]["keys"], new["signed"]["roles"]["root"], "new root")
    need(new["signed"]["version"] == root["signed"]["version"] + 1, "the root has another version")
    root = new
fresh(root, "root")
keys, roles = root["signed"]["keys"], root["signed"]["roles"]

timestamp = json.loads(read(os.path.join(folder, "timestamp.json")))
verify(timestamp, keys, roles["timestamp"], "timestamp")
fresh(timestamp, "timestamp")
meta = timestamp["signed"]["meta"]["snapshot.json"]
snapshot = listing(keys, roles["snapshot"], meta, "snapshot")["meta"]
at = listing(keys, roles["targets"], snapshot["targets.json"], "targets")
entry = at["targets"].get(wanted)
for role in at.get("delegations", {}).get("roles", []):
    if entry is None and any(on(p, wanted) for p in role["paths"]):
        need(role["terminating"], "a delegation is not terminating")
        name = role["name"]
        entry = listing(at["delegations"]["keys"], role, snapshot[name + ".json"], name)["targets"].get(wanted)
need(entry is not None, "nobody lists " + wanted)
place, base = os.path.split(wanted)
data = read(os.path.join(folder, "targets", place, entry["hashes"]["sha256"] + "." + base))
matches(data, entry, wanted)
sys.stdout.buffer.write(data)
