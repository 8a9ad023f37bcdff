/* Owns: the run bar in the header: state, name, progress, time left and the one button that leads there. */
(() => {
  const { h, icon, put, about, took, live } = window.studio;
  const STATES = {
    queued: ["idle", "info", "Waiting"], paused: ["idle", "info", "Paused"], starting: ["run", "", "Starting"], training: ["run", "", "Training"],
    stopping: ["run", "", "Stopping"], finished: ["ok", "tick", "Finished"], stopped: ["ok", "tick", "Stopped"],
    interrupted: ["error", "cross", "Interrupted"], failed: ["error", "cross", "Failed"],
  };
  /** The word of a state, with its color and sign. */
  function state(status, result) {
    const [kind, sign, word] = status === "stopped" && !result ? ["idle", "info", "Stopped"] : STATES[status] || ["idle", "info", status];
    return h(`span.state.${kind}`, {}, sign ? icon(sign) : h("i.dot"), word);
  }

  window.studio.runbar = (element) => {
    const send = window.studio.sender(element);
    const bar = element.querySelector(".runbar");
    const draw = () => {
      const run = live.bar;
      bar.classList.toggle("none", !run);
      if (!run && !live.offline) return put(bar, h("span.muted", {}, "No run is running"));
      if (live.offline) return put(bar, h("span.state.warn", {}, icon("warn"), "Offline"), h("span.muted", {}, h("span", { translate: "no" }, run ? run.name : ""), h("span.long", {}, " · trying again")));
      put(bar, state(run.status, run.result), h("span.name", { translate: "no" }, run.name), ...place(run), ...middle(run), button(run));
    };
    bar.addEventListener("click", (e) => {
      const to = e.target.closest("[data-to]");
      if (to && live.bar.project) window.studio.openProject(live.bar.project.id, live.bar.id);
      else if (to) send({ act: "open", run: live.bar.id, to: to.dataset.to });
    });
    live.on(() => { if (document.contains(element)) draw(); });
    draw();
    live.now();
  };

  /** The project of a run, where it is another than the open one. */
  function place(run) {
    return run.project ? [h("span.muted.place", {}, "Project: ", h("bdi", { translate: "no" }, run.project.title))] : [];
  }
  function middle(run) {
    if (live.working(run) && run.status !== "queued") {
      const share = Math.min(99, Math.round((run.share || 0) * 100));
      return [h("span.track", { role: "img", "aria-label": `${share} percent` }, h("i", { style: `width:${share}%` })),
        h(run.doing && !run.step ? "span.muted.doing" : "span.muted", {}, run.doing && !run.step ? h("span.long", {}, run.doing) : `${share}%`, run.left === undefined ? null : h("span.long", {}, ` · ${about(run.left)} left`))];
    }
    const kept = run.best !== undefined ? `best step ${run.best}` : run.steps ? `step ${run.step} of ${run.steps}` : "";
    const reached = run.steps ? `at step ${run.step} of ${run.steps}` : "";
    const words = { queued: run.ahead ? `${run.ahead} ahead of it` : "next in the queue", interrupted: reached, paused: reached, failed: reached }[run.status] ?? kept;
    return [h("span.muted", {}, words, run.result && run.seconds ? h("span.long", {}, ` · ${took(run.seconds)}`) : null)];
  }
  function button(run) {
    const ended = ["interrupted", "failed"].includes(run.status), working = live.working(run), chat = run.result && !working;
    const [words, label] = chat ? ["Chat", `Chat ${run.name}`] : ended ? ["See why", `See why ${run.name}`] : working ? ["Watch", `Watch ${run.name}`] : ["Open", `Open ${run.name}`];
    return h("button.btn.s", { type: "button", "data-to": chat ? "chat" : "train", "aria-label": label }, words);
  }
})();
