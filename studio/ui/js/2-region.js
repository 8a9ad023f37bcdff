/* Owns: regions, pieces of page that the server draws: what a person does in one is sent by the name in `data-act`, with
   what `data-about` says is drawn there. */
(() => {
  const { studio } = window;
  const MOST_SENT = 3.5e6;                 /* bytes; the server takes a little more */
  const busy = new Set();
  let sent = 0;                            /* actions of this page so far; a drawing says which it answers */
  const mark = (el) => { if (el.dataset.quiet === undefined) { el.dataset.busy = ""; el.setAttribute("aria-busy", "true"); busy.add(el); } };
  const unmark = () => { for (const el of busy) { delete el.dataset.busy; el.removeAttribute("aria-busy"); } busy.clear(); };
  studio.beats.push(unmark);
  studio.drawn = [];                       /* functions run after a region was drawn: (slot, element) */
  /** What an element says when it is used. */
  const said = (studio.said = (el) => {
    const { act, confirm, ...data } = el.dataset;
    for (const k of ["primary", "live", "quiet", "goto", "busy", "key", "keep", "needs", "take", "enter", "hot", "prev", "next", "poll", "repeat", "shows"]) delete data[k];
    if (el.matches("input,select,textarea")) { data.name = el.name; data.value = el.type === "checkbox" ? el.checked : el.value; }
    const about = el.closest(".slot")?.querySelector("[data-about]")?.dataset.about;  /* which rows are drawn */
    return { act, ...data, ...(about ? { about } : {}) };
  });
  studio.typing = (el) => el.matches("textarea,select,input:not([type=radio]):not([type=checkbox])");
  studio.region = (element) => {
    const slot = element.querySelector(".slot");
    let drawn = 0, shown = null, value = "";   /* the number of the drawing that is shown, for an older one may arrive later; what it is; what came last */
    const draw = () => {
      const [stamp, at, act] = /^<!--(\d+) (\d+)-->/.exec(value) || ["", drawn, 0];
      const html = value.slice(stamp.length);
      if (Number(at) < drawn) return;
      drawn = Number(at);
      if (html === shown) return;
      shown = html;
      studio.morph(slot, html, Number(act));
      const loud = slot.querySelector("[role=alert][tabindex]");
      if (loud && !loud.dataset.seen) { loud.dataset.seen = "1"; loud.scrollIntoView({ block: "nearest" }); }
      for (const f of studio.drawn) f(slot, element);
      if (toShow) {
        const at = slot.querySelector(`[data-key="${CSS.escape(toShow)}"]`), top = at?.getBoundingClientRect().top;
        toShow = "";
        if (top < 0 || top > innerHeight - 100) at.scrollIntoView();
      }
      const first = slot.querySelector("[data-autofocus]");
      if (first && !first.dataset.had) { first.dataset.had = "1"; first.focus({ preventScroll: true }); }
      clearTimeout(polling);
      const poll = slot.querySelector("[data-poll]");
      if (poll) polling = setTimeout(function again() {
        if (!document.contains(poll)) return;
        if (document.hidden || element.offsetParent === null) polling = setTimeout(again, 1000);
        else { const turn = polling; send({ act: poll.dataset.act, unasked: true }).finally(() => {   /* the next one waits for this answer */
          if (poll.dataset.repeat !== undefined && document.contains(poll) && polling === turn) polling = setTimeout(again, Number(poll.dataset.poll));
        }); }
      }, Number(poll.dataset.poll));
    };
    let polling = 0, toShow = "", looking = false;
    const act = studio.sender(element);
    const send = (data) => act(data.unasked ? data : { ...data, sent: ++sent });
    const change = (el) => { send(said(el)); studio.hold(el, slot.querySelectorAll("input"), sent, () => { shown = null; draw(); }); };
    element.studioSend = send;
    const timers = new WeakMap();
    const later = (el) => { clearTimeout(timers.get(el)); timers.set(el, setTimeout(() => { timers.delete(el); change(el); }, 350)); };
    /** Whether what was typed is still to be sent. The caller sends it now, before what is done next. */
    const due = (el) => { clearTimeout(timers.get(el)); return timers.delete(el); };
    slot.addEventListener("click", async (e) => {
      const row = e.target.closest("[data-opens]");   /* a click on the text of a row, without a selection in it, opens the row */
      const el = e.target.closest("button[data-act],a[data-act]") || (row && getSelection().isCollapsed ? row.querySelector(row.dataset.opens) : null);
      if (!el || el.disabled || el.dataset.busy !== undefined) return;
      e.preventDefault();
      const taken = el.dataset.take && slot.querySelector(`[name="${CSS.escape(el.dataset.take)}"]`);
      const long = taken && new Blob([taken.value]).size > MOST_SENT;
      if (taken) studio.complain(taken, long ? "This text is too long to send at once. Save it as a file and upload the file." : "");
      if (long) return;
      const what = said(el);               /* read now: the region may be redrawn while the question is open */
      if (el.dataset.confirm && !(await studio.ask(el.dataset.confirm, el.textContent.trim()))) return;
      mark(el);
      toShow = el.dataset.shows || "";     /* the part that its answer changes, which may be out of view */
      if (el.dataset.again !== undefined) {   /* pressed by 5-files.js; the next one waits for this answer */
        if (!looking) { looking = true; send({ ...what, unasked: true }).finally(() => { looking = false; }); }
        return;
      }
      send(taken ? { ...what, [taken.name]: taken.value } : what);
      if (taken && taken.type === "password") taken.value = "";
    });
    slot.addEventListener("change", (e) => {
      for (const b of slot.querySelectorAll("[data-needs]")) b.disabled = !slot.querySelector(`[name="${CSS.escape(b.dataset.needs)}"]`)?.checked;
      const el = e.target.closest("input[data-act],select[data-act],textarea[data-act]");
      if (el && (el.dataset.live === undefined || due(el))) change(el);
    });
    slot.addEventListener("keydown", (e) => {
      if (e.ctrlKey || e.metaKey || e.altKey || studio.typing(e.target)) return;
      const arrow = { ArrowLeft: "[data-prev]", ArrowRight: "[data-next]" }[e.key];
      if (arrow && e.target.closest("[data-arrows]")) { const b = slot.querySelector(arrow); if (b && !b.disabled) { e.preventDefault(); b.click(); } }
    });
    slot.addEventListener("mouseover", (e) => {
      const token = e.target.closest(".tok[data-id]"), under = slot.querySelector("[data-under]");
      if (!token || !under) return;
      const [, shown, id, what] = under.children, learned = token.classList.contains("l");
      shown.className = "tok" + (learned ? " l" : ""); shown.textContent = token.textContent;
      id.textContent = "id " + token.dataset.id; what.textContent = studio.translate(learned ? "learned" : "read");
    });
    const accept = (list, tickets = []) => {
      const file = list[tickets.length];
      if (file) studio.upload(file, slot.querySelector("[data-sending]"), (ticket) => accept(list, [...tickets, ticket]));
      else if (list.length) send({ act: "file", tickets: tickets.join(" ") });
    };
    slot.addEventListener("change", (e) => { if (e.target.matches("input[data-file]")) { accept([...e.target.files]); e.target.value = ""; } }, true);
    slot.addEventListener("dragover", (e) => { const d = e.target.closest("[data-drop]"); if (d) { e.preventDefault(); d.classList.add("over"); } });
    slot.addEventListener("dragleave", (e) => e.target.closest("[data-drop]")?.classList.remove("over"));
    slot.addEventListener("drop", (e) => { const d = e.target.closest("[data-drop]"); if (d) { e.preventDefault(); d.classList.remove("over"); accept([...e.dataTransfer.files]); } });
    slot.addEventListener("input", (e) => { const el = e.target.closest("[data-act][data-live]"); if (el) later(el); });
    slot.addEventListener("keydown", (e) => {
      const el = e.target.closest("input[data-act]");
      if (el && e.key === "Enter" && !e.isComposing && !e.ctrlKey && !e.metaKey && el.dataset.enter !== undefined) { e.preventDefault(); due(el); send({ ...said(el), act: el.dataset.enter }); }
    });
    studio.place(element, (now) => { value = now || ""; draw(); });
  };
})();
