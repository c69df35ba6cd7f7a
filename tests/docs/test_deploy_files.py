"""The unit and the image fit the checkout and the daemon's own limits."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path

from jobsd.duration import parse_duration
from jobsd.engine.options import WorkerOptions
from jobsd.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
IMAGE = (ROOT / "Dockerfile").read_text("utf-8")


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=False)
    parser.optionxform = str  # keep capitals
    parser.read(ROOT / "config" / "jobsd.service", "utf-8")
    return parser["Service"]


def test_systemd_waits_longer_than_a_stop_takes():
    variables = dict(pair.split("=", 1) for pair in unit()["Environment"].split())
    options = WorkerOptions(grace=variables["JOBSD_WORKER__GRACE"])
    stop = options.grace + options.cancel_grace + options.lease
    assert stop < parse_duration(f"{unit()['TimeoutStopSec']}s")


def test_exports_go_where_the_unit_lets_them():
    variables = dict(pair.split("=", 1) for pair in unit()["Environment"].split())
    assert variables["EXPORT_DIR"].startswith(f"/var/lib/{unit()['StateDirectory']}/")


def test_systemd_does_not_restart_what_is_misconfigured():
    assert unit()["RestartPreventExitStatus"] == str(ConfigurationError.exit_code)


def test_what_the_image_copies_exists_and_reaches_the_builder():
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = [word for words in re.findall(r"^COPY (?!--from)(.+) \S+$", IMAGE, re.MULTILINE) for word in words.split()]
    assert sorted(copied) == sorted(sent)
    for name in copied:
        assert (ROOT / name).exists(), name


def test_the_image_installs_extras_that_exist():
    [extras] = re.findall(r'install "\.\[([\w,]+)\]"', IMAGE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_the_daemon_is_the_image_s_own_process_so_that_it_gets_the_signal():
    [command] = re.findall(r"^CMD (.+)$", IMAGE, re.MULTILINE)
    assert json.loads(command) == ["jobsd", "run"]
    assert "STOPSIGNAL SIGTERM" in IMAGE
