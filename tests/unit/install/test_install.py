import ast
import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def install():
    spec = importlib.util.spec_from_file_location("install_script", ROOT / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words, env=None, cwd=ROOT):
    return subprocess.run(
        [sys.executable, str(ROOT / "install.py"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        check=False,
    )


def script(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_old_interpreter_can_read_the_script():
    ast.parse((ROOT / "install.py").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_only_the_standard_library_is_used():
    tree = ast.parse((ROOT / "install.py").read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)


def test_too_old_an_interpreter_is_told_what_to_do(install, monkeypatch, capsys):
    monkeypatch.setattr(install.sys, "version_info", (3, 8, 10))
    monkeypatch.setattr(install.shutil, "which", lambda name: None)
    assert install.main(["demo"]) == 2
    message = capsys.readouterr().err
    assert "Python 3.8 is too old" in message
    assert "3.10" in message


def test_too_old_an_interpreter_hands_over_to_a_newer_one(install, monkeypatch, tmp_path):
    newer = script(tmp_path / "python3.12", '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.words"\nexit 7\n')
    monkeypatch.setattr(install.sys, "version_info", (3, 8, 10))
    monkeypatch.setattr(install.shutil, "which", lambda name: str(newer) if name == "python3.12" else None)
    assert install.main(["test", "-k", "x y"]) == 7
    assert Path(f"{newer}.words").read_text().splitlines() == [str(ROOT / "install.py"), "test", "-k", "x y"]


def test_an_interpreter_that_cannot_make_environments_is_told_what_to_do(install, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COLORMNET_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(install.sys, "executable", str(script(tmp_path / "python", "#!/bin/sh\nexit 1\n")))
    assert install.main(["demo"]) == 2
    assert "apt install python3-venv" in capsys.readouterr().err.replace("\n", " ")


def test_an_environment_is_made_without_ensurepip_by_the_outer_pip(install, monkeypatch, tmp_path):
    """Debian's python3 without python3-venv, with python3-pip: `venv` fails unless it is told to leave pip out."""
    outer = script(
        tmp_path / "python",
        f'#!/bin/sh\nif [ "$2" = venv ] && [ "$4" != --without-pip ]; then exit 1; fi\nexec {sys.executable} "$@"\n',
    )
    monkeypatch.setattr(install.sys, "executable", str(outer))
    calls = []
    monkeypatch.setattr(install, "works", lambda command: calls.append(command) or real_works(command))
    folder = tmp_path / "venv"

    def real_works(command):
        words = [str(word) for word in command]
        if words[1:4] == ["-m", "pip", "--python"]:  # no index in a unit test: note that pip was asked to come in
            return True
        if words[1:] == ["-m", "pip", "--version"]:
            return any("--python" in [str(word) for word in call] for call in calls)
        return subprocess.call(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

    install.make_environment(folder)
    assert (folder / "pyvenv.cfg").exists()
    assert any("--without-pip" in [str(word) for word in call] for call in calls)


def test_a_folder_that_is_no_environment_is_left_alone(install, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(install.SetupError, match="not a Python environment"):
        install.make_environment(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("torch", "torchvision", "expected"),
    [
        ("2.13.0+cpu", "0.28.0", ["torch===2.13.0", "torchvision===0.28.0"]),
        ("2.9.1", "0.24.1", ["torch===2.9.1", "torchvision===0.24.1"]),
        ("2.13.0+cpu", "0.28.0+cpu", ["torch===2.13.0+cpu", "torchvision===0.28.0+cpu"]),
    ],
)
def test_torch_and_torchvision_come_from_one_build(install, torch, torchvision, expected):
    assert install.exact_pair(torch, torchvision) == expected


def test_a_local_torch_that_fits_no_torchvision_is_passed_over(install, monkeypatch):
    report = {
        "install": [
            {"metadata": {"name": "torch", "version": "2.13.0+cpu"}},
            {"metadata": {"name": "torchvision", "version": "0.28.0"}},
        ]
    }
    answer = subprocess.CompletedProcess([], 0, json.dumps(report).encode(), b"")
    monkeypatch.setattr(install.subprocess, "run", lambda *args, **kwargs: answer)
    assert install.matching_torch(Path("venv")) == ["torch===2.13.0", "torchvision===0.28.0"]


def test_without_an_answer_from_pip_the_projects_own_lines_are_used(install, monkeypatch):
    answer = subprocess.CompletedProcess([], 1, b"", b"no index")
    monkeypatch.setattr(install.subprocess, "run", lambda *args, **kwargs: answer)
    wanted = install.matching_torch(Path("venv"))
    assert [line.partition(">")[0] for line in wanted] == ["torch", "torchvision"]


def test_the_working_pair_here_passes_the_check(install):
    assert subprocess.run([sys.executable, "-c", install.CHECK_TORCH], check=False).returncode == 0


def test_a_broken_pair_is_explained(install, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    script(
        tmp_path / "bin" / "python",
        '#!/bin/sh\necho "RuntimeError: operator torchvision::nms does not exist" >&2\nexit 1\n',
    )
    with pytest.raises(install.SetupError, match=r"torchvision::nms does not exist.*run install\.py again"):
        install.check_torch(tmp_path)


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ProxyError('Cannot connect to proxy.')", "HTTPS_PROXY"),
        ("NewConnectionError: Temporary failure in name resolution", "network"),
        ("ERROR: No matching distribution found for torch>=2.6", "64-bit"),
        ("CERTIFICATE_VERIFY_FAILED", "PIP_CERT"),
        ("[Errno 13] Permission denied: '/x'", "owner"),
        ("something new", "shown above"),
    ],
)
def test_failures_of_pip_are_explained(install, log, word):
    assert word in install.explain_pip_failure(log)


def test_pip_failing_without_network_says_what_to_do(install, tmp_path, monkeypatch):
    """The real pip, an index that does not answer."""
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "2")
    arguments = ["install", "--retries", "0", "--index-url", "http://127.0.0.1:9/simple", "no-such-package-here"]
    with pytest.raises(install.SetupError, match="check the network"):
        install.pip(tmp_path, arguments, "The package")


def test_what_is_up_to_date(install, monkeypatch):
    wanted = install.wanted_state(["test"], None)
    assert install.is_up_to_date({**wanted, "extras": ["test", "train"]}, wanted)
    assert install.is_up_to_date({**wanted, "torch_index": "https://x"}, wanted)
    assert not install.is_up_to_date(None, wanted)
    assert not install.is_up_to_date({**wanted, "extras": []}, wanted)
    assert not install.is_up_to_date({**wanted, "project": "other"}, wanted)
    assert not install.is_up_to_date({**wanted, "python": "3.9"}, wanted)
    assert not install.is_up_to_date(wanted, {**wanted, "torch_index": "https://x"})


def test_a_second_run_does_nothing(install, monkeypatch, tmp_path):
    monkeypatch.setenv("COLORMNET_VENV", str(tmp_path))
    python = install.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    script(python, "#!/bin/sh\nexit 0\n")
    (tmp_path / install.STAMP).write_text(json.dumps(install.wanted_state(["test"], None)))
    monkeypatch.setattr(install, "pip", lambda *args: pytest.fail("pip was run"))
    monkeypatch.setattr(install, "make_environment", lambda *args: pytest.fail("the environment was made"))
    monkeypatch.setattr(install.subprocess, "Popen", lambda *args, **more: pytest.fail(f"{args} was run"))
    assert install.set_up([], None) == python
    assert install.set_up(["test"], None) == python


def test_failing_checks_fail_the_tests_and_pytest_speaks_last(install, tmp_path, capfd):
    python = tmp_path / "python"
    for broken in ("ruff", "mypy", "pytest", "nothing"):
        script(python, f'#!/bin/sh\nif [ "$2" = pytest ]; then echo "=== 3 passed ==="; fi\n[ "$2" != {broken} ]\n')
        code = install.run_tests(python, [])
        out = capfd.readouterr().out.strip().splitlines()
        assert (code == 0) == (broken == "nothing")
        assert out[-1] == "=== 3 passed ==="


def test_arguments(install):
    assert install.parse(["demo"]) == ("demo", None, [], [])
    assert install.parse(["--torch-index", "U", "demo", "-o", "x"]) == ("demo", "U", [], ["-o", "x"])
    assert install.parse(["test", "--torch-index=U", "-k", "a"]) == ("test", "U", [], ["-k", "a"])
    assert install.parse(["setup", "--extras", "train,evaluate"]) == ("setup", None, ["train", "evaluate"], [])
    assert install.parse(["host", "nuke", "--dry-run"]) == ("host", None, [], ["nuke", "--dry-run"])
    for wrong in (["frobnicate"], ["demo", "--torch-index"]):
        with pytest.raises(install.SetupError):
            install.parse(wrong)


def test_the_command_line_itself():
    helped = run("--help")
    assert helped.returncode == 0
    assert "install.py demo" in helped.stdout
    assert run().returncode == 2
    wrong = run("frobnicate")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "frobnicate" in wrong.stderr
    assert run("host").returncode == 2
    assert "nuke" in run("host", "maya").stderr


def test_ci_runs_exactly_the_suite_and_parses():
    text = (ROOT / ".ci" / "run").read_text()
    assert text.rstrip().splitlines()[-1].startswith("exec python3 install.py test")
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
