"""Quantization of a GGUF file by llama.cpp, in the environment of its quantizer.

`run_in_process` calls `quantize` of this file, which is never imported: it must not know the studio.
"""

import ctypes
from typing import Any


def quantize(task: dict[str, Any]) -> None:
    """Write `source` to `file` in the number format `kind`, for example q4_k_m.

    Raises:
        RuntimeError: if llama.cpp can't quantize it.
    """
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{task['kind'].upper()}")
    settings.nthread = task["threads"]
    status = llama_cpp.llama_model_quantize(task["source"].encode(), task["file"].encode(), ctypes.byref(settings))
    if status:
        raise RuntimeError(f"llama.cpp ended with status {status}")
