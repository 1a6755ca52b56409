#!/usr/bin/env python3
"""console.py: types the book's transcripts at a terminal, as a reader does.

	tests/console.py FILE.md...            compare each with what is printed
	tests/console.py --show FILE.md...     print what the terminal shows instead

A transcript is a fence ```console.  It is what the screen shows, to the letter:
- A line that begins with a prompt is typed once that prompt is there: `$ ` is the
  prompt of the host's shell, `# `, `/ # ` or `/tmp $ ` one of a shell in a box,
  and `> ` asks for the rest of a command.
- A line that begins with keys, such as ^C or ^Z, has them pressed when the machine
  has become calm; what the terminal then shows for them stands in that line.
- All else is what is printed: [..] stands for anything in a line, ... alone on a
  line for any lines.  A status that is not 0 is printed by the prompt, as in [3].
- `<!-- varies: 212 4026532191 -->` above the fence: these numbers are others in
  each run.  But where the page has one number twice the run has to have one twice,
  and where it has two, two.  A number in what is to be typed is that of the run.
  1000000~20% may be a fifth more, or be a fifth less than the page's, and no further.
- `<!-- as: learner -->` above it: by that user, not by root.

After a command that leaves something running, or ends it, the typing goes on when the
machine has become calm, as a person types who has looked at the screen.

Three things are left out of what the screen shows: the lines with which a shell tells
that a job has ended, as they may come at any prompt, busybox's greeting, and a line
that a program takes away again, as with how far it is.

The machine is the one that ./vm.sh starts for a reader, at a terminal of its own.
All files are typed in one; each fence in namespaces of its own, by the machine's
command `afresh`.  Files stay, as they do for a reader, but no file may leave a box
behind.  Where a fence fails, the rest of it is not typed.

In the environment: LIMIT is how many seconds a prompt may take, MACHINE another
command than ./vm.sh, and WHALEBOX_WHERE and WHALEBOX_FILTER are as in tests/lib.sh.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

LIMIT = float(os.environ.get("LIMIT", "60"))
MACHINE = os.environ.get("MACHINE", "./vm.sh")
ROWS, COLUMNS = 50, 160         # so wide that no line of the book is wrapped
STUCK = min(6, LIMIT / 2)       # seconds after which another prompt is an answer

HOST = "$ "
PROMPT = re.compile(r"(\$|#|>|/\S* [#$]) ")
ELSEWHERE = re.compile(r".*(&$|\bkill\b| -d )")
KEYS = re.compile(r"(\^[A-Z\\\]])+")
OUTSIDE = "outside afresh: "    # the prompt of the shell that runs afresh

# What a terminal obeys, and does not show.
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[=>]|[\r\x07]")
# How far a program is, which it writes over and over, and takes away at the end.
PROGRESS = re.compile(r"\r[^\n]*\r\x1b\[K")
GREETING = re.compile(r"\n\nBusyBox v.*\nEnter 'help' for a list of built-in "
                      r"commands\.\n\n")
JOB_ENDED = re.compile(r"^\[\d+\] ?[-+]? +(Done|Exit|Killed|Terminated|Hangup"
                       r"|Interrupt|Broken pipe|User defined)\b.*\n", re.M)


class Ended(Exception):
    """The machine is gone, or does nothing more: it takes a new one."""


class NoMachine(Exception):
    """It does not even start."""


class Terminal:
    """A command on a terminal, and what that has shown since begin()."""

    def __init__(self, command):
        self.shown = b""
        self.typed = 0                  # where in that the last input began
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # By now: to a shell that is writing its prompt it would be news.
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            os.execvp("sh", ["sh", "-c", "exec " + command])

    def screen(self, since=0):
        text = self.shown[since:].decode("utf-8", "replace")
        text = SEQUENCE.sub("", PROGRESS.sub("", text))
        text = GREETING.sub("", text)
        return JOB_ENDED.sub("", text)

    def begin(self, prompt):
        self.shown = prompt.encode()
        self.typed = 0

    def type(self, text):
        self.typed = len(self.shown)
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """Whether something came within so many seconds."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            got = b""
        if not got:
            raise Ended("the machine ended")
        self.shown += got
        return True

    def busy(self):
        """Whether a thread in this session, which is the machine's, wants to run."""
        for number in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(number)) != self.pid:
                    continue
                for thread in os.listdir(f"/proc/{number}/task"):
                    with open(f"/proc/{number}/task/{thread}/stat", "rb") as stat:
                        if stat.read().rpartition(b") ")[2][:1] == b"R":
                            return True
            except OSError:
                continue                # it has ended meanwhile
        return False

    def wait_calm(self):
        """Waits until the machine wants to run half of the time at most, which it
        always does while it works, or for 10 seconds."""
        end = time.monotonic() + 10
        time.sleep(0.3)
        while time.monotonic() < end:
            looks = []
            while len(looks) < 10:
                looks.append(self.busy())
                time.sleep(0.05)
            if sum(looks) <= 5:
                break
        while self.read(0):
            pass

    def wait_prompt(self, prompt, limit=LIMIT):
        """Waits for this prompt, or until another one has stood there a while."""
        end = time.monotonic() + limit
        while True:
            lines = self.screen(self.typed).split("\n")
            # Typed keys are shown behind a prompt, and no answer to themselves.
            answered = len(lines) > 1 or self.typed == 0
            if answered and lines[-1] == prompt:
                return
            if not self.read(min(STUCK, max(0, end - time.monotonic()))):
                if answered and PROMPT.fullmatch(lines[-1]):
                    return
                if time.monotonic() >= end:
                    raise Ended(f"no prompt within {limit:.0f} seconds")

    def close(self):
        os.close(self.fd)               # which hangs up on all that uses it
        end = time.monotonic() + 10
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)


class Machine:
    """The throw-away machine, and a new one if that is stuck."""

    def __init__(self):
        self.terminal = None
        self.greeting = ""              # what comes before the first prompt
        self.left = []                  # boxes that were told of

    def start(self):
        if self.terminal:
            return self.terminal
        self.terminal = Terminal(MACHINE)
        try:
            self.terminal.wait_prompt(HOST, 180)
        except Ended as reason:
            raise NoMachine(f"{reason}:\n{self.terminal.screen()}") from reason
        self.greeting = self.terminal.screen()
        self.terminal.type(f"PS1='{OUTSIDE}'\r")
        self.terminal.wait_prompt(OUTSIDE)
        return self.terminal

    def ask(self, command):
        """What a command prints outside of all transcripts."""
        terminal = self.start()
        terminal.begin("")
        terminal.type(command + "\r")
        terminal.wait_prompt(OUTSIDE)
        return terminal.screen().split("\n")[1:-1]

    def enter(self, user):
        terminal = self.start()
        terminal.type(f"stty sane rows {ROWS} cols {COLUMNS}; afresh {user}\r")
        terminal.wait_prompt(HOST)
        terminal.begin(HOST)
        return terminal

    def leave(self):
        """Ends one shell after the other, the box's first."""
        for _ in range(5):
            self.terminal.type("exit\r")
            self.terminal.wait_prompt(OUTSIDE)
            if self.terminal.screen().endswith("\n" + OUTSIDE):
                return
        raise Ended("no way out")

    def stop(self):
        """Switches it off, by the shell's end, so that vm.sh can clear up."""
        if self.terminal:
            try:
                self.terminal.type("exit\r")
                while self.terminal.read(10):
                    pass
            except (Ended, OSError):
                pass
            self.terminal.close()
            self.terminal = None


def kind_of(number):
    """The characters that another number of its kind has."""
    for kind in "[0-9]", "[0-9a-f]", "[0-9.]":
        if re.fullmatch(kind + "+", number):
            return kind
    return r"\S"


class Fence:
    def __init__(self, file, line, user, varies):
        self.file, self.line, self.user = file, line, user
        self.lines = []
        self.near = {}                  # number: how near, in percent, or None
        for word in varies:
            number, _, percent = word.partition("~")
            self.near[number] = float(percent.rstrip("%")) if percent else None

    def title(self):
        return f"{self.file}:{self.line}: {self.lines[0]}"

    def pieces(self, text):
        """The text, cut so that every second piece is a number that varies."""
        if not self.near:
            return [text]
        numbers = "|".join(map(re.escape, self.near))
        return re.split(rf"(?<![-.\w])({numbers})(?!\w)", text)

    def pattern(self, count, prompt=""):
        """The first so many lines, and a prompt, as a regular expression."""
        known, result = {}, ""
        for line in self.lines[:count]:
            if line == "...":
                result += r"(?:.*\n)*?"
                continue
            pieces = self.pieces(line)
            for i, piece in enumerate(pieces):
                if i % 2 == 0:
                    text = ".*".join(map(re.escape, piece.split("[..]")))
                    # A number of another width moves what is in its column.
                    if i > 0:
                        text = re.sub(r"^(\\ )+", " +", text)
                    if i < len(pieces) - 1:
                        text = re.sub(r"(\\ )+$", " *", text)
                    result += text
                elif piece in known:
                    result += f"(?P={known[piece]})"
                else:
                    known[piece] = f"v{len(known)}"
                    result += f"(?P<{known[piece]}>{kind_of(piece)}+)"
            result += r"\n"
        return re.compile(result + re.escape(prompt)), known

    def numbers(self, count, prompt, screen):
        """The run's number for each that varies, or an error."""
        pattern, known = self.pattern(count, prompt)
        match = pattern.fullmatch(screen)
        if not match:
            return None, self.difference(count, screen)
        found = {number: match[name] for number, name in known.items()}
        for number, value in found.items():
            for other, same in found.items():
                if number < other and value == same:
                    return None, [f"{number} and {other} are one, {value}"]
            near = self.near[number]
            small, large = sorted((float(value), float(number))) if near else (1, 1)
            if large > small * (1 + (near or 0) / 100):
                return None, [f"{value} is not within {near:.0f}% of {number}"]
        return found, None

    def difference(self, count, screen):
        for same in range(count, -1, -1):
            match = self.pattern(same)[0].match(screen)
            if match:
                break
        wanted = self.lines[same] if same < count else "(the prompt)"
        seen = screen[match.end():].split("\n")[0]
        return [f"{self.file}:{self.line + 1 + same}:",
                f"the page has:    {wanted}",
                f"the terminal:    {seen}"]

    def play(self, machine, compare):
        """Types the fence; returns what is wrong, as lines, or None."""
        terminal = machine.enter(self.user)
        numbers = {}
        steps = [i for i, line in enumerate(self.lines)
                 if PROMPT.match(line) or KEYS.match(line)]
        for step, i in enumerate(steps):
            prompt = PROMPT.match(self.lines[i])
            if prompt:
                if compare:
                    numbers, error = self.numbers(i, prompt[0], terminal.screen())
                    if error:
                        return error
                text = self.lines[i][prompt.end():]
                terminal.type("".join(numbers.get(piece, piece)
                                      for piece in self.pieces(text)) + "\r")
            else:
                terminal.wait_calm()
                keys = KEYS.match(self.lines[i])[0]
                terminal.type("".join(chr(ord(key) ^ 64)
                                      for key in keys.split("^")[1:]))
            following = self.lines[steps[step + 1]] if i != steps[-1] else HOST
            prompt = PROMPT.match(following)
            if prompt:
                terminal.wait_prompt(prompt[0])
                if ELSEWHERE.match(self.lines[i]):
                    terminal.wait_calm()
        if not compare:
            return None
        return self.numbers(len(self.lines), HOST, terminal.screen())[1]


def read_fences(file):
    fences, user, varies, inside = [], "root", [], False
    with open(file, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            line = line.rstrip("\n")
            comment = re.match(r"<!-- (as|varies): *(.*?) *-->", line)
            if inside and line == "```":
                inside = False
            elif inside:
                fences[-1].lines.append(line)
            elif line == "```console":
                fences.append(Fence(file, number, user, varies))
                user, varies, inside = "root", [], True
            elif comment and comment[1] == "as":
                user = comment[2]
            elif comment:
                varies = comment[2].split()
    return fences


class Report:
    def __init__(self):
        self.tests = self.failures = 0
        self.where = os.environ.get("WHALEBOX_WHERE", "")
        self.filter = os.environ.get("WHALEBOX_FILTER", "").split("\n")

    def wants(self, title):
        return any(part in self.where + title for part in self.filter)

    def result(self, title, error, screen):
        self.tests += 1
        self.failures += bool(error)
        print("not ok" if error else "ok", self.tests, "-", self.where + title)
        if error:
            for line in error + ["the whole screen:"]:
                print("#   " + line)
            for line in screen.split("\n"):
                print("#     " + line)
        sys.stdout.flush()


def play_file(file, machine, report, show):
    """Types the fences of a file; returns the users whose boxes may be left."""
    users = set()
    for fence in read_fences(file):
        if not report.wants(fence.title()):
            continue
        users.add(fence.user)
        try:
            error = fence.play(machine, not show)
            screen = machine.terminal.screen()
            machine.leave()
        except Ended as reason:
            screen = machine.terminal.screen()
            error = [str(reason)] + fence.difference(len(fence.lines), screen)
            machine.stop()
        if show:
            print(f"{fence.title()}\n{screen}\n")
        else:
            report.result(fence.title(), error, screen)
    return users


def check_boxes(file, users, machine, report):
    """A box that a file has left would be in the way of the next one."""
    if not users or not report.wants(file):
        return
    boxes = []
    for user in users:
        afresh = "" if user == "root" else f"afresh {user} "
        boxes += machine.ask(afresh + "./whalebox ps -aq")
    left = [box for box in boxes if box not in machine.left]
    machine.left += left
    if left:
        machine.ask("./whalebox rm -f " + " ".join(left))
    report.result(f"{file}: leaves no box", left, "")


def check_machine(machine, report):
    """What a reader needs besides: a quiet start, and a second terminal."""
    title = "./vm.sh: starts without a complaint"
    if report.wants(title):
        machine.start()
        lines = machine.greeting.split("\n")[:-1]
        error = [line for line in lines if line and not line.startswith("vm.sh: ")]
        report.result(title, error, machine.greeting)
    title = "./vm.sh attach: is a second terminal"
    if report.wants(title):
        machine.start()
        second = Terminal("./vm.sh attach")
        second.wait_prompt(HOST)
        second.type("tty; stty size\r")
        wanted = f"{HOST}tty; stty size\n/dev/hvc0\n{ROWS} {COLUMNS}\n{HOST}"
        while not second.screen().endswith(wanted) and second.read(LIMIT):
            pass
        screen = second.screen()
        error = [] if screen.endswith(wanted) else ["it does not end in:", wanted]
        report.result(title, error, screen)
        second.close()


def play(files, machine, report, show):
    for file in files:
        users = play_file(file, machine, report, show)
        try:
            check_boxes(file, users, machine, report)
        except Ended as reason:
            report.result(f"{file}: leaves no box", [str(reason)], "")
            machine.stop()
    if not show and "vm.sh" in MACHINE:
        try:
            check_machine(machine, report)
        except Ended as reason:
            report.result("./vm.sh: two terminals", [str(reason)], "")


def main(arguments):
    show = arguments[:1] == ["--show"]
    machine, report = Machine(), Report()
    try:
        play(arguments[show:], machine, report, show)
    except NoMachine as reason:
        report.result("the machine starts", str(reason).split("\n"), "")
    machine.stop()
    if not show:
        print(f"1..{report.tests}")
    return report.failures > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
