"""The bars of a training on an interactive terminal: one per stage, by iterations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from lymphct.cli.context import duration, shared_console
from lymphct.cli.train import figures
from lymphct.study.progress import Beat, Step
from lymphct.study.progress import Progress as Told

if TYPE_CHECKING:
    from lymphct.core.terms import StageName


@contextmanager
def training_bars() -> Iterator[Told]:
    """Show a bar per stage: iterations, time to go, loss and score of the last epoch."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=shared_console()) as bars:
        tasks: dict[StageName, TaskID] = {}

        def told(news: Step | Beat) -> None:
            if news.stage not in tasks:
                tasks[news.stage] = bars.add_task(news.stage, total=None, left="")
            task = tasks[news.stage]
            if isinstance(news, Beat):
                pulse = news.pulse
                left = f"{duration(pulse.left)} to go" if pulse.done < pulse.total else ""
                bars.update(task, completed=pulse.done, total=pulse.total, left=left)
            else:
                bars.update(task, description=f"{news.stage} {news.epoch}/{news.epochs}: {figures(news)}")

        yield told
