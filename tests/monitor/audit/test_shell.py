from __future__ import annotations

import pytest

from monitor.audit.shell import echoes


@pytest.mark.parametrize(
    "script",
    [
        "echo ${{ secrets.TOKEN }}",
        'echo "token: ${{ secrets.TOKEN }}"',
        "echo '${{ secrets.TOKEN }}'",  # GitHub puts it there before the shell sees a quote
        "echo ${{ github.token }}",
        "echo ${{ secrets['TOKEN'] }}",
        "echo '${{ toJSON(secrets) }}'",
        "echo $TOKEN",
        'printf "%s" "${TOKEN}"',
        "echo ${TOKEN:0:4}",
        "make && echo $TOKEN",
        "if true; then echo $TOKEN; fi",
        "echo $TOKEN | base64",
        "echo $TOKEN | tee file",
        "echo $TOKEN | cat -",
        "echo $TOKEN >&2",
        "echo $TOKEN > /dev/stderr",
        'echo "$TOKEN" >> "$GITHUB_STEP_SUMMARY"',
        "echo \\\n  $TOKEN",
        "Write-Host $env:TOKEN",
        "echo %TOKEN%",
        "env",
        "env | sort",
        "printenv",
        "printenv TOKEN",
        "export -p",
        "set -x\nmake",
        "set -euxo pipefail\nmake",
        "set -o xtrace",
        "bash -x deploy.sh",
        "cat <<< $TOKEN",
        'curl -v -H "Authorization: Bearer $TOKEN" https://example.org',
        "gci env:",
    ],
)
def test_what_prints_a_secret(script: str) -> None:
    assert [line for line, _ in echoes(f"cd x\n{script}\n", {"TOKEN"})] == [1]


@pytest.mark.parametrize(
    "script",
    [
        "echo hello",
        "echo $TOKENS $OTHER",
        "echo '$TOKEN'",
        'echo "$TOKEN" | docker login --username x --password-stdin',
        "echo ${{ secrets.TOKEN }} | gh auth login --with-token",
        "echo $TOKEN > token.txt",
        "printf %s $TOKEN >> $GITHUB_ENV",
        'echo "::add-mask::$TOKEN"',
        "echo ${TOKEN:+is set} ${#TOKEN}",
        "# echo $TOKEN",
        "make  # echo $TOKEN",
        "env TOKEN=x make",
        "env > /dev/null",
        "printenv OTHER",
        "set -euo pipefail",
        "deploy --token $TOKEN",
        'curl -sS -H "Authorization: Bearer $TOKEN" https://example.org',
        "echo ${{ steps.a.outputs.secrets_count }}",
        'test -n "$TOKEN" || echo "no token"',
        "",
    ],
)
def test_what_does_not(script: str) -> None:
    assert list(echoes(script, {"TOKEN"})) == []


def test_without_a_secret_nothing_is_wrong_and_a_shell_that_traces_is() -> None:
    assert list(echoes("set -x\nenv\necho $TOKEN", ())) == []
    assert [line for line, _ in echoes("make", {"TOKEN"}, "bash -x {0}")] == [0]
    assert [line for line, _ in echoes("set -x\ndeploy ${{ secrets.TOKEN }}", ())] == [0]


@pytest.mark.parametrize(
    "piece",
    ["${{", "${{ secrets", "'", "echo \\\n", "|", "`\n", "a='x' ", "echo \\", "x\n", "$TOKEN", "echo '$TOKEN\n"],
)
def test_hostile_scripts_end(piece: str) -> None:
    """What is quadratic would take minutes."""
    list(echoes(piece * (60_000 // len(piece)), {"TOKEN"}))
