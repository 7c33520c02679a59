"""A process that has imported everything once, and forks: every child runs simlearn.

Its input are requests, one JSON object a line: ``start`` answers with the process id of a child,
``wait`` with its exit code, negative for a signal. A child may be told to count events and to send
itself SIGKILL at one of them. An event is the call of a Python or C function, or its return, so
that any two system calls can be parted. Where it was goes into the file ``note``.
"""

import json
import os
import pathlib
import resource
import signal
import sys


class Watch:
    """Counts events, knows the phase, and kills."""

    def __init__(self, note, kill):
        from lightning.pytorch.loops import _EvaluationLoop, _FitLoop

        from simlearn import archive
        from simlearn.training import durable, metrics, update

        self.note, self.kill, self.count = pathlib.Path(note), kill, 0
        self.open, self.spans = [], []
        self.phases = {
            durable.write.__code__: "saving",
            metrics.Metrics.save.__code__: "metrics",
            _EvaluationLoop._evaluation_step.__code__: "validation",
            _FitLoop.on_advance_end.__code__: "epoch end",
            update.update.__code__: "step",
            archive.save.__code__: "archive",
        }

    def __call__(self, frame, event, argument):
        self.count += 1
        if event in ("call", "return") and frame.f_code in self.phases:
            name = self.phases[frame.f_code]
            if event == "call":
                self.open.append((name, self.count))
            elif self.open:
                self.spans.append((*self.open.pop(), self.count))
        if self.count == self.kill:
            self.told()
            os.kill(os.getpid(), signal.SIGKILL)

    def told(self):
        inside = [name for name, _ in self.open]
        body = {"inside": inside, "spans": self.spans, "events": self.count}
        self.note.write_text(json.dumps(body))


def child(request):
    from simlearn import cli
    from simlearn.cli.lightning import FitCLI

    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    sys.path.insert(0, request["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sink = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    if request["limit"] is not None:  # of the size of a file; a real write beyond it fails
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["limit"], request["limit"]))
    if not request["counted"]:
        return cli.run(request["argv"])
    watch, begin = Watch(request["note"], request["kill"]), FitCLI.before_fit

    def before_fit(self):
        sys.setprofile(watch)
        begin(self)

    FitCLI.before_fit = before_fit
    code = cli.run(request["argv"])
    sys.setprofile(None)
    watch.told()
    return code


def answer(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main():
    import simlearn.cli.fit
    import simlearn.cli.lightning
    from simlearn import catalog

    assert simlearn.cli.fit
    catalog.load()  # the plugins, and what they import
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            answer(os.waitstatus_to_exitcode(status))
            continue
        process = os.fork()
        if process:
            answer(process)
            continue
        code = 99
        try:
            code = child(request)
            sys.stdout.flush()
        finally:
            os._exit(code)


if __name__ == "__main__":
    main()
