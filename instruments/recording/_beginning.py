"""How a prepared recording begins: its file, its servo, and what will run."""

from collections.abc import Callable
from typing import Any

import numpy as np

from entropy import CELL_DTYPE, RecordingPlan, Store

from ..array import Stop
from ..bench import Bench
from ..holding import InitialTrims, WorkingPointControl
from ..tuning import Cells
from ._account import RecordingAccount
from ._block_writer import BlockWriter
from ._consumers import Consumers
from ._judging import Judging
from ._preparation import Prepared
from ._reconnection import Reconnection
from ._running import Running
from ._settings import Settings


def begin(
    prepared: Prepared,
    settings: Settings,
    store: Store,
    bench: Bench,
    procedure: dict[str, Any],
    stop: Stop,
    on_commit: Callable[[RecordingAccount, dict[str, float]], None],
) -> Running:
    """Put together what records; nothing is written yet. `procedure`: its parameters, JSON-able.

    `on_commit` gets the account and the row of each block that is in the store, in the writer's thread.
    """
    control = _control(prepared, settings)
    account = RecordingAccount(prepared, control, settings.bits, settings.servo)
    tuning, readings = settings.tuning, prepared.cells.readings
    plan = RecordingPlan(
        cells=_table(prepared.cells, prepared.array.shape[1]),
        bench=bench.snapshot(),
        procedure=procedure,
        simulated=prepared.simulated,
        device=prepared.array.device,
        resistances=len(readings),
        expected_bits=settings.bits or None,
        tuning=None if tuning is None else tuning.table(),
        conditions=None if tuning is None else tuning.plain_conditions(),
        actions=control is not None,
    )
    writer = BlockWriter(
        store,
        plan,
        prepared.array.point,
        bench.field,
        readings,
        lambda delivered: on_commit(account, account.commit(delivered)),
    )
    return Running(
        prepared, control, account, Judging(prepared, control, account, writer), writer,
        Consumers(store, settings.ahead), Reconnection(settings.retries),
        settings.block_bits, settings.watchdog, stop,
    )  # fmt: skip


def _table(cells: Cells, columns: int) -> np.ndarray:
    """Give what is known of the cells as buffers carry it."""
    table = np.zeros(len(cells.used), CELL_DTYPE)
    table["row"], table["column"] = np.divmod(np.arange(len(table)), columns)
    for name in ("r_p", "r_ap", "threshold", "trim", "p_sw"):
        table[name] = getattr(cells, name)
    table["quarantined"] = ~cells.used
    return table


def _control(prepared: Prepared, settings: Settings) -> WorkingPointControl | None:
    """Make the servo, if there is to be one: without a response nothing is known of what trims do."""
    cells = prepared.cells
    if settings.servo == "off" or cells.response is None:
        return None
    known = cells.trims
    trims = np.stack([
        np.broadcast_to(each, cells.trim.shape)
        for each in (known.voltage_p, known.voltage_ap, known.width_p, known.width_ap)
    ]).reshape(2, 2, -1)  # fmt: skip
    # A tuning is in the file as a whole; without one /cells has one trim, in volts.
    in_file = trims if settings.tuning is not None else np.stack([[cells.trim] * 2, np.zeros_like(trims[1])])
    start = InitialTrims(trims[0], trims[1], in_file, cells.used, cells.response)
    return WorkingPointControl(prepared.array, start, servo=settings.servo)
