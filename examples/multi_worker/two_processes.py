"""Trains SE-ResNet-20 on digits with two processes of this machine, as two machines would: about a minute and a half.

    python examples/multi_worker/two_processes.py

Further flags go to `keras-senet train`. When one process fails, or on Ctrl-C, both end; started again, they go on.
"""

import argparse
import asyncio
import pathlib
import signal
import socket
import sys

TRAIN = [str(pathlib.Path(sys.executable).with_name("keras-senet")), "train", "--strategy", "multi_worker", "--resume"]
RUN = ["--recipe", "cifar-shake", "--cutout", "0", "--no-flip", "--epochs", "3", "--batch-size", "64", "--learning-rate", "0.1"]
RUN += ["--model", "SEResNet20", "--dataset", "digits", "--image-size", "16", "--output", "runs/two_processes"]
SECONDS = 10  # to save a state


async def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, flags = parser.parse_known_args(arguments)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # as on Ctrl-C
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    async with asyncio.TaskGroup() as workers:  # when one of them raises, it cancels the others
        for worker in range(2):
            workers.create_task(run(worker, [*TRAIN, *RUN, *flags, "--hosts", hosts, "--worker", str(worker)]))


async def run(worker: int, command: list[str]) -> None:
    """Runs one worker and shows what it says; ends it when cancelled."""
    # In a session of its own it gets no Ctrl-C from the terminal, but one SIGTERM from here.
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, **pipes, start_new_session=True)

    async def show():
        async for line in process.stdout:
            print(f"worker {worker}: {line.decode()}", end="", flush=True)

    showing = asyncio.create_task(show())
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), SECONDS)
            except TimeoutError:  # it waits for the other one
                process.kill()
                await process.wait()
        await showing
    if process.returncode:
        raise RuntimeError(f"worker {worker} ended with status {process.returncode}")


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except ExceptionGroup as errors:
        sys.exit(f"two_processes.py: error: {'; '.join(map(str, errors.exceptions))}")
