/* Owns: the dialog of projects, and which project this browser has open (js/0-visitor.js sends it). */
(() => {
  const { studio } = window;
  studio.projects = (element) => {
    const dialog = element.querySelector("dialog"), button = element.querySelector("button.project");
    button.addEventListener("click", () => { dialog.showModal(); element.studioSend({ act: "draw", begin: "yes" }); });
    dialog.addEventListener("click", (e) => {
      const to = e.target.closest("[data-to-project]");
      if (to) studio.openProject(to.dataset.toProject);
      else if (e.target === dialog || e.target.closest("[data-close]")) dialog.close();   /* itself: what is behind it */
    });
    studio.region(element);
  };
  studio.drawn.push((slot) => {
    const open = slot.querySelector("[data-open-project]");
    if (!open) return;
    slot.closest("dialog").parentElement.querySelector("button.project bdi").textContent = open.dataset.title;
    slot.closest("dialog").parentElement.querySelector("button.project").setAttribute("aria-label", studio.translate(`Project: ${open.dataset.title}`));
    const next = slot.querySelector("[data-switch]");
    if (next) studio.openProject(next.dataset.switch);
  });
})();
