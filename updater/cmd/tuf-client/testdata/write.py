"""Writes a TUF repository as others do, signed by securesystemslib:

    write.py FOLDER LAYOUT

python-tuf: keys of two kinds, lengths and hashes of all metadata, roles by paths and by
prefixes of hashes. tuf-on-ci: P-256 keys of people, with its own fields in keys, roles and
metadata, no lengths, a key that went with root 2. FOLDER/bad has the same once more, with
one signature too few.
"""
import hashlib
import json
import os
import sys
from datetime import datetime, timedelta, timezone

from securesystemslib import keys
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import SSlibSigner

folder, layout = sys.argv[1:]
on_ci = layout == "tuf-on-ci"
end = (datetime.now(timezone.utc) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")


class Holder:
    def __init__(self, kind, owner):
        self.signer = SSlibSigner(keys.generate_ecdsa_key() if kind == "ecdsa" else keys.generate_ed25519_key())
        k = self.signer.key_dict
        self.public = {"keytype": k["keytype"], "scheme": k["scheme"], "keyval": {"public": k["keyval"]["public"]}}
        if on_ci:
            self.public["x-tuf-on-ci-keyowner"] = "@" + owner
        self.id = hashlib.sha256(encode_canonical(self.public).encode()).hexdigest()

    def sign(self, payload):
        return {"keyid": self.id, "sig": self.signer.sign(payload).signature}


def holder(i):
    return Holder("ecdsa" if on_ci or i % 2 else "ed25519", "signer-%d" % i)


people = [holder(i) for i in range(4)]
team = [holder(4), holder(5)]
online = holder(6)


def role(holders, threshold, term=0):
    r = {"keyids": [h.id for h in holders], "threshold": threshold}
    if on_ci and term:
        r["x-tuf-on-ci-expiry-period"], r["x-tuf-on-ci-signing-period"] = term, term // 2
    return r


def common(kind, version):
    s = {"_type": kind, "spec_version": "1.0.31", "version": version, "expires": end}
    if on_ci and kind in ("root", "targets"):
        s["x-tuf-on-ci-expiry-period"], s["x-tuf-on-ci-signing-period"] = 365, 60
    return s


def save(at, name, signed, holders):
    payload = encode_canonical(signed).encode()
    md = {"signatures": [h.sign(payload) for h in holders], "signed": signed}
    data = json.dumps(md, indent=1, sort_keys=on_ci).encode()
    with open(os.path.join(at, "metadata", name), "wb") as f:
        f.write(data)
    return data


def meta(version, data):
    if on_ci:
        return {"version": version}
    return {"version": version, "length": len(data), "hashes": {"sha256": hashlib.sha256(data).hexdigest(), "sha512": hashlib.sha512(data).hexdigest()}}


files = {"one.txt": b"one", "team/two.txt": b"two", "team/deep/three.txt": b"three", "bins/four.txt": b"four"}


def listed(names):
    return {n: {"length": len(files[n]), "hashes": {"sha256": hashlib.sha256(files[n]).hexdigest()}} for n in names}


def write(at, team_signs):
    os.makedirs(os.path.join(at, "metadata"))
    for name, data in files.items():
        path = os.path.join(at, "targets", os.path.dirname(name))
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, hashlib.sha256(data).hexdigest() + "." + os.path.basename(name)), "wb") as f:
            f.write(data)
    for version, roots in enumerate([people[:3], people[1:]], 1):
        signed = dict(common("root", version), consistent_snapshot=True, keys={h.id: h.public for h in roots + [online]},
                      roles={"root": role(roots, 2), "targets": role(roots, 2), "snapshot": role([online], 1, 90), "timestamp": role([online], 1, 7)})
        save(at, "%d.root.json" % version, signed, people[1:3])
    everyone = {h.id: h.public for h in team}
    teams = [dict(role(team, 2), name="team", terminating=True, paths=["team/*", "team/*/*"])]
    if not on_ci:
        teams.append(dict(role(team, 1), name="bin-all", terminating=False, path_hash_prefixes=["%x" % i for i in range(16)]))
    else:
        teams.append(dict(role(team, 1), name="bin-all", terminating=False, paths=["bins/*"]))
    top = dict(common("targets", 1), targets=listed(["one.txt"]), delegations={"keys": everyone, "roles": teams})
    parts = {"targets": save(at, "1.targets.json", top, people[2:])}
    own = dict(common("targets", 3), targets=listed(["team/two.txt", "team/deep/three.txt"]))
    parts["team"] = save(at, "3.team.json", own, team_signs)
    rest = dict(common("targets", 1), targets=listed(["bins/four.txt"]))
    parts["bin-all"] = save(at, "1.bin-all.json", rest, team[:1])
    signed = dict(common("snapshot", 1), meta={n + ".json": meta(3 if n == "team" else 1, d) for n, d in parts.items()})
    snapshot = save(at, "1.snapshot.json", signed, [online])
    save(at, "timestamp.json", dict(common("timestamp", 1), meta={"snapshot.json": meta(1, snapshot)}), [online])


write(folder, team)
write(os.path.join(folder, "bad"), team[:1])
