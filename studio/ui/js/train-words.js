/* Owns: the texts about a watched run, from its numbers. Pure functions of what live.js knows. */
(() => {
  const { h, icon, figure, bytes, memory: gigabytes, took, about, clock, when, count, live, translate } = window.studio;
  const PHASES = [["preparing", "Preparing"], ["loading", "Loading the model"], ["reading", "Reading rows"], ["training", "Training"], ["saving", "Saving"]];
  const RULES = { "cut-off": "cut off", diverged: "diverged", "never-predicted": "never predicted", "no-change": "no change", "noisy-validation": "noisy validation", overfitting: "overfitting",
    "rate-too-high": "rate too high", "rate-too-low": "rate too low", summary: "summary", "too-good": "too good", underfitting: "underfitting" };
  const ENDED = ["finished", "stopped"], LOST = ["interrupted", "failed"], BUSY = 0.6;

  /* --- what follows from the numbers --- */
  function understand(data, run) {
    const steps = data.steps, end = steps[steps.length - 1], checks = data.checks;
    const recent = steps.slice(-20), best = checks.find((row) => row[0] === data.best);
    const numbers = checks.filter((row) => row[1] !== null), every = rhythm(checks, data.about);
    const lastCheck = checks[checks.length - 1];
    return {
      about: data.about || {}, last: end?.[0], every, best,
      first: numbers[0], lastCheck, score: best ? judged(data, best) : "",
      speed: recent.length ? recent.reduce((sum, row) => sum + row[4], 0) / recent.length : null,
      memory: end ? end[5] * 1e6 : null,
      next: run.steps && every ? Math.min(run.steps, (lastCheck ? lastCheck[0] : 0) + every) : null,
      summary: best && end ? `Training loss ${figure(end[1])} at step ${end[0]}. ${judged(data, best) ? `${judged(data, best)} is best at step ${best[0]}, where validation loss is ${figure(best[1])}.` : `Validation loss is lowest at step ${best[0]} with ${figure(best[1])}.`}` : "",
    };
  }
  /* The best step is the one with the lowest validation loss, or the best score where the task has one. */
  const judged = (data, check) => { const score = data.about?.judge, value = score ? check[3]?.[score[0]] : undefined; return value === undefined ? "" : `${score[1]} ${score[2] ? share(value) : figure(value)}`; };
  const share = (value) => `${+(100 * value).toFixed(1)}%`;
  const rhythm = (checks, told) => (told?.eval_steps || (checks.length > 1 ? checks[1][0] - checks[0][0] : 0));
  /** The curve can be ahead of the record of the run. */
  const stepOf = (run, data) => Math.max(run.step || 0, data.steps.at(-1)?.[0] || 0, data.checks.at(-1)?.[0] || 0);
  const phaseWord = (run, data) => (run.phase === "training" && run.steps ? `Training, step ${stepOf(run, data).toLocaleString("en")} of ${run.steps.toLocaleString("en")}` : PHASES.find(([name]) => name === run.phase)?.[1] || "Preparing");
  const startedAt = (run, data) => (run.status === "queued" ? "" : live.working(run) ? `started ${clock(new Date(run.started))}` : `${when(run.started)}${run.seconds ? `, ${duration(run, data)}` : ""}`);
  /** The estimate beside the actual time of a finished run. A small share of the CPU shows that the machine was busy. */
  function duration(run, data) {
    const [words, most] = data.about?.estimate || [], time = took(run.seconds);
    if (!words || run.status !== "finished") return `took ${time}`;
    const shares = data.steps.map((row) => row[9]).filter((share) => share != null), mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    return run.seconds > most && mean < BUSY ? `took ${time} (estimated ${words}; the machine was busy)` : `took ${time} (estimated ${words})`;
  }

  /* --- words and numbers --- */
  function phases(run, data) {
    const at = Math.max(0, PHASES.findIndex(([name]) => name === run.phase));
    const over = ENDED.includes(run.status), lost = LOST.includes(run.status), stopping = run.wish === "pause" ? "Pausing after this step" : "Stopping after this step";
    return PHASES.map(([name, words], place) => {
      if (run.status === "queued") return h("li", {}, words);
      if (over || place < at) return h("li.done", {}, icon("tick"), words);
      if (place > at) return h("li", {}, words);
      if (lost) return h("li.bad", { "aria-current": "step" }, icon("cross"), `${run.status === "failed" ? "Failed" : "Interrupted"}${run.steps ? `, step ${run.step} of ${run.steps}` : `: ${words.toLowerCase()}`}`);
      const told = [...data.phases].reverse().find((each) => each.phase === name);
      const much = told?.total ? `, ${(told.done ?? 0).toLocaleString("en")} of ${told.total.toLocaleString("en")} ${told.unit || ""}`.trimEnd() : "";
      return h("li.now", { "aria-current": "step" }, h("i.dot"), run.status === "stopping" ? stopping : run.status === "paused" ? "Paused" : name === "training" && (run.step || !run.doing) ? phaseWord(run, data) : run.doing || words + much);
    });
  }
  function left(run, facts) {
    const share = `${Math.min(99, Math.round((run.share || 0) * 100))}%`;
    if (run.status === "queued") return [h("b", {}, "Waiting"), h("span.muted", {}, run.ahead ? count(run.ahead, " · {n} run ahead of it", " · {n} runs ahead of it") : " · next in the queue")];
    if (run.status === "paused") return [h("b", {}, run.step ? `Paused at step ${run.step}` : "Paused"), h("span.muted", {}, run.steps ? ` of ${run.steps}` : "")];
    if (run.status === "finished" && run.steps && facts.last && facts.last < run.steps) return [h("b", {}, `Stopped early at step ${facts.last}`), h("span.muted", {}, count(run.steps - facts.last, " · {n} step not needed", " · {n} steps not needed"))];
    if (run.status === "finished") return [h("b", {}, "Finished"), h("span.muted", {}, run.steps ? count(run.steps, " · {n} step", " · {n} steps") : "")];
    if (run.status === "stopped") return [h("b", {}, run.step ? `Stopped at step ${run.step}` : "Stopped"), h("span.muted", {}, run.steps ? ` of ${run.steps}` : "")];
    if (LOST.includes(run.status) && !run.steps) return [h("b", {}, run.status === "failed" ? "Failed" : "Interrupted")];
    if (LOST.includes(run.status)) return [h("b", {}, share), h("span.muted", {}, count(run.steps, " of {n} step", " of {n} steps"))];
    const later = run.left === undefined ? null : h("span.muted", {}, ` · ${about(run.left)} left · done by ${clock(new Date(Date.now() + run.left * 1000))}`);
    if (run.doing && !run.step) return [h("b", {}, run.doing)];
    const doing = run.phase === "training" && run.doing;   // in other phases, the list of phases has it
    return [h("b", {}, share), later, doing ? h("span.muted", {}, " · ", h("span", {}, doing)) : null];
  }
  function bar(track, run) {
    const share = Math.round((run.status === "finished" ? 1 : run.share || 0) * 1000) / 10;
    track.setAttribute("aria-valuenow", Math.round(share));
    track.setAttribute("aria-label", translate(LOST.includes(run.status) ? "Training, interrupted" : "Training"));
    track.firstElementChild.style.width = `${share}%`;
    track.firstElementChild.classList.toggle("grey", LOST.includes(run.status) || (run.status === "stopped" && !run.result));
  }
  function factsLine(run, { best, score, first, speed, memory, about: told, next }) {
    const fact = (words, value, rest) => h("span", {}, `${words} `, h("b", {}, value), rest || "");
    const working = live.working(run), whole = told.memory ? ` of ${gigabytes(told.memory)}` : "";
    return [
      best && fact(score ? "Best on validation" : "Best validation loss", score || figure(best[1]), ` at step ${best[0]}`),
      !working && first && first[0] === 0 && fact("Validation loss before training", figure(first[1])),
      speed !== null && fact("Speed", figure(speed), " rows/s"),
      memory && fact(working ? "Memory" : "Peak memory", gigabytes(memory), whole),
      working && run.phase === "training" && next && next > (run.step || 0) && fact("Next validation at step", String(next)),
    ].filter(Boolean);
  }
  function before(run) {
    const other = live.bar && live.bar.id !== run.id && live.working(live.bar) ? live.bar : null;
    if (other) return other.left === undefined ? `Another run is running: ${other.name}.` : `Another run is running: ${other.name}, ${about(other.left)} left.`;
    return run.ahead ? count(run.ahead, "{n} run ahead of it.", "{n} runs ahead of it.") : "It is next in the queue.";
  }
  /** Texts with a space between them, each translated by itself. */
  const sentences = (...texts) => texts.flat().filter(Boolean).flatMap((text, at) => (at ? [" ", text] : [text]));
  function note(run, facts, offline) {
    const frame = (kind, sign, loud, heading, text, ...more) => h(`section.note.${kind}`, { role: loud ? "alert" : "status" }, icon(sign), h("div.grow.stack.tight", {}, h("h2", {}, heading), h("p", {}, sentences(text))), ...more);
    if (offline) return frame("warn", "warn", false, "The server does not answer", "The run continues without this page. The page tries again every few seconds. No part of the curve will be missing.", h("button.btn.s", { type: "button", "data-do": "again" }, "Try again now"));
    if (run.status === "queued" && run.reason) return frame("acc", "info", false, "Waiting for memory", [run.reason.replace("Waiting for memory: it", "It"), "It starts when enough memory is free."]);
    if (run.status === "queued") return frame("acc", "info", false, "Waiting", [before(run), "This run starts automatically."]);
    if (run.status === "paused") return frame("acc", "info", false, "Paused", [run.reason, "Other runs can start. Resume puts this run at the end of the queue."]);
    if (LOST.includes(run.status)) {
      const failed = run.status === "failed";
      const heading = !run.steps ? (failed ? "The run failed" : "The run stopped") : failed ? `The run failed at step ${run.step} of ${run.steps}` : `The run stopped at step ${run.step} of ${run.steps}`;
      return frame("error", "cross", true, heading, run.reason || "The training process ended before the run was complete.");
    }
    if (run.status === "finished" && run.reason) return frame("ok", "tick", false, /^Early stopping/.test(run.reason) ? "Stopped early" : /^The run has reached its limit/.test(run.reason) ? "Step limit reached" : "Finished", run.reason);
    return run.status === "stopped" ? frame(...stopped(run)) : "";
  }
  /* The reason says who ended a run that did not end by itself. */
  function stopped(run) {
    if (!run.result) return ["warn", "info", false, "Stopped, no result", run.reason || "There is no fine-tuned model. You can resume or delete the run."];
    const kept = run.best === undefined ? "The fine-tuned model is ready to evaluate, chat with and export." : `The checkpoint from training step ${run.best} is ready to evaluate, chat with and export.`;
    if (/SIGTERM/.test(run.reason)) return ["warn", "info", false, "Ended by the system", ["The system or another program asked the training process to end (SIGTERM).", kept]];
    return ["ok", "tick", false, /its longest time|time limit/.test(run.reason) ? "Time limit reached" : /disk space/.test(run.reason) ? "Disk space used up" : "Stopped by you", kept];
  }
  /* --- the coach: current advice, the summary first, then by severity; `ok` retracts the advice of a rule --- */
  const GRAVE = { error: 0, warn: 1, undefined: 1, info: 2 };
  function standing(told, run) {
    /* The summary of a run that trains again is of its first end. */
    const said = live.working(run) ? told.filter((each) => each.rule !== "summary") : told;
    const last = new Map();
    for (const each of said) if (each.rule) last.set(each.rule, each);
    return said.filter((each) => !each.rule || (last.get(each.rule) === each && each.severity !== "ok"))
      .sort((a, b) => (b.rule === "summary") - (a.rule === "summary") || GRAVE[a.severity] - GRAVE[b.severity] || b.step - a.step);
  }
  function doing(run, data, each, first) {
    return (each.actions || []).map((action, at) => ({ ...action, at: at + 1 })).filter((action) => action.kind !== "stop" || ["starting", "training"].includes(run.status))
      .map((action, place) => {
        const kind = first && !place ? "button.btn.accent" : "button.btn";
        const there = action.tab === "data" ? { "data-do": "run-rows" } : { "data-goto": action.tab };   /* with the rows of this run */
        if (action.kind === "open") return h(kind, { type: "button", ...there }, action.label);
        const label = action.kind === "stop" && data.best ? `Stop and keep step ${data.best}` : action.label;
        return h(kind, { type: "button", "data-do": "follow", "data-rule": each.rule, "data-choice": action.at }, label);
      });
  }
  function advice(run, data, evaluated) {
    const [first, ...others] = standing(data.advice, run);
    if (!first) return null;
    const done = evaluated && !!first.actions?.length && first.actions.every((each) => each.kind === "open" && each.tab === "evaluate");   /* what it proposes */
    const sign = { error: ["error", "cross"], info: ["idle", "info"] }[first.severity] || ["warn", "warn"];
    const back = data.advice.filter((each) => each.severity === "ok").slice(-1);
    return [
      h("div.row.wrap", {}, h("h2", { id: "coach" }, "Coach"), h("span.right", {}, h(`span.state.${sign[0]}`, {}, icon(sign[1]), first.title))),
      h("p", {}, first.message), first.why || (first.action && !done) ? h("p.muted", {}, sentences(first.why, done ? "" : first.action)) : null,
      ...(done ? [] : doing(run, data, first, true)),
      first.rule ? h("small", {}, h("span", {}, RULES[first.rule] || first.rule.replaceAll("-", " ")), ` · step ${first.step}`) : null,
      ...others.map((each) => h("details.also", { "data-rule": each.rule || null, open: !!document.querySelector(`[data-part=side] details[data-rule="${each.rule}"]`)?.open }, h("summary.small", {}, h("span.muted", {}, `Step ${each.step}`), " ", each.title),
        h("p.small", {}, sentences(each.message, each.why, each.action)), ...doing(run, data, each, false))),
      ...back.map((each) => h("p.earlier.small", {}, h("span", {}, `Step ${each.step}`), h("span", {}, each.title))),
    ];
  }
  function coach(run, data, evaluated, { first, best, score, lastCheck, next, about: told }) {
    const said = advice(run, data, evaluated);
    if (said) return said;
    const head = (state) => h("div.row", {}, h("h2", { id: "coach" }, "Coach"), state ? h("span.right", {}, state) : null);
    const lines = [];
    if (ENDED.includes(run.status)) {
      if (first && best && first[1] !== null) lines.push(`Validation loss went from ${figure(first[1])} to ${figure(best[1])}.`);
      if (run.result && best) lines.push(`The result is the checkpoint from step ${run.best ?? best[0]}, ${score ? `the best with ${score}` : "with the lowest validation loss"}.`);
    } else if (run.phase === "saving" && data.steps.length) lines.push("All steps are done. The result is measured and saved now.");
    else if (run.phase !== "training" && data.steps.length) lines.push(`Training continues after step ${run.step}. The curve so far stays.`);
    else if (run.phase !== "training") lines.push("No advice yet. The curve begins with the first step.");
    else if (!data.checks.length) lines.push("Training loss is measured at every step, on the rows of that step. There was no validation yet.");
    else if (best && lastCheck) {
      if (score) lines.push(lastCheck[0] === best[0] ? `${score} at step ${best[0]} is the best so far.` : `${judged(data, lastCheck)} now; the best was ${score} at step ${best[0]}.`);
      else lines.push(lastCheck[0] === best[0] ? `Validation loss ${figure(lastCheck[1])} at step ${lastCheck[0]} is the lowest so far.` : `Validation loss is ${figure(lastCheck[1])} now; the lowest was ${figure(best[1])} at step ${best[0]}.`);
      if (told.keep_best !== false) lines.push(`${score ? "The checkpoint with the best value becomes the result." : "The checkpoint with the lowest value becomes the result."}${next && next > run.step ? ` The next validation is at step ${next}.` : ""}`);
    }
    const small = told.patience && live.working(run) ? `Early stopping: training ends after ${count(told.patience, "{n} validation", "{n} validations")} without ${score ? "a better value" : "a new minimum"}.` : "";
    const kept = run.result ? h("span.state.ok", {}, icon("tick"), run.best !== undefined ? `Step ${run.best} kept` : "Kept") : null;
    return [head(kept), ...lines.map((line, at) => h(at ? "p.muted" : "p", {}, line)), small ? h("small", {}, small) : null];
  }
  function wayOn(run, data) {
    const size = bytes(run.bytes || 0), safe = run.saved !== undefined;
    const from = safe ? `Resume from step ${run.saved.toLocaleString("en")}` : "Start again";
    const said = advice(run, data);
    return [said ? h("div.stack.mid.coach-said", {}, said) : null, h("div.bar", {}, h("h2", {}, "What you can do")), h("ul.list.opts", {},
      h("li", {}, h("span.grow", {}, h("b", {}, from), h("small", {}, safe ? "Same order of rows and same seed: the result is the same as without the interruption." : `${run.way || ""} It trains with the same rows and settings.`)), h("span.tag.acc", {}, "suggested")),
      run.keeps === undefined ? null : h("li", {}, h("span.grow", {}, h("b", {}, `Finish with step ${run.keeps.toLocaleString("en")}`), h("small", {}, "Training ends here. The checkpoint becomes the fine-tuned model."))),
      h("li", {}, h("span.grow", {}, h("b", {}, "Delete run"), h("small", {}, run.result ? `Deletes its curve, log, checkpoints and fine-tuned model, ${size}.` : `Deletes its curve, log and checkpoints, ${size}.`)),
        h("button.btn.s.danger", { type: "button", "data-do": "delete", "data-ask": [run.result ? `Delete ${run.name}: its curve, log, checkpoints and fine-tuned model, ${size}?` : `Delete ${run.name}: its curve, log and checkpoints, ${size}?`, "This can't be undone."].join(" ") }, "Delete run")))];
  }
  const AUTOMATIC = ["automatic", "on", "off", "yes", "no"];
  function settings(groups) {
    return h("div.setting-list", {}, groups.map((group) => h("section", {}, h("h3", {}, group.title), h("dl.facts", {},
      group.rows.flatMap(([label, value, unit, library]) => [h("dt", {}, label, " ", h("small.mono", { translate: "no" }, library)), h("dd", {}, AUTOMATIC.includes(value) ? value : h("bdi", { translate: "no" }, value), unit ? [" ", h("span", {}, unit)] : null)])))));
  }
  window.studio.trainWords = { LOST, understand, phaseWord, startedAt, phases, left, bar, factsLine, note, coach, wayOn, settings };
})();
