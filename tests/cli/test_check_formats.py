"""`check` for other programs: GitHub, SARIF, and files that are watched."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rnngraph.cli.main import exit_code
from tests.support.paths import ROOT

WRONG = "model M {\n  input x: seq[3]\n  y = tanhh(x)\n  output y\n}\n"


def told(capsys: Any, folder: Path, *more: str) -> str:
    (folder / "a,b.rnn").write_text(WRONG)
    assert exit_code(["check", str(folder / "a,b.rnn"), *more]) == 2
    return str(capsys.readouterr().out)


def test_github_annotations(tmp_path: Path, capsys: Any) -> None:
    (line,) = told(capsys, tmp_path, "--format", "github").splitlines()
    file = f"file={tmp_path}/a%2Cb.rnn,line=3,endLine=3,col=7,endColumn=12"
    assert line == f"::error title=E101,{file}::there is no `tanhh` here%0Ahelp: did you mean `tanh`?"


def test_sarif(tmp_path: Path, capsys: Any) -> None:
    log = json.loads(told(capsys, tmp_path, "--format", "sarif"))
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "E101"
    where = result["locations"][0]["physicalLocation"]
    assert where["region"] == {"startLine": 3, "startColumn": 7, "endLine": 3, "endColumn": 12}
    assert where["artifactLocation"]["uri"].endswith("a%2Cb.rnn")


def test_one_form_at_a_time(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.rnn").write_text(WRONG)
    assert exit_code(["check", str(tmp_path / "a.rnn"), "--json", "--format", "sarif"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_file_that_is_watched_is_checked_at_each_change(tmp_path: Path) -> None:
    file, said = tmp_path / "a.rnn", tmp_path / "said"
    file.write_text(WRONG)
    command = [sys.executable, "-m", "rnngraph", "check", str(file), "--watch"]
    with said.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT) as process:
        for text, wanted in ((WRONG, "did you mean"), (WRONG.replace("hh", "h"), "no problems found")):
            file.write_text(text)
            deadline = time.monotonic() + 60
            while wanted not in said.read_text() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert wanted in said.read_text()
        process.terminate()
    assert "Traceback" not in said.read_text()
