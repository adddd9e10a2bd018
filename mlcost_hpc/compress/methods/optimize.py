"""Graph optimization done once, offline: loads faster, runs as before; the file may be no smaller."""

from __future__ import annotations

from mlcost_hpc.compress.methods.base import Method, Options, Rung, Subject, Workshop, only_rung
from mlcost_hpc.compress.runtime import load_runtime


class OptimizeOptions(Options, frozen=True, kw_only=True):
    """No options."""


def apply(subject: Subject, rung: Rung, shop: Workshop) -> Subject:  # noqa: ARG001
    """Write the graph at the extended level: the level above it is laid out for the writer's processor."""
    ort = load_runtime()
    target = shop.path("optimized")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = shop.threads
    options.log_severity_level = 3
    ort.InferenceSession(str(subject.onnx), options, providers=["CPUExecutionProvider"])
    return Subject(onnx=target)


METHOD = Method(name="optimize", options=OptimizeOptions, rungs=only_rung, apply=apply)
