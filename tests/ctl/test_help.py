"""What tusctl says about itself, to people and to their shells."""

import os
import re
import shutil
import subprocess

import pytest

from lib import rig
from lib.tusctl import NO_LEAKS

HEAD = re.compile(r"^  (\w+)", re.M)


def run(*arguments, status=0, **env):
    result = subprocess.run(
        [rig.program("tusctl"), *arguments], capture_output=True, text=True,
        env={**os.environ, **env}, timeout=60)
    assert result.returncode == status, result
    return result.stdout


def commands():
    return HEAD.findall(run("-h"))


def options(command):
    """As the general help names them."""
    line = re.search(rf"^  {command}\b.*", run("-h"), re.M).group()
    return re.findall(r"--[a-z-]+", line)


def test_every_command_explains_itself():
    for command in commands():
        # Neither a configuration nor a store is needed for that.
        out = run(command, "--help", TUSFCGI_CONF="/nonexistent")
        assert out.startswith(f"usage: tusctl [-c FILE] {command}")
        assert out.splitlines()[2].strip()
        for option in options(command) + ["--help"]:
            assert re.search(rf"^  {option}\b.* \w", out, re.M), option


def test_help_counts_wherever_it_stands():
    assert run("rm", "x/y", "--help").startswith("usage: ")
    assert run("sweep", "--force", "--help").startswith("usage: ")


def test_the_manual_knows_each_command_and_each_option():
    text = (rig.TREE / "man/tusctl.8").read_text()
    for command in commands():
        assert f".It Cm {command}" in text, command
        for option in options(command):
            assert f"Fl -{option[2:]}" in text, (command, option)


def test_each_option_is_one_that_the_command_takes(tool):
    """Refused is what follows it, not the option."""
    arguments = {"--older-than": ["1d"], "--sort": ["size"],
                 "--socket": ["/x"]}
    for command in commands():
        if command in ("top", "completion", "doctor"):
            continue
        for option in options(command):
            tool.run(command, option, *arguments.get(option, []), "a/b",
                     status=2)
            assert "option" not in tool.stderr, (command, option)


BASH = """
eval "$("$1" completion bash)"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_tusctl
printf "%s\\n" "${COMPREPLY[@]}"
"""


def complete_bash(*words):
    return subprocess.run(
        ["bash", "-c", BASH, "bash", rig.program("tusctl"), "tusctl", *words],
        capture_output=True, text=True, check=True).stdout.split()


def complete_fish(*words):
    script = 'eval ($argv[1] completion fish | string collect); ' \
        'complete -C "$argv[2]"'
    out = subprocess.run(
        ["fish", "-c", script, rig.program("tusctl"),
         " ".join(("tusctl", *words))],
        capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT= ; autoload -U compinit; compinit -u -D; setopt nobeep"
zpty -w shell "source $1; echo rea''dy"
zpty -r -m shell seen "*ready*"
zpty -w -n shell "$2"$'\\t\\t'
for ((i = 0; i < 100; i++)) {
	sleep 0.05
	while zpty -r -t shell seen; do print -r -- "$seen"; done
}
zpty -d shell
"""


def complete_zsh(*words, folder="/tmp"):
    """What the terminal shows, as words."""
    out = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", str(folder / "_tusctl"),
         " ".join(("tusctl", *words))], capture_output=True, text=True,
        errors="replace", timeout=60).stdout
    out = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", " ", out)
    return re.findall(r"[\w-]+", out)


def need(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")


@pytest.mark.parametrize("complete", [complete_bash, complete_fish])
def test_a_shell_completes_what_there_is(complete):
    need(complete.__name__.split("_")[1])
    assert set(commands()) <= set(complete(""))
    assert sorted(complete("s")) == ["settle", "show", "sweep"]
    for command in commands():
        assert set(complete(command, "--")) == \
            set(options(command)) | {"--help"}
    assert "size" in complete("list", "--sort", "")
    assert complete("completion", "z") == ["zsh"]


def test_bash_completes_behind_a_configuration():
    assert complete_bash("-c", "list", "sho") == ["show"]
    assert complete_bash("-c", "x", "list", "--sort", "o") == ["owner"]


def test_zsh_completes_what_there_is(tmp_path):
    need("zsh")
    (tmp_path / "_tusctl").write_text(run("completion", "zsh"))
    subprocess.run(["zsh", "-n", tmp_path / "_tusctl"], check=True)
    seen = complete_zsh("s", folder=tmp_path)
    assert {"show", "settle", "sweep"} <= set(seen) and "list" not in seen
    assert {"owner", "size", "age"} <= set(
        complete_zsh("list", "--sort=", folder=tmp_path))


def test_a_shell_that_is_unknown_is_status_2():
    run("completion", "csh", status=2, **NO_LEAKS)
    run("completion", status=2)
