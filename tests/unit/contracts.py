"""The undocumented names of libraries that studio/ depends on: the table of test_contracts.py.

Kinds:

- override: our class replaces this method of the library's class. When the library renames it, ours stops running.
- attribute: we read, write or call this attribute of an object or module.
- patch: we replace this name in a module of the library.
- text: the library uses this text or keyword in a function.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["override", "attribute", "patch", "text"]


@dataclass(frozen=True)
class Contract:
    """A name of a library that one of our files depends on."""

    file: str
    """Below studio/."""
    kind: Kind
    owners: str
    """Dotted names of the classes, modules or functions that have it, separated by spaces."""
    name: str
    why: str
    parameters: str = ""
    """Parameters that we pass or receive, in their order."""
    path: str = ""
    """From a public function of the library to the name: each mentions the next, and the last one mentions the name."""


def contracts(file: str, kind: Kind, owners: str, *rows: tuple[str, ...]) -> list[Contract]:
    """Contracts of one file with one library. A row has a name, why we need it, and optionally parameters and path."""
    return [Contract(file, kind, owners, *row) for row in rows]


TRAIN = "train _inner_training_loop"
PREPARE = f"{TRAIN} _prepare_for_training"
STEP = f"{TRAIN} _run_epoch"
AFTER_STEP = f"{STEP} _maybe_log_save_evaluate"
SAVE, EVALUATE = f"{AFTER_STEP} _save_checkpoint", f"{AFTER_STEP} _evaluate"
LOADER, LOSS = "get_train_dataloader", "model, inputs, return_outputs, num_items_in_batch"
ADAMW = (
    "params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, fused, "
    "amsgrad, beta1, beta2, lr, weight_decay, eps, maximize"
)

TRAINER, SEQ2SEQ = "transformers.Trainer", "transformers.Seq2SeqTrainer"
SFT, DPO, KTO = "trl.SFTTrainer", "trl.DPOTrainer", "trl.KTOTrainer"
PREFERENCE = f"{DPO} {KTO}"
TRAINERS = f"{TRAINER} {SEQ2SEQ} {SFT} {PREFERENCE}"
CALLBACK, HANDLER = "transformers.TrainerCallback", "transformers.trainer_callback.CallbackHandler"
MODEL, CONFIG = "transformers.PreTrainedModel", "transformers.PreTrainedConfig"
AUTOGRAD, OPTIMIZER = "torch.autograd.Function", "accelerate.optimizer.AcceleratedOptimizer"
BLOCKS, QUEUE, ROUTES = "gradio.Blocks", "gradio.queueing.Queue", "gradio.routes.App.create_app"
H11, CYCLE = (f"uvicorn.protocols.http.h11_impl.{name}" for name in ("H11Protocol", "RequestResponseCycle"))
FLOW, STREAMING = "uvicorn.protocols.http.flow_control.FlowControl", "starlette.responses.StreamingResponse"
ROUTE, HEAD = "fastapi.routing.APIRoute", "peft.utils.ModulesToSaveWrapper"


def callbacks(file: str, **rows: tuple[str, str]) -> list[Contract]:
    """Methods of a trainer callback: why we need each, and the method of the trainer that leads to it."""
    return [
        Contract(file, "override", CALLBACK, name, why, "args, state, control", f"{TRAINER}.{caller} {HANDLER}.{name}")
        for name, (why, caller) in rows.items()
    ]


CONTRACTS = (
    # transformers and TRL: methods that our trainers override, private ones first
    *contracts(
        "training/trainers/common.py",
        "override",
        TRAINERS,
        ("_save_checkpoint", "atomic checkpoints", "model, trial", AFTER_STEP),
        ("_get_output_dir", "checkpoints go to the staging folder", "trial", SAVE),
        ("_get_train_sampler", "the order of rows", "train_dataset", LOADER),
        ("_load_from_checkpoint", "number formats after a resume", "resume_from_checkpoint, model", "train"),
        ("get_batch_samples", "rows and tokens of a step", "", STEP),
        ("create_optimizer", "our optimizers and parameter groups", "model", PREPARE),
        (
            "prediction_step",
            "validation loss by row; the base model in slices",
            "model, inputs",
            "evaluate evaluation_loop",
        ),
        ("evaluation_loop", "validation loss by row", "", "evaluate"),
        ("get_eval_dataloader", "batches of the base model's validation fit into slices", "eval_dataset", "evaluate"),
    ),
    *contracts(
        "training/trainers/fsdp.py",
        "override",
        TRAINERS,
        ("_load_from_checkpoint", "sharded weights after a resume", "resume_from_checkpoint, model", "train"),
        ("_save", "sharded weights are saved whole", "output_dir, state_dict", "save_model"),
        ("_save_optimizer_and_scheduler", "sharded optimizer state is saved whole", "output_dir", SAVE),
        ("_load_optimizer_and_scheduler", "sharded optimizer state is loaded", "checkpoint", PREPARE),
        ("_sync_replicated_trainable_parameters", "gradients of an adapter are averaged once", "model", PREPARE),
        ("_defer_fsdp_gradient_reduction", "no process holds all gradients", "", STEP),
        ("_get_grad_norm", "the norm of sharded gradients", "model, grad_norm", STEP),
        ("train", "weights are sharded before the first step"),
        ("training_step", "gradients of replicated weights are averaged", "", STEP),
    ),
    *contracts(
        "training/trainers/reference_model.py",
        "override",
        PREFERENCE,
        ("_compute_loss", "remembered answers of the base model", "model, inputs, return_outputs", "compute_loss"),
        ("_precompute_ref_logps", "TRL does not ask the base model", "dataset, name, batch_size", "__init__"),
        ("_prepare_dataset", "TRL does not encode rows again", "dataset", "__init__"),
        ("log", "means over rows, under our names", "logs, start_time", AFTER_STEP),
    ),
    *contracts(
        "training/trainers/data_parallel.py",
        "override",
        TRAINERS,
        ("train", "DeepSpeed's settings for the run"),
        ("get_train_dataloader", "rows of each process", "", TRAIN),
        ("get_eval_dataloader", "rows of each process", "eval_dataset", "evaluate"),
        ("compute_loss", "weights of a batch among processes", LOSS, "training_step"),
        ("evaluate", "validation draws no random numbers", "", EVALUATE),
        ("evaluation_loop", "rows that fill the last batch are not judged", "", "evaluate"),
    ),
    *contracts(
        "training/trainers/seq2seq.py",
        "override",
        SEQ2SEQ,
        ("evaluate", "generation settings", "", EVALUATE),
        ("evaluation_loop", "the number of answered rows", "", "evaluate"),
        ("prediction_step", "the number of answered rows", "model, inputs", "evaluate evaluation_loop"),
    ),
    *contracts("training/trainers/sft.py", "override", SFT, ("evaluation_loop", "perplexity", "", "evaluate")),
    *callbacks(
        "training/loop/callbacks.py",
        on_train_begin=("the pace of evaluations", "_inner_training_loop"),
        on_substep_end=("a run stops within a step", "_run_epoch"),
        on_step_end=("when to stop, save and evaluate", "_run_epoch"),
        on_log=("step events", "log"),
        on_evaluate=("evaluation events, best step, early stopping", "evaluate"),
        on_prediction_step=("a run stops within an evaluation", "evaluation_loop"),
        on_save=("checkpoint events", "_maybe_log_save_evaluate"),
    ),
    *callbacks(
        "training/loop/head_warmup.py",
        on_train_begin=("only the head learns at first", "_inner_training_loop"),
        on_step_begin=("only the head learns at first", "_run_epoch"),
        on_train_end=("only the head learns at first", "_finalize_training"),
    ),
    # transformers and TRL: attributes
    *contracts(
        "training/loop/run.py",
        "attribute",
        TRAINERS,
        ("_save_checkpoint", "a checkpoint when the user stops a run", "model, trial"),
        ("_load_from_checkpoint", "the best step becomes the result", "resume_from_checkpoint"),
    ),
    *contracts(
        "training/loop/first_batch.py", "attribute", TRAINERS, ("_get_train_sampler", "rows of the first batch")
    ),
    *contracts(
        "training/trainers/reference_model.py",
        "attribute",
        PREFERENCE,
        ("_prepare_inputs", "rows move to the device", "inputs", "training_step"),
        ("_metrics", "numbers of a step", "", "_compute_loss"),
        ("compute_ref_log_probs", "answers of the base model", "model, inputs"),
        ("precompute_ref_logps", "TRL uses our remembered answers", "", "_compute_loss"),
    ),
    *contracts("training/trainers/sft.py", "attribute", SFT, ("_metrics", "probes are not logged", "", "compute_loss")),
    *contracts(
        "training/trainers/feedback.py", "attribute", KTO, ("_train_batch_size", "batches of one row", "", LOADER)
    ),
    *contracts(
        "training/trainers/classification.py",
        "attribute",
        TRAINER,
        ("model_accepts_loss_kwargs", "the loss under gradient accumulation", "", "training_step"),
    ),
    *contracts(
        "training/trainers/seq2seq.py",
        "attribute",
        SEQ2SEQ,
        ("model_accepts_loss_kwargs", "the loss under gradient accumulation", "", "training_step"),
    ),
    *contracts(
        "training/distributed/processes.py", "attribute", TRAINERS, ("deepspeed", "whether DeepSpeed holds the weights")
    ),
    *contracts(
        "training/distributed/processes.py",
        "attribute",
        "trl.models.utils",
        ("unwrap_model_for_generation", "whole weights under DeepSpeed", "model, accelerator"),
    ),
    *contracts(
        "training/distributed/processes.py",
        "text",
        "deepspeed.comm.torch.build_shm_op",
        ("__compatible_ops__", "no compiled all-reduce for inference"),
    ),
    *contracts(
        "training/distributed/fsdp.py",
        "attribute",
        MODEL,
        ("_no_split_modules", "which layers are sharded"),
        (
            "_is_distributed_loading_by_transformers",
            "the trainer does not wrap a sharded model",
            "",
            f"{TRAINER}.__init__ is_distributed_loading_by_transformers",
        ),
    ),
    *contracts(
        "training/batching/packed_attention.py",
        "attribute",
        MODEL,
        ("_supports_attention_backend", "batches without padding"),
    ),
    *(
        contract
        for file in ("batching/packed_attention.py", "losses/cpu_fast_path.py")
        for contract in contracts(
            f"training/{file}",
            "attribute",
            CONFIG,
            ("_attn_implementation", "which attention a model has", "", f"{MODEL}.set_attn_implementation"),
        )
    ),
    *contracts(
        "training/losses/cpu_fast_path.py",
        "patch",
        "trl.trainer.utils",
        ("_use_triton", "logits of learned positions alone on a CPU", "device", "trl.trainer.utils.add_fused_lm_head"),
    ),
    *contracts(
        "inference/templates.py",
        "patch",
        "transformers.tokenization_utils_base",
        (
            "render_jinja_template",
            "chat templates run in a process with limits",
            "",
            "transformers.PreTrainedTokenizerBase.apply_chat_template",
        ),
    ),
    *contracts(
        "training/losses/log_probs.py",
        "text",
        f"{DPO}._compute_loss {KTO}._compute_loss",
        ("fused_lm_head", "token scores"),
    ),
    *contracts(
        "training/trainers/preference.py",
        "text",
        f"{DPO}._compute_loss",
        *((f"rewards/{name}", "reward of a step") for name in ("accuracies", "margins", "chosen", "rejected")),
    ),
    *contracts(
        "training/trainers/feedback.py",
        "text",
        f"{KTO}._compute_loss",
        *((name, "reward of a step") for name in ("rewards/margins", "rewards/chosen", "rewards/rejected", "kl")),
    ),
    # torch, peft and bitsandbytes
    *contracts(
        "training/optimizers/master_weights.py",
        "override",
        "torch.optim.AdamW",
        ("step", "AdamW on float32 copies", "closure", f"{OPTIMIZER}.step"),
        ("load_state_dict", "copies stay in float32", "state_dict", f"{OPTIMIZER}.load_state_dict"),
    ),
    *contracts(
        "export/litert_convert.py",
        "override",
        "torch.nn.modules.module.Module",
        ("forward", "outputs that are exported"),
    ),
    *contracts(
        "training/optimizers/master_weights.py", "attribute", "torch", ("_foreach_copy_", "copies go into the weights")
    ),
    *contracts(
        "training/optimizers/master_weights.py",
        "attribute",
        "torch.optim.adamw",
        ("adamw", "AdamW on float32 copies", ADAMW),
    ),
    *(
        contract
        for file in ("causal_lm", "log_probs")
        for contract in contracts(
            f"training/losses/{file}.py",
            "override",
            AUTOGRAD,
            ("forward", "the loss of learned positions alone"),
            ("backward", "the loss of learned positions alone"),
        )
    ),
    *contracts(
        "training/losses/cpu_fast_path.py", "attribute", "peft.PeftModel", ("active_peft_config", "virtual tokens")
    ),
    *contracts(
        "training/losses/cpu_fast_path.py", "attribute", "peft.PeftConfig", ("is_prompt_learning", "virtual tokens")
    ),
    *contracts(
        "inference/prompt_tuned_model.py",
        "attribute",
        "peft.PeftModel",
        ("get_prompt", "virtual tokens before the text", "batch_size"),
        ("word_embeddings", "virtual tokens before the text"),
    ),
    *contracts("inference/load.py", "attribute", "peft.PeftModel", ("active_adapters", "heads are merged under IA³")),
    *contracts("inference/load.py", "attribute", HEAD, ("modules_to_save", "heads are merged under IA³")),
    *contracts(
        "training/loop/loading.py",
        "attribute",
        "bitsandbytes.nn.Linear4bit",
        ("support_avx512bf16_for_cpu", "gradients of quantized layers on a CPU", "", "forward"),
    ),
    # Gradio
    *contracts("ui/app.py", "attribute", BLOCKS, ("_queue", "an idle server uses less CPU", "", ROUTES)),
    *contracts(
        "ui/app.py",
        "attribute",
        QUEUE,
        ("sleep_when_free", "an idle server uses less CPU", "", "start_processing"),
        ("progress_update_sleep_when_free", "an idle server uses less CPU", "", "start_progress_updates"),
    ),
    # uvicorn, Starlette and FastAPI
    *contracts(
        "ui/http/connections.py",
        "override",
        H11,
        ("_should_upgrade", "no WebSockets", "", "data_received handle_events"),
        ("send_400_response", "malformed requests get our answer", "msg", "data_received handle_events"),
        ("connection_made", "connections are counted", "transport"),
        ("connection_lost", "connections are counted", "exc"),
        ("data_received", "deadlines for requests", "data"),
        ("pause_writing", "deadlines for clients that do not read"),
        ("resume_writing", "deadlines for clients that do not read"),
    ),
    *contracts(
        "ui/http/connections.py",
        "attribute",
        H11,
        *((name, "the state of a connection") for name in ("conn", "cycle", "flow", "loop", "client", "transport")),
    ),
    *contracts(
        "ui/http/connections.py",
        "attribute",
        CYCLE,
        ("disconnected", "an answer ends early", "", "receive"),
        ("message_event", "an answer ends early", "", "receive"),
        ("response_complete", "whether a connection is idle", "", "receive"),
    ),
    *contracts(
        "serving/http_server.py",
        "override",
        "uvicorn.Server",
        ("capture_signals", "signals end the engines, too", "", "serve"),
    ),
    *contracts("ui/http/connections.py", "attribute", FLOW, ("read_paused", "the server is slow", "", "pause_reading")),
    *contracts(
        "ui/http/chat_routes.py",
        "attribute",
        STREAMING,
        ("listen_for_disconnect", "a closed page ends its replies", "receive", "__call__"),
        ("stream_response", "replies are sent", "send", "__call__"),
    ),
    *contracts(
        "ui/http/error_routes.py", "override", ROUTE, ("get_route_handler", "errors become sentences", "", "__init__")
    ),
    # others
    *contracts(
        "cli/help.py",
        "override",
        "typer.core.TyperCommand",
        ("format_help", "a line for each option", "ctx, formatter", "get_help"),
    ),
    *contracts(
        "services/runs/search_engine.py", "attribute", "optuna.trial.FrozenTrial", ("_trial_id", "a trial continues")
    ),
    *contracts(
        "services/runs/search_engine.py", "attribute", "optuna.trial", ("Trial", "a trial continues", "study, trial_id")
    ),
    *contracts(
        "metrics/texts.py",
        "attribute",
        "sacrebleu.metrics.BLEU sacrebleu.metrics.CHRF",
        ("_extract_corpus_statistics", "BLEU and chrF by row", "hypotheses, references", "corpus_score"),
        ("_compute_score_from_stats", "BLEU and chrF of any rows", "stats", "corpus_score _aggregate_and_compute"),
    ),
    *contracts(
        "models/downloads/hub_files.py",
        "patch",
        "huggingface_hub.constants",
        ("HF_HUB_OFFLINE", "no requests to the Hub", "", "huggingface_hub.constants.is_offline_mode"),
    ),
    *contracts("data/hub.py", "attribute", "datasets.ClassLabel", ("_type", "names of classes in Parquet files")),
    *contracts(
        "store/run_folder_import.py",
        "override",
        "yaml.SafeLoader",
        ("compose_node", "no aliases in settings files", "parent, index", "get_single_node compose_document"),
    ),
)
