"""The public API walked for its numeric parameters, and the table of what each of them takes."""

import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

PACKAGES = ("entropy", "sampler", "instruments", "drivers", "mock_hw")
# Packages that others reach through the one above them alone.
INNER = (
    "entropy.buffer", "entropy.ledger", "entropy.store", "instruments.array", "instruments.bench",
    "instruments.holding", "instruments.recording", "instruments.tuning",
)  # fmt: skip

# What the packages make and hand out; whoever makes one by hand changes nothing by it.
RESULTS = """
entropy: Accounts BadBlock BlockCommit BufferInfo Credit FollowedBlock OpenLease PruneStep Request Reservation
    RewriteStep Portion SalvageReport VerifyReport
entropy.quality.assessment: Assessment CellAssessment Conditioned Health Window
entropy.quality.draws: DrawAudit
entropy.quality.estimators: MinEntropy
entropy.quality.health: CellOutcomes Cutoffs Judged
entropy.quality.iid: ChiSquare PermutationTests RepeatTest
entropy.quality.restarts: RestartTests
entropy.quality.sp800_22: Battery Criterion SequenceResult
entropy.quality.statistics: CellStatistics
entropy.quality.watch: Estimate LargestLag LargestPair WatchReport
sampler: NoiseMap PictureKind
sampler.drawing: Bill Part Picture PixelDifference Replayed RunFolder Samples Step
sampler.processes: BinaryStep NormalLaw
sampler.sources: NumberedStreams
sampler.comparison: ArmResult Difference Equivalence Evaluation Interval KernelDistance Memorising Moments Quality
    RawClaim Reference RunResult StudyProgress
sampler.training: NameBill TrainProgress TrainingBill
instruments: Tuning
instruments.procedures: CalibrationProgress EnergyPerBit HealthSummary RecordingProgress RecordingSummary TuningProgress
drivers.array_board: ArrayBlock
mock_hw.physics: SwitchingTable
"""

# What is in the table otherwise than by its type, and why.
UNCHECKED = {
    "entropy.Store.simulated": {"ranges"},  # only their buffers are looked at
    "entropy.gather": {"pieces"},  # what `read_pieces` gave
    "entropy.arguments.count": {"least", "most"},  # the checks themselves
    "entropy.arguments.real": {"above", "least", "most"},
    "entropy.arguments.Count.__init__": {"least", "most"},
    "entropy.arguments.Real.__init__": {"above", "least", "most"},
    "sampler.SourceGenerator.spawn": {"n_children"},  # refuses all
    "sampler.hook.PaddingStream.read": {"bits"},
    "sampler.drawing.Frames.animate": {"columns", "scale"},  # `contact_sheet` takes them
    "sampler.drawing.RunFolder.open": {"labels"},  # `check_labels` took them
    "sampler.drawing.RunFolder.picture": {"number"},  # `picture_name` takes it
    "sampler.drawing.parts_of": {"pictures"},  # numbered by `enumerate`
    "drivers.array_board.ArrayBoard.ask": {"query_delay"},  # pymeasure's own
    "drivers.array_board.ArrayBoard.values": {"maxsplit"},
    "entropy.quality.cell_counts.outcomes_of": {"cells", "pulse"},  # of words that a kernel has read
    "instruments.Trims.shaped": {"cells", "shape"},  # those of the array
    "instruments.Trims.stacked": {"shape"},
    "instruments.Trims.__init__": {
        "voltage_ap",
        "voltage_p",
        "width_ap",
        "width_p",
    },  # `apply_trims` takes them
}


def public_modules() -> Iterator[types.ModuleType]:
    """Give every module of the packages that has no private name in its path, those for tests apart."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        yield module
        for found in pkgutil.walk_packages(module.__path__, package + "."):
            hidden = any(part.startswith("_") or part == "testing" for part in found.name.split("."))
            if not hidden and not found.name.startswith(INNER):
                yield importlib.import_module(found.name)


def _is_numeric(hint: Any) -> bool:
    if hint in (int, float):
        return True
    return (
        any(_is_numeric(part) for part in typing.get_args(hint)) and typing.get_origin(hint) is not Callable
    )


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError:  # an annotation that only type checkers import
        numeric = re.compile(r"^(?!.*Callable).*\b(int|float)\b")
        return {
            name: int if numeric.search(str(annotation)) else Any
            for name, annotation in function.__annotations__.items()
        }


def _functions(thing: Any) -> Iterator[tuple[str, Any]]:
    if not inspect.isclass(thing):
        yield "", thing
        return
    seen: set[str] = set()
    for kind in thing.__mro__:
        if kind.__module__.split(".")[0] not in PACKAGES:
            continue
        for name, member in vars(kind).items():
            if name not in seen and (name == "__init__" or not name.startswith("_")):
                seen.add(name)
                made = getattr(member, "__func__", member.fset if isinstance(member, property) else member)
                if inspect.isfunction(made):
                    yield name, made


def numeric_parameters() -> dict[str, tuple[Any, str, set[str]]]:
    """Give, by "package.Thing.method", the thing, the method's name and its numeric parameters."""
    found: dict[str, tuple[Any, str, set[str]]] = {}
    for module in public_modules():
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
        for name in names:
            thing = getattr(module, name)
            known = inspect.isclass(thing) or inspect.isfunction(inspect.unwrap(thing))
            if inspect.isclass(thing) and issubclass(thing, BaseException):
                continue
            if not known or isinstance(thing, types.GenericAlias) or getattr(thing, "_is_protocol", False):
                continue
            for method, function in _functions(thing):
                numeric = {
                    key for key, hint in _hints(function).items() if key != "return" and _is_numeric(hint)
                }
                home = thing.__module__.split("._")[0]
                home = module.__name__ if home.startswith(INNER) else home
                path = ".".join(filter(None, (home, thing.__name__, method)))
                if numeric and path not in found:
                    found[path] = thing, method, numeric
    return found


def results() -> set[str]:
    """Give the full names of `RESULTS`."""
    named, module = set(), ""
    for word in RESULTS.split():
        if word.endswith(":"):
            module = word[:-1]
        else:
            named.add(f"{module}.{word}")
    return named


def kinds(table: str) -> dict[str, dict[str, str]]:
    """Read a table of lines "path: parameter kind, parameter kind"."""
    found = {}
    for line in table.strip().replace(",\n    ", ", ").splitlines():
        path, _, told = line.partition(": ")
        found[path.strip()] = dict(part.split() for part in told.split(", "))
    return found


# n: a whole number from 0; n1: from 1; z: any whole number, whose range is the package's to refuse; r: a finite number;
# r0: from 0; r+: above 0; i0, i+: infinite too; p: from 0 to 1; p+: above 0; with [] a sequence of them; () ranges of
# bits; a: arrays of numbers too; (,) blocks of a buffer. =1: what is taken for a good one.
TABLE = """
entropy.BitStream.read: bits n
entropy.BitStream.read_pieces: bits n
entropy.Lease.read: bits n
entropy.Lease.read_pieces: bits n
entropy.Lease.read_conditioned: bits n
entropy.Lease.split: bits_each n, parts n
entropy.Lease.locate: at n, end n
entropy.conditioning.NoConditioning.bits_in: bits_out n
entropy.conditioning.NoConditioning.read: bits_out n
entropy.conditioning.NoConditioning.output_min_entropy: h_in p
entropy.conditioning.Peres.__init__: depth n
entropy.conditioning.Peres.rate: p p
entropy.conditioning.Peres.bits_in: bits_out n
entropy.conditioning.Peres.read: bits_out n
entropy.conditioning.Peres.output_min_entropy: h_in p
entropy.Portion.read: bits n
entropy.Portion.read_pieces: bits n
entropy.PrunePolicy.__init__: down_to n, older_than r0
entropy.conditioning.PublicMask.bits_in: bits_out n
entropy.conditioning.PublicMask.read: bits_out n
entropy.conditioning.PublicMask.output_min_entropy: h_in p
entropy.conditioning.PublicMask.mask: bits n, first n
entropy.Recording.append: count n, ones n
entropy.BlockFacts.__init__: board_time r, failed_resets n, field r, health n, host_time r,
    positions n, pulses n, read_voltage r, sequence n, temperature r, voltage r, width r
entropy.RecordingPlan.__init__: durable r+, expected_bits n, resistances n, rotate_bytes n1
entropy.Reservation.lease: bits n1, wait r0
entropy.conditioning.Sha256.__init__: n_in n
entropy.conditioning.Sha256.bits_in: bits_out n
entropy.conditioning.Sha256.read: bits_out n
entropy.conditioning.Sha256.output_min_entropy: h_in p
entropy.Store.lease: bits n1, min_entropy p, wait r0
entropy.Store.lease_blocks: first n, last n
entropy.Store.free_in_blocks: first n, last n
entropy.Store.reserve: bits n1, min_entropy p
entropy.Store.commanded: index n
entropy.Store.read_block: index n
entropy.Store.read: ranges ()
entropy.Store.recorded: ranges ()
entropy.Store.credit: bits n1, min_entropy p
entropy.Store.withhold: bits n, first n
entropy.Store.release: bits n, first n
entropy.conditioning.Toeplitz.__init__: n_in n, n_out n
entropy.conditioning.Toeplitz.for_min_entropy: h p, n_in n
entropy.conditioning.Toeplitz.bits_in: bits_out n
entropy.conditioning.Toeplitz.read: bits_out n
entropy.conditioning.Toeplitz.output_min_entropy: h_in p
entropy.conditioning.VonNeumann.rate: p p
entropy.conditioning.VonNeumann.bits_in: bits_out n
entropy.conditioning.VonNeumann.read: bits_out n
entropy.conditioning.VonNeumann.output_min_entropy: h_in p
entropy.conditioning.Xor.__init__: k n
entropy.conditioning.Xor.bits_in: bits_out n
entropy.conditioning.Xor.read: bits_out n
entropy.conditioning.Xor.output_min_entropy: h_in p
entropy.quality.statistics.cell_statistics: max_blocks n1
entropy.quality.statistics.wilson_interval: ones n, count n, level p
entropy.check_export: bits n1, blocks (,)
entropy.export_bits: bits n1, blocks (,)
entropy.gather: bits n
entropy.move_blocks: blocks n[]
entropy.slice_ranges: bits n, first n
entropy.quality.assessment.FileSubject.read: count n, first n
entropy.quality.assessment.FileSubject.pieces: count n, first n
entropy.quality.assessment.FileSubject.seconds: first n
entropy.quality.assessment.Settings.__init__: bits n1, claim r, ideal n, permutations n, sequence_bits n1,
    sequences n, windows n
entropy.quality.assessment.StoreSubject.read: count n, first n
entropy.quality.assessment.StoreSubject.pieces: count n, first n
entropy.quality.assessment.StoreSubject.buffers_of: count n, first n
entropy.quality.assessment.StoreSubject.seconds: first n
entropy.quality.assessment.StoreSubject.outcomes: pulses n1
entropy.quality.assessment.StoreSubject.starts: columns n1
entropy.quality.assessment.autocorrelation: lags n
entropy.quality.assessment.estimate_by_cell: bits n1
entropy.quality.assessment.health_of: h r
entropy.quality.assessment.ideal_estimates: count n1, sequences n
entropy.quality.cell_counts.count_cells: cells n1, pulses n
entropy.quality.cell_counts.count_pairs: cells n1, pulses n
entropy.conditioning.nonvetted_output_entropy: h_in r0, measured p, n_in n1, n_out n1, nw n1
entropy.conditioning.output_entropy: h_in r0, n_in n1, n_out n1, nw n1
entropy.conditioning.own_seed: h p+
entropy.conditioning.vetted_output_entropy: h_in r0, n_in n1, n_out n1, nw n1
entropy.quality.draws.DrawHealth.__init__: cell_error p, cells n1, exponent r+, rare_error p, stream_error p
entropy.quality.health.Cutoffs.from_claim: exponent r+, min_entropy p+
entropy.quality.health.Cutoffs.runs_expected: probability p, samples n
entropy.quality.health.Cutoffs.window_fails: probability p
entropy.quality.health.StreamHealth.check: count n
entropy.quality.health.CellHealth.__init__: cells n1
entropy.quality.health.CellHealth.check: positions n
entropy.quality.health.BlockHealth.__init__: cells n1
entropy.quality.health.BlockHealth.judge: positions n
entropy.quality.health.usable_bits: positions n
entropy.quality.iid.permutation_tests: permutations n1, seed n
entropy.quality.restarts.restart_tests: initial p
entropy.quality.restarts.cutoff_of: initial p, length n1, sequences n1
entropy.quality.sp800_22.approximate_entropy: length n1
entropy.quality.sp800_22.block_frequency: size n1
entropy.quality.sp800_22.judge: bits n
entropy.quality.sp800_22.linear_complexity: shares p[], size n1
entropy.quality.sp800_22.non_overlapping_template: blocks n1, length n1
entropy.quality.sp800_22.overlapping_template: length n1, shares p[], size n1
entropy.quality.sp800_22.random_excursions: least n
entropy.quality.sp800_22.random_excursions_variant: least n
entropy.quality.sp800_22.rank: size n1
entropy.quality.sp800_22.serial: length n1
entropy.quality.watch.proportion: ones n, samples n
entropy.quality.watch.Watch.__init__: cells n1, columns n1, share p+
entropy.quality.watch.Watch.look: positions n
sampler.Architecture.__init__: attention_head z, channels z, dropout r, image_size z, labels z,
    layers_per_block z, norm_groups z, widths z[]
sampler.sources.BiasedSource.__init__: p r, seed z, stream n
sampler.sources.BiasedSource.read: bits n
sampler.sources.BiasedSource.skip: bits z
sampler.sources.BiasedSource.streams: bits_each n, count n
sampler.sources.ConditionedSource.read: bits n
sampler.sources.ConditionedSource.streams: bits_each n, count n
sampler.sources.ConstantSource.__init__: seed z, stream n, value z
sampler.sources.ConstantSource.read: bits n
sampler.sources.ConstantSource.skip: bits z
sampler.sources.ConstantSource.streams: bits_each n, count n
sampler.sources.CorrelatedSource.__init__: rho r, seed z, stream n
sampler.sources.CorrelatedSource.read: bits n
sampler.sources.CorrelatedSource.skip: bits z
sampler.sources.CorrelatedSource.streams: bits_each n, count n
sampler.hook.HardwareNoise.__init__: bits_per_normal z
sampler.hook.HardwareNoise.picture_generator: picture z
sampler.sources.LeaseSource.read: bits n
sampler.sources.LeaseSource.read_parts: bits n
sampler.sources.LeaseSource.streams: bits_each n, count n
sampler.sources.picture_streams: bits_each n, count n
sampler.sources.OperatingSystemSource.read: bits n
sampler.sources.OperatingSystemSource.streams: bits_each n, count n
sampler.sources.RepeatedSource.__init__: seed z, start n, stream n, stretch z
sampler.sources.RepeatedSource.read: bits n
sampler.sources.RepeatedSource.streams: bits_each n, count n
sampler.sources.RepeatedSource.skip: bits z
sampler.drawing.SampleSettings.__init__: bits_per_normal z, eta r, floor r, microbatch z, steps z
sampler.sources.SoftwareSource.__init__: seed z, stream n
sampler.sources.SoftwareSource.read: bits n
sampler.sources.SoftwareSource.skip: bits z
sampler.sources.SoftwareSource.streams: bits_each n, count n
sampler.sources.StoreSource.__init__: min_entropy p, wait r0
sampler.sources.StoreSource.lease: recorded n1
sampler.sources.StoreSource.promised: recorded n1
sampler.sources.StoreSource.stretch: recorded n1
sampler.sources.StoreSource.read: bits n
sampler.sources.SourceSpec.__init__: cells z, fraction r, p r, rho r, seed z, start n, stream n, stretch z
sampler.sources.SourceSpec.with_seed: seed z
sampler.sources.StuckSource.__init__: cells z, fraction r, seed z, stream n
sampler.sources.StuckSource.read: bits n
sampler.sources.StuckSource.skip: bits z
sampler.sources.StuckSource.streams: bits_each n, count n
sampler.training.TrainSettings.__init__: batch z, checkpoint_every z, ema r, peak_rate r, seed z, steps z,
    process_steps z
sampler.training.architecture_of_widths: channels z, dropout r, image_size z, labels z, layers z, widths z[]
sampler.drawing.bill: pictures n
sampler.processes.first_law: shape n[]
sampler.processes.BinaryProcess.__init__: steps z
sampler.processes.BinaryProcess.flip_law: t n, to n
sampler.processes.BinaryProcess.times: steps z
sampler.processes.grow: shape n[], steps z, floor r
sampler.processes.step_options: eta r
sampler.processes.build_scheduler: steps z
sampler.drawing.check_labels: known n, labels z[]
sampler.drawing.contact_sheet: columns z, scale z
sampler.drawing.fitting_microbatch: available n, pictures n
sampler.hook.hardware_noise: bits_per_normal z, pictures n
sampler.integers: count n, span n1
sampler.training.load_data: channels z, size z
sampler.native_draws.ColumnSumNormal.__init__: cells n1, dither r0
sampler.native_draws.ExponentFloat.__init__: exponent_bits z=1, mantissa_bits z=1
sampler.noise_sampler: bits_per_normal z
sampler.normal_bits: count n, width n
sampler.normal_levels: width z
sampler.normal_levels_sha256: width z
sampler.normals: count n, threads z, width z
sampler.permutation: count n
sampler.hook.picture_generator: picture z
sampler.drawing.picture_name: label n, number n
sampler.drawing.draw_parts: kept n
sampler.drawing.sample: first n, labels z[]
sampler.drawing.save_sheet: columns z, scale z
sampler.drawing.traced_steps: frames z, steps z
sampler.training.training_bill: done n, images n1
sampler.training.training_stream: seed z
sampler.uniforms: mantissa z
sampler.comparison.Plan.training_of: number n
sampler.comparison.arm_frechet: key n, level p+
sampler.comparison.compare_runs: alpha p+, key n, margin r, permutations n1
sampler.comparison.difference: alpha p+, key n, permutations n1
sampler.comparison.equivalence: key n, margin r, resamples n1
sampler.comparison.equivalence_power: degrees i+, error r0, margin r+
sampler.comparison.evaluate: key n, replicates z
sampler.comparison.kernel_distance: reference_mean r
sampler.comparison.manifold: k n1
sampler.comparison.quality: k n1
sampler.comparison.raw_claim: cells n1
sampler.comparison.train_classifier.train_classifier: epochs n1, seed n
sampler.hook.streams_noise: bits_per_normal z
sampler.sources.PortionSource.__init__: total n
sampler.sources.PortionSource.read: bits n
sampler.sources.NumberedStreams.stream: i n
sampler.sources.streams_of: bits_each n, count n
sampler.sources.whole_bytes: bits n
sampler.training.NamedSources.read: bits n
instruments.Bench.check_field: field r
instruments.Bench.set_field: field r
instruments.BoardRole.set_write_pulse: period r, voltage r, width r
instruments.BoardRole.set_reset_pulse: voltage r, width r
instruments.BoardRole.set_read: settle r, voltage r
instruments.BoardRole.set_trims: voltage r
instruments.BoardRole.apply_trims: voltage r, width r
instruments.BoardRole.trim_range: voltage r
instruments.BoardRole.check_pulse: voltage r, width r
instruments.Conditions.pulse_seconds: rows n
instruments.Conditions.__init__: columns n1, period r, read_voltage r, reset_voltage r, reset_width r,
    rows n1, settle r, target r, temperature r, tolerance r, voltage r, width r
instruments.DrawConditions.pulse_seconds: rows n
instruments.DrawConditions.__init__: columns n1, highest r, hold r, lowest r, period r, pulses n1, read_voltage r,
    reset_voltage r, reset_width r, rows n1, settle r, temperature r, voltage r, width r
instruments.SignalPath.__init__: assumed_load i+, attenuation r0, load r+, overshoot r0, source_impedance r0
mock_hw.Lab.__init__: seed n
mock_hw.Lab.from_toml: seed n
mock_hw.Lab.default: seed n
mock_hw.physics.MacrospinDevice.__init__: cells n1, seed n
mock_hw.physics.MacrospinDevice.of: cells n1, seed n
mock_hw.physics.MacrospinDevice.switching_probability: field r, temperature r+, width a
mock_hw.physics.MacrospinDevice.retention_rate: field r, temperature r+, voltage r
mock_hw.physics.MacrospinDevice.resistances: relaxed i0, settle r+, temperature r+, voltage r
mock_hw.physics.MacrospinDevice.read_noise: settle r+, temperature r+, voltage r
mock_hw.physics.MacrospinDevice.advance: seconds r
mock_hw.physics.MacrospinDevice.wear: pulses n
mock_hw.Selection.__init__: first_column n, first_row n, last_column n, last_row n
mock_hw.Sequence.__init__: field r, hold r, period r+, read_voltage r, reset_voltage r, reset_width r0, settle r+,
    temperature r+, width r0
mock_hw.SimulatedArray.__init__: columns n1, rows n1, seed n
mock_hw.SimulatedArray.rest: field r, hold r, seconds r, temperature r+
mock_hw.SimulatedArray.escape_rates: field r, temperature r+, voltage r
mock_hw.SimulatedArray.decay: field r, hold r, seconds r, temperature r+
mock_hw.serve: seed n
mock_hw.boxes.array_board.ArrayBoard.__init__: dac_bits n1=8, temperature r+
mock_hw.boxes.array_board.ArrayBoard.limit: value r
mock_hw.boxes.array_board.ArrayBoard.set_hold: volts r
mock_hw.boxes.array_board.Limits.__init__: hold r0, read r0, voltage r0, width r0
mock_hw.boxes.array_board.Settings.after_reset: columns n1, dac_bits n1=8, rows n1
mock_hw.boxes.array_board.Settings.sequence: temperature r+
mock_hw.boxes.array_board.Settings.__init__: block n, count n, dac_bits n1=8, dac_high r, dac_low r, hold r,
    period r+, read_voltage r, reset_voltage r,
    reset_width r0, settle r+, voltage r, watchdog r0, width r0
mock_hw.faults.FaultyBoard.__init__: seed n
mock_hw.physics.DeviceParameters.macrospin: anisotropy r, in_plane r, out_of_plane r, temperature r0
mock_hw.physics.FokkerPlanck.__init__: degree n1
mock_hw.physics.FokkerPlanck.generator: voltage r
mock_hw.physics.FokkerPlanck.equilibrium: sign z=1
mock_hw.physics.FokkerPlanck.committor: settle r0
mock_hw.physics.FokkerPlanck.switching: fall r0, rise r0, settle r0
mock_hw.physics.Macrospin.energy: voltage r
mock_hw.physics.Macrospin.__init__: anisotropy r, anisotropy_per_volt r, applied a, damping r0,
    demagnetisation a, moment r+, temperature r0, torque_per_volt r
mock_hw.physics.SwitchingTable.probability: state n=1
mock_hw.physics.equilibrium: cells n1, seed n, temperature r+
mock_hw.physics.escape_rate: damping r0, moment r+, temperature r0
mock_hw.physics.hysteresis: seconds r0, temperature r+
mock_hw.physics.resistance: cos_theta a, parallel a, temperature r0, tmr a, voltage r
mock_hw.physics.simulate: every n1, seed n, settle r0, step r+, temperature r0, threads n1, width r0
"""
