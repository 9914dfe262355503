"""Looking on at a run: TensorBoard's files are read back, clocks are set by hand, and the report is rendered."""

import contextlib
import functools
import json
import os
import pty
import re
import sys
import time

import common
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_network
from markdown_it import MarkdownIt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_senet
from keras_senet.plots.learning_curve import draw_learning_curves
from keras_senet.plots.predictions import most_wrong
from keras_senet.training import GateHistograms, Recipe, RunFolder
from keras_senet.training.callbacks import progress as progress_module
from keras_senet.training.callbacks.augmented_images import AugmentedImages
from keras_senet.training.callbacks.progress import Progress
from keras_senet.training.evaluation import metrics
from keras_senet.training.reporting import write_page

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
LABELS = np.eye(10, dtype="float32")[np.arange(20) % 10]


def small_network(**attention):
    keras.utils.set_random_seed(0)
    with tiny_network.registered() as construct:
        network = construct(weights=None, **attention)
    network.compile("sgd", "categorical_crossentropy", metrics=metrics(10), jit_compile=False)
    return network


def fit(network, epochs, callbacks, initial_epoch=0):
    """Five batches of 4 images an epoch, and the same again for validation."""
    batches = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4)
    options = {"validation_data": batches, "shuffle": False, "verbose": 0}
    return network.fit(batches, epochs=epochs, initial_epoch=initial_epoch, callbacks=callbacks, **options).history


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run of two epochs that is resumed for a third one: its folder, its network and its history."""
    folder = tmp_path_factory.mktemp("run")
    network = small_network()
    history = {}
    for epochs, before in ((2, 0), (3, 2)):
        table = keras.callbacks.CSVLogger(folder / "history.csv", append=True)
        logs = folder / "logs"
        shown = [
            keras.callbacks.TensorBoard(logs),
            AugmentedImages(logs / "images", IMAGES),
            GateHistograms(logs / "gates", IMAGES[:6]),
        ]
        callbacks = [Progress(5, 4, 3), *shown, table]
        for name, values in fit(network, epochs, callbacks, initial_epoch=before).items():
            history.setdefault(name, []).extend(values)
    return folder, network, history


def events(folder, part):
    return EventAccumulator(str(folder / "logs" / part), size_guidance={"tensors": 0}).Reload()


def series(accumulator, tag):
    return {event.step: tf.make_ndarray(event.tensor_proto) for event in accumulator.Tensors(tag)}


def test_tensorboard_has_every_number_of_every_epoch_before_and_after_a_resumption(watched):
    folder, _, history = watched
    rows = common.history(folder)
    accumulators = {part: events(folder, part) for part in ("train", "validation")}
    assert set(history) == {*("loss", "top1", "top5", "val_loss", "val_top1", "val_top5", "images_per_second")}
    for name, values in history.items():
        part, tag = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
        shown = series(accumulators[part], f"epoch_{tag}")
        # TensorBoard reads the files of one second in the order of their names.
        assert sorted(shown) == [0, 1, 2]
        assert [shown[epoch] for epoch in range(3)] == pytest.approx(values)
        assert [float(row[name]) for row in rows] == pytest.approx(values)
    assert series(accumulators["train"], "epoch_learning_rate")[2] == pytest.approx(0.01)


def test_tensorboard_has_the_gates_of_each_se_layer(watched):
    folder, network, _ = watched
    accumulator = events(folder, "gates")
    attention = [layer for layer in network.layers if layer.name.endswith("_se")]
    kinds = ("gates", "gates_off", "gates_on", "gates_still")
    assert set(accumulator.Tags()["tensors"]) == {f"{kind}/{se.name}" for se in attention for kind in kinds}
    maps = keras.Model(network.inputs, [se.input for se in attention])([IMAGES[:6]])
    for se, features in zip(attention, maps, strict=True):
        reduce, reduce_bias, expand, expand_bias = se.get_weights()
        hidden = np.maximum(features.numpy().mean(axis=(1, 2)) @ reduce + reduce_bias, 0)
        gates = 1 / (1 + np.exp(-(hidden @ expand + expand_bias)))
        histograms = series(accumulator, f"gates/{se.name}")
        assert list(histograms) == [0, 1, 2]
        counts, edges = np.histogram(gates, bins=30)
        np.testing.assert_allclose(histograms[2][:, 0], edges[:-1], rtol=1e-4)
        assert histograms[2][:, 2].sum() == gates.size
        assert np.abs(histograms[2][:, 2] - counts).sum() <= 4  # rounding moves a value over an edge
        assert not np.array_equal(histograms[0], histograms[2])
        assert series(accumulator, f"gates_still/{se.name}")[2] == np.mean(gates.max(axis=0) - gates.min(axis=0) < 0.01)


def test_tensorboard_has_the_augmented_images_at_the_first_epoch(watched):
    shown = series(events(watched[0], "images"), "augmented_images")
    assert list(shown) == [0, 2]  # once each time that the run was started
    width, height, *pictures = shown[0]
    assert (width, height) == (b"8", b"8")
    np.testing.assert_array_equal([tf.io.decode_png(picture) for picture in pictures], IMAGES[:16])


def test_gates_at_each_position_are_sampled_for_the_histogram_and_all_count_otherwise(tmp_path):
    """Gates that are bright pixels: two channels of three are off at half of the positions, the third one is always on."""
    inputs = keras.Input((128, 128, 3))
    layer = keras_senet.layers.SqueezeExcite(1, squeeze=None, activation="linear", gate="linear", name="everywhere")
    network = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.eye(3), np.zeros(3), np.eye(3), np.zeros(3)])
    pixels = np.ones((2, 128, 128, 3), "float32")
    pixels[:, ::2, :, :2] = 0
    GateHistograms(tmp_path / "logs" / "gates", pixels, network).on_epoch_end(0, {})
    shown = events(tmp_path, "gates")
    assert series(shown, "gates/everywhere")[0][:, 2].sum() == 2**16 < 2 * 128 * 128 * 3
    shares = [series(shown, f"gates_{kind}/everywhere")[0] for kind in ("off", "on", "still")]
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 1 / 3])


def test_training_a_network_without_se_has_no_gates_to_show(tmp_path):
    with pytest.raises(ValueError, match="no layer with gates"):
        fit(small_network(attention=None), 1, [GateHistograms(tmp_path, IMAGES)])


@pytest.fixture
def clock(monkeypatch):
    """Function that lets seconds pass."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


LOGS = {"loss": 0.41266, "top1": 0.912}
VALIDATION = {"val_loss": 0.3, "val_top1": 0.931}


def epoch(progress, number, clock, seconds):
    """Batches that take so many seconds each, and 6 s of validation; what the callbacks after it see."""
    progress.on_epoch_begin(number)
    for batch, passed in enumerate(seconds):
        clock(passed)
        progress.on_train_batch_end(batch, LOGS)
    clock(6)
    logs = LOGS | VALIDATION
    progress.on_epoch_end(number, logs)
    return logs


def test_images_a_second_count_training_alone(clock):
    progress = Progress(steps_per_epoch=4, batch_size=10, epochs=3)
    # The first batch of the run took 100 s to compile.
    assert epoch(progress, 0, clock, [100, 2, 2, 2])["images_per_second"] == pytest.approx(5)
    assert epoch(progress, 1, clock, [1, 1, 2, 1])["images_per_second"] == pytest.approx(8)
    alone = Progress(steps_per_epoch=1, batch_size=10, epochs=2)
    assert [epoch(alone, number, clock, [4])["images_per_second"] for number in (0, 1)] == pytest.approx([2.5, 2.5])


def test_a_pipe_gets_one_line_an_epoch_with_the_time_left(clock, capsys):
    progress = Progress(steps_per_epoch=4, batch_size=10, epochs=60)
    epoch(progress, 0, clock, [100, 2, 2, 2])
    epoch(progress, 1, clock, [2, 2, 2, 2])
    shown = "loss 0.4127  top1 91.20%  validation: loss 0.3000  top1 93.10%  5 images/s"
    # 12 s for 3 steps, then 26 s for 7; 236 and 232 steps are left.
    assert capsys.readouterr().out.splitlines() == [
        f"epoch 1/60  {shown}  0:15:44 left",
        f"epoch 2/60  {shown}  0:14:22 left",
    ]


def test_a_run_resumed_within_an_epoch_knows_where_it_is(clock, capsys):
    progress = Progress(steps_per_epoch=4, batch_size=10, epochs=3, first_step=2)
    epoch(progress, 1, clock, [100, 2])
    assert progress.bar.tasks[0].completed == 8
    epoch(progress, 2, clock, [1, 1, 1, 1])
    assert progress.bar.tasks[0].completed == progress.bar.tasks[0].total == 12
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 2/3 ")
    assert first.endswith("0:00:32 left")  # 4 steps at the pace of the one that counts: 2 s and 6 s of validation
    assert second.endswith("0:00:00 left")


def test_several_steps_in_one_execution_all_count(clock):
    progress = Progress(steps_per_epoch=6, batch_size=10, epochs=1)
    progress.on_epoch_begin(0)
    for last_of_two in (1, 3, 5):
        clock(4)
        progress.on_train_batch_end(last_of_two, LOGS)
    progress.on_epoch_end(0, logs := dict(LOGS))
    assert logs["images_per_second"] == pytest.approx(5)


def test_a_pipe_gets_a_line_in_every_minute(capsys, monkeypatch):
    """Whatever the run is doing, among it the first step, in which no callback is called."""
    monkeypatch.setattr(progress_module, "_SECONDS_BETWEEN_LINES", 0.05)
    progress, seen = Progress(steps_per_epoch=4, batch_size=10, epochs=3), []

    def after(event, *arguments):
        event(*arguments)
        capsys.readouterr()
        end = time.monotonic() + 30
        while not (lines := capsys.readouterr().out.splitlines()) and time.monotonic() < end:
            time.sleep(0.01)
        seen.append(lines[-1])

    with progress:
        after(progress.on_epoch_begin, 1)
        after(progress.on_train_batch_end, 0, LOGS)
        after(progress.on_test_begin)
    first, trained, evaluated = seen
    assert first == "epoch 2/3  step 0/4  waiting for the first step"
    assert trained.startswith("epoch 2/3  step 1/4  loss 0.4127  top1 91.20% ")
    assert evaluated == "epoch 2/3  step 1/4  evaluating"
    assert not progress.thread.is_alive()


def terminal_output(monkeypatch, run):
    """What a terminal is sent while `run` runs, and whether Ctrl-C ended it."""
    reader, writer = pty.openpty()
    interrupted = False
    with monkeypatch.context() as patch, os.fdopen(writer, "w") as terminal:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", terminal)
        patch.setattr("rich._console", None)  # which remembers that there was no terminal
        try:
            run()
        except KeyboardInterrupt:
            interrupted = True
    sent = b""
    with contextlib.suppress(OSError), os.fdopen(reader, "rb", buffering=0) as terminal:  # a closed terminal ends in an error
        while received := terminal.read(1024):
            sent += received
    return sent.decode(), interrupted


def test_a_terminal_gets_a_bar_and_its_cursor_back(monkeypatch, clock):
    def run(interrupted):
        progress = Progress(steps_per_epoch=4, batch_size=10, epochs=2)
        with progress:
            epoch(progress, 0, clock, [100, 2, 2, 2])
            progress.bar.refresh()  # which else happens ten times a second
            if interrupted:
                raise KeyboardInterrupt
            epoch(progress, 1, clock, [2, 2, 2, 2])

    for interrupted in (False, True):
        sent, was_interrupted = terminal_output(monkeypatch, functools.partial(run, interrupted))
        assert was_interrupted == interrupted
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sent)
        assert re.search(r"━+.* epoch 1/2  loss 0.4127  top1 91.20%  5 images/s  0:00:\d\d left", text)
        assert "validation: loss 0.3000" in text
        assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # shown after hidden


@pytest.fixture
def finished(tmp_path):
    """The folder of a run that never was, with the numbers that its report must show."""
    recipe = Recipe.of("SEResNet20", "digits", epochs=2, batch_size=32, attention_stages=(4,), data_dir="a|b")
    config = {"recipe": recipe.flat(), "parameters": 272095, "versions": {"keras": "3.15.1"}}
    config |= {"replicas": 2, "batch_size_per_replica": 16}
    measured = {
        "last": {"top1": 0.9, "top5": 0.99, "loss": 0.12345, "calibration_error": 0.021, "images": 1360, "epoch": 2},
        "best": {"top1": 0.95, "top5": 1.0, "loss": 0.1, "calibration_error": 0.02, "images": 1360, "epoch": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "metrics.json").write_text(json.dumps(measured))
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "history.csv").write_text(
        "epoch,images_per_second,learning_rate,loss,seconds,top1,val_loss,val_top1\n"
        "0,400.0,0.6,1.5,60.4,0.5,1.2,0.6\n1,412.0,0.06,0.5,65.1,0.9,0.7,0.8\n"
    )
    return tmp_path


def rendered(folder):
    """The report as HTML; its tables as rows of cells."""
    write_page(RunFolder(folder))
    html = MarkdownIt("commonmark").enable("table").render((folder / "report.md").read_text())
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return html, [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd]>(.*?)</t[hd]>", row)] for row in rows]


def test_the_report_takes_the_attention_that_a_network_was_published_with_for_a_default(finished):
    def changed(model, **fields):
        config = json.loads((finished / "config.json").read_text())
        config["recipe"] = Recipe.of(model, "digits", **fields).flat()
        (finished / "config.json").write_text(json.dumps(config))
        html, _ = rendered(finished)
        return re.findall(r"<td>(attention|reduction|gate)</td>", html.partition("at their defaults")[0])

    assert changed("MobileNetV3Small") == []
    assert changed("ECAResNet26T") == []
    assert changed("MobileNetV3Small", reduction=16, attention="cse") == ["attention", "reduction"]


def test_the_report_says_what_was_trained_and_how_good_it_is(finished):
    html, rows = rendered(finished)
    assert "<h1>SEResNet20 on <code>digits</code></h1>" in html
    assert "90.00% of 1,360 validation images after 2 epochs, which took 0:02:06 at 406 training images a second" in html
    assert ["network", "epoch", "top-1", "top-5", "loss", "calibration error", "images"] in rows
    assert ["last.keras", "2", "90.00%", "99.00%", "0.1235", "2.10%", "1,360"] in rows
    assert ["best.keras", "1", "95.00%", "100.00%", "0.1000", "2.00%", "1,360"] in rows
    for row in (
        ["parameters", "272,095"],
        ["devices", "2, each with 16 images of a batch"],
        ["classes", "2"],
        ["keras", "3.15.1"],
    ):
        assert row in rows
    chosen, usual = html.split("<details>")
    for setting, part in (("batch_size", chosen), ("data_dir", chosen), ("momentum", usual), ("gate", usual)):
        assert [f"<td>{setting}</td>" in one for one in (chosen, usual)] == [part is chosen, part is usual]
    assert [row[:2] for row in rows if row[0] in ("data_dir", "attention_stages")] == [
        ["attention_stages", "(4,)"],
        ["data_dir", "a|b"],
    ]


def test_the_report_shows_what_there_is(finished):
    html, _ = rendered(finished)
    assert "<img" not in html
    assert "Damaged" not in html
    draw_learning_curves({"run": finished / "history.csv"}, finished / "learning_curve.png")
    (finished / "confusion.png").touch()
    (finished / "damaged.txt").write_text("cat/*1*.jpg\ndog/<b>.jpg\n")
    html, _ = rendered(finished)
    assert re.findall('<img src="(.*?)"', html) == ["learning_curve.png", "confusion.png"]
    assert "2 were left out" in html
    assert "cat/*1*.jpg\ndog/&lt;b&gt;.jpg\n</code>" in html


def legend_of(figure) -> dict[str, str]:
    """The entries of the legend beside all panels, and how their lines are dashed."""
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    return dict(zip(names, [line.get_linestyle() for line in legend.get_lines()], strict=True))


def test_the_learning_curve_has_a_panel_for_each_measure_and_for_the_learning_rate_where_it_is_known(finished, figures):
    def drawn():
        draw_learning_curves({"run": finished / "history.csv"}, finished / "curve.png")
        assert legend_of(figures[-1]) == {"training": "--", "validation": "-"}
        assert all(list(line.get_xdata()) == [1, 2] for axes in figures[-1].axes for line in axes.lines)
        return {
            axes.get_title(): {line.get_linestyle(): list(line.get_ydata()) for line in axes.lines} for axes in figures[-1].axes
        }

    panels = {
        "Loss": {"--": [1.5, 0.5], "-": [1.2, 0.7]},
        "Top-1 error, %": {"--": pytest.approx([50, 10]), "-": pytest.approx([40, 20])},
    }
    assert drawn() == panels | {"Learning rate": {"-": [0.6, 0.06]}}
    text = (finished / "history.csv").read_text()
    (finished / "history.csv").write_text(text.replace("learning_rate", "rate"))
    assert drawn() == panels


@pytest.fixture
def runs(tmp_path):
    """Function that makes the folder of a run with given validation errors by epoch, and given learning rates."""

    def make(name, errors, rates, columns="epoch,loss,top1,val_loss,val_top1,learning_rate"):
        (tmp_path / name).mkdir(parents=True)
        rows = [f"{epoch},2,0.5,1,{1 - error},{rate}" for epoch, (error, rate) in enumerate(zip(errors, rates, strict=True))]
        (tmp_path / name / "history.csv").write_text("\n".join([columns, *rows, ""]))
        return tmp_path / name

    return make


def test_runs_of_any_length_are_drawn_in_one_picture_with_a_color_and_a_name_for_each(run, runs, figures, tmp_path, monkeypatch):
    errors = {"a/plain": [0.9, 0.5, 0.25], "b/plain": [0.8], "b/$x$_y$": [0.9, 0.4]}
    rates = {"a/plain": [1, 0.5, 0.1], "b/plain": [1], "b/$x$_y$": [1, 0.5]}
    folders = [runs(name, errors[name], rates[name]) for name in errors]
    monkeypatch.chdir(folders[0])
    assert run("plot", ".", *folders[1:], "--output", tmp_path / "curves.png") == (0, "", "")
    (figure,) = figures
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == ["Loss", "Top-1 error, %", "Learning rate"]
    validation = [line for line in figure.axes[1].lines if line.get_linestyle() == "-"]
    for line, expected in zip(validation, errors.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * np.array(expected))
        assert list(line.get_xdata()) == list(range(1, 1 + len(expected)))
    assert validation[1].get_marker() == "o"  # one point makes no line
    (legend,) = figure.legends
    colors = [line.get_color() for line in legend.get_lines()]
    assert len(set(colors[:3])) == 3
    for axes in figure.axes:
        assert {line.get_color() for line in axes.lines} == set(colors[:3])
    assert [line.get_color() for line in validation] == colors[:3]
    # As much of the path as tells the runs apart.
    assert list(legend_of(figure)) == [*errors, "training", "validation"]
    assert not any(text.get_parse_math() for text in legend.get_texts())


def test_runs_with_one_learning_rate_are_drawn_without_it(run, runs, figures, tmp_path):
    folders = [runs(name, [0.9, 0.4], [1, 0.5]) for name in ("training", "se")]
    assert run("plot", *folders, "--output", tmp_path / "curves.png")[0] == 0
    assert [axes.get_title() for axes in figures[0].axes] == ["Loss", "Top-1 error, %"]
    # A run may have any name.
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["training", "se", "training", "validation"]


def test_what_is_no_run_to_plot_is_one_line(fails, runs, tmp_path):
    good, output = runs("good", [0.9], [1]), ("--output", tmp_path / "curves.png")
    (tmp_path / "images").mkdir()
    assert "There is no file or folder" in fails("plot", good, tmp_path / "goood", *output)
    assert "Did you mean 'good'" in fails("plot", good, tmp_path / "goood", *output)
    assert "images holds no run with a finished epoch" in fails("plot", good, tmp_path / "images", *output)
    assert "holds no run" in fails("plot", good / "history.csv", *output)
    assert "The run 'new' has no finished epoch" in fails("plot", good, runs("new", [], []), *output)
    other = runs("other", [0.9], [1], "epoch,loss,mae,val_loss,val_mae,learning_rate")
    error = fails("plot", good, other, *output)
    assert "The run 'other' has other metrics" in error
    assert "no column top1, val_top1; it has epoch, loss, mae, val_loss, val_mae, learning_rate" in error
    assert "good is given 2 times: give each run once" in fails("plot", good, other, f"{good}{os.sep}.", *output)
    for damage in ("0,2,0.5", "0,2,half,1,0.5,1"):
        (other / "history.csv").write_text(f"{(good / 'history.csv').read_text()}{damage}\n")
        assert "of the run 'other', is damaged" in fails("plot", good, other, *output)
    (other / "history.csv").write_bytes(b"\x89PNG\r\n\xff")
    assert "of the run 'other', is damaged" in fails("plot", good, other, *output)
    assert "There is no flag --ouput. Did you mean '--output'" in fails("plot", good, "--ouput", "x.png")
    assert "images could not be written" in fails("plot", good, "--output", tmp_path / "images")
    assert "There is no folder" in fails("plot", good, "--output", tmp_path / "none" / "curves.png")
    assert {file.name for file in tmp_path.iterdir()} == {"good", "images", "new", "other"}


def test_the_most_wrong_images_are_those_of_numpy():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(10), 100)
    truth = random.integers(0, 10, 100)
    images = random.random((100, 2, 2, 3))
    worst = []
    for batch in np.split(np.arange(100), 4):
        worst = most_wrong(images[batch], probabilities[batch], np.eye(10)[truth[batch]], "abcdefghij", worst)
    sure = np.where(probabilities.argmax(axis=1) == truth, 0, probabilities.max(axis=1))
    order = np.argsort(-sure)[:16]
    np.testing.assert_array_equal([image for _, image, _ in worst], images[order])
    first = order[0]
    said, true = ("abcdefghij"[index] for index in (probabilities[first].argmax(), truth[first]))
    assert worst[0][2] == f"{said} {sure[first]:.1%}, is {true}"
