"""Synthesising environments, and reading what came out: the CDK has an environment of its own, so it is a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

import medallion_assets

PROJECT = Path(medallion_assets.__file__).parents[1]
TOOLS = Path(sys.prefix).parent / ".venv-infra" / "bin"
ENVIRONMENTS = PROJECT / "infra" / "environments"


@dataclass(frozen=True)
class Template:
    """One synthesised stack."""

    folder: Path
    name: str

    @cached_property
    def body(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / f"{self.name}.template.json").read_text(encoding="utf-8")))

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of a type, `AWS::S3::Bucket`, by logical id."""
        return {name: found for name, found in self.body["Resources"].items() if found["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        return [found.get("Properties", {}) for found in self.resources(kind).values()]

    def policies(self) -> list[dict[str, Any]]:
        """The policies of roles; the CDK puts what is too long for one into a managed one."""
        return [*self.properties("AWS::IAM::Policy"), *self.properties("AWS::IAM::ManagedPolicy")]

    def one(self, kind: str) -> dict[str, Any]:
        """The properties of the only resource of a type."""
        (found,) = self.properties(kind)
        return found

    def statements(self) -> Iterator[dict[str, Any]]:
        """Every statement of every policy that is attached to a role."""
        for policy in self.policies():
            yield from policy["PolicyDocument"]["Statement"]
        for role in self.properties("AWS::IAM::Role"):
            for inline in role.get("Policies", []):
                yield from inline["PolicyDocument"]["Statement"]

    def assets(self) -> dict[Path, tuple[str, str]]:
        """The files the stack needs: where each lies, and the bucket and key it belongs at."""
        manifest = json.loads((self.folder / f"{self.name}.assets.json").read_text(encoding="utf-8"))
        found = {}
        for file in manifest["files"].values():
            (place,) = file["destinations"].values()
            found[self.folder / file["source"]["path"]] = (place["bucketName"], place["objectKey"])
        return found


@dataclass(frozen=True)
class Assembly:
    """One synthesised environment."""

    folder: Path

    def __getitem__(self, name: str) -> Template:
        return Template(self.folder, name)

    @cached_property
    def templates(self) -> list[Template]:
        found = sorted(self.folder.glob("*.template.json"))
        return [Template(self.folder, path.name.removesuffix(".template.json")) for path in found]


def synthesise(build: Path, *environments: Path | str) -> list[Assembly]:
    """Run the app as `make synth` does. Raises AssertionError with what it said when it refused."""
    command = [str(TOOLS / "python"), "-m", "infra.app", "--build", str(build), *map(str, environments)]
    assert TOOLS.is_dir(), f"no {TOOLS}: the CDK is not installed; run make .venv-infra/installed"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MEDALLION_", "CDK_"))}
    done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [Assembly(Path(line)) for line in done.stdout.splitlines()]


def write_environment(folder: Path, like: str, **changes: object) -> Path:
    """A settings file like that of a shipped environment, with other values."""
    values = yaml.safe_load((ENVIRONMENTS / f"{like}.yaml").read_text(encoding="utf-8"))
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, Mapping) else value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{values['environment']}.yaml"
    # JSON is YAML, and its texts are quoted: PyYAML would write an account such as 083929000000 as a number.
    path.write_text(json.dumps(values), encoding="utf-8")
    return path
