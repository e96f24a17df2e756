from __future__ import annotations

import pytest

from monitor.audit.shell import Reach, read


def said(script: str, *variables: str, sure: bool = True, shell: str = "") -> list[int]:
    return [one.line for one in read(script, set(variables), shell) if one.sure is sure]


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
        "cat /proc/self/environ",
        "tr '\\0' '\\n' < /proc/$$/environ",
        "strings /proc/self/environ | sort",
        'tee <<< "$TOKEN"',
        "tee /dev/stderr <<< $TOKEN",
        "base64 <<< $TOKEN",
        "cat <<EOF\n$TOKEN\nEOF",
        "cat <<'EOF'\n${{ secrets.TOKEN }}\nEOF",
        "node -e 'console.log(process.env.TOKEN)'",
        "python3 -c \"import os; print(os.environ['TOKEN'])\"",
        "python <<'EOF'\nimport os\nprint(os.environ['TOKEN'])\nEOF",
        "ruby -e 'puts ENV[%q(TOKEN)]'",
        "/usr/bin/printenv TOKEN",
        "\\echo $TOKEN",
        "builtin echo $TOKEN",
        'echo "$(printenv TOKEN)"',
        "echo `printenv TOKEN`",
        "if echo $TOKEN; then true; fi",
        "echo $TOKEN | xargs echo",
        "declare -p TOKEN",
        "echo $TOKEN |\n  cat",
        "cat <(printenv TOKEN)",
        "echo $TOKEN > /dev/fd/1",
        "echo '\n${{ secrets.TOKEN }}\n'",
        "echo $TOKEN  # don't",
    ],
)
def test_what_prints_a_secret(script: str) -> None:
    assert said(f"cd x\n{script}\n", "TOKEN") == [1]


@pytest.mark.parametrize(
    "script",
    [
        "echo $TOKEN > token.txt\ncat token.txt",
        "X=$TOKEN\necho $X",
        'export X="a$TOKEN"\necho $X',
        "X=$(printenv TOKEN)\necho $X",
        "printenv > all\nbase64 all",
        "cat <<EOF > f\n$TOKEN\nEOF\n# nothing\nhead -c 9 f",
        "tee f <<< $TOKEN > /dev/null\nhexdump f",
        "echo $TOKEN > f\ncp f g\ncat g",
        "printf -v X %s $TOKEN\necho $X",
        "cd x # don't\necho $TOKEN",
    ],
)
def test_a_secret_is_followed_through_variables_and_files(script: str) -> None:
    assert said(script, "TOKEN") == [script.count("\n")]


def test_what_a_step_hands_on_is_followed_into_the_next() -> None:
    reach = Reach()
    assert list(read('echo "KEY=$TOKEN" >> $GITHUB_ENV\nprintf %s $TOKEN > f', {"TOKEN"}, reach=reach)) == []
    assert [one.text for one in read("echo $KEY\ncat f\necho ${{ steps.a.outputs.KEY }}", (), reach=reach)] == [
        "echo prints the secret in KEY",
        "cat prints f, with a secret",
        "echo prints the secret in KEY",
    ]


@pytest.mark.parametrize(
    "script",
    [
        "deploy --token $TOKEN",
        "make",
        "make  # echo $TOKEN",
        "env TOKEN=x make",
        "./deploy.sh",
        "bash deploy.sh",
        "source .ci/lib.sh",
        "eval $COMMAND",
        "node deploy.js",
        "python -m deploy",
        "npm publish",
        "docker run -e TOKEN image",
        "echo $TOKEN | ./login",
        "X=$(./login)",
        "if ./login; then true; fi",
        "gh auth token",
        "git clone https://$TOKEN@example.org/x",
        "ls | xargs -n1 sh",
        "for x in $TOKEN; do true; done",
        "ls $TOKEN",
        "trap 'echo $TOKEN' EXIT",
        "cp /proc/self/environ f",
        "sort <(./login)",
        "N=TOKEN; echo ${!N}",
        "echo $TOKEN | tee >(cat)",
        "awk 'BEGIN{for(k in ENVIRON)print ENVIRON[k]}'",
        "jq -n '$ENV.TOKEN'",
        'echo 1 | sed "s/1/$TOKEN/"',
        "echo x | xargs printenv",
        "git config --get-regexp .",
        "cat ~/.docker/config.json",
        "read X <<< $TOKEN",
        "(echo $TOKEN)",
    ],
)
def test_what_nobody_looked_at(script: str) -> None:
    assert said(f"cd x\n{script}", "TOKEN") == []
    assert said(f"cd x\n{script}", "TOKEN", sure=False) == [1]
    assert said(script) == said(script, sure=False) == []


def test_another_language_is_not_read_as_shell() -> None:
    assert said("import os", "TOKEN", sure=False, shell="python") == [0]
    assert said("import os\nprint(os.environ['TOKEN'])", "TOKEN", shell="python {0}") == [0]
    assert said("print('x')", shell="python") == []


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
        "env > /dev/null",
        "printenv OTHER",
        "set -euo pipefail",
        'curl -sS -H "Authorization: Bearer $TOKEN" https://example.org',
        "echo ${{ steps.a.outputs.secrets_count }}",
        'test -n "$TOKEN" || echo "no token"',
        "",
    ],
)
def test_what_does_not(script: str) -> None:
    assert list(read(script, {"TOKEN"})) == []


def test_without_a_secret_nothing_is_wrong_and_a_shell_that_traces_is() -> None:
    assert said("set -x\nenv\necho $TOKEN") == []
    assert said("make", "TOKEN", shell="bash -x {0}") == [0]
    assert said("set -x\ndeploy ${{ secrets.TOKEN }}") == [0]


@pytest.mark.parametrize(
    "piece",
    [
        "${{",
        "${{ secrets",
        "'",
        "echo \\\n",
        "|",
        "`\n",
        "a='x' ",
        "echo \\",
        "x\n",
        "$TOKEN",
        "echo '$TOKEN\n",
        "$(",
        "$(x) ",
        "<<E\n",
        "X=$TOKEN\n",
    ],
)
def test_hostile_scripts_end(piece: str) -> None:
    """What is quadratic would take minutes."""
    list(read(piece * (60_000 // len(piece)), {"TOKEN"}))
