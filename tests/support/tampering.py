"""Small changes to what a shared cache holds, with all hashes made right again, as somebody would
who means harm.
"""

import hashlib
import io
import json

import numpy as np
import polars as pl
from safetensors.numpy import load, save
from team import STAGES


class Tamperer:
    """Changes one thing at a time; a seed says which.

    Args:
        seed: of the choice.
    """

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def pick(self, choices):
        choices = list(choices)
        return choices[int(self.rng.integers(len(choices)))]

    def change(self, store, outs, in_place=False):
        """Change one file of one output in a store; returns what was changed.

        Args:
            store: a `team.Store`.
            outs: paths of a stage's outputs.
            in_place: put the new bytes under the old name too, which dvc.lock knows.
        """
        out = self.pick(outs)
        _, entry = store.entry(out)
        oid = next(one["md5"] for one in entry["outs"] if one["path"] == out)
        if not oid.endswith(".dir"):
            content = self.of_file(out, store.read(oid))
            store.swap(out, store.put(content))
            if in_place:
                store.overwrite(oid, content)
            return out
        files = store.listing(oid)
        if self.rng.random() < 0.2:
            how = self.of_list(store, files)
        else:
            one = self.pick(files)
            how = one["relpath"]
            content = self.of_file(how, store.read(one["md5"]))
            if in_place:
                store.overwrite(one["md5"], content)
            one["md5"] = store.put(content)
            self._fix_index(store, files, one, content)
        files.sort(key=lambda one: one["relpath"])
        if in_place:
            store.overwrite(oid, json.dumps(files, sort_keys=True).encode())
        store.swap(out, store.put_listing(files))
        return f"{out}/{how}"

    def of_list(self, store, files):
        """Add, drop, rename or swap a file."""
        how = self.pick(["add", "drop", "rename", "escape", "swap"])
        one = self.pick(files)
        if how == "drop" and len(files) > 1:
            files.remove(one)
        elif how == "rename":
            one["relpath"] = f"{one['relpath']}x"
        elif how == "swap" and len(files) > 1:
            other = self.pick([file for file in files if file is not one])
            one["md5"], other["md5"] = other["md5"], one["md5"]
        else:
            name = {"escape": "../../planted.py"}.get(how, "planted.parquet")
            files.append({"md5": store.put(b"planted"), "relpath": name})
        return f"({how})"

    def _fix_index(self, store, files, one, content):
        """Name a changed shard by its content, in its folder and in index.json."""
        index = next((file for file in files if file["relpath"] == "index.json"), None)
        if index is None or one is index:
            return
        sha256 = hashlib.sha256(content).hexdigest()
        told = json.loads(store.read(index["md5"]))
        for shard in told["shards"]:
            if shard["file"] == one["relpath"]:
                shard |= {"file": f"{sha256[:16]}.parquet", "sha256": sha256}
        one["relpath"] = f"{sha256[:16]}.parquet"
        index["md5"] = store.put((json.dumps(told, indent=2) + "\n").encode())

    def of_file(self, name, content):
        """Other bytes of the same kind of file."""
        kind = name.rpartition(".")[2]
        change = {
            "parquet": self.of_table,
            "json": self.of_json,
            "safetensors": self.of_tensors,
            "csv": self.of_csv,
        }.get(kind, self.of_bytes)
        changed = change(content)
        return changed if changed != content else content + b"\n"

    def of_table(self, content):
        frame = pl.read_parquet(io.BytesIO(content))
        name = self.pick(frame.columns)
        how = self.pick(["change", "reverse", "drop", "add"]) if len(frame) else "add"
        if how == "reverse":
            frame = frame.with_columns(pl.col(name).reverse())
        elif how == "drop":
            frame = frame.drop(name)
        elif how == "add":
            frame = frame.with_columns(planted=pl.lit("planted"))
        else:
            row = int(self.rng.integers(len(frame)))
            values = frame[name].to_list()
            values[row] = self.other(values[row])
            frame = frame.with_columns(pl.Series(name, values, dtype=frame[name].dtype))
        out = io.BytesIO()
        frame.write_parquet(out, compression="uncompressed", statistics=False)
        return out.getvalue()

    def of_json(self, content):
        tree = json.loads(content)
        node, key = {"": tree}, ""
        while isinstance(node[key], dict | list) and node[key]:
            node = node[key]
            key = self.pick(node if isinstance(node, dict) else range(len(node)))
        node[key] = self.other(node[key])
        return (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode()

    def of_tensors(self, content):
        tensors = load(content)
        name = self.pick(tensors)
        array = tensors[name] = tensors[name].copy()
        place = tuple(int(self.rng.integers(size)) for size in array.shape)
        array[place] = array[place] * 1.5 + 1
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end]).get("__metadata__")
        return save(tensors, metadata=header)

    def of_csv(self, content):
        lines = content.decode().splitlines()
        row = int(self.rng.integers(len(lines)))
        cells = lines[row].split(",")
        cells[int(self.rng.integers(len(cells)))] += "1"
        return ("\n".join([*lines[:row], ",".join(cells), *lines[row + 1 :]]) + "\n").encode()

    def of_bytes(self, content):
        place = int(self.rng.integers(len(content)))
        return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]

    def other(self, value):
        """Another value of the same type."""
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + 1
        if isinstance(value, float):
            return value * 1.5 + 0.1
        if isinstance(value, list) and value and isinstance(value[0], float):
            return [one * 1.5 + 0.1 for one in value]
        return f"{value}x" if isinstance(value, str) else "planted"


def cases(count, seed=0):
    """(number, stage) of so many changes, over all stages in turn."""
    return [(seed + number, STAGES[number % len(STAGES)]) for number in range(count)]
