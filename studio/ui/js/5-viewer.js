/* Owns: the page of a viewer, who looks but changes nothing. The server refuses the rest (roles.py); here it is disabled. */
(() => {
  const { studio } = window;
  const NOTE = "You are logged in as a viewer. You can look at everything and chat, but you can't change anything.";
  let viewer = false;
  /** Called with each answer. The role of a page does not change while it is open. */
  studio.asViewer = () => {
    if (viewer) return;
    viewer = true;
    document.body.classList.add("viewer");
    document.querySelector("#steps")?.before(studio.h("section.banner.viewer-note", { role: "note" }, NOTE));
    for (const slot of document.querySelectorAll(".slot")) disable(slot);
  };
  const tabOf = (slot) => slot.closest(".block")?.id.replace(/^runbar-/, "train-").split("-")[0];
  function disable(slot) {
    const allowed = window.studioViewer[tabOf(slot)] || [];
    for (const el of slot.querySelectorAll("[data-act]")) {
      if (allowed.includes(el.dataset.act) || el.dataset.act === "draw" || el.dataset.poll !== undefined) continue;
      el.disabled = true;
      el.classList.add("off");
    }
    for (const el of slot.querySelectorAll("input[data-file]")) el.disabled = true;
  }
  studio.drawn.push((slot) => { if (viewer) disable(slot); });
})();
