"""The emulator is installed once, by the user's own installer from the user's own index, however many ask for it."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from medallion_assets.errors import LocalStackError
from medallion_assets.local import emulator_environment
from medallion_assets.local.emulator_environment import emulator_command, environment_folder

ASK = """
import sys
from pathlib import Path
from medallion_assets.local import emulator_environment
emulator_environment.REQUIREMENTS = Path(sys.argv[1])
print(emulator_environment.emulator_command())
"""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the only package index of pip and uv, with a small `ministack`; an empty cache."""
    files = {
        "ministack.py": "def main():\n    print('up')\n",
        "ministack-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: ministack\nVersion: 9.9\n",
        "ministack-9.9.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "ministack-9.9.dist-info/entry_points.txt": "[console_scripts]\nministack = ministack:main\n",
    }
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "ministack-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        record = []
        for name, text in files.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(text)}\n")
        archive.writestr("ministack-9.9.dist-info/RECORD", "".join([*record, "ministack-9.9.dist-info/RECORD,,\n"]))
    requirements = tmp_path / "emulator.txt"
    requirements.write_text(f"ministack==9.9 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    monkeypatch.setattr(emulator_environment, "REQUIREMENTS", requirements)
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MEDALLION_EMULATOR", raising=False)
    return requirements


def test_it_is_installed_on_first_use_and_not_again(capfd: pytest.CaptureFixture[str]) -> None:
    command = emulator_command()
    assert subprocess.run([command], capture_output=True, text=True, check=True).stdout == "up\n"
    told = capfd.readouterr()
    assert told.out == "", "standard output is for the command's own results"
    assert told.err.startswith(f"Installing the local AWS (ministack 9.9, about 50 MB) into {environment_folder()}.")
    assert emulator_command() == command
    assert capfd.readouterr().err == ""


def test_processes_that_ask_at_once_install_it_once(index: Path) -> None:
    ask = [sys.executable, "-c", ASK, str(index)]
    asking = [subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in asking]
    assert {out.strip() for out, _ in answers} == {str(environment_folder() / "bin" / "ministack")}
    assert sum("Installing the local AWS" in err for _, err in answers) == 1


@pytest.mark.slow
def test_what_a_killed_installer_left_is_installed_again() -> None:
    folder = environment_folder()
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "ministack").write_text("half a file")
    assert subprocess.run([emulator_command()], capture_output=True, text=True, check=True).stdout == "up\n"


@pytest.mark.slow
def test_an_environment_whose_python_is_gone_is_installed_again() -> None:
    python = emulator_command().with_name("python")
    python.unlink()
    python.symlink_to("/no/such/python3")
    assert subprocess.run([emulator_command()], capture_output=True, text=True, check=True).stdout == "up\n"


def test_another_pin_is_another_environment(index: Path) -> None:
    before = environment_folder()
    index.write_text(index.read_text() + "# newer\n")
    assert environment_folder() != before


def test_without_pip_it_is_installed_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert subprocess.run([emulator_command()], capture_output=True, text=True, check=True).stdout == "up\n"


def test_without_pip_and_uv_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "/nothing/here")
    with pytest.raises(LocalStackError, match=r"no pip, and no uv is on the PATH\. Install one of them, or set MED"):
        emulator_command()


def test_bytes_that_are_not_the_pinned_ones_are_refused(index: Path, capfd: pytest.CaptureFixture[str]) -> None:
    index.write_text("ministack==9.9 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(LocalStackError, match=r"was not installed: python\S* ended with code 1, and its lines above"):
        emulator_command()
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err


def test_the_variable_names_another_one_and_a_wrong_path_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDALLION_EMULATOR", sys.executable)
    assert emulator_command() == Path(sys.executable)
    monkeypatch.setenv("MEDALLION_EMULATOR", str(tmp_path / "none"))
    with pytest.raises(LocalStackError, match=r"there is no such file\. Correct or unset it"):
        emulator_command()
