"""A model of 135 million weights and machines, as planning gets them."""

from studio.machine.facts import Gpu, MachineFacts
from studio.schema.models import ModelInfo

GB = 2**30
LAPTOP = MachineFacts(2, 24 * GB, 20 * GB, 50 * GB, (), True)
GPU = MachineFacts(16, 64 * GB, 60 * GB, 50 * GB, (Gpu("A100", 80 * GB, 78 * GB),), True)
MACHINE = MachineFacts(cores=4, memory_total=2**35, memory_available=2**35, disk_free=2**40, bfloat16_fast=True)
SMALL = ModelInfo(
    name="starter-chat",
    title="SmolLM2 135M",
    source="starter",
    kind="causal",
    parameters=134_515_008,
    context=8192,
    layers=30,
    hidden=576,
    intermediate=1536,
    vocabulary=49_152,
)
LARGE = SMALL.model_copy(
    update={"name": "a/b", "parameters": 7 * 10**9, "layers": 32, "hidden": 4096, "intermediate": 11008}
)
ENCODER = ModelInfo(
    name="starter-classify",
    title="MiniLM",
    source="starter",
    kind="encoder",
    parameters=22_713_216,
    context=512,
    layers=6,
    hidden=384,
    intermediate=1536,
    vocabulary=30_522,
)
MODEL = SMALL.model_copy(
    update={
        "name": "m",
        "title": "M",
        "source": "folder",
        "architecture": "LlamaForCausalLM",
        "context": 2048,
        "tasks": ("chat",),
        "here": True,
    }
)
"""The same weights in a folder, with room for 2,048 tokens."""
